"""Sending again: a count first and what it means, a reason where it is much, then a page that shows how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.errors import UsageError
from stibgate.pipeline.selecting import NAMES_PEOPLE
from stibgate.stores import Bulk, DeliveryFilter, Report, Selection, TaskFilter
from stibgate.web.console.filters import DELIVERIES, TASKS, delivery_filter, task_filter
from stibgate.web.console.page import ConsoleParts, Page, Visit, go, missing

REASON_OVER = 100
"""More deliveries or tasks than this are sent again only by somebody who says why."""
REASON_CHARS_MAX = 80
COUNTED_MAX = 5_000
"""Up to here every record is counted before; of more only the deliveries or tasks are."""
WHERE = "where."

REPEATS: Mapping[str, str] = {
    "csv": "rows that a file has already are not doubled: a delivery's file is written anew, a rolling one goes on",
    "ndjson": "lines that a file has already are not doubled: a delivery's file is written anew, a rolling one goes on",
    "hubspot": "contacts and companies that are there are updated, none is made twice",
    "webhook": "it is posted again under the same webhook-id, by which the receiver can tell",
}
"""What a sink does with what it has already, by its kind."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants sent again, as a form says it.

    Attributes:
        fields: The hidden fields that say the same once more.
        forced: Records that are done, too.
    """

    selection: Selection
    fields: Sequence[tuple[str, str]]
    of: str
    forced: bool


class Replays:
    """The pages under `/replays`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the list of replays, the question before one, and one's progress."""
        one = "/replays/{id}"
        return [
            Page("/replays", self._list, "Replays", Role.OPERATOR),
            Page("/replays", self._start, "Replay", Role.OPERATOR, "POST", back="/replays"),
            Page("/replays/ask", self._ask, "Replay", Role.OPERATOR, "POST", back="/deliveries"),
            Page(one, self._show, "Replay", Role.OPERATOR),
            Page(f"{one}/cancel", self._cancel, "Replay", Role.OPERATOR, "POST", back=one),
        ]

    async def _ask(self, visit: Visit) -> web.Response:
        wish = self._wish(visit)
        return await self._question(visit, wish)

    async def _question(self, visit: Visit, wish: Wish, note: str = "", *, status: int = 200) -> web.Response:
        """Return the page that counts, says what it means, and asks."""
        meant = len(wish.selection.ids) or await self._parts.acts.operations.count(wish.selection)
        report = None
        if meant <= COUNTED_MAX:
            report = await self._parts.acts.replay(visit.actor, wish.selection, forced=wish.forced, dry_run=True)
        return visit.show(
            "replay_ask.html",
            status=status,
            wish=wish,
            meant=meant,
            report=report,
            due=0 if report is None else report.results["replayed"],
            left_out=_left_out(report),
            repeats=self._repeats(report),
            needs_reason=meant > REASON_OVER,
            reason=visit.field("reason"),
            note=note,
        )

    async def _start(self, visit: Visit) -> web.Response:
        wish, reason = self._wish(visit), " ".join(visit.field("reason").split())
        meant = len(wish.selection.ids) or await self._parts.acts.operations.count(wish.selection)
        if meant > REASON_OVER and not reason:
            return await self._question(visit, wish, f"Say why: these are more than {REASON_OVER}.", status=400)
        if len(reason) > REASON_CHARS_MAX or not reason.isprintable() or NAMES_PEOPLE.search(reason):
            told = (
                f"The log keeps the reason: up to {REASON_CHARS_MAX} characters about what happened, nobody's address."
            )
            return await self._question(visit, wish, told, status=400)
        actor = visit.actor
        if reason:
            actor = replace(actor, by=f"{actor.principal.name}: {reason}")
        bulk = await self._parts.acts.start_replay(actor, wish.selection, forced=wish.forced)
        return go(f"/replays/{bulk.replay_id}")

    async def _show(self, visit: Visit) -> web.Response:
        bulk = _known(await self._parts.read(lambda ledger: ledger.bulk(visit.part("id"))))
        return visit.show("replay.html", bulk=bulk)

    async def _cancel(self, visit: Visit) -> web.Response:
        bulk = _known(await self._parts.acts.cancel_replay(visit.actor, visit.part("id")))
        return go(f"/replays/{bulk.replay_id}")

    async def _list(self, visit: Visit) -> web.Response:
        return visit.show("replays.html", bulks=await self._parts.read(lambda ledger: ledger.bulks()))

    def _wish(self, visit: Visit) -> Wish:
        """Return what the form asks for.

        Raises:
            UsageError: Nothing was chosen, or a filter is wrong.
        """
        of, chosen = visit.field("of"), visit.field("which") == "chosen"
        ids = visit.form.get("id", ()) if chosen else ()
        where = {} if chosen else _filters(visit.form)
        if of not in {"deliveries", "tasks"} or where.keys() - (DELIVERIES if of == "deliveries" else TASKS):
            raise UsageError("this cannot be sent again", hint="Begin at the list of deliveries or of dead letters.")
        if chosen and not ids:
            raise UsageError("nothing is chosen", hint="Go back and tick what to send again.")
        if not chosen and not where:
            raise UsageError("that would be everything", hint="Filter the list first: by state, sink or time.")
        make = delivery_filter if of == "deliveries" else task_filter
        usual: DeliveryFilter | TaskFilter = make(where, now_ms=self._parts.now_ms())
        fields = [("of", of), ("which", "chosen" if chosen else "all"), *(("id", one) for one in ids)]
        fields += [(WHERE + name, value) for name, value in where.items()]
        return Wish(Selection(usual, ids), fields, of, visit.field("all") == "1")

    def _repeats(self, report: Report | None) -> Sequence[tuple[str, str]]:
        """Return what each sink does with what it has already."""
        sinks = self._parts.settings().sinks
        names = [name for name in (sinks if report is None else report.sinks) if name in sinks]
        return [(name, REPEATS.get(sinks[name].kind, "as its maker says")) for name in names]


def _known(bulk: Bulk | None) -> Bulk:
    if bulk is None:
        raise missing(
            "there is no such replay",
            "The last hundred are remembered; the story of each delivery says what was sent again.",
        )
    return bulk


def _filters(form: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name.removeprefix(WHERE): values[0] for name, values in form.items() if name.startswith(WHERE)}


def _left_out(report: Report | None) -> Sequence[tuple[str, int]]:
    """Return what is left out, and why, in the words of people."""
    if report is None:
        return []
    results = [(_WHY.get(str(word), str(word)), count) for word, count in report.results.items() if word != "replayed"]
    return [*results, *([("nothing has that id", len(report.unknown))] if report.unknown else [])]


_WHY = {
    "nothing_left": "done already",
    "on_the_way": "on the way by itself",
    "sink_gone": "of a sink that the configuration has no longer",
    "unknown": "gone",
}
