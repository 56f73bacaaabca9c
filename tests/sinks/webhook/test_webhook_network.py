"""Only addresses that may be dialled are dialled, whatever a name server or a receiver says."""

import asyncio
import socket
import threading

import pytest

from stibgate.errors import SinkRejected, SinkUnavailable
from stibgate.sinks.webhook.addresses import is_private_name, is_public
from stibgate.sinks.webhook.network import Network
from stibgate.testing import make_batch
from tests.sinks.webhook.world import Names, far, http, make_settings, opened, refused

REFUSED = """0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.0.1 168.63.129.16
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1
2002:7f00:1:: 2002:a00:1::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%lo
fec0::1 ff02::1 ff0e::1 2606:4700::1%lo ::ffff:8.8.8.8%lo nonsense 127.1 0x7f000001 2130706433 017700000001"""
TAKEN = """1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.0.1
168.63.129.15 198.17.0.1 198.20.0.1 223.255.255.255 2606:4700::1 2a00:1450::1 2001:200::1 2001:4860:4860::8888
::ffff:8.8.8.8 64:ff9b::808:808"""


@pytest.mark.parametrize("address", REFUSED.split())
def test_this_address_is_not_public(address):
    """Loopback, private, link-local, carrier, metadata, multicast, reserved and documentation addresses are refused, in every disguise."""
    assert not is_public(address)


@pytest.mark.parametrize("address", TAKEN.split())
def test_this_address_is_public(address):
    """What the internet routes is taken, also just beside what is refused."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST", "127.0.0.2"])
async def test_a_private_address_is_refused_at_delivery(host):
    """A name or a literal that leads to this machine is a permanent refusal with a hint; nothing is dialled."""
    async with far() as there, opened(f"https://{host}:{there.port}/in", allow_private=False) as sink:
        error = await refused(sink, make_batch("t1", [0]))
        findings = await sink.check()
    assert isinstance(error, SinkRejected)
    assert "is not public" in error.message
    assert "allow_private" in error.hint
    assert there.connections == 0
    assert [finding.ok for finding in findings] == [False]
    assert "allow_private" in findings[0].hint


@pytest.mark.parametrize("name", ["0x7f.1", "127.1", "2130706433"])
async def test_a_number_that_the_system_would_resolve(name):
    """The system's resolver takes odd spellings for addresses; what it makes of them is judged."""
    try:
        found = await Network(lambda _: True).resolve(name, 80)
    except OSError:
        pytest.skip("this system's resolver does not")
    assert found == ["127.0.0.1"]
    with pytest.raises(OSError, match="not a public address"):
        await Network(is_public).resolve(name, 80)


async def test_allow_private_allows_it():
    """With `allow_private` loopback is taken, by name and by address."""
    async with far() as there:
        for host in ("127.0.0.1", "localhost"):
            async with opened(f"http://{host}:{there.port}/in") as sink:
                await sink.deliver(make_batch("t1", [0]))
    assert len(there.requests) == 2


async def test_one_private_address_spoils_the_name():
    """A name with a public and a private address is refused whole."""
    for answer in (["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]):
        names = Names(answer)
        network = Network(lambda address: address == "127.0.0.1", lambda names=names: names)
        async with far() as there, opened(f"http://hooks.example.com:{there.port}/in", network=network) as sink:
            assert isinstance(await refused(sink, make_batch("t1", [0])), SinkRejected)
        assert there.connections == 0


async def test_a_name_that_changes_its_mind():
    """The address that was judged is the one that is dialled: nobody asks twice, and a later answer is judged too."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    network = Network(lambda address: address == "127.0.0.1", lambda: names)
    closing = http(200, headers="connection: close\r\n")
    async with far(closing) as there, opened(f"http://hooks.example.com:{there.port}/in", network=network) as sink:
        await sink.deliver(make_batch("t1", [0]))
        assert names.calls == 1
        assert isinstance(await refused(sink, make_batch("t2", [1])), SinkRejected)
    assert len(there.requests) == there.connections == 1
    assert there.requests[0].headers["host"] == f"hooks.example.com:{there.port}"


async def test_what_is_dialled_is_judged_without_a_resolver():
    """A resolver that nobody judged leads nowhere: the socket is refused."""
    seen = []

    def allowed(address):
        seen.append(address)
        return len(seen) < 2  # the resolver's answer passes, the socket does not

    async with far() as there:
        network = Network(allowed, lambda: Names(["127.0.0.1"]))
        async with opened(f"http://hooks.example.com:{there.port}/in", network=network) as sink:
            assert isinstance(await refused(sink, make_batch("t1", [0])), SinkRejected)
    assert seen == ["127.0.0.1", "127.0.0.1"]
    assert there.connections == 0


async def test_a_name_without_address_is_transient(monkeypatch):
    """A name server that fails is an outage, not a refusal."""

    def fail(*_args, **_more):
        raise socket.gaierror(socket.EAI_NONAME, "x")

    monkeypatch.setattr(socket, "getaddrinfo", fail)  # how long a real one takes to say so is anybody's guess
    for network in (Network(is_public, lambda: Names([])), Network(is_public)):
        async with opened("https://nowhere.invalid/in", network=network) as sink:
            error = await refused(sink, make_batch("t1", [0]))
        assert isinstance(error, SinkUnavailable)
        assert "does not resolve" in error.message or "cannot be reached" in error.message


async def test_silent_name_servers_hold_up_nobody_else(monkeypatch):
    """Lookups that hang take no thread that others need, and the batch comes again."""
    silence = threading.Event()

    def hang(*_):
        silence.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "x")

    async with opened("https://hooks.example.com/in", connect_timeout="100ms") as sink, asyncio.timeout(20):
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        try:
            errors = await asyncio.gather(*(refused(sink, make_batch(f"t{n}", [n])) for n in range(40)))
            assert await asyncio.to_thread(lambda: "free") == "free"
        finally:
            silence.set()
    assert {error.message for error in errors} == {"no connection within connect_timeout"}


async def test_a_redirect_is_not_followed():
    """Nobody is led elsewhere: not to a private address, not to another place of the same receiver."""
    async with far() as trap:
        for target in (f"http://127.0.0.1:{trap.port}/metadata", "/again", "http://169.254.169.254/"):
            for status in (301, 302, 303, 307, 308):
                async with far(http(status, headers=f"location: {target}\r\n")) as there, opened(there.url) as sink:
                    assert isinstance(await refused(sink, make_batch("t1", [0])), SinkRejected)
                assert len(there.requests) == 1
    assert trap.connections == 0


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    """Records go to the receiver itself, whatever the environment says."""
    async with far() as trap, far() as there:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
        async with opened(there.url) as sink:
            await sink.deliver(make_batch("t1", [0]))
    assert (len(there.requests), trap.connections) == (1, 0)


@pytest.mark.parametrize(
    "host, private",
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("a.localhost.", True),
        ("crm", True),
        ("crm.internal", True),
        ("hooks.example.com", False),
        ("8.8.8.8", False),
    ],
)
def test_a_private_name_is_told_at_once(host, private):
    """Whoever configures a place that is private by its name is told before the first delivery."""
    assert is_private_name(host) is private
    url = f"https://[{host}]/" if ":" in host else f"https://{host}/"
    assert len(list(make_settings(url, allow_private=False).notices())) == private
    assert not list(make_settings(url).notices())
