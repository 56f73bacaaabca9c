"""The configuration that is in force: every value with its place, secrets as fingerprints; and how it was read last."""

from collections.abc import Sequence
from itertools import groupby

from aiohttp import web

from stibgate.config import plug_in_notices, setting_rows
from stibgate.config.origins import DEFAULT
from stibgate.domain.access import Role
from stibgate.errors import UsageError
from stibgate.web.console.page import ConsoleParts, Page, Visit

SHOWN = ("set", "all")


class Configuration:
    """The page `/config`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page."""
        return [Page("/config", self._show, "Config", role=Role.ADMIN, nav=True, query=frozenset({"show"}))]

    async def _show(self, visit: Visit) -> web.Response:
        show = visit.query.get("show", SHOWN[0])
        if show not in SHOWN:
            raise UsageError(f"show {show!r} is none", hint=f"It is one of {', '.join(SHOWN)}.")
        settings = self._parts.settings()
        rows = setting_rows(settings)
        shown = [row for row in rows if show == "all" or row.origin != DEFAULT]
        return visit.show(
            "config.html",
            tables=[(table, list(group)) for table, group in groupby(shown, key=lambda row: row.table)],
            show=show,
            defaults=sum(row.origin == DEFAULT for row in rows),
            default=DEFAULT,
            path=settings.origins.path,
            notices=[*settings.origins.notices, *plug_in_notices()],
            reading=self._parts.reading(),
        )
