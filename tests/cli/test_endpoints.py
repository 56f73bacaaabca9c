"""`stibgate endpoints` lists, deletes with care, and rotates a secret without losing an event."""

import asyncio
import hashlib
import os

import pytest

from stibgate.app import open_store_ledger
from stibgate.app.gateway import Gateway
from stibgate.cli.endpoints import delete, list_, rotate
from stibgate.cli.register import register
from stibgate.config import load
from stibgate.domain.delivery import Delivery, DeliveryState, IdempotencyKey
from stibgate.stores import DeliveryFilter
from stibgate.stores.sqlite import SqliteStore
from tests.cli.stibnite_account import DAY_S, MADE_UP, TOKEN, account, answering, raw

__all__ = ["account"]

VARIABLE = "STIBGATE_SOURCES__JOBS__SECRETS_FILE"
PATH = "/v1/webhooks/endpoints"


@pytest.fixture
async def rotated(account):
    """A source that was registered two days ago, and got a second endpoint a day and an hour ago."""
    account.env = {VARIABLE: str(account.file)}
    account.ahead_s = -2 * DAY_S
    assert (await account.run(register, env=account.env)).code == 0
    account.ahead_s = -DAY_S - 3600
    assert (await account.run(rotate, env=account.env)).code == 0
    account.store = None
    yield account
    await stop(account)


async def stop(account):
    """Stop the service, if one runs."""
    if account.store is not None:
        await account.store.close()
        account.store = None


async def deliver(account, *labels):
    """Restart a service's store, and let it remember deliveries that were proved by these secrets.

    `2+1`: a copy comes proved by 2, then another one proved by 1.
    """
    from stibgate.app.clock import now_ms

    await stop(account)
    account.store = SqliteStore(account.folder / "data/stibgate.db")
    for copies in labels:
        key = os.urandom(8)
        for label in copies.split("+"):
            await account.store.admit(
                Delivery(
                    f"dlv_{os.urandom(8).hex()}", "jobs", now_ms(), b"{}", hashlib.sha256(key).digest(),
                    DeliveryState.IGNORED, "person_search.job.failed", IdempotencyKey(key, now_ms() + 60_000),
                    authenticated_by=label,
                )
            )  # fmt: skip


async def ids(account):
    return [one["id"] for one in await account.endpoints()]


async def test_list(account):
    """Every endpoint of the account is listed; own ones with their source, no token is shown."""
    account.configure(jobs=f'tokens = ["{TOKEN}"]')
    urls = ["/hooks/jobs", f"/hooks/jobs/{TOKEN}", "/hooks/push", "/hooks/other", "/deep/hooks/x/capability?key=also"]
    for url in urls:
        await account.call("POST", PATH, {"url": account.public(url)})
    ran = await account.run(list_, "--json")
    assert [row["source"] for row in ran.objects] == ["jobs", "jobs", "push", None, None]
    assert [row["url"].removeprefix(account.public("")) for row in ran.objects] == [
        "/hooks/jobs", "/hooks/jobs/***", "/hooks/push", "/hooks/other", "/deep/hooks/x/***?***",
    ]  # fmt: skip
    table = await account.run(list_)
    assert len(table.out.splitlines()) == 6
    for shown in (ran.all, table.all):
        assert not any(word in shown for word in (TOKEN, "capability", "also"))


async def test_list_is_hostile(account):
    """What the vendor says does nothing to a terminal, and a secret in a list is not shown."""
    row = {"id": "e\x1b[31m", "url": "https://u:pw@x.example/\x07", "status": "\x9b2J", "signing_secret": MADE_UP}
    async with answering(lambda *_: raw(200, [row])) as url:
        account.configure(url=url)
        for words in ((), ("--json",)):
            ran = await account.run(list_, *words)
            assert ran.code == 0
            assert ran.out.replace("\n", "").isprintable()
            assert MADE_UP not in ran.out
            assert "pw@" not in ran.out


async def test_list_empty(account):
    """No endpoints is no error."""
    ran = await account.run(list_)
    assert (ran.code, ran.out, ran.err) == (0, "", "no endpoints\n")


async def test_delete(account):
    """An endpoint is deleted; one that is gone, or another account's, is said to be so."""
    made = await account.call("POST", PATH, {"url": "https://other.example/hooks/x"})
    ran = await account.run(delete, made["id"])
    assert (ran.code, ran.out) == (0, f"{made['id']} is deleted\n")
    ran = await account.run(delete, made["id"])
    assert ran.code == 0
    assert "gone already" in ran.out


async def test_delete_the_last(account):
    """The last endpoint of a source goes only with --yes; where two are, one may go."""
    await account.run(register)
    await account.run(register, "--again")
    first, last = await ids(account)
    assert (await account.run(delete, first)).code == 0
    ran = await account.run(delete, last)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert await ids(account) == [last]
    assert (await account.run(delete, last, "--yes")).code == 0
    assert await ids(account) == []


async def test_delete_is_refused(account):
    """`deleted: false` is no success."""
    async with answering(lambda method, *_: raw(200, {"deleted": False} if method == "DELETE" else [])) as url:
        ran = await account.configure(url=url).run(delete, "e1")
    assert ran.code == 1
    assert "did not delete e1" in ran.err


async def test_begin(account):
    """Rotation keeps what is accepted now below the new secret, wherever it stood, and shows neither."""
    account.configure(secret=MADE_UP)
    await account.call("POST", PATH, {"url": account.public("/hooks/jobs"), "events": ["person_search.job.failed"]})
    ran = await account.run(rotate, "--dry-run")
    assert (ran.code, len(await ids(account)), account.file.exists()) == (0, 1, False)
    ran = await account.run(rotate)
    old, new = await account.endpoints()
    assert ran.code == 0
    assert (old["url"], old["events"]) == (new["url"], new["events"])
    assert account.secrets[1:] == [MADE_UP]
    assert not any(secret in ran.all for secret in account.secrets)
    assert f"{VARIABLE}={account.file}" in ran.out
    assert [one.value.get_secret_value() for one in _secrets_of(account)] == account.secrets


def _secrets_of(account):
    return load(account.config, environ={VARIABLE: str(account.file)}).settings.sources["jobs"].secrets


async def test_begin_unconfigured(account):
    """What stands in for a secret that the configuration does not have yet is accepted nowhere."""
    assert (await account.run(register)).code == 0
    (first,) = account.secrets
    assert (await account.run(rotate)).code == 0
    assert account.secrets[1:] == [first]


async def test_begin_without_endpoint(account):
    """Where nothing is registered there is nothing to rotate."""
    ran = await account.run(rotate)
    assert ran.code == 1
    assert "stibgate register --source jobs" in ran.err


async def test_token_only(account):
    """A source whose secret proves nothing has none to rotate."""
    ran = await account.configure(jobs=f'auth = "token"\ntokens = ["{TOKEN}"]').run(rotate)
    assert ran.code == 2


async def test_standing(rotated):
    """With two endpoints it says how far the rotation is, and makes no third."""
    ran = await rotated.run(rotate, env=rotated.env)
    assert ran.code == 0
    assert "no service runs" in ran.out
    assert "Not yet" in ran.out
    await deliver(rotated, "t_v1/2", "t_v1/1")
    ran = await rotated.run(rotate, env=rotated.env)
    assert "--finish deletes" in ran.out
    assert len(await ids(rotated)) == 2


async def test_finish(rotated):
    """With all the evidence the older endpoint goes; again, there is nothing to finish."""
    old, new = await ids(rotated)
    await deliver(rotated, "t_v1/1", "t_v1/2")
    ran = await rotated.run(rotate, "--finish", "--dry-run", env=rotated.env)
    assert (ran.code, len(await ids(rotated))) == (0, 2)
    ran = await rotated.run(rotate, "--finish", env=rotated.env)
    assert (ran.code, await ids(rotated)) == (0, [new])
    assert f"{old} is deleted" in ran.out
    ran = await rotated.run(rotate, "--finish", env=rotated.env)
    assert (ran.code, await ids(rotated)) == (0, [new])
    assert "nothing to finish" in ran.out


async def refused(account, said, *words, env=None):
    """Assert that --finish refuses with these words only, and that --force overrides it."""
    ran = await account.run(rotate, "--finish", *words, env=account.env if env is None else env)
    assert ran.code == 1, ran
    assert said in ran.err
    assert ran.out.count("missing") == 1, ran.out
    assert len(await ids(account)) == 2


async def test_too_young(rotated):
    """The newer endpoint must be old enough."""
    await deliver(rotated, "t_v1/1")
    await refused(rotated, "--quiet asks for 26h", "--quiet", "26h")
    assert (await rotated.run(rotate, "--finish", "--quiet", "soon")).code == 2


async def test_not_used(rotated):
    """A delivery must have come that is signed with the newest secret."""
    await deliver(rotated, "t_v1/2", "token", "t_v1/11")
    await refused(rotated, "2 with an older one")


async def test_used_by_later_copies(rotated):
    """A copy that came second, as a duplicate, is evidence too."""
    await deliver(rotated, "t_v1/2+t_v1/1")
    assert (await rotated.run(rotate, "--finish", env=rotated.env)).code == 0
    assert len(await ids(rotated)) == 1


async def test_no_service(rotated):
    """While no service runs nobody can tell which secrets are in use."""
    await deliver(rotated, "t_v1/1")
    await stop(rotated)
    await refused(rotated, "no service runs")


async def test_not_reloaded(rotated):
    """Label 1 of a service that does not know the new secret yet is the older one: no evidence."""
    await deliver(rotated, "t_v1/1")
    os.utime(rotated.file)
    await refused(rotated, "has not read the secrets")


async def test_used_before_the_reload_only(rotated):
    """What came before the service knew the new secret is no evidence."""
    await deliver(rotated, "t_v1/1")
    os.utime(rotated.file)
    await deliver(rotated)
    await refused(rotated, "no delivery since")


@pytest.mark.parametrize("other", ["", f'secrets = ["{MADE_UP}"]'])
async def test_not_configured(rotated, other):
    """The configuration must begin with the secret that was written."""
    text = rotated.config.read_text()
    rotated.config.write_text(text.replace('kind = "stibnite_jobs"', f'kind = "stibnite_jobs"\n{other}'))
    await deliver(rotated, "t_v1/1")
    await refused(rotated, f"{VARIABLE}={rotated.file}", env={})


async def test_secret_from_elsewhere(rotated):
    """A newer endpoint that was not made here has a secret that nobody here knows."""
    old_s = rotated.config.stat().st_mtime - 3 * DAY_S
    for path in (rotated.file, rotated.config):
        os.utime(path, (old_s, old_s))
    await deliver(rotated, "t_v1/1")
    await refused(rotated, "no secret was written here since")


async def test_force(rotated):
    """--force overrides the evidence, and goes with --finish only."""
    assert (await rotated.run(rotate, "--force")).code == 2
    _, new = await ids(rotated)
    assert (await rotated.run(rotate, "--finish", "--force", env=rotated.env)).code == 0
    assert await ids(rotated) == [new]


@pytest.mark.parametrize("created", [None, "yesterday", "2026-05-17T18:42:10Z"])
async def test_no_order(account, created):
    """When nobody can tell which endpoint is the newest, nothing is deleted, forced or not."""
    rows = [{"id": f"e{n}", "url": account.public("/hooks/jobs"), "created_at": created} for n in (1, 2)]
    asked = []

    def answer(method, *_):
        asked.append(method)
        return raw(200, rows)

    async with answering(answer) as url:
        account.config.write_text(account.config.read_text().replace(account.url, url))
        ran = await account.run(rotate, "--finish", "--force")
    assert (ran.code, asked) == (1, ["GET"])
    assert "endpoints delete" in ran.err


async def test_both_secrets_are_accepted(account):
    """After a rotation and a restart both copies of an event are accepted, and are one delivery."""
    env = {VARIABLE: str(account.file)}
    assert (await account.run(register, env=env)).code == 0
    assert (await account.run(rotate, env=env)).code == 0
    settings = load(account.config, environ=env).settings
    gateway = Gateway(settings)
    await gateway.start()
    try:
        async with asyncio.timeout(60):
            await account.call("POST", "/v1/persons/search/jobs", {"q": "CMOs at SaaS companies", "limit": 2})
            await account.sandbox.idle()
    finally:
        await gateway.stop()
    assert [(sent.status, sent.attempts) for sent in account.sandbox.sent] == [(202, 1), (202, 1)]
    ledger = open_store_ledger(settings)
    (delivery,) = ledger.deliveries(DeliveryFilter(), limit=None)
    ledger.close()
    assert (delivery.source, delivery.duplicates, delivery.conflicts) == ("jobs", 1, 0)
