"""Where requests come in and answers go out: key, limits, faults, scopes, body, counting."""

import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo
from pydantic_core import from_json, to_json

from stibgate.sandbox.dice import Random, dice
from stibgate.sandbox.hubspot.answers import Answer, Call, Handler
from stibgate.sandbox.hubspot.counters import Counters
from stibgate.sandbox.hubspot.faults import INSTEAD, Fault, Faults, instead, spoilt
from stibgate.sandbox.hubspot.kinds import KINDS
from stibgate.sandbox.hubspot.limits import Limits
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.refusals import Refused, missing_scopes, rate_limited, unauthenticated

RECORDED_MAX = 1_000
SEARCH = "/search"

Pause = Callable[[float], Awaitable[None]]
Door = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Recorded(NamedTuple):
    """One request and the status of its answer; 0 when the connection was cut."""

    method: str
    path: str
    body: Any
    status: int


class Border:
    """The one way in: wraps every room's handlers.

    Args:
        seed: Where correlation ids and the chance of faults come from.
        token: The only key.
        portal: Scopes, limits and latency.
        now: Seconds since the Unix epoch.
        pause: Waits the given seconds.

    Attributes:
        counters: What was counted.
        faults: What goes wrong.
        limits: What was spent.
        recorded: The last requests, while `recording` is on.
        before: Called before each request's work, so that what is due by now has happened.
    """

    def __init__(self, seed: int, token: str, portal: Portal, now: Callable[[], float], pause: Pause) -> None:
        self.counters = Counters()
        self.faults = Faults(dice(seed, "hubspot faults"))
        self.limits = Limits(portal, now)
        self.recorded: deque[Recorded] = deque(maxlen=RECORDED_MAX)
        self.recording = True
        self.before: Callable[[], None] = lambda: None
        self._ids = dice(seed, "hubspot correlation")
        self._expected = f"Bearer {token}".encode()
        self._portal = portal
        self._pause = pause

    def door(self, handler: Handler, *scopes: str, free: bool = False) -> Door:
        """Return *handler* as aiohttp calls it.

        Args:
            handler: What does the work.
            scopes: All of them are needed; `{kind}` is filled in from the path, `a|b` is satisfied by either.
            free: Whether it asks for no key and spends nothing of the limits.
        """

        async def let_in(request: web.Request) -> web.StreamResponse:
            body, unreadable = _parsed(request, await request.read())
            fault = self.faults.drawn(request.path)
            if fault is not None:
                self.counters.faults[fault.name] += 1
            await self._delay(fault)
            search = request.path.endswith(SEARCH)
            answer: Answer | None
            try:
                if not free:
                    self._admit(request, search=search)
                if fault is not None and fault.name in INSTEAD:
                    answer = instead(fault)
                else:
                    self._authorise(scopes, request.match_info)
                    if unreadable is not None:
                        raise unreadable
                    answer = self._work(handler, request, body)
            except Refused as refused:
                answer = Answer(refused.status, refused.body)
            if self._portal.send_rate_headers and not search and not free and answer is not None:
                answer.headers |= self.limits.headers()
            if fault is not None and answer is not None and answer.status < 300:
                answer = spoilt(fault, answer)
            return self._finish(request, body, answer, halved=fault is not None and fault.name == "truncated")

        return let_in

    @web.middleware
    async def lost(self, request: web.Request, handler: Door) -> web.StreamResponse:
        """Answer what no room serves as JSON: 404, 405, 413."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            category = "OBJECT_NOT_FOUND" if error.status == 404 else "VALIDATION_ERROR"
            refused = Refused(error.status, f"HTTP {error.status} {error.reason}", category)
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return self._finish(request, None, Answer(refused.status, refused.body, kept))

    async def _delay(self, fault: Fault | None) -> None:
        if fault is not None and fault.name == "slow":
            await self._pause(fault.details.get("seconds", 30.0))
        if self._portal.latency_s:
            await self._pause(self._portal.latency_s)

    def _admit(self, request: web.Request, *, search: bool) -> None:
        """Refuse a request without the key (401), or beyond a limit (429)."""
        sent = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, self._expected):
            raise unauthenticated()
        policy = self.limits.spend(search=search)
        if policy is not None:
            raise rate_limited(policy)

    def _authorise(self, scopes: tuple[str, ...], params: Mapping[str, str]) -> None:
        kind = KINDS[params["kind"]].plural if "kind" in params else ""
        needed = [scope.format(kind=kind).split("|") for scope in scopes]
        lacking = [either[0] for either in needed if self._portal.scopes.isdisjoint(either)]
        if lacking:
            raise missing_scopes(lacking)

    def _work(self, handler: Handler, request: web.Request, body: Any) -> Answer:
        self.before()
        inputs = body.get("inputs") if isinstance(body, dict) else None
        sent = len(inputs) if isinstance(inputs, list) else 0
        self.counters.inputs += sent
        try:
            answer = handler(Call(request.match_info.get("version", ""), request.match_info, request.query, body))
        except Refused:
            self.counters.refused_inputs += sent
            raise
        self.counters.refused_inputs += (answer.body or {}).get("numErrors", 0)
        return answer

    def _finish(
        self, request: web.Request, body: Any, answer: Answer | None, *, halved: bool = False
    ) -> web.StreamResponse:
        """Return *answer* as it goes out, counted and recorded; None cuts the connection."""
        status = 0 if answer is None else answer.status
        self.counters.by_path[f"{request.method} {_plain_path(request.match_info)}"] += 1
        self.counters.statuses[status] += 1
        if self.recording:
            self.recorded.append(Recorded(request.method, request.path, body, status))
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        correlation_id = _uuid(self._ids)
        headers = answer.headers | {"X-HubSpot-Correlation-Id": correlation_id}
        if answer.page is not None:
            kind = "text/html" if answer.page.startswith("<") else "text/plain"
            return web.Response(status=status, text=answer.page, content_type=kind, headers=headers)
        if answer.body is None:
            return web.Response(status=status, headers=headers)
        if answer.body.get("status") == "error":
            answer.body["correlationId"] = correlation_id
            if "policyName" in answer.body:
                self.counters.policies[answer.body["policyName"]] += 1
                answer.body["requestId"] = correlation_id.replace("-", "")
        written = to_json(answer.body)
        if halved:
            written = written[: len(written) // 2]
        return web.Response(status=status, body=written, content_type="application/json", headers=headers)


def _parsed(request: web.Request, raw: bytes) -> tuple[Any, Refused | None]:
    """Return the JSON body, None where the method has none, and the refusal of one that cannot be read.

    A refusal is not raised, because the key and the limits are looked at first.
    """
    if request.method in {"GET", "DELETE"}:
        return None, None
    if request.content_type != "application/json":
        return None, Refused(415, "HTTP 415 Unsupported Media Type")
    try:
        return from_json(raw, allow_inf_nan=False), None
    except ValueError:
        return None, Refused(400, "Invalid input JSON on line 1, column 1: it is not JSON")


def _plain_path(matched: UrlMappingMatchInfo) -> str:
    """Return the path without version and ids, and with the kinds by name."""
    resource = matched.route.resource
    if resource is None:
        return "elsewhere"
    path = resource.canonical.replace("/{version}", "")
    for part in ("kind", "to"):
        if part in matched:
            path = path.replace(f"{{{part}}}", KINDS[matched[part]].plural)
    return path


def _uuid(draw: Random) -> str:
    """Return the next id in the form of a random UUID."""
    text = f"{draw.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
