"""What was refused: one group for each source and reason, what it means, why it came to that, and what to do next."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import web

from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.tally import NO_SOURCE
from stibgate.errors import UsageError
from stibgate.stores import Ledger
from stibgate.views.rejections import MEANINGS, rejection_rows
from stibgate.web.console.page import ConsoleParts, Page, Visit

SINCE = {"1h": HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS}
USUAL = "24h"
QUERY = frozenset({"source", "reason", "since"})


class Rejected:
    """The page `/rejected` and its twin."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page and its twin."""
        return [
            Page("/rejected", self._list, "Rejected", nav=True, query=QUERY),
            Page("/rejected.json", self._json, "Rejected", query=QUERY),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        rows = await self._rows(visit)
        settings = self._parts.settings()
        return visit.show(
            "rejected.html",
            rows=rows,
            filters=visit.query,
            sources=[*settings.sources, NO_SOURCE],
            reasons=sorted(MEANINGS),
            since_words=list(SINCE),
            since=visit.query.get("since", USUAL),
            twins=[(".json", visit.here().replace("/rejected", "/rejected.json", 1))],
        )

    async def _json(self, visit: Visit) -> web.Response:
        return web.json_response({"data": await self._rows(visit)})

    async def _rows(self, visit: Visit) -> Sequence[dict[str, Any]]:
        query, settings = visit.query, self._parts.settings()
        since = query.get("since", USUAL)
        if since not in SINCE:
            raise UsageError(f"since {since!r} is none", hint=f"It is one of {', '.join(SINCE)}.")
        source, reason = query.get("source"), query.get("reason")
        if reason is not None and reason not in MEANINGS:
            raise UsageError(f"nothing is refused for {reason!r}", hint=f"It is one of {', '.join(MEANINGS)}.")
        if source is not None and source not in {*settings.sources, NO_SOURCE}:
            known = ", ".join([*settings.sources, f"{NO_SOURCE} for none of ours"])
            raise UsageError(f"there is no source {source!r}", hint=f"It is one of {known}.")
        rows = await self._parts.read(
            partial(_look, sources=list(settings.sources), since_ms=self._parts.now_ms() - SINCE[since])
        )
        return [
            row
            for row in rows
            if source in {None, row["source"] or NO_SOURCE} and reason in {None, row["reason"]}
        ]  # fmt: skip


def _look(ledger: Ledger, *, sources: Sequence[str], since_ms: int) -> list[dict[str, Any]]:
    return rejection_rows(ledger.rejections(since_ms), ledger.last_accepted(sources))
