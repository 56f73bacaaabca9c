"""The audit as those who act write it: a line in the store, and the same in the log."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from stibgate.domain.audit import Action, Actor, AuditEntry
from stibgate.stores import Office

log = structlog.get_logger("stibgate.audit")

_EVENTS = {
    action: event
    for event, action in (
        ("audit.replay", Action.REPLAY),
        ("audit.replay_started", Action.REPLAY_STARTED),
        ("audit.cancel", Action.CANCEL),
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
        who = actor.principal
        await self.office.append_audit(
            AuditEntry(self.now_ms(), who.name, who.role, action, target, detail, actor.client_ip)
        )
        log.info(
            _EVENTS[action],
            actor=who.name,
            role=str(who.role),
            target=target,
            detail=detail or None,
            client_ip=actor.client_ip,
        )
