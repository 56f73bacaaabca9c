"""`stibgate sandbox`: a real process, with the three vendors in it."""

import asyncio
import json
import os
import signal
import sys

import aiohttp
import pytest

from stibgate.config import load

STIBGATE = (sys.executable, "-m", "stibgate", "sandbox")
WITHIN_S = 60


class Sandbox:
    """A running `stibgate sandbox`; `line` is what it printed."""

    def __init__(self, process, line):
        self.process = process
        self.line = line

    @classmethod
    async def start(cls, *options):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*STIBGATE, *options, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(WITHIN_S):
            line = await process.stdout.readline()
            if not line:
                pytest.fail((await process.stderr.read()).decode())
        return cls(process, json.loads(line))

    async def stop(self, number=signal.SIGTERM):
        """Return the exit code and what else was printed."""
        self.process.send_signal(number)
        async with asyncio.timeout(WITHIN_S):
            rest, _ = await self.process.communicate()
        return self.process.returncode, rest

    async def stibnite(self, path, body=None):
        """Return status and JSON answer of a call with the account's key."""
        where = self.line["stibnite"]
        headers = {"x-api-key": where["api_key"]}
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, where["url"] + path, json=body, headers=headers) as response,
        ):
            return response.status, await response.json()


async def ran(*options):
    """Return exit code and error output of a command that ends by itself."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*STIBGATE, *options, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(WITHIN_S):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


@pytest.fixture
async def start():
    """Return a function that starts sandboxes; those still there in the end are killed."""
    running = []

    async def begin(*options):
        running.append(await Sandbox.start(*options))
        return running[-1]

    yield begin
    for one in running:
        if one.process.returncode is None:
            os.kill(one.process.pid, signal.SIGKILL)
            await one.process.communicate()


async def test_all_three_answer(start):
    """It prints one line with the documented keys once all three answer, serves, and ends with 0 on SIGTERM."""
    sandbox = await start()
    assert {name: list(where) for name, where in sandbox.line.items()} == {
        "stibnite": ["url", "api_key"],
        "thehog": ["url", "access_key", "secret_key"],
        "hubspot": ["url", "token"],
    }
    assert (await sandbox.stibnite("/v1/usage"))[0] == 200
    thehog, hubspot = sandbox.line["thehog"], sandbox.line["hubspot"]
    keys = {"X-Access-Key": thehog["access_key"], "X-Secret-Key": thehog["secret_key"]}
    url = f"{thehog['url']}/api/v1/people/search/estimate"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"query": "CMOs"}, headers=keys) as response:
            assert response.ok
        url = f"{hubspot['url']}/crm/objects/2026-03/contacts"
        async with session.get(url, headers={"Authorization": f"Bearer {hubspot['token']}"}) as response:
            assert response.status == 200
    assert await sandbox.stop() == (0, b"")


async def test_interrupted(start):
    """^C is a way to end it too."""
    assert await (await start()).stop(signal.SIGINT) == (0, b"")


async def test_options(start, unused_tcp_port_factory):
    """Ports, seed and faults are as asked for; the same seed gives the same keys."""
    ports = [unused_tcp_port_factory() for _ in range(3)]
    names = ("stibnite", "thehog", "hubspot")
    chosen = [option for name, port in zip(names, ports, strict=True) for option in (f"--{name}-port", str(port))]
    first, second = await asyncio.gather(start("--seed", "5", *chosen, "--fault", "http500"), start("--seed", "5"))
    assert [first.line[name]["url"] for name in names] == [f"http://127.0.0.1:{port}" for port in ports]
    assert all(first.line[name] | {"url": ""} == second.line[name] | {"url": ""} for name in names)
    assert [(await one.stibnite("/v1/usage"))[0] for one in (first, second)] == [500, 200]


async def test_port_is_taken(start):
    """A port that is taken is exit code 75, with the option that chooses another."""
    sandbox = await start()
    port = sandbox.line["stibnite"]["url"].rpartition(":")[2]
    code, errors = await ran("--hubspot-port", port)
    assert code == 75
    assert f"127.0.0.1:{port}" in errors
    assert "--hubspot-port" in errors


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--fault", "gremlins"), "gremlins"),
        (("--fault", "cut=often"), "not a number"),
        (("--fault", "cut=1.5"), "between 0 and 1"),
        (("--fault", "cut=nan"), "between 0 and 1"),
        (("--fault", "cut="), "not a number"),
        (("--scheme", "rot13"), "standard_webhooks"),
        (("--stibnite-port", "70000"), "65535"),
    ],
)
def test_refused(options, named):
    """A wrong option is exit code 2, and the error says what is allowed."""
    from click.testing import CliRunner

    from stibgate.cli import cli
    from stibgate.errors import UsageError

    result = CliRunner().invoke(cli, ["sandbox", *options])
    error = result.exception
    said = f"{error.message} {error.hint}" if isinstance(error, UsageError) else result.output
    assert getattr(error, "exit_code", result.exit_code) == 2
    assert named in said


async def test_variables(tmp_path):
    """`--env` writes the variables under which stibgate finds the accounts."""
    file = tmp_path / "sandbox.env"
    running = await Sandbox.start("--env", str(file))
    try:
        exported = dict(line.removeprefix("export ").split("=", 1) for line in file.read_text().splitlines())
    finally:
        await running.stop()
    settings = load(environ=exported).settings
    assert settings.stibnite.base_url == running.line["stibnite"]["url"]
    assert settings.stibnite.api_key.get_secret_value() == running.line["stibnite"]["api_key"]
    assert settings.thehog.secret_key.get_secret_value() == running.line["thehog"]["secret_key"]
