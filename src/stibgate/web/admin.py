"""The admin API: what the command line's writing commands call while a service runs.

Every call carries a bearer token; answers are JSON, errors RFC 9457 problems with a hint.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AfterValidator, Field

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.instant import from_rfc3339
from stibgate.domain.task import TaskState
from stibgate.errors import EXIT_PERMISSION, EXIT_TEMPORARY, StibgateError, UsageError
from stibgate.normalise import Rules, identifiers_of
from stibgate.pipeline.operations import Operations, Report, Selection
from stibgate.stores import DeliveryFilter, TaskFilter
from stibgate.views.sinks import sink_state
from stibgate.web.bodies import JsonBody
from stibgate.web.jobs import JobsApi
from stibgate.web.live import LiveStream
from stibgate.web.problem import SERVER

PREFIX = "/api/v1"
IDS_MAX = 10_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _state(text: str) -> str:
    if text not in {*DeliveryState, *TaskState}:
        raise ValueError("must be a state of deliveries or tasks")
    return text


class FilterBody(JsonBody):
    """Which deliveries or tasks; every field that is given must hold."""

    state: Annotated[str, AfterValidator(_state)] | None = None
    source: str | None = None
    event_type: str | None = None
    since: str | None = None
    until: str | None = None
    search_id: str | None = None
    job_id: str | None = None
    partner_customer_id: str | None = None
    error: str | None = None
    person: str | None = None


class SelectionBody(JsonBody):
    """Ids, or a filter, of deliveries or of tasks.

    Attributes:
        of: What is meant.
        ids: What exactly; a filter is not looked at then.
        all: Send records again that are done.
    """

    of: Literal["deliveries", "tasks"] = "deliveries"
    ids: Annotated[list[str], Field(max_length=IDS_MAX, default_factory=list)]
    filter: FilterBody = FilterBody()
    sink: str | None = None
    all: bool = False
    dry_run: bool = False
    by: Annotated[str, Field(max_length=100)] = "the admin API"

    def selection(self, rules: Rules) -> Selection:
        """Return what is meant.

        Raises:
            UsageError: A time or a person is not written as one, or a state is not one of these.
        """
        given = self.filter
        states = DeliveryState if self.of == "deliveries" else TaskState
        if given.state is not None and given.state not in set(states):
            raise UsageError(f"{self.of} are never {given.state}", hint=f"One of {', '.join(states)}.")
        where: DeliveryFilter | TaskFilter
        if self.of == "deliveries":
            where = DeliveryFilter(
                state=None if given.state is None else DeliveryState(given.state),
                event_type=given.event_type,
                partner_customer_id=given.partner_customer_id,
            )
        else:
            where = TaskFilter(state=None if given.state is None else TaskState(given.state))
        where = replace(
            where,
            source=given.source,
            search_id=given.search_id,
            job_id=given.job_id,
            error=given.error,
            since_ms=_time(given.since, "since"),
            until_ms=_time(given.until, "until"),
        )
        return Selection(where, self.ids, person_of(given.person, rules), self.sink)


def person_of(text: str | None, rules: Rules) -> list[tuple[str, str]]:
    """Return how a person who is asked for may stand in a record: by an id, or normalised as its fields are."""
    if text is None:
        return []
    return [("person_id", text), ("prospect_id", text), *identifiers_of(text, rules)]


def report_document(report: Report) -> dict[str, Any]:
    """Return *report* as JSON."""
    return {
        "dry_run": report.dry_run,
        "records": report.records,
        "results": dict(report.results),
        "sinks": dict(report.sinks),
        "unknown": report.unknown,
    }


class AdminApi:
    """The calls of the admin API, behind one token.

    Args:
        operations: What operators can do.
        jobs: The calls about jobs; None for a service that has none.
        token: The bearer token.
        rules: As records are normalised; people are looked up so.
        live: The live tail; None for a service that has none.
    """

    def __init__(
        self,
        operations: Operations,
        jobs: JobsApi | None = None,
        *,
        token: str,
        rules: Rules,
        live: LiveStream | None = None,
    ) -> None:
        self._live = live
        self._operations = operations
        self._jobs = jobs or JobsApi(None)
        self._digest = hashlib.sha256(token.encode()).digest()
        self.rules = rules

    def add_to(self, app: web.Application) -> None:
        """Add the calls to *app*; what aiohttp itself refuses under their prefix is a problem too."""
        app.middlewares.append(_as_problem)
        app.router.add_post(f"{PREFIX}/replays", self._guarded(self._replay))
        app.router.add_post(f"{PREFIX}/cancellations", self._guarded(self._cancel))
        app.router.add_post(f"{PREFIX}/jobs", self._guarded(self._jobs.submit))
        app.router.add_post(f"{PREFIX}/jobs/reconcile", self._guarded(self._jobs.reconcile))
        app.router.add_post(f"{PREFIX}/jobs/resolve", self._guarded(self._jobs.resolve))
        app.router.add_get(f"{PREFIX}/sinks", self._guarded(self._sinks))
        if self._live is not None:
            app.router.add_get(f"{PREFIX}/events", self._guarded(self._live.handle))
            app.on_shutdown.append(self._live.close)
        app.router.add_post(f"{PREFIX}/sinks/{{name}}/pause", self._guarded(self._pause))
        app.router.add_post(f"{PREFIX}/sinks/{{name}}/resume", self._guarded(self._resume))

    def _guarded(self, handler: Handler) -> Handler:
        """Return *handler* behind the token; what it refuses is a problem with a hint."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not hmac.compare_digest(hashlib.sha256(_bearer(request)).digest(), self._digest):
                return _problem(401, "the token is missing or wrong", "Send `Authorization: Bearer TOKEN`.")
            try:
                return await handler(request)
            except UsageError as error:
                return _problem(400, error.message, error.hint)
            except StibgateError as error:
                return _problem(_STATUS.get(error.exit_code, 500), error.message, error.hint, error.exit_code)

        return checked

    async def _replay(self, request: web.Request) -> web.Response:
        body = SelectionBody.read(await request.read())
        selection = body.selection(self.rules)
        report = await self._operations.replay(selection, forced=body.all, by=body.by, dry_run=body.dry_run)
        return web.json_response(report_document(report))

    async def _cancel(self, request: web.Request) -> web.Response:
        body = SelectionBody.read(await request.read())
        report = await self._operations.cancel(body.selection(self.rules), by=body.by, dry_run=body.dry_run)
        return web.json_response(report_document(report))

    async def _sinks(self, _request: web.Request) -> web.Response:
        known = await self._operations.read(lambda ledger: ledger.sinks())
        rows = [sink_state(known.get(name, SinkState(name))) for name in self._operations.sinks]
        return web.json_response({"data": rows})

    async def _pause(self, request: web.Request) -> web.Response:
        by = request.query.get("by", "the admin API")[:100]
        return web.json_response({"changed": await self._operations.pause(request.match_info["name"], by=by)})

    async def _resume(self, request: web.Request) -> web.Response:
        return web.json_response({"changed": await self._operations.resume(request.match_info["name"])})


@web.middleware
async def _as_problem(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith(f"{PREFIX}/"):
            raise
        answer = _problem(error.status, error.reason, _HINTS.get(error.status, ""))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


_STATUS = {EXIT_TEMPORARY: 503, EXIT_PERMISSION: 502}
"""The vendor's refusal of our key is not the caller's fault, so it is no 401."""

_HINTS = {
    404: "There is no such call; a newer command needs its service restarted.",
    405: "The header Allow says how it is called.",
    413: f"At most {IDS_MAX} ids at once; a filter can name more.",
}


def _bearer(request: web.Request) -> bytes:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip().encode("utf-8", "surrogateescape") if kind.lower() == "bearer" else b""


def _time(text: str | None, name: str) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError as error:
        raise UsageError(f"{name} is not a time", hint="Write it like 2026-05-17T18:42:10Z.") from error


def _problem(status: int, title: str, hint: str, exit_code: int | None = None) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "hint": hint}
    if exit_code is not None:
        body["exit_code"] = exit_code  # with which a command ends that asked for this
    response = web.json_response(body, status=status, content_type="application/problem+json")
    response.headers["Server"] = SERVER
    return response
