"""`stibgate embed-key create` makes a key whose pushes come to the source, and shows no token."""

import json

import pytest

from stibgate.cli.embed_key import create
from tests.cli.stibnite_account import TOKEN, account, answering, raw

__all__ = ["account"]

ORIGIN = "https://partner.example"


async def test_pushes_come_by_the_newest_token(account):
    """The key's pushes go to the source's URL with its first token, which is never printed."""
    ran = await account.run(create, "--origin", f"{ORIGIN}/app", "--json")
    (document,) = ran.objects
    assert ran.code == 0
    assert document["public_key"].startswith("stib_embed_pk_")
    assert document["embed_key"]["allowed_origins"] == [ORIGIN]
    assert document["embed_key"]["result_delivery_url"] == account.public("/hooks/push/***")
    assert TOKEN not in ran.all
    kept = account.sandbox._rooms[4]._keys[document["public_key"]]
    assert kept.result_delivery_url == account.public(f"/hooks/push/{TOKEN}")


async def test_everything(account):
    """Every option reaches Stibnite, and the policy is printed."""
    ran = await account.run(
        create, "--origin", ORIGIN, "--origin", "https://two.example", "--source", "push", "--cta", "Add to CRM",
        "--csv-export", "--credit-mode", "enforced", "--reset", "rollover", "--limit", "monthly_credit_units=100",
        "--limit", "lifetime_record_reveals=none",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    for said in (
        "stib_embed_pk_", f"{ORIGIN}, https://two.example", "/hooks/push/***", "Add to CRM", "enforced", "rollover",
        "monthly_credit_units=100, lifetime_record_reveals=none", "does not show it again",
    ):  # fmt: skip
        assert said in ran.out
    assert TOKEN not in ran.all


async def test_metered(account):
    """That the default stops no customer is a warning."""
    ran = await account.run(create, "--origin", ORIGIN)
    assert "warning: credit mode metered" in ran.err


async def test_no_delivery(account):
    """--no-delivery pushes nowhere, and needs neither a source nor a public URL."""
    ran = await account.configure(public="#").run(create, "--origin", ORIGIN, "--no-delivery")
    assert ran.code == 0
    assert "nowhere" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "monthly=5"], "monthly_credit_units"),
        (["--limit", "monthly_credit_units=many"], "not a number"),
        (["--limit", "monthly_credit_units"], "not a number"),
        (["--source", "jobs"], "stibgate register"),
        (["--source", "nobody"], "there is no source"),
        (["--no-delivery", "--cta", "Go"], "--no-delivery"),
        (["--origin", "http://partner.example"], "https"),
    ],
)
async def test_refused(account, words, said):
    """What cannot be meant is exit code 2, before anything is sent."""
    ran = await account.run(create, "--origin", ORIGIN, *words)
    assert ran.code == 2
    assert said in ran.err
    assert account.sandbox._rooms[4]._keys == {}


async def test_no_public_url(account):
    """Without server.public_url it says what to set."""
    ran = await account.configure(public="#").run(create, "--origin", ORIGIN)
    assert ran.code == 78
    assert "server.public_url" in ran.err


async def test_wrong_key(account):
    """A wrong API key is 77."""
    assert (await account.configure(key="stib_live_wrong").run(create, "--origin", ORIGIN)).code == 77


async def test_answer_is_lost(account):
    """When nobody knows whether a key was made, that is said; the token of the URL is not, whatever is answered."""

    def answer(method, target, body):
        return raw(500, {"message": f"cannot reach {json.loads(body)['result_delivery_url']}"})

    async with answering(answer) as url:
        ran = await account.configure(url=url).run(create, "--origin", ORIGIN)
    assert ran.code == 75
    assert "console" in ran.err
    assert TOKEN not in ran.all


async def test_hostile(account):
    """What the vendor answers does nothing to a terminal; a limit that it did not keep is a warning."""
    stored = {"id": "k\x1b[31m", "allowed_origins": ["\x07"], "result_delivery_url": f"https://x.example/{TOKEN}"}

    async with answering(lambda *_: raw(200, {"public_key": "pk\x1b]0;x", "embed_key": stored})) as url:
        ran = await account.configure(url=url).run(create, "--origin", ORIGIN, "--limit", "monthly_credit_units=5")
    assert ran.code == 0
    assert ran.all.replace("\n", "").isprintable()
    assert TOKEN not in ran.all
    assert "did not keep --limit monthly_credit_units=5" in ran.err
