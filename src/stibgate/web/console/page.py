"""What a page of the console is: a path, who may open it, and a coroutine that answers.

A room of the console (`overview.py`, `deliveries.py`, ...) is a class that is made of `ConsoleParts` and whose
`pages()` lists what it answers. `ROOMS` in `console.py` names the rooms, in the order of the navigation.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from stibgate.config import ReloadStatus, Settings
from stibgate.domain.access import Principal, Role
from stibgate.domain.audit import Actor
from stibgate.errors import UsageError
from stibgate.pipeline.acts import Acts
from stibgate.pipeline.operations import Reader
from stibgate.web.access import Access
from stibgate.web.console.alarms import AlarmWatch
from stibgate.web.console.screen import Screen
from stibgate.web.console.session import Session
from stibgate.web.live import LiveStream
from stibgate.web.refused import Refused

T = TypeVar("T")


def missing(what: str, hint: str) -> Refused:
    """Return the refusal of a page about something that there is not."""
    return Refused(404, what, hint)


@dataclass(frozen=True)
class ConsoleParts:
    """What the console shows, and what it acts through.

    Attributes:
        settings: Returns the configuration that is in force.
        read: Runs a query of the ledger away from the event loop.
        acts: What people can do, each with its line in the audit.
        access: Who may come in.
        ready: The checks of `/readyz`.
        now_ms: The clock.
        reading: Returns how the configuration was read last.
        live: The live tail.
    """

    settings: Callable[[], Settings]
    read: Reader
    acts: Acts
    access: Access
    ready: Callable[[], Mapping[str, str]]
    now_ms: Callable[[], int]
    reading: Callable[[], ReloadStatus]
    live: LiveStream

    @cached_property
    def alarms(self) -> AlarmWatch:
        """What somebody should look at in the ledger: looked for once for all pages."""
        return AlarmWatch(self.read, self.settings, self.now_ms)


class Visit:
    """One request of somebody who may make it.

    Attributes:
        form: The fields of a POST; empty for a GET.
        actor: Who acts, for the audit.
        lasting: Tells whether the session is there still, and the same.
    """

    def __init__(
        self,
        request: web.Request,
        screen: Screen,
        session: Session,
        page: "Page",
        form: Mapping[str, Sequence[str]],
        actor: Actor,
        common: Mapping[str, Any],
        lasting: Callable[[], bool],
    ) -> None:
        self.request = request
        self.session = session
        self.page = page
        self.form = form
        self.actor = actor
        self.lasting = lasting
        self._screen = screen
        self._common = common

    @property
    def principal(self) -> Principal:
        """Who it is."""
        return self.session.principal

    @property
    def origin(self) -> str:
        """Where they opened the console: scheme and host."""
        return f"{self.request.scheme}://{self.request.host}"

    def may(self, role: Role) -> bool:
        """Return whether they may do what *role* may."""
        return self.principal.role.may(role)

    @property
    def query(self) -> Mapping[str, str]:
        """The filters in the URL; those left empty by a form are not there."""
        return {name: value for name, value in self.request.query.items() if value}

    def part(self, name: str) -> str:
        """Return that part of the path."""
        return self.request.match_info[name]

    def field(self, name: str, usual: str = "") -> str:
        """Return a field of the form; *usual* when it was not sent."""
        values = self.form.get(name)
        return values[0] if values else usual

    def here(self, *without: str, **changed: object) -> str:
        """Return this page's URL with other filters; one that is None, or named in *without*, is left out."""
        query = {**self.query, **changed}
        kept = {name: value for name, value in query.items() if value is not None and name not in without}
        return self.request.path + (f"?{urlencode(kept)}" if kept else "")

    def show(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Return the page that *template* makes of *values*."""
        text = self._screen.render(template, {**self._common, "visit": self, **values})
        return web.Response(text=text, content_type="text/html", status=status)


def go(path: str) -> web.Response:
    """Return the answer that sends a browser on to *path* with a GET; what it sent is not sent again by a reload."""
    return web.Response(status=303, headers={"Location": path})


Handle = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Page:
    """One thing that the console answers.

    Attributes:
        path: As aiohttp's router takes it.
        title: Of the page, without data; also the word in the navigation.
        role: Who may open it.
        method: `GET` or `POST`.
        nav: Whether the navigation has it.
        query: The filters that its URL may have; any other is refused.
        back: Where to go on after a login that came too late for a POST; with the parts of the path in braces.
    """

    path: str
    handle: Handle
    title: str
    role: Role = Role.VIEWER
    method: str = "GET"
    nav: bool = False
    query: frozenset[str] = field(default=frozenset())
    back: str = "/"


class Room(Protocol):
    """Pages that belong together."""

    def pages(self) -> Sequence[Page]:
        """Return them; the first is what the navigation leads to."""
        ...


def check_query(page: Page, given: Mapping[str, str]) -> None:
    """Refuse filters that *page* does not know: a list that could not be filtered is an error, never a whole list.

    Raises:
        UsageError: The first that it does not know.
    """
    for name in given:
        if name not in page.query:
            known = ", ".join(sorted(page.query)) or "none"
            raise UsageError(f"this page has no filter {name!r}", hint=f"It has: {known}.")
