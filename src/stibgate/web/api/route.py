"""What a call of the admin API is: a method, a path, a role, what it takes, and a coroutine that answers.

`ROUTES` in each file of this room lists its calls, and `ROUTES` in `__init__.py` all of them. Whoever adds one adds a
row: the door, the OpenAPI document and the tests are made from the rows.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Self, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stibgate.config import Settings
from stibgate.domain.access import Principal, Role
from stibgate.domain.audit import Actor
from stibgate.errors import UsageError
from stibgate.normalise import Rules
from stibgate.pipeline.acts import Acts
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.operations import Reader
from stibgate.stores import Ledger, Office
from stibgate.web.api.cursors import Cursors
from stibgate.web.bodies import TOLD_MAX, JsonBody, said
from stibgate.web.live import LiveStream
from stibgate.web.refused import Refused

T = TypeVar("T")

PREFIX = "/api/v1"
WELCOME: web.RequestKey[Callable[[], bool]] = web.RequestKey("stibgate_welcome")
"""Whether the token of a call is good still: for answers that take long."""
LIMIT_MAX = 200
_LIMIT = 50
_TEXT_MAX = 500

Text = Annotated[str, Field(min_length=1, max_length=_TEXT_MAX)]


class Query(BaseModel):
    """The filters of a call; one that is not known, or given twice, is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """Return what the query of a URL asks for.

        Raises:
            UsageError: A filter is not known, given twice, or not as it should be.
        """
        allowed = ", ".join(cls.model_fields) or "none"
        if twice := {name for name in query if len(query.getall(name)) > 1} if hasattr(query, "getall") else set():
            raise UsageError(f"given twice: {', '.join(sorted(twice))[:TOLD_MAX]}", hint="Give each filter once.")
        try:
            return cls.model_validate(dict(query))
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {said(one, 'there is no such filter')}" for one in error.errors()
            )
            raise UsageError(told[:TOLD_MAX], hint=f"This call takes {allowed}.") from error


class Page(Query):
    """Filters of a list that goes by pages."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = _LIMIT
    cursor: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    def filters(self) -> dict[str, Any]:
        """Return what a cursor is bound to: all but the page itself."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True, mode="json")


def missing(what: str, name: str, hint: str) -> Refused:
    """Return the refusal of a call about something that there is not."""
    return Refused(404, f"there is no {what} {name[:100]}", hint)


def whole(rows: Sequence[Any]) -> dict[str, Any]:
    """Return a list that is not cut into pages, in the shape of one that is."""
    return {"data": rows, "next_cursor": None}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status of its own."""

    document: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Api:
    """What the calls show, and what they act through.

    Attributes:
        settings: Returns the configuration that is in force.
        read: Runs a query of the ledger away from the event loop.
        acts: Does what people ask for, and writes it down.
        office: Keeps the answers of keyed calls.
        desk: Returns what buys; None without an API key.
        cursors: Makes and reads them.
        draining: Whether the service is about to end.
        now_ms: The clock.
        live: The live tail; None for a service that has none.
    """

    settings: Callable[[], Settings]
    read: Reader
    acts: Acts
    office: Office
    desk: Callable[[], JobDesk | None]
    cursors: Cursors
    draining: Callable[[], bool]
    now_ms: Callable[[], int]
    live: LiveStream | None = None

    @property
    def rules(self) -> Rules:
        """As records are normalised; people are looked up so."""
        return self.settings().normalise.rules()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of somebody who may make it.

    Attributes:
        principal: Who it is.
        client: Their address.
        query: An instance of the route's `query`.
        body: An instance of the route's `body`; None where it takes none.
    """

    request: web.Request
    route: "Route"
    principal: Principal
    client: str
    query: Any
    body: Any

    def part(self, name: str) -> str:
        """Return that part of the path."""
        return self.request.match_info[name]

    def actor(self, by: str | None = None) -> Actor:
        """Return who acts; *by* is what a command on this machine calls its user."""
        name = self.principal.name
        called = f"{name}, by the admin API" if by is None else by if name == LOCAL else f"{name}: {by}"
        return Actor(self.principal, self.client, called)

    def scope(self) -> Sequence[Any]:
        """Return what this list's cursors are bound to."""
        return [self.request.path, self.query.filters()]


async def paged(
    api: Api,
    call: Call,
    find: Callable[[Ledger, int, int | None], Sequence[T]],
    number: Callable[[T], int],
    row: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """Return a page of a list, and the cursor of the next one.

    Args:
        api: What is read.
        call: Whose query is a `Page`.
        find: Returns so many rows from before that number on, newest first.
        number: Returns a row's number, by which the list goes on.
        row: Returns a row as JSON.
    """
    limit, cursor = call.query.limit, call.query.cursor
    before = None if cursor is None else api.cursors.read(call.scope(), cursor)
    found = await api.read(lambda ledger: find(ledger, limit + 1, before))
    more = api.cursors.write(call.scope(), number(found[limit - 1])) if len(found) > limit else None
    return {"data": [row(one) for one in found[:limit]], "next_cursor": more}


LOCAL = "local"
"""Whose the token beside the store is."""

Handle = Callable[[Api, Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One call.

    Attributes:
        path: Below `/api/v1`, as aiohttp's router takes it.
        role: Who may make it.
        summary: What it does, in one sentence.
        handle: Answers with a JSON document, a `Reply`, or a response of its own.
        answer: The model of its answer; None when it is not JSON.
        query: The model of its filters.
        body: The model of its body.
        keyed: Whether it takes `Idempotency-Key`.
        bodiless: Whether no body is a body that says nothing.
        refusals: Statuses beside those that follow from the rest.
        content_type: Of an answer that is not JSON.
        status: Of its usual answer.
        later: The model of the answer 202; None where there is no such answer.
        parsed: Whether `query` reads the filters; else it only describes what `handle` reads itself.
    """

    method: str
    path: str
    role: Role
    summary: str
    handle: Handle
    answer: type[BaseModel] | None = None
    query: type[Query] = Query
    body: type[JsonBody] | None = None
    keyed: bool = False
    bodiless: bool = False
    refusals: tuple[int, ...] = ()
    content_type: str = "application/json"
    status: int = 200
    later: type[BaseModel] | None = None
    parsed: bool = True
