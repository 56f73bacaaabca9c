"""Who posts: each source's rates, what proves it, which of its secrets are in use, and how to register it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from stibgate.config import Settings, SourceSettings
from stibgate.domain.stats import WINDOWS, SourceStats
from stibgate.stores import Ledger, Seen
from stibgate.views.keys import counting_from, key_slots
from stibgate.views.sources import source_rows
from stibgate.web.console.page import ConsoleParts, Page, Visit, missing

NO_STATS = SourceStats()
DAY_MS, STEP_MS = WINDOWS["24h"]
_NEEDS_TOKEN = {"token", "signature+token"}


@dataclass(frozen=True, slots=True)
class Row:
    """One source at a glance; *shown* is its row of `source_rows`."""

    shown: Mapping[str, Any]
    stats: SourceStats
    seen: Seen | None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.shown["source"])


class Sources:
    """The pages `/sources` and `/sources/{name}`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the list, and one source."""
        return [
            Page("/sources", self._list, "Sources", nav=True),
            Page("/sources/{name}", self._show, "Source"),
        ]

    async def _list(self, visit: Visit) -> web.Response:
        settings, now_ms = self._parts.settings(), self._parts.now_ms()
        rows = await self._parts.read(partial(_rows, settings=settings, now_ms=now_ms))
        return visit.show("sources.html", rows=rows)

    async def _show(self, visit: Visit) -> web.Response:
        settings, now_ms, name = self._parts.settings(), self._parts.now_ms(), visit.part("name")
        source = settings.sources.get(name)
        if source is None:
            known = ", ".join(settings.sources) or "none"
            raise missing(f"there is no source {name!r}", f"The configuration has {known}.")
        since_ms, step_ms = counting_from(now_ms=now_ms, configured_ms=self._parts.reading().succeeded_at_ms)
        rows, counted = await self._parts.read(
            lambda ledger: (
                _rows(ledger, settings=settings, now_ms=now_ms, only=name),
                ledger.counts(since_ms=since_ms, until_ms=now_ms, step_ms=step_ms),
            )
        )
        return visit.show(
            "source.html",
            title=f"Source {name}",
            row=rows[0],
            source=source,
            slots=key_slots(name, source, counted, since_ms=since_ms, now_ms=now_ms),
            since_ms=since_ms,
            urls=urls_to_register(settings, name, source),
        )


def _rows(ledger: Ledger, *, settings: Settings, now_ms: int, only: str | None = None) -> list[Row]:
    stats = ledger.stats(since_ms=now_ms - DAY_MS, until_ms=now_ms, step_ms=STEP_MS).sources
    shown = [row for row in source_rows(settings, ledger.pins()) if only in {None, row["source"]}]
    seen = ledger.last_accepted([row["source"] for row in shown])
    return [Row(row, stats.get(row["source"], NO_STATS), seen.get(row["source"])) for row in shown]


def urls_to_register(settings: Settings, name: str, source: SourceSettings) -> Sequence[str]:
    """Return what the sender must call, with every token masked; empty where nobody said what senders see."""
    base = settings.server.public_url
    if not base:
        return []
    bare = f"{base}/hooks/{name}"
    with_token = [f"{bare}/*** (token {number})" for number, _ in enumerate(source.tokens, start=1)]
    if source.auth in _NEEDS_TOKEN:
        return with_token
    return [bare, *with_token]
