"""The audit as those who act write it: a line in the store, and the same in the log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.stores import Note, Office, Report

T = TypeVar("T")

log = structlog.get_logger("stibgate.audit")

_EVENTS = {
    action: event
    for event, action in (
        ("audit.replay", Action.REPLAY),
        ("audit.replay_started", Action.REPLAY_STARTED),
        ("audit.cancel", Action.CANCEL),
        ("audit.cancel_started", Action.CANCEL_STARTED),
        ("audit.pause", Action.PAUSE),
        ("audit.resume", Action.RESUME),
        ("audit.reset", Action.RESET),
        ("audit.sink_test", Action.SINK_TEST),
        ("audit.pii_revealed", Action.PII_REVEALED),
        ("audit.login", Action.LOGIN),
        ("audit.logout", Action.LOGOUT),
        ("audit.jobs_submit", Action.JOBS_SUBMIT),
        ("audit.jobs_reconcile", Action.JOBS_RECONCILE),
        ("audit.jobs_resolve", Action.JOBS_RESOLVE),
        ("audit.unpin", Action.UNPIN),
        ("audit.restore", Action.RESTORE),
    )
}


@dataclass(frozen=True, slots=True)
class Auditor:
    """Writes the audit.

    Attributes:
        office: The store's part of it.
        now_ms: The clock.
    """

    office: Office
    now_ms: Callable[[], int]

    async def note(self, actor: Actor, action: Action, target: str | None = None, **detail: int | str | bool) -> None:
        """Add a line; it is durable when this returns.

        Args:
            actor: Who acts.
            action: What they do.
            target: An id or name of ours, never of a person.
            detail: Counts and words of closed sets.

        Raises:
            StoreUnavailable: It cannot be written; then what it tells of must not be answered.
        """
        entry = self.entry(actor, action, target, **detail)
        await self.office.append_audit(entry)
        self.tell(entry)

    def entry(self, actor: Actor, action: Action, target: str | None = None, **detail: int | str | bool) -> AuditEntry:
        """Return a line as `note` adds it, for whoever adds it together with what it tells of."""
        who = actor.principal
        return AuditEntry(self.now_ms(), who.name, who.role, action, target, detail, actor.client_ip)

    def tell(self, entry: AuditEntry) -> None:
        """Log a line that was added."""
        log.info(
            _EVENTS[entry.action],
            actor=entry.actor,
            role=str(entry.role),
            target=entry.target,
            detail=dict(entry.detail) or None,
            client_ip=entry.client_ip,
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines about an act that may take several transactions: each is written with the part of it that it tells of.

    Attributes:
        begun: That it has begun; with the first of several.
        ended: Makes of all that was done the line that is written with the last, or the only one.
        tell: Logs a line that was written.
    """

    begun: AuditEntry
    ended: Callable[[Report], AuditEntry]
    tell: Callable[[AuditEntry], None]

    def note(self, after: Callable[[T], Report], *, first: bool, last: bool) -> Note[T] | None:
        """Return what is written with a part, which leads to the report that *after* returns; None for nothing."""
        if last:
            return lambda came_to: self.ended(after(came_to))
        return (lambda _: self.begun) if first else None
