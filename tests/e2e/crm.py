"""HubSpot's sandbox as a process of its own, so that commands can be forked from a test without threads.

What a test wants to know or to change there goes through a pipe; what the gateway sends goes over loopback.
"""

import asyncio
import os
import signal
import time
import traceback
from multiprocessing import Pipe

from aiohttp import web

from stibgate.sandbox.hubspot import HubSpotSandbox
from tests.e2e.gateway import PATIENCE_S
from tests.ports import free_port

SETTINGS = """
[sinks.crm]
kind = "hubspot"
base_url = "{url}"
token = "{token}"
"""


class Crm:
    """A HubSpot that nobody else uses, from entering the block to leaving it.

    Args:
        seed: Which world.
        portal: The account's settings.
    """

    def __init__(self, *, seed=1, portal=None):
        self.port = free_port()
        self._seed = seed
        self._portal = portal

    def __enter__(self):
        self._line, far = Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _become(HubSpotSandbox(seed=self._seed, now=time.time, portal=self._portal), self.port, far)
        far.close()
        self.token = self.ask("token")
        return self

    def __exit__(self, *_):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._line.close()

    @property
    def url(self):
        """Where HubSpot answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sink(self):
        """The configuration of a sink `crm` that leads here."""
        return SETTINGS.format(url=self.url, token=self.token)

    def ask(self, name, *args, **kwargs):
        """Return what the sandbox has under *name*, called where it is a method."""
        self._line.send((name, args, kwargs))
        assert self._line.poll(PATIENCE_S), f"HubSpot's process does not answer to {name}"
        good, value = self._line.recv()
        assert good, value
        return value

    def down(self):
        """Close the listener and every connection; what is stored stays."""
        self.ask("down")

    def up(self):
        """Listen again, at the same address."""
        self.ask("up")

    def fail(self, fault, *, rate=None, **details):
        """Let *fault* hit the next requests (`count`), or a share of all (`rate`; 0 ends it)."""
        if rate is None:
            self.ask("fail_next", fault, **details)
        else:
            self.ask("set_fault_rate", fault, rate, **details)

    def contacts(self):
        """Return the contacts' properties by person id; no two may have the same."""
        found = [one["properties"] for one in self.ask("contacts")]
        by_person = {one["stibnite_person_id"]: one for one in found}
        assert len(by_person) == len(found), "a person is in HubSpot twice"
        return by_person

    def writes(self):
        """Return the ids that each write of contacts named, one list a request that HubSpot took."""
        return [
            [one.get("id") for one in request.body["inputs"]]
            for request in self.ask("requests")
            if request.status in {200, 201, 207} and "/contacts/batch/" in request.path and "/read" not in request.path
        ]

    def holds_exactly(self, records):
        """Assert that HubSpot has exactly the people and companies of *records*, and who works where."""
        people = {one["person_id"] for one in records}
        works = {(one["person_id"], one["company"]["company_id"]) for one in records if one.get("company")}
        contacts, companies = self.ask("contacts"), self.ask("companies")
        names = {one["id"]: one["properties"]["stibnite_person_id"] for one in contacts}
        places = {one["id"]: one["properties"]["stibnite_company_id"] for one in companies}
        linked = {(names[contact], places[company]) for contact, company in self.ask("associations")}
        assert sorted(names.values()) == sorted(people)
        assert sorted(places.values()) == sorted({company for _, company in works})
        assert linked == works
        assert not any(self.ask("duplicates").values())


def _become(sandbox, port, line):
    """Turn this forked child into HubSpot; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(_serve(sandbox, port, line))
    except EOFError:
        code = 0
    except BaseException:  # noqa: BLE001  (as the interpreter itself would show it)
        traceback.print_exc()
    finally:
        os._exit(code)


async def _serve(sandbox, port, line):
    runner = await _listen(sandbox, port)
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(line.fileno(), readable.set)
    while True:
        await readable.wait()
        readable.clear()
        while line.poll():
            name, args, kwargs = line.recv()
            try:
                if name == "down":
                    value = await runner.cleanup()
                elif name == "up":
                    runner, value = await _listen(sandbox, port), None
                else:
                    value = getattr(sandbox, name)
                    value = value(*args, **kwargs) if callable(value) else value
                line.send((True, value))
            except Exception as error:  # noqa: BLE001  (the test is told)
                line.send((False, repr(error)))


async def _listen(sandbox, port):
    runner = web.AppRunner(sandbox.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner
