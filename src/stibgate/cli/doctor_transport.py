"""Name, connection and certificate of a URL, as a sender meets them."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from stibgate.cli.doctor_findings import Finding, ok, warning, wrong
from stibgate.cli.output import cause
from stibgate.errors import ServiceUnreachable

CONNECT_MAX_S = 10.0
DAYS_FEW = 14
X509_V_ERR_CERT_HAS_EXPIRED = 10
"""OpenSSL's number; the module `ssl` does not name it."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


async def look_at_transport(
    base: str, tell: Callable[[Finding], None], *, context: ssl.SSLContext | None = None
) -> bool:
    """Tell how *base* is reached; return whether it is worth going on.

    Raises:
        ServiceUnreachable: Nothing answers there.
    """
    parts = urlsplit(base)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    tell(await _name(host, port))
    if not secure:
        if host in _LOOPBACK:
            tell(ok("tls", "http, on this machine only"))
        else:
            tell(
                wrong(
                    "tls",
                    "http: tokens and personal data travel in the open, and Stibnite takes https URLs only",
                    "Put a proxy with a certificate in front, and set server.public_url to its https URL.",
                )
            )
        return True
    return await _certificate(host, port, tell, context or ssl.create_default_context())


async def _name(host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(CONNECT_MAX_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServiceUnreachable(
            f"the name {host} is not found: {cause(error)}", hint="Check server.public_url and the zone's records."
        ) from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    return ok("dns", f"{host} is {', '.join(addresses[:4])}" if addresses != [host] else f"{host} needs no name")


async def _certificate(host: str, port: int, tell: Callable[[Finding], None], context: ssl.SSLContext) -> bool:
    try:
        async with asyncio.timeout(CONNECT_MAX_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        tell(
            wrong(
                "tls",
                f"the certificate is not valid for {host}: {error.verify_message}",
                "Senders refuse it. Renew it, and reload the proxy."
                if error.verify_code == X509_V_ERR_CERT_HAS_EXPIRED
                else "Senders refuse it. Serve the whole chain, for this name, from an authority that they know.",
            )
        )
        return False
    except ssl.SSLError as error:
        reason = error.reason or "the handshake failed"
        tell(wrong("tls", f"no TLS with {host}: {reason}", "Is that port the one of the proxy's https listener?"))
        return False
    except (OSError, TimeoutError) as error:
        raise ServiceUnreachable(
            f"nothing answers at {host}:{port}: {cause(error)}", hint="Is the proxy up, and its port open from here?"
        ) from error
    certificate, secured = writer.get_extra_info("peercert"), writer.get_extra_info("ssl_object")
    writer.transport.abort()
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
    told = f"{secured.version()}, the certificate is valid for another {days:.0f} days"
    few = days < DAYS_FEW
    tell(warning("tls", told, "Renew it, and see why it was not renewed by itself.") if few else ok("tls", told))
    return True
