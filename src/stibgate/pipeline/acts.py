"""What people do, each with its line in the audit: the one way in for the admin API, the console and commands.

A line about something that changed is in the same transaction, so that there is none without the other. What takes
several has a line with the first, that it has begun, and one with the last. A line about something that is shown is
written before it is shown. Trying a thing out leaves no line.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.pipeline.audit import Auditor, Lines
from stibgate.pipeline.bulk import Bulks
from stibgate.pipeline.operations import Operations
from stibgate.sinks import Finding
from stibgate.stores import Bulk, DeliveryFilter, Note, Report, Selection


@dataclass(frozen=True, slots=True)
class Acts:
    """What people do.

    Attributes:
        operations: Does it.
        auditor: Writes it down.
        bulks: Replays that run while nobody waits.
        look: Looks whether a sink could take records now.
    """

    operations: Operations
    auditor: Auditor
    bulks: Bulks
    look: Callable[[str], Awaitable[Sequence[Finding]]]

    async def replay(self, actor: Actor, selection: Selection, *, forced: bool, dry_run: bool) -> Report:
        """Send what *selection* names again; return what was done."""
        lines = None if dry_run else self._lines(actor, Action.REPLAY, selection, forced=forced)
        return await self.operations.replay(selection, forced=forced, by=actor.called, dry_run=dry_run, lines=lines)

    async def start_replay(
        self, actor: Actor, selection: Selection, *, forced: bool, asked_as: bytes | None = None
    ) -> Bulk:
        """Begin to send again what *selection* names; its end is a line of its own.

        The same keyed call, *asked_as*, is told of what it began before.

        Raises:
            Busy: Too many run already.
            UsageError: There is no such sink, or the error to look for may name somebody.
        """
        if selection.sink is not None:
            self.operations.known(selection.sink)
        kept = await self.operations.kept(selection)

        def line(replay_id: str) -> AuditEntry:
            return self.auditor.entry(actor, Action.REPLAY_STARTED, replay_id, **_asked(selection), all=forced)

        return await self.bulks.start(actor, kept, line, forced=forced, asked_as=asked_as)

    async def cancel_replay(self, actor: Actor, replay_id: str) -> Bulk | None:
        """End a replay in the background after what it is at; return it, None when there is none."""
        return await self.bulks.cancel(actor, replay_id)

    async def cancel(self, actor: Actor, selection: Selection, *, dry_run: bool) -> Report:
        """End what *selection* names and nobody works on; return what was done."""
        lines = None if dry_run else self._lines(actor, Action.CANCEL, selection)
        return await self.operations.cancel(selection, by=actor.called, dry_run=dry_run, lines=lines)

    async def pause(self, actor: Actor, sink: str) -> bool:
        """Start no more attempts at *sink*; return whether that changed anything."""
        line = self._changed(actor, Action.PAUSE, sink)
        changed = await self.operations.pause(sink, by=actor.called, note=line)
        self.auditor.tell(line(changed))
        return changed

    async def resume(self, actor: Actor, sink: str) -> bool:
        """Go on with *sink* at once; return whether anything kept it."""
        line = self._changed(actor, Action.RESUME, sink)
        changed = await self.operations.resume(sink, note=line)
        self.auditor.tell(line(changed))
        return changed

    async def reset(self, actor: Actor, sink: str) -> bool:
        """Close the breaker of *sink*, and leave it paused if it is; return whether it was open."""
        line = self._changed(actor, Action.RESET, sink)
        changed = await self.operations.reset(sink, note=line)
        self.auditor.tell(line(changed))
        return changed

    async def test(self, actor: Actor, sink: str) -> Sequence[Finding]:
        """Return what is in the way of *sink*; nothing is written anywhere."""
        self.operations.known(sink)
        findings = await self.look(sink)
        await self.auditor.note(actor, Action.SINK_TEST, sink, ok=all(finding.ok for finding in findings))
        return findings

    async def reveal(self, actor: Actor, delivery_id: str, what: str) -> None:
        """Write down that *actor* sees personal data of a delivery: its `body` or its `records`."""
        await self.auditor.note(actor, Action.PII_REVEALED, delivery_id, what=what)

    def _changed(self, actor: Actor, action: Action, sink: str) -> Note[bool]:
        return lambda changed: self.auditor.entry(actor, action, sink, changed=changed)

    def _lines(self, actor: Actor, action: Action, selection: Selection, *, forced: bool = False) -> Lines:
        asked = _asked(selection)

        def ended(report: Report) -> AuditEntry:
            # What is not known by us could be anything, a person's address too.
            unknown = set(report.unknown)
            known = [one for one in selection.ids if one not in unknown]
            target = known[0] if len(known) == 1 else None
            counts = {f"count_{name}": count for name, count in report.results.items()}
            return self.auditor.entry(actor, action, target, **asked, records=report.records, all=forced, **counts)

        return Lines(self.auditor.entry(actor, _BEGUN[action], None, **asked, all=forced), ended, self.auditor.tell)


_BEGUN = {Action.REPLAY: Action.REPLAY_STARTED, Action.CANCEL: Action.CANCEL_STARTED}


def _asked(selection: Selection) -> dict[str, int | str]:
    """Return what was asked for, without its values: a filter may name a person."""
    of = "deliveries" if isinstance(selection.where, DeliveryFilter) else "tasks"
    asked: dict[str, int | str] = {"of": of, "ids": len(selection.ids)}
    names = [name for name in selection.where.__slots__ if getattr(selection.where, name) is not None]
    names += ["person"] if selection.identifiers else []
    if names:
        asked["filters"] = ",".join(sorted(name.removesuffix("_ms") for name in names))
    if selection.sink is not None:
        asked["sink"] = selection.sink
    return asked
