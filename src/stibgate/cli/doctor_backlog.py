"""What `stibgate doctor` says of work that waits for a sink or a person, and of what was refused."""

from collections.abc import Collection, Iterator, Mapping

from stibgate.cli.doctor_findings import Finding, warning
from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.stats import DAY_MS
from stibgate.domain.task import FINAL, TaskState
from stibgate.stores import Ledger
from stibgate.views.rejections import rejection_row
from stibgate.views.words import counted


def backlog(ledger: Ledger) -> Iterator[Finding]:
    """Yield a warning for each sink that takes nothing or has dead tasks, and one for what is in quarantine."""
    counts, states = ledger.task_counts(), ledger.sinks()
    for name in sorted({*counts, *states}):
        yield from _of_sink(states.get(name, SinkState(name)), counts.get(name, {}))
    if kept := ledger.status().deliveries.get(DeliveryState.QUARANTINED, 0):
        yield warning(
            "quarantine",
            f"{counted(kept, 'delivery')} authentic, kept whole, and not understood",
            "`stibgate deliveries list --state quarantined`, then `stibgate explain ID`.",
        )


def _of_sink(state: SinkState, counts: Mapping[str, int]) -> Iterator[Finding]:
    check, name = f"tasks of sink {state.sink}", state.sink
    waiting = sum(count for word, count in counts.items() if TaskState(word) not in FINAL)
    wait = f"{counted(waiting, 'task')} not through"
    if state.paused:
        yield warning(check, f"paused by {state.paused_by}; {wait}", f"`stibgate sinks resume {name}`.")
    elif not state.circuit.closed:
        yield warning(
            check,
            f"left alone for now: {state.circuit.reason}; {wait}",
            f"`stibgate tasks list --sink {name} --state waiting`; it is tried again by itself,"
            f" and at once by `stibgate sinks resume {name}`.",
        )
    if dead := counts.get(TaskState.DEAD, 0):
        yield warning(
            check,
            f"{counted(dead, 'task')} dead: sent again by hand only",
            f"`stibgate dead list --sink {name}`, mend the cause, then `stibgate dead replay --sink {name} --dry-run`.",
        )


def refused(ledger: Ledger, sources: Collection[str], *, now_ms: int) -> Iterator[Finding]:
    """Yield a warning for each reason for which requests to *sources* were refused in the last day, the latest first.

    Strangers who name no source of ours need nothing done.
    """
    seen = ledger.last_accepted(sorted(sources))
    for group in ledger.rejections(now_ms - DAY_MS):
        if group.source in sources:
            row = rejection_row(group, seen.get(group.source))
            why = row["explanation"]["verdict"] if row["explanation"] else row["meaning"]
            told = f"{counted(group.count, 'request')} refused as {group.reason}, the last at {row['last_at']}: {why}"
            yield warning(f"source {group.source}", told.rstrip("."), row["next"])
