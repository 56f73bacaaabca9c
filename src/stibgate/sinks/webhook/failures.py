"""What it means when there is no answer: nothing was understood, so everything is tried again, but for one case.

An address that must not be dialled is no outage: somebody configured it, or tries to be let in. That is permanent.
The library's own texts are never passed on: they quote headers, ours with their secrets among them.
"""

import os
import socket
import ssl

import aiohttp

from stibgate.errors import SinkError, SinkRejected, SinkUnavailable
from stibgate.sinks.webhook.network import AddressRefused

_AGAIN = "It is tried again by itself."
_LOG_HINT = "Look into the receiver's log."
_TOLD: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "the receiver's certificate is not trusted: {reason}",
        "Check the certificate and its chain; SSL_CERT_FILE names a private authority.",
    ),
    (ssl.SSLError, "no TLS with the receiver: {reason}", "Check that `url` has the port that speaks TLS."),
    (
        socket.gaierror,
        "the name {host} does not resolve",
        "Check the host of `url`, and this machine's name servers.",
    ),
    (
        aiohttp.ConnectionTimeoutError,
        "no connection within connect_timeout",
        "Check that a firewall lets this machine reach {host}.",
    ),
    (TimeoutError, "no answer within answer_timeout", "Have the receiver answer first and work afterwards."),
    (aiohttp.ServerDisconnectedError, "the receiver closed the connection without an answer", _LOG_HINT),
    (
        (aiohttp.ClientResponseError, aiohttp.ClientPayloadError),
        "the receiver's answer is not HTTP",
        "Check that `url` names an HTTP server.",
    ),
    (
        ConnectionRefusedError,
        "the receiver's port is closed",
        "Check that the receiver runs, and the port of `url`.",
    ),
    ((ConnectionError, aiohttp.ClientOSError), "the connection to the receiver was cut", _LOG_HINT),
    (OSError, "the receiver cannot be reached: {reason}", "Check the network of this machine."),
)
"""What happened and what to do about it; the first kind that fits."""


def failure(error: Exception, host: str) -> SinkError:
    """Return *error*, met on the way to *host*, as the sink says it."""
    cause = _cause(error)
    if isinstance(cause, AddressRefused):
        return SinkRejected(
            f"the receiver's address {cause.address} is not public",
            hint=f"{host} leads into a private network. If it is yours, set `allow_private = true` in the sink.",
        )
    for kind, message, hint in _TOLD:
        if isinstance(cause, kind):
            told = message.format(host=host, reason=_reason(cause))
            return SinkUnavailable(told, hint=f"{hint.format(host=host)} {_AGAIN}")
    return SinkUnavailable("the receiver cannot be reached", hint=f"It failed with {type(cause).__name__}. {_AGAIN}")


def _cause(error: Exception) -> BaseException:
    """Return what the library wrapped."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error


def _reason(error: BaseException) -> str:
    """Return the system's words for *error*; the receiver has no part in them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "unknown").replace("_", " ").lower()
    errno = getattr(error, "errno", None)
    return os.strerror(errno) if errno else type(error).__name__  # not its text: the library puts the URL into it
