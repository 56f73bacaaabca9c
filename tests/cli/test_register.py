"""`stibgate register` keeps the secret that comes once, or leaves nothing behind."""

import asyncio
import os
import stat

import pytest
from click.testing import CliRunner

from stibgate.app.vendors import stibnite_client
from stibgate.cli.register import make_endpoint, register
from stibgate.cli.secrets_file import reserved
from stibgate.config import load
from stibgate.errors import StibgateError
from stibgate.vendors.stibnite import NewEndpoint
from tests.cli.stibnite_account import MADE_UP, TOKEN, account, answering, raw

__all__ = ["account"]

VARIABLE = "STIBGATE_SOURCES__JOBS__SECRETS_FILE"
LATER = "whsec_bGF0ZXItb25lLXRoYXQtY29tZXMtZnJvbS1hLXRlc3Q="


async def test_first_time(account):
    """A source without a secret is registered: the secret is in a 0600 file and nowhere else, the next step is said."""
    ran = await account.run(register)
    (endpoint,) = await account.endpoints()
    (secret,) = account.secrets
    assert ran.code == 0
    assert endpoint["url"] == account.public("/hooks/jobs")
    assert secret.startswith("whsec_")
    assert stat.S_IMODE(account.file.stat().st_mode) == 0o600
    assert secret not in ran.all
    for said in (endpoint["id"], endpoint["url"], f"{VARIABLE}={account.file}", "restart"):
        assert said in ran.out
    assert sorted(path.name for path in account.folder.iterdir()) == ["config.toml", "jobs.secrets"]


async def test_json(account):
    """`--json` is one object with the same, and the secret only when it is asked for."""
    ran = await account.run(register, "--json", "--description", "CRM", "--event", "person_search.job.failed")
    (document,) = ran.objects
    (endpoint,) = await account.endpoints()
    assert document == {**endpoint, "source": "jobs", "secrets_file": str(account.file)}
    assert (endpoint["description"], endpoint["events"]) == ("CRM", ["person_search.job.failed"])
    again = await account.run(register, "--again", "--show-secret", "--json")
    assert again.objects[0]["signing_secret"] == account.secrets[0]


async def test_file_named_by_variable(account):
    """The variable's file, which need not exist yet, is where the secret goes; the configuration then loads."""
    file = account.folder / "elsewhere.txt"
    ran = await account.run(register, env={VARIABLE: str(file)})
    assert (ran.code, account.file.exists()) == (0, False)
    assert "names that file already" in ran.out
    settings = load(account.config, environ={VARIABLE: str(file)}).settings
    assert [one.value.get_secret_value() for one in settings.sources["jobs"].secrets] == file.read_text().split()


async def test_empty_file_named_by_variable(account):
    """An empty file of that name, as an interrupted command leaves it, is no obstacle."""
    account.file.touch()
    assert (await account.run(register, env={VARIABLE: str(account.file)})).code == 0
    assert len(account.secrets) == 1


@pytest.mark.parametrize(
    ("change", "env", "said"),
    [
        ({"extra": "[sinks.bad]\nkind = 'csv'"}, {}, "sinks.bad"),
        ({"jobs": "tolerance = 'soon'"}, {}, "tolerance"),
        ({}, {"STIBGATE_SOURCES__PUSH__TOKENS_FILE": "/nowhere"}, "TOKENS_FILE"),
        ({}, {VARIABLE: "/"}, "SECRETS_FILE"),
        ({"secret": "whsec_short"}, {}, "secrets"),
        ({"jobs": f"secrets = {[f'{MADE_UP}{n}' for n in range(9)]}"}, {}, "8 or fewer"),
    ],
)
async def test_other_problems(account, change, env, said):
    """Only a missing secret is forgiven: every other problem of the configuration is reported, and nothing made."""
    account.configure(**change)
    ran = await account.run(register, env=env)
    assert ran.code == 78
    assert said in ran.err
    assert "needs a secret" not in ran.err or VARIABLE in env
    assert await account.endpoints() == []


async def test_no_public_url(account):
    """Without server.public_url it says what to set."""
    ran = await account.configure(public="#").run(register)
    assert ran.code == 78
    assert "server.public_url" in ran.err
    assert "STIBGATE_SERVER__PUBLIC_URL" in ran.err


async def test_no_key(account):
    """Without an API key it says what to set."""
    account.config.write_text("".join(f"{x}\n" for x in account.config.read_text().split("\n") if "api_key" not in x))
    ran = await account.run(register)
    assert ran.code == 78
    assert "STIBGATE_STIBNITE__API_KEY" in ran.err


async def test_token_in_url(account):
    """Where a source's auth needs a token it is in the registered URL, and never in what is printed."""
    account.configure(jobs=f'auth = "signature+token"\ntokens = ["{TOKEN}"]')
    for words in ((), ("--json", "--again")):
        ran = await account.run(register, *words)
        assert (ran.code, TOKEN in ran.all) == (0, False)
        assert "/hooks/jobs/***" in ran.out
    assert {one["url"] for one in await account.endpoints()} == {account.public(f"/hooks/jobs/{TOKEN}")}


@pytest.mark.parametrize(
    ("name", "said"), [("push", "embed-key create"), ("nobody", "there is no source"), (None, "jobs, more")]
)
async def test_which_source(account, name, said):
    """The source must be one of jobs, and named when there are several."""
    account.configure(extra=f'[sources.more]\nkind = "stibnite_jobs"\nsecrets = ["{MADE_UP}"]\nroutes = ["drop"]')
    ran = await account.run(register, *(["--source", name] if name else []))
    assert ran.code == 2
    assert said in ran.err


async def test_second_time(account):
    """A URL that is registered already is refused, however it is spelled, and rotation is pointed to."""
    await account.call("POST", "/v1/webhooks/endpoints", {"url": account.public("/hooks/jobs/").replace("ht", "HT", 1)})
    ran = await account.run(register)
    assert ran.code == 1
    assert "endpoints rotate" in ran.err
    assert (len(await account.endpoints()), account.file.exists()) == (1, False)


async def test_newest_first(account):
    """A new secret goes above those that are in the file; nothing of it is lost."""
    account.file.write_text(f"{LATER}\n\n{MADE_UP}")
    account.file.chmod(0o644)
    assert (await account.run(register)).code == 0
    assert account.secrets[1:] == [LATER, MADE_UP]
    assert account.secrets[0] not in {LATER, MADE_UP}
    assert not account.file.stat().st_mode & stat.S_IROTH


@pytest.mark.parametrize("what", ["folder", "under a file", "other text", "full", "missing folder", "pipe"])
async def test_file_cannot_be_written(account, what):
    """A file that cannot take the secret is found out before Stibnite is asked: nothing is made or changed."""
    path = account.folder / "given"
    match what:
        case "folder":
            path.mkdir()
        case "under a file":
            path.write_text("")
            path /= "secrets"
        case "other text":
            path.write_text("[server]\n")
        case "full":
            path.write_text("".join(f"{MADE_UP}{n}\n" for n in range(8)))
        case "missing folder":
            path /= "secrets"
        case "pipe":
            os.mkfifo(path)
    before = path.read_bytes() if path.is_file() else None
    ran = await account.run(register, "--secret-to", path)
    assert ran.code == 1, ran
    assert str(path) in ran.err
    assert await account.endpoints() == []
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not [one for one in account.folder.iterdir() if one.name.startswith(".")]


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="it takes a folder in which not even root can write")
async def test_folder_cannot_be_written(account):
    """A folder that takes no file is found out before Stibnite is asked."""
    ran = await account.run(register, "--secret-to", "/proc/jobs.secrets")
    assert ran.code in {1, 77}
    assert "/proc/jobs.secrets" in ran.err
    assert "deleted" not in ran.err
    assert (await account.call("GET", "/v1/usage"))["requests"] == 1  # the list, and nothing else


@pytest.mark.parametrize("deletes", [True, False])
async def test_secret_cannot_be_kept(account, deletes):
    """When the secret cannot be kept after all, the endpoint is deleted again, or named with what to do."""
    gone = []

    def answer(method, target, body):
        if method == "GET":
            return raw(200, {"data": []})
        if method == "POST":
            account.file.unlink()
            account.file.mkdir()  # in place of the file that was proved a moment ago
            return raw(200, {"id": "endpoint_9", "url": "https://x.example", "signing_secret": LATER})
        gone.append(target)
        return raw(200, {"deleted": True}) if deletes else raw(403, {"message": "no"})

    async with answering(answer) as url:
        ran = await account.configure(url=url).run(register)
    assert ran.code == 1
    assert len(gone) == 1
    assert ("was deleted again" in ran.err) == deletes
    assert ("stibgate endpoints delete endpoint_" in ran.err) == (not deletes)
    assert LATER not in ran.all


@pytest.mark.parametrize(
    ("secret", "said"), [("", "empty"), ("whsec_tiny", "bytes"), (f"{LATER}\n{LATER}", "spaces"), (None, "secret")]
)
async def test_secret_is_none(account, secret, said):
    """An answer without a usable secret is no success: it says what is there, and the file stays as it was."""
    made = []

    def answer(method, target, body):
        if method == "GET":
            return raw(200, made)
        if method == "POST":
            made.append({"id": "endpoint_9", "url": account.public("/hooks/jobs")})
            return raw(200, {**made[0], "signing_secret": secret} if secret is not None else made[0])
        return raw(200, {"deleted": True})

    async with answering(answer) as url:
        ran = await account.configure(url=url).run(register)
    assert ran.code == 1
    assert said in ran.err
    assert ("endpoints delete endpoint_9" if secret is None else "was deleted again") in ran.err
    assert not account.file.exists()


async def test_no_list(account):
    """Where Stibnite lists nothing that we can read, --again registers without looking."""

    def answer(method, *_):
        made = {"id": "e1", "url": "https://x.example/", "signing_secret": LATER}
        return raw(200, made) if method == "POST" else raw(404, {"message": "no such route"})

    async with answering(answer) as url:
        account.configure(url=url)
        ran = await account.run(register)
        assert (ran.code, "--again" in ran.err, account.file.exists()) == (1, True, False)
        assert (await account.run(register, "--again")).code == 0
    assert account.secrets == [LATER]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (raw(302, "", "location: https://elsewhere.example/"), 1, "redirect"),
        (raw(200, "<html>hotel wifi</html>"), 1, "web page"),
        (raw(200, {"data": [{"url": "x"}]}), 1, "not the documented answer"),
    ],
)
async def test_no_vendor(account, answer, code, said):
    """What is not Stibnite's answer is said as such, before anything is made."""
    async with answering(lambda *_: answer) as url:
        ran = await account.configure(url=url).run(register)
    assert ran.code == code
    assert said in ran.err
    assert account.sandbox.api_key not in ran.all
    assert not account.file.exists()


async def test_answer_is_lost(account):
    """When the answer is lost on its way, the endpoint that was made all the same is named."""
    made = []

    def answer(method, target, body):
        if method == "POST":
            made.append({"id": "endpoint_9", "url": account.public("/hooks/jobs")})
            return raw(500, {"message": "internal"})
        return raw(200, {"data": made})

    async with answering(answer) as url:
        ran = await account.configure(url=url).run(register)
    assert ran.code == 75
    assert "endpoints delete endpoint_9" in ran.err
    assert not account.file.exists()


async def test_interrupted(account):
    """^C while Stibnite makes the endpoint says that it may be there."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await never.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = load(account.configure(url=url, secret=MADE_UP).config, environ={}).settings
    async with stibnite_client(settings) as client, asyncio.timeout(60):
        with reserved(account.file) as file:
            wanted = NewEndpoint("https://x.example/hooks/jobs")
            task = asyncio.create_task(make_endpoint(client, wanted, file, ()))
            await asked.wait()
            task.cancel()
            with pytest.raises(StibgateError, match="interrupted") as raised:
                await task
    assert "endpoints list" in raised.value.hint
    assert not account.file.exists()
    never.set()
    server.close()
    await server.wait_closed()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_owner_stays(account):
    """A file of the service's user stays that user's, else the service could not read it after the next start."""
    account.file.write_text(f"{MADE_UP}\n")
    os.chown(account.file, 12_345, 23_456)
    account.file.chmod(0o640)
    assert (await account.run(register)).code == 0
    after = account.file.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (12_345, 23_456, 0o640)
    assert len(account.secrets) == 2


async def test_link(account):
    """A link to the file stays a link."""
    kept = account.folder / "kept"
    account.file.symlink_to(kept)
    assert (await account.run(register)).code == 0
    assert account.file.is_symlink()
    assert len(kept.read_text().splitlines()) == 1


async def test_wrong_key(account):
    """A wrong key is 77, and not repeated."""
    ran = await account.configure(key="stib_live_wrong_9f3c").run(register)
    assert ran.code == 77
    assert "api_key" in ran.err
    assert "9f3c" not in ran.all
    assert not account.file.exists()


async def test_nobody_there(account):
    """Nobody at base_url is 75; nothing was sent."""
    from tests.e2e.gateway import free_port

    ran = await account.configure(url=f"http://127.0.0.1:{free_port()}").run(register)
    assert ran.code == 75
    assert "Nothing was sent" in ran.err


async def test_two_at_once(account):
    """While another command adds a secret in that folder, nothing is made: neither could lose the other's."""
    with reserved(account.folder / "other.secrets"):
        ran = await account.run(register)
    assert ran.code == 1
    assert "another command" in ran.err
    assert await account.endpoints() == []
    assert (await account.run(register)).code == 0


def test_help():
    """`-h` says what it does with the secret."""
    assert "shows the secret once" in CliRunner().invoke(register, ["--help"]).output
