"""Certificates, and `check`, which connects and sends nothing."""

import ssl

import pytest

from stibgate.errors import SinkUnavailable
from stibgate.sinks.webhook.network import Network, make_tls
from stibgate.testing import make_batch
from tests.certificates import self_signed
from tests.sinks.webhook.world import Names, far, listening, opened, refused


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.fixture
def serving(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def network_of(certificate, *addresses):
    def trusting():
        context = make_tls()
        context.load_verify_locations(certificate)
        return context

    return Network(lambda address: address == "127.0.0.1", lambda: Names(list(addresses or ["127.0.0.1"])), trusting)


async def test_a_trusted_certificate(certificate, serving):
    """Records go over TLS to a receiver that proves its name; the name is the URL's, the address the judged one."""
    async with far(tls=serving) as there:
        url = f"https://hooks.example.com:{there.port}/in"
        async with opened(url, network=network_of(certificate), allow_private=False) as sink:
            await sink.deliver(make_batch("t1", [0]))
            findings = await sink.check()
    assert len(there.requests) == 1
    assert [finding.ok for finding in findings] == [True, True]
    assert findings[0].what == "hooks.example.com leads to 127.0.0.1"
    assert findings[1].what == f"connected to https://hooks.example.com:{there.port} with TLSv1.3"


@pytest.mark.parametrize(
    "host, reason", [("127.0.0.1", "self-signed certificate"), ("other.example.com", "Hostname mismatch")]
)
async def test_a_certificate_that_proves_nothing(certificate, serving, host, reason):
    """A certificate of an unknown authority or for another name is transient, with a hint; no record is sent."""
    async with far(tls=serving) as there:
        network = None if host == "127.0.0.1" else network_of(certificate)
        async with opened(f"https://{host}:{there.port}/in", network=network) as sink:
            error = await refused(sink, make_batch("t1", [0]))
            *_, finding = await sink.check()
    assert type(error) is SinkUnavailable
    assert reason in error.message
    assert "SSL_CERT_FILE" in error.hint
    assert (finding.ok, finding.what) == (False, error.message)
    assert not there.requests


async def test_no_tls_over_there():
    """A port that does not speak TLS is said as such."""

    async def plain(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 X\r\n\r\n")
        await writer.drain()

    async with listening(plain) as port, opened(f"https://127.0.0.1:{port}/") as sink:
        error = await refused(sink, make_batch("t1", [0]))
    assert type(error) is SinkUnavailable
    assert error.message == "no TLS with the receiver: wrong version number"
    assert "port" in error.hint


async def test_check_sends_nothing():
    """`check` looks up the name and connects; the receiver sees no request."""
    async with far() as there, opened(there.url) as sink:
        findings = await sink.check()
    assert [finding.ok for finding in findings] == [True, True]
    assert findings[1].what == f"connected to http://127.0.0.1:{there.port}"
    assert not there.requests


async def test_check_tells_what_is_wrong():
    """A closed port and a name that nobody knows are findings, not errors; path and query are not told."""
    async with far() as there:
        closed = f"http://127.0.0.1:{there.port}/capability-0123456789"
    async with opened(closed) as sink:
        findings = await sink.check()
    assert [finding.ok for finding in findings] == [True, False]
    assert findings[1].what == "the receiver's port is closed"
    async with opened("https://nowhere.invalid/capability-0123456789") as sink:
        (finding,) = await sink.check()
    assert not finding.ok
    assert finding.hint
    assert "capability" not in str(findings) + str(finding)


async def test_check_tries_every_address(certificate, serving):
    """One dead address does not hide the next one that answers."""
    async with far(tls=serving) as there:
        network = Network(lambda _: True, lambda: Names(["::1", "127.0.0.1"]), network_of(certificate).make_tls)
        async with opened(f"https://hooks.example.com:{there.port}/", network=network) as sink:
            findings = await sink.check()
    assert [finding.ok for finding in findings] == [True, True]
