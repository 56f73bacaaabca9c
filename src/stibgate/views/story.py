"""What happened to a delivery, a task or a record, as lines in order of time; never what was in it."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stibgate.domain.circuit import SinkState
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import JOB_FAILED
from stibgate.domain.record import IssueReason, Record
from stibgate.domain.task import Outcome, OutcomeKind, Signal, Task, TaskState
from stibgate.pipeline.drafts import VIA_POLL
from stibgate.stores import Ledger, ReplayNote, TaskFilter
from stibgate.views.reasons import reason_in_words
from stibgate.views.words import counted, moment


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at_ms: int
    delivery_id: str
    what: str


SINK_GONE = "the sink is not in the configuration any more"


def line_row(line: Line) -> dict[str, Any]:
    """Return a line as JSON."""
    return {"at": moment(line.at_ms), "delivery_id": line.delivery_id, "what": line.what}


def story_of_delivery(
    ledger: Ledger, delivery: StoredDelivery, *, position: int | None = None, configured: Collection[str] | None = None
) -> list[Line]:
    """Return what happened to a delivery.

    Args:
        ledger: The store.
        delivery: Which one.
        position: Only what happened to this one of its records.
        configured: The sinks of the configuration, where it is known.
    """
    every = [task for _, task in reversed(ledger.tasks(TaskFilter(delivery_id=delivery.delivery_id), limit=None))]
    owing = [task for task in every if position is None or position in ledger.positions(task.task_id)]
    lines = _arrival(ledger, delivery, every, position)
    for task in owing:
        lines += _attempts(ledger, task, position)
    lines += _replays(ledger.replays(delivery.delivery_id), {task.task_id for task in owing})
    state = f"{delivery.delivery_id} is now {delivery.state}" + (f": {delivery.reason}" if delivery.reason else "")
    closing = [state, *reason_in_words(delivery), *_closing(ledger, owing, position, configured)]
    return _ended(lines, delivery.delivery_id, closing)


def story_of_task(ledger: Ledger, task: Task, *, configured: Collection[str] | None = None) -> list[Line]:
    """Return what happened to a task, and how its delivery came; *configured* are the sinks of the configuration."""
    delivery = ledger.delivery(task.delivery_id)
    lines = _attempts(ledger, task, None)
    if delivery is not None:
        every = [one for _, one in ledger.tasks(TaskFilter(delivery_id=task.delivery_id), limit=None)]
        lines = [*_arrival(ledger, delivery, every, None), *lines]
    lines += _replays(ledger.replays(task.delivery_id), {task.task_id})
    closing = _closing(ledger, [task], None, configured)
    return _ended(lines, task.delivery_id, [f"{task.task_id} is now {task.state}", *closing])


def _ended(lines: list[Line], delivery_id: str, closing: Sequence[str]) -> list[Line]:
    """Return *lines* in order of time, and *closing* at the time of the last."""
    last_ms = max((line.at_ms for line in lines), default=0)
    return [*sorted(lines, key=lambda line: line.at_ms), Line(last_ms, delivery_id, "; ".join(closing))]


def _arrival(ledger: Ledger, delivery: StoredDelivery, tasks: Sequence[Task], position: int | None) -> list[Line]:
    name, at_ms = delivery.delivery_id, delivery.received_at_ms
    about = f"{delivery.event_type}, {counted(delivery.body_bytes, 'byte')}, {counted(delivery.records, 'record')}"
    proof = f"proved by {delivery.authenticated_by}" + (", too old but new to us" if delivery.stale else "")
    ids = [f"{key} {value}" for key in _IDS if (value := getattr(delivery, key))]
    came = f"came from source {delivery.source}"
    if delivery.via == VIA_POLL:
        came, proof = f"was asked for, as an event for source {delivery.source} had not come", "read with our API key"
    lines = [Line(at_ms, name, f"{name} {came}: {', '.join([about, proof, *ids])}")]
    if delivery.repeat_of:
        lines.append(Line(at_ms, name, f"same bytes as {delivery.repeat_of}, after dedupe_window: a new delivery"))
    if (awaited := ledger.awaited(name)) is not None:
        tries = f", asked {counted(awaited.tries, 'time')} in vain" if awaited.tries else ""
        lines.append(Line(awaited.since_ms, name, f"waits for job {awaited.job_id} to be read back{tries}"))
    for seen in ledger.sightings(name):
        text = "came again with another body: kept, not forwarded" if seen.conflict else "came again: not forwarded"
        lines.append(Line(seen.seen_at_ms, name, text))
    if delivery.processed_at_ms is not None:
        lines += [Line(delivery.processed_at_ms, name, what) for what in _processed(ledger, delivery, tasks, position)]
        if delivery.issues:
            flagged = _flagged(ledger.records(name, flagged=True), position)
            lines += [Line(delivery.processed_at_ms, name, flagged)] if flagged else []
    return lines


_IDS = ("job_id", "search_id", "partner_customer_id", "partner_user_id")


def _processed(ledger: Ledger, delivery: StoredDelivery, tasks: Sequence[Task], position: int | None) -> Iterator[str]:
    """Yield what was made of the body, and where its records go."""
    result = ledger.result(delivery.delivery_id)
    if result is not None:
        yield f"its job was read back, {counted(len(result), 'byte')}, and counts in place of what the event said"
    if delivery.event_type == JOB_FAILED and not delivery.records:
        yield "the vendor reports the job as failed: there is nothing to forward"
        return
    if delivery.state in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
        return
    normalised = f"{counted(delivery.records, 'record')} normalised"
    if not delivery.records:
        yield f"{normalised}, there is nothing to forward"
        return
    owed = {task.sink: set(ledger.positions(task.task_id)) for task in tasks}
    yield f"{normalised}, {counted(len(tasks), 'task')} for the sinks: " + ", ".join(
        f"{len(positions)} to {sink}" for sink, positions in owed.items()
    )
    nowhere = [one for one in range(delivery.records) if not any(one in positions for positions in owed.values())]
    if position in nowhere:
        yield "no route takes this record: it goes nowhere (`stibgate routes test` says why)"
    elif nowhere and position is None:
        yield f"no route takes {_positions(nowhere)}: nothing of that goes anywhere"


def _flagged(records: Sequence[Record], position: int | None) -> str:
    """Return which fields could not be taken as sent, and why; never what was sent. Empty when there is none."""
    places: dict[str, list[int]] = {}
    for record in records:
        for issue in record.issues if position in {None, record.position} else ():
            places.setdefault(f"{issue.field} {_REASONS[issue.reason]}", []).append(record.position)
    count = sum(map(len, places.values()))
    told = [what if position is not None else f"{what} ({_positions(where)})" for what, where in places.items()]
    return f"{counted(count, 'field')} flagged: {', '.join(told)}" if told else ""


_REASONS = {
    IssueReason.INVALID: "is invalid",
    IssueReason.WRONG_TYPE: "has the wrong type",
    IssueReason.TRUNCATED: "was too long and cut",
}
_POSITIONS_MAX = 5


def _positions(positions: Sequence[int]) -> str:
    shown = ", ".join(str(one) for one in positions[:_POSITIONS_MAX])
    more = f" and {len(positions) - _POSITIONS_MAX} more" if len(positions) > _POSITIONS_MAX else ""
    return f"{'record' if len(positions) == 1 else 'records'} {shown}{more}"


def _attempts(ledger: Ledger, task: Task, position: int | None) -> list[Line]:
    answers: dict[int, list[Outcome]] = {}
    for attempt_number, outcome in ledger.history(task.task_id):
        if position in {None, outcome.position}:
            answers.setdefault(attempt_number, []).append(outcome)
    lines = [Line(task.created_at_ms, task.delivery_id, f"owed to sink {task.sink} (task {task.task_id})")]
    settled = False
    for attempt in ledger.attempts(task.task_id):
        answered = answers.get(attempt.number, [])
        if position is not None and settled and not answered:
            continue  # the record was answered for before, and left out of this attempt
        settled = settled or bool(answered)
        if attempt.ended_at_ms is None or attempt.signal is None:
            what = f"{task.sink}: attempt {attempt.number} is under way"
            lines.append(Line(attempt.started_at_ms, task.delivery_id, what))
            continue
        told = f", {_told(answered, position)}" if answered else ""
        error = f": {attempt.error}" if attempt.error and not (answered and attempt.signal is Signal.SPLIT) else ""
        what = f"{task.sink}: attempt {attempt.number}: {ENDS.get(attempt.signal, attempt.signal)}{told}{error}"
        lines.append(Line(attempt.ended_at_ms, task.delivery_id, what))
    return lines


ENDS = {
    Signal.TAKEN: "delivered",
    Signal.SPLIT: "delivered in part",
    Signal.UNAVAILABLE: "failed, to be tried again",
    Signal.REJECTED: "refused for good",
    Signal.EXHAUSTED: "failed, the last one",
    Signal.HELD: "the sink takes nothing for now, no attempt was counted",
    Signal.RELEASED: "interrupted, to be tried again",
}


def _told(outcomes: Sequence[Outcome], position: int | None) -> str:
    if position is not None:
        one = outcomes[0]
        words = [one.kind, one.category, one.code, one.property, one.message, one.correlation_id]
        return " ".join(str(word) for word in words if word)
    counts = Counter(str(outcome.kind) for outcome in outcomes)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _replays(notes: Sequence[ReplayNote], task_ids: set[str]) -> list[Line]:
    """Return what operators had sent again, of these tasks or of the whole delivery."""
    return [
        Line(note.at_ms, note.delivery_id, _replayed(note))
        for note in notes
        if note.task_id is None or note.task_id in task_ids
    ]


def _replayed(note: ReplayNote) -> str:
    every = ", done or not" if note.forced else ""
    if note.task_id is None:
        return f"processed again by {note.by}: it was {note.state}"
    if note.state == "new":
        return f"{note.task_id} added by {note.by}: {counted(note.records, 'record')} are routed there by now"
    return f"{note.task_id} sent again by {note.by}: {counted(note.records, 'record')}{every}, it was {note.state}"


def _closing(
    ledger: Ledger, tasks: Sequence[Task], position: int | None, configured: Collection[str] | None
) -> Iterator[str]:
    """Yield what is still owed, and what it waits for."""
    sinks = ledger.sinks()
    for task in tasks:
        left, refused = _left(ledger, task, position)
        if task.state in {TaskState.DEAD, TaskState.CANCELLED}:
            told = [f"{left} not forwarded"] if left else []
            told += [f"{refused} refused"] if refused else []
            why = f": {task.error}" if task.error else ""
            yield f"{task.sink} {task.state}: {', '.join(told) or 'every record was answered for'}{why}"
        elif not task.state.final:
            gone = [SINK_GONE] if configured is not None and task.sink not in configured else []
            waits = "; ".join([*gone, *_waits(ledger, task, sinks.get(task.sink))])
            yield f"{task.sink} {task.state}: {left or 'nothing'} waiting" + (f", {waits}" if waits else "")


def _left(ledger: Ledger, task: Task, position: int | None) -> tuple[str, str]:
    """Return what a task has no answer for, and what its sink refused, in words; empty where there is none."""
    told = {outcome.position: outcome.kind for outcome in ledger.outcomes(task.task_id)}
    if position is not None:
        refused = told.get(position) is OutcomeKind.REFUSED
        return "" if position in told else "this record", "this record" if refused else ""
    left, turned_down = task.records - len(told), sum(kind is OutcomeKind.REFUSED for kind in told.values())
    return counted(left, "record") if left > 0 else "", counted(turned_down, "record") if turned_down else ""


def _waits(ledger: Ledger, task: Task, sink: SinkState | None) -> Iterator[str]:
    """Yield what an open task waits for."""
    alone_until_ms = 0
    if sink is not None and sink.paused_at_ms is not None:
        yield f"the sink is paused since {moment(sink.paused_at_ms)} by {sink.paused_by}"
    if sink is not None and not sink.circuit.closed:
        alone_until_ms = sink.circuit.open_until_ms or 0
        until = f" until {moment(alone_until_ms)}" if alone_until_ms else ""
        yield f"the sink is left alone{until}: {sink.circuit.reason}"
    if (blocker := ledger.blocker(task.task_id)) is not None:
        yield f"behind {blocker}, which has a person in common"
    elif (task.next_attempt_at_ms or 0) > alone_until_ms and task.state is not TaskState.PAUSED:
        yield f"the next attempt at {moment(task.next_attempt_at_ms)}"
