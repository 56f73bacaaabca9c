"""One source's URL, as its sender meets it: what is taken, what is refused, and with which answer."""

import asyncio
import gzip
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from random import Random
from urllib.parse import urlsplit

import aiohttp

from stibgate.cli.doctor_findings import Finding, note, ok, warning, wrong
from stibgate.cli.output import cause
from stibgate.cli.senders import Sender
from stibgate.domain.event import RECORDS_PUSHED
from stibgate.errors import ServiceUnreachable
from stibgate.sandbox.samples import sample

EVENT = "stibgate.doctor"
"""An event type that nobody knows: such a delivery is stored as `ignored` and goes nowhere."""

RECORDS = 2_000
SLOW_S = 10.0
ANSWER_MAX_S = 30.0
HEAD_ANSWER_MAX_S = 5.0

_JSON = {"content-type": "application/json", "user-agent": "stibgate-doctor", "stibnite-event-type": EVENT}
_SMALL = json.dumps({"event": EVENT}).encode()
_FRONT = "Something in front answers for the receiver: look at the proxy's routes and at its logs."

Tell = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Door:
    """A source and how it is asked.

    Attributes:
        sender: What its sender knows.
        base: Its URL without a token.
        ack_status: What a good delivery is answered with.
        token_alone: Whether the token in its URL is all the proof there is.
        would_pin: Whether a signature that verifies settles the source on a scheme.
        is_push: Whether it is made for pushes.
    """

    sender: Sender
    base: str
    ack_status: int
    token_alone: bool
    would_pin: bool
    is_push: bool

    @property
    def name(self) -> str:
        """What findings call it."""
        return f"source {self.sender.name}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        location: The host that a redirect leads to, or empty.
        server: What answers calls itself.
        document: The JSON object in it, or an empty one.
        took_s: How long it took.
    """

    status: int
    location: str
    server: str
    document: Mapping[str, object]
    took_s: float


def session() -> aiohttp.ClientSession:
    """Return a client that keeps nothing, and no connection: a kept one may be closed just when it is used again."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=ANSWER_MAX_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def look_at_door(http: aiohttp.ClientSession, door: Door, max_body: int, tell: Tell) -> None:
    """Tell how the URL of *door* answers to what it must take and to what it must refuse.

    Raises:
        ServiceUnreachable: Nothing answers there.
    """
    reply = await _ask(http, "GET", door.sender.url)
    tell(_get(door, reply))
    if reply.server and not reply.server.lower().startswith("stibgate"):
        tell(note(door.name, f"a proxy answers for it: {reply.server[:60]}"))
    wrong_token = f"{door.base}/{secrets.token_hex(16)}"
    reply = await _ask(http, "POST", wrong_token, body=_SMALL)
    tell(_expect(door, reply, 404, "a wrong token", "Anybody could post there: check which service answers."))
    if door.sender.signs:
        forged = {"stibnite-signature": f"t={int(time.time())},v1={'0' * 64}"}
        reply = await _ask(http, "POST", door.sender.url, body=_SMALL, headers=forged)
        tell(_expect(door, reply, 401, "a wrong signature", "Anybody could post there: check which service answers."))
    reply = await _ask(http, "POST", door.sender.url, body=gzip.compress(_SMALL), headers={"content-encoding": "gzip"})
    unpacks = "A proxy unpacks bodies: no signature survives that. Let it pass them as they come."
    tell(_expect(door, reply, 415, "a compressed body", unpacks))
    for finding in await _sizes(door, max_body):
        tell(finding)


async def push_much(http: aiohttp.ClientSession, doors: Sequence[Door], tell: Tell) -> None:
    """Tell whether a push of 2,000 records comes through, at the first door that can be asked without harm."""
    able = [door for door in doors if not door.sender.signs or not door.would_pin or door.sender.pinned]
    if not able:
        tell(
            note(
                "size",
                "no push of 2,000 records was tried: a valid signature would pin the scheme of a source",
                'Give --source of a source with a token, or set its `scheme` to something other than "auto".',
            )
        )
        return
    door = min(able, key=lambda one: (not one.token_alone, not one.is_push))
    body, proof = _much(door)
    try:
        reply = await _ask(http, "POST", door.sender.url, body=body, headers=dict(proof))
    except ServiceUnreachable as error:
        # Small requests were answered just now: it is the size.
        told = f"a push of {RECORDS:,} records ({len(body) / 1024**2:.1f} MiB) is cut off: {error.message}"
        tell(wrong(door.name, told, "Raise the size limit and the time limits of what stands in front."))
        return
    tell(_much_came(door, reply, len(body)))
    if reply.took_s > SLOW_S:
        tell(warning(door.name, f"that took {reply.took_s:.0f} s", "Senders give up after 5 to 30 s."))


def _much(door: Door) -> tuple[bytes, Sequence[tuple[str, str]]]:
    """Return a body that no other one equals, and its signature where the source wants one."""
    rng = Random(secrets.randbits(64))  # noqa: S311  (invented people)
    document = json.loads(sample(RECORDS_PUSHED, records=RECORDS, rng=rng, serial=secrets.randbelow(2**40)).body)
    body = json.dumps({**document, "event": EVENT}, ensure_ascii=False, separators=(",", ":")).encode()
    if not door.sender.signs:
        return body, []
    return body, door.sender.signed(body, scheme=None, unix_s=int(time.time()))


def _much_came(door: Door, reply: Reply, size: int) -> Finding:
    what = f"a push of {RECORDS:,} records ({size / 1024**2:.1f} MiB)"
    if reply.status == door.ack_status and reply.document.get("status") == "ignored":
        kept = f"kept as ignored ({reply.document.get('delivery_id')}), forwarded to nobody"
        return ok(door.name, f"{what} was taken in {reply.took_s * 1000:.0f} ms; {kept}")
    if reply.status == door.ack_status and reply.document.get("status") == "duplicate":
        return warning(
            door.name,
            f"{what} arrived twice although it was sent once: a proxy repeats POSTs",
            "It does no harm here, but switch that off: `proxy_next_upstream off` in nginx.",
        )
    if reply.status == 413:
        return wrong(
            door.name,
            f"{what} is too large for what answers{f' ({reply.server[:60]})' if reply.server else ''}",
            "Raise the proxy's limit (`client_max_body_size` in nginx) to server.max_body.",
        )
    return _unlike(door, reply, what, f"{door.ack_status} and `ignored`", _FRONT)


def _get(door: Door, reply: Reply) -> Finding:
    if reply.status == 200:
        return ok(door.name, "GET of its URL is 200")
    hint = "404: does the receiver there run with this configuration, and does the proxy pass paths unchanged?"
    return _unlike(door, reply, "GET of its URL", "200", hint if reply.status == 404 else _FRONT)


def _expect(door: Door, reply: Reply, status: int, what: str, hint: str) -> Finding:
    if reply.status == status:
        return ok(door.name, f"{what} is refused with {status}")
    return _unlike(door, reply, what, str(status), hint if reply.status < 300 else _FRONT)


def _unlike(door: Door, reply: Reply, what: str, wanted: str, hint: str) -> Finding:
    if 300 <= reply.status < 400:
        return wrong(
            door.name,
            f"{what} is redirected to {reply.location or 'nowhere'} ({reply.status})",
            "Senders do not follow redirects with a POST: register the URL that it leads to.",
        )
    if reply.status == 429 or reply.status >= 500:
        return wrong(door.name, f"{what} is answered {reply.status}", "Look at the log and at `stibgate health`.")
    return wrong(door.name, f"{what} is answered {reply.status}, not {wanted}", hint)


async def _ask(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    started_s = time.monotonic()
    given = {**(_JSON if body is not None else {}), **(headers or {})}
    try:
        data = None if body is None else BytesIO(body)
        async with http.request(method, url, data=data, headers=given, allow_redirects=False) as answer:
            raw = await answer.content.read(65_536)
            location = urlsplit(answer.headers.get("location", ""))
            return Reply(
                status=answer.status,
                # The path of a redirect may repeat the token.
                location=f"{location.scheme}://{location.netloc}" if location.netloc else "another path of this host",
                server=answer.headers.get("server", ""),
                document=_object(raw),
                took_s=time.monotonic() - started_s,
            )
    except (aiohttp.ClientError, OSError) as error:
        origin = urlsplit(url)
        raise ServiceUnreachable(
            f"no answer from {origin.scheme}://{origin.netloc}: {cause(error)}",
            hint="Is `stibgate serve` running there, and its proxy?",
        ) from None


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


async def _sizes(door: Door, max_body: int) -> list[Finding]:
    """Return what is said to a request that only declares its size: as much as is allowed, and one byte more."""
    fits = await _declare(door, max_body)
    over = await _declare(door, max_body + 1)
    mib = f"{max_body / 1024**2:g} MiB"
    found = []
    if fits == 413:
        found.append(
            wrong(
                door.name,
                f"a body of {mib} (server.max_body) is refused on the way",
                "Raise the proxy's limit (`client_max_body_size` in nginx) to server.max_body.",
            )
        )
    if over == 413:
        found.append(ok(door.name, f"a body over {mib} is refused before it is sent"))
    else:
        found.append(
            note(
                door.name,
                f"a body over {mib} is not refused before it is sent: a proxy takes bodies whole before it asks",
                "Harmless; `proxy_request_buffering off` in nginx passes them through.",
            )
        )
    return found


async def _declare(door: Door, size: int) -> int | None:
    """Return the status that comes before a body of *size* bytes is sent, 100 to go on, or None for silence."""
    parts = urlsplit(door.sender.url)
    secure = parts.scheme == "https"
    context = ssl.create_default_context() if secure else None
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {size}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(HEAD_ANSWER_MAX_S):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if secure else 80), ssl=context
            )
            try:
                writer.write(head.encode())
                line = await reader.readline()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return None
    words = line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
