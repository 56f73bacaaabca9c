"""`Idempotency-Key`: a call with one is made once within a day, and answered again with what was answered first.

The form is that of draft-ietf-httpapi-idempotency-key-header-07, a string in quotation marks; without them it is taken
too, because that is what most clients send. A key belongs to whoever sends it.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from stibgate.errors import StibgateError
from stibgate.stores import Call as KeyedCall
from stibgate.stores import CallState, KnownCall, Office
from stibgate.web.api.route import PREFIX
from stibgate.web.refused import Refused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY_PATTERN = r'^("[ !#-\[\]-~]{1,255}"|[!#-+\--:<-\[\]-~]{1,255})$'
_KEY = re.compile(KEY_PATTERN)
_CALL: web.RequestKey[KeyedCall] = web.RequestKey("stibgate_keyed_call")

Answered = Callable[[], Awaitable[web.StreamResponse]]


async def once(
    office: Office, request: web.Request, actor: str, answer: Answered, *, now_ms: int
) -> web.StreamResponse:
    """Return what *answer* returns, or what it returned before under the same key.

    Raises:
        Refused: 400 for what is no key, 409 while the first call runs, 422 for a key that meant something else.
    """
    given = request.headers.getall(HEADER, [])
    if not given:
        return await answer()
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Refused(
            400, f"{HEADER} is not a key", f'Write it once, like {HEADER}: "8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    asked = f"{request.method} {request.path_qs}\0".encode() + await request.read()
    call = KeyedCall(actor, given[0].strip('"'), hashlib.sha256(asked).digest())
    request[_CALL] = call
    known = await office.begin_call(call, now_ms=now_ms)
    match known.state:
        case CallState.ANOTHER:
            raise Refused(422, "this key was sent with another request", "Take a new key for each request.")
        case CallState.RUNNING:
            raise Refused(
                409, "the request with this key is still running", "Ask again in a moment.", {"Retry-After": "1"}
            )
        case CallState.ANSWERED:
            return web.Response(
                status=known.status or 200,
                body=known.answer.encode(),
                content_type="application/json",
                headers={REPLAYED: "true", **_place_of(known)},
            )
        case CallState.NEW:
            return await _make(office, call, answer)


def _place_of(known: KnownCall) -> dict[str, str]:
    """Return the header that says where progress is; of the first answer only its body was kept, which names it."""
    if known.status != HTTPStatus.ACCEPTED:
        return {}
    return {"Location": f"{PREFIX}/replays/{json.loads(known.answer)['replay_id']}"}


def asked_as(request: web.Request) -> bytes | None:
    """Return what tells a call with a key from every other one; None without a key.

    Whatever goes on by itself keeps it: a crash may come between its beginning and the answer, and then the same call
    is made once more.
    """
    call = request.get(_CALL)
    if call is None:
        return None
    parts = (call.actor.encode(), call.key.encode(), call.fingerprint)
    return hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()


async def _make(office: Office, call: KeyedCall, answer: Answered) -> web.StreamResponse:
    """Return what *answer* returns and keep it; what is refused may be sent again."""
    try:
        response = await answer()
    except BaseException:
        await _forget(office, call)
        raise
    if isinstance(response, web.Response) and 200 <= response.status < 300:
        await office.end_call(call, response.status, response.text or "")
    else:
        await _forget(office, call)
    return response


async def _forget(office: Office, call: KeyedCall) -> None:
    try:
        await office.forget_call(call)
    except StibgateError:
        return  # the next start forgets it
