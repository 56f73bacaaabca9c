"""Who did what: lines that are only ever added, each chained to the one before it. Never what a person is called."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stibgate.domain.access import Principal, Role

BEGINNING = bytes(32)
"""What the first line is chained to."""


class Action(StrEnum):
    """What somebody did; each is the log event `audit.<action>`, too."""

    REPLAY = "replay"
    REPLAY_STARTED = "replay_started"
    CANCEL = "cancel"
    CANCEL_STARTED = "cancel_started"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    SINK_TEST = "sink_test"
    PII_REVEALED = "pii_revealed"
    LOGIN = "login"
    LOGOUT = "logout"
    JOBS_SUBMIT = "jobs_submit"
    JOBS_RECONCILE = "jobs_reconcile"
    JOBS_RESOLVE = "jobs_resolve"
    UNPIN = "unpin"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where.

    Attributes:
        principal: Whose token it was.
        client_ip: None for a command on this machine that needed no service.
        by: What the stories of deliveries call them.
    """

    principal: Principal
    client_ip: str | None = None
    by: str = ""

    @property
    def called(self) -> str:
        """What the stories of deliveries call them."""
        return self.by or self.principal.name


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line.

    Attributes:
        actor: The token's name.
        target: An id or name of ours: of a delivery, task, sink, run. Never a person.
        detail: Counts and words of closed sets.
    """

    at_ms: int
    actor: str
    role: Role
    action: Action
    target: str | None = None
    detail: Mapping[str, int | str | bool] = field(default_factory=dict)
    client_ip: str | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line as it is kept.

    Attributes:
        sequence: From 1, without gaps.
        chain: The SHA-256 over the line and the chain before it.
    """

    sequence: int
    entry: AuditEntry
    chain: bytes


def chained(sequence: int, entry: AuditEntry, before: bytes) -> bytes:
    """Return the SHA-256 over a line's number and content and *before*, the chain of the line before it."""
    content = [
        sequence, entry.at_ms, entry.actor, entry.role, entry.action, entry.target, dict(entry.detail), entry.client_ip,
    ]  # fmt: skip
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(before + text.encode()).digest()


def broken_in(lines: Iterable[AuditLine]) -> int | None:
    """Return the number of the first line, oldest first, that was changed, added out of order or lost its neighbour.

    Lines that were cut off at the end cannot be seen: keep the latest chain elsewhere for that.
    """
    before, expected = BEGINNING, 1
    for line in lines:
        if line.sequence != expected or line.chain != chained(line.sequence, line.entry, before):
            return expected
        before, expected = line.chain, expected + 1
    return None
