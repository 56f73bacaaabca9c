"""The log as it happens, in the browser: the page, and the stream that its script reads with the session's cookie."""

import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.web.console.page import ConsoleParts, Page, Visit
from stibgate.web.live import NAMES, read_filter
from stibgate.web.live.filters import LEVELS, STATES

STREAM = "/live/events"
LAST = 50
"""How many lines of the past a page begins with."""
CHOICES = frozenset({"source", "sink", "state", "level"})


class Live:
    """The page `/live`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page, and what its script reads."""
        names = frozenset(NAMES)
        return [
            Page("/live", self._show, "Live", nav=True, query=names),
            Page(STREAM, self._stream, "Live", query=names | {"last"}),
        ]

    async def _show(self, visit: Visit) -> web.Response:
        settings = self._parts.settings()
        known = {"source": list(settings.sources), "sink": list(settings.sinks)}
        asked = [(name, value) for name, value in visit.request.query.items() if value]
        read_filter(asked, known)  # refuses here, in words, what the stream would refuse where nobody reads it
        words = {**known, "state": list(STATES), "level": list(LEVELS)}
        return visit.show(
            "live.html",
            filters=visit.query,
            choices={name: _with(words[name], visit.query.get(name)) for name in words},
            others=[name for name in NAMES if name in visit.query and name not in CHOICES and name != "event"],
            stream=f"{STREAM}?{urlencode([('last', LAST), *asked])}",
            listen=_command(visit.query),
        )

    async def _stream(self, visit: Visit) -> web.StreamResponse:
        return await self._parts.live.handle(visit.request, visit.lasting, audit=visit.may(Role.ADMIN))


def _with(words: Sequence[str], chosen: str | None) -> Sequence[str]:
    """Return *words* and what is chosen beside them: the URL may name several at once."""
    return words if chosen is None or chosen in words else [*words, chosen]


def _command(query: Mapping[str, str]) -> str:
    """Return the command that shows the same in a terminal; whoever made the link, a shell runs nothing else of it."""
    options = (word for name, value in query.items() for word in (f"--{name.replace('_', '-')}", value))
    return shlex.join(["stibgate", "listen", *options])
