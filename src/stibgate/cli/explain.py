"""`stibgate explain`: the whole story of a delivery, a task, a job, a search or a person, in order."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import counted, moment, open_ledger, printable
from stibgate.domain.delivery import DeliveryState, StoredDelivery
from stibgate.domain.event import JOB_FAILED
from stibgate.domain.record import IssueReason, Record, lookup_hash
from stibgate.domain.task import Outcome, Signal, Task, TaskState
from stibgate.errors import StibgateError, UsageError
from stibgate.stores import DeliveryFilter, Ledger, TaskFilter


@dataclass(frozen=True, slots=True)
class _Line:
    """One thing that happened."""

    at_ms: int
    delivery_id: str
    what: str


@click.command()
@click.argument("name", metavar="ID", required=False)
@config_option
@json_option
@click.option("--person", help="An e-mail address, phone number or LinkedIn URL instead of an ID.")
def explain(*, name: str | None, config: Path | None, as_json: bool, person: str | None) -> None:
    """Tell the whole story of ID: a delivery, a task, a job_id or search_id, or a person's person_id or prospect_id.

    With --person, find somebody by e-mail address, phone number or LinkedIn URL.
    """
    if name is not None and person is not None:
        raise UsageError("an ID and --person were both given", hint="Give one of them.")
    if name is None and person is None:
        raise UsageError("say who or what", hint="Give one ID, or --person EMAIL|PHONE|LINKEDIN.")
    with open_ledger(config) as ledger:
        lines = _about_id(ledger, name) if name is not None else _about_person(ledger, person or "", config)
    for line in lines:
        if as_json:
            click.echo(json.dumps({"at": moment(line.at_ms), "delivery_id": line.delivery_id, "what": line.what}))
        else:
            click.echo(f"{moment(line.at_ms)}  {printable(line.what)}")


def _about_id(ledger: Ledger, name: str) -> list[_Line]:
    """Return the story of whatever *name* names.

    Raises:
        StibgateError: It names nothing that the store knows.
    """
    if (delivery := ledger.delivery(name)) is not None:
        return _story(ledger, delivery)
    if (task := ledger.task(name)) is not None:
        return _story_of_task(ledger, task)
    for where in (DeliveryFilter(job_id=name), DeliveryFilter(search_id=name)):
        if found := ledger.deliveries(where, limit=None):
            return [line for delivery in reversed(found) for line in _story(ledger, delivery)]
    if lines := _stories_of(ledger, [("person_id", name), ("prospect_id", name)]):
        return lines
    raise StibgateError(f"nothing is known of {name!r}", hint="`stibgate deliveries list` shows what came, with ids.")


def _about_person(ledger: Ledger, text: str, config: Path | None) -> list[_Line]:
    lines = _stories_of(ledger, _identifiers_of(text, config))
    if not lines:
        raise StibgateError(
            f"nothing is known of {text!r}", hint="It is compared with normalised values; try another identifier."
        )
    return lines


def _story(ledger: Ledger, delivery: StoredDelivery, *, position: int | None = None) -> list[_Line]:
    """Return what happened to a delivery in order of time; only to one of its records with *position*."""
    tasks = [task for _, task in reversed(ledger.tasks(TaskFilter(delivery_id=delivery.delivery_id), limit=None))]
    lines = _arrival(ledger, delivery, len(tasks), position)
    closing = [f"{delivery.delivery_id} is now {delivery.state}" + (f": {delivery.reason}" if delivery.reason else "")]
    for task in tasks:
        lines += _attempts(ledger, task, position)
    for state in (TaskState.DEAD, TaskState.CANCELLED):
        ended = [task for task in tasks if task.state is state]
        if ended:
            missing = "; ".join(_missing(ledger, delivery, task, position) for task in ended)
            closing.append(f"{counted(len(ended), 'task')} {state}: {missing}")
    open_tasks = [task for task in tasks if not task.state.final]
    if open_tasks:
        due = min((task.next_attempt_at_ms for task in open_tasks if task.next_attempt_at_ms), default=None)
        closing.append(f"{counted(len(open_tasks), 'task')} open")
        closing += [f"the next attempt at {moment(due)}"] if due else []
    return _ended(lines, delivery.delivery_id, ", ".join(closing))


def _missing(ledger: Ledger, delivery: StoredDelivery, task: Task, position: int | None) -> str:
    """Return what a dead or cancelled task did not forward, and why."""
    told = {outcome.position for outcome in ledger.outcomes(task.task_id)}
    if position in told:
        return "this record was answered for"
    left = "this record" if position is not None else counted(delivery.records - len(told), "record")
    return f"{left} not forwarded" + (f": {task.error}" if task.error else "")


def _ended(lines: list[_Line], delivery_id: str, closing: str) -> list[_Line]:
    """Return *lines* in order of time, and *closing* at the time of the last."""
    last_ms = max((line.at_ms for line in lines), default=0)
    return [*sorted(lines, key=lambda line: line.at_ms), _Line(last_ms, delivery_id, closing)]


def _arrival(ledger: Ledger, delivery: StoredDelivery, tasks: int, position: int | None) -> list[_Line]:
    name, at_ms = delivery.delivery_id, delivery.received_at_ms
    about = f"{delivery.event_type}, {counted(delivery.body_bytes, 'byte')}, {counted(delivery.records, 'record')}"
    proof = f"proved by {delivery.authenticated_by}" + (", too old but new to us" if delivery.stale else "")
    ids = [f"{key} {value}" for key in _IDS if (value := getattr(delivery, key))]
    lines = [_Line(at_ms, name, f"{name} came from source {delivery.source}: {', '.join([about, proof, *ids])}")]
    if delivery.repeat_of:
        lines.append(_Line(at_ms, name, f"same bytes as {delivery.repeat_of}, after dedupe_window: a new delivery"))
    for seen in ledger.sightings(name):
        text = "came again with another body: kept, not forwarded" if seen.conflict else "came again: not forwarded"
        lines.append(_Line(seen.seen_at_ms, name, text))
    if delivery.processed_at_ms is not None:
        lines += [_Line(delivery.processed_at_ms, name, what) for what in _processed(delivery, tasks)]
        if delivery.issues:
            flagged = _flagged(ledger.records(name), position)
            lines += [_Line(delivery.processed_at_ms, name, flagged)] if flagged else []
    return lines


_IDS = ("job_id", "search_id", "partner_customer_id", "partner_user_id")


def _processed(delivery: StoredDelivery, tasks: int) -> Iterator[str]:
    """Yield what was made of the body."""
    if delivery.event_type == JOB_FAILED:
        yield "the vendor reports the job as failed: there is nothing to forward"
    elif delivery.state not in {DeliveryState.QUARANTINED, DeliveryState.IGNORED}:
        owed = f"{counted(tasks, 'task')} for the sinks" if delivery.records else "there is nothing to forward"
        yield f"{counted(delivery.records, 'record')} normalised, {owed}"


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


def _positions(positions: list[int]) -> str:
    shown = ", ".join(str(one) for one in positions[:_POSITIONS_MAX])
    more = f" and {len(positions) - _POSITIONS_MAX} more" if len(positions) > _POSITIONS_MAX else ""
    return f"{'record' if len(positions) == 1 else 'records'} {shown}{more}"


def _story_of_task(ledger: Ledger, task: Task) -> list[_Line]:
    delivery = ledger.delivery(task.delivery_id)
    closing = f"{task.task_id} is now {task.state}"
    lines = _attempts(ledger, task, None)
    if delivery is not None:
        owed = ledger.tasks(TaskFilter(delivery_id=task.delivery_id), limit=None)
        lines = [*_arrival(ledger, delivery, len(owed), None), *lines]
        if task.state in {TaskState.DEAD, TaskState.CANCELLED}:
            closing += f": {_missing(ledger, delivery, task, None)}"
    if task.next_attempt_at_ms:
        closing += f", the next attempt at {moment(task.next_attempt_at_ms)}"
    return _ended(lines, task.delivery_id, closing)


def _attempts(ledger: Ledger, task: Task, position: int | None) -> list[_Line]:
    outcomes = {outcome.position: outcome for outcome in ledger.outcomes(task.task_id)}
    lines = [_Line(task.created_at_ms, task.delivery_id, f"owed to sink {task.sink} (task {task.task_id})")]
    for attempt in ledger.attempts(task.task_id):
        if attempt.ended_at_ms is None or attempt.signal is None:
            what = f"{task.sink}: attempt {attempt.number} is under way"
            lines.append(_Line(attempt.started_at_ms, task.delivery_id, what))
            continue
        last = attempt.number == task.attempts and task.state.final
        told = f", {_told(outcomes, position)}" if last and outcomes else ""
        error = f": {attempt.error}" if attempt.error else ""
        how = _ENDS.get(attempt.signal, str(attempt.signal))
        what = f"{task.sink}: attempt {attempt.number}: {how}{told}{error}"
        lines.append(_Line(attempt.ended_at_ms, task.delivery_id, what))
    return lines


_ENDS = {
    Signal.TAKEN: "delivered",
    Signal.SPLIT: "delivered in part",
    Signal.UNAVAILABLE: "failed, to be tried again",
    Signal.REJECTED: "refused for good",
    Signal.EXHAUSTED: "failed, the last one",
    Signal.RELEASED: "interrupted, to be tried again",
}


def _told(outcomes: dict[int, Outcome], position: int | None) -> str:
    if position is not None:
        one = outcomes.get(position)
        if one is None:
            return "no outcome for this record"
        words = [one.kind, one.category, one.code, one.property, one.message, one.correlation_id]
        return " ".join(str(word) for word in words if word)
    counts = Counter(str(outcome.kind) for outcome in outcomes.values())
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _stories_of(ledger: Ledger, identifiers: list[tuple[str, str]]) -> list[_Line]:
    """Return what happened to every record that carries one of the identifiers."""
    hashes = [lookup_hash(ledger.hash_key, kind, value) for kind, value in identifiers]
    lines: list[_Line] = []
    for delivery_id, position in ledger.find_person(hashes):
        delivery = ledger.delivery(delivery_id)
        if delivery is not None:
            lines.append(_Line(delivery.received_at_ms, delivery_id, f"record {position} of {delivery_id}"))
            lines += _story(ledger, delivery, position=position)
    return lines


def _identifiers_of(text: str, config: Path | None) -> list[tuple[str, str]]:
    """Return how *text* may stand in a record: normalised as a record's own fields are."""
    from stibgate.config import load
    from stibgate.normalise import Rules, normalise

    rules = Rules(**load(config).settings.normalise.model_dump())
    fields: dict[str, Any] = {"business_email": text, "mobile_phone": text, "linkedin_url": text}
    record: Record = normalise(fields, position=0, rules=rules)
    flagged = {issue.field for issue in record.issues}
    names = {"business_email": "email", "mobile_phone": "phone", "linkedin_url": "linkedin"}
    found = [(kind, value) for name, kind in names.items() if name not in flagged and (value := getattr(record, name))]
    if not found:
        raise UsageError(
            f"{text!r} is no e-mail address, phone number or LinkedIn URL", hint="Give an id without --person."
        )
    return found
