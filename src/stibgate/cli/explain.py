"""`stibgate explain`: the whole story of a delivery, a task or a person, in order."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import moment, open_ledger, printable
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.record import Record, lookup_hash
from stibgate.domain.task import Outcome, Task
from stibgate.errors import StibgateError, UsageError
from stibgate.stores import Ledger, TaskFilter


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
    """Tell the whole story of ID: a delivery, a task, or a person's person_id or prospect_id.

    With --person, find somebody by e-mail, phone or LinkedIn URL; also prints the hash under which logs name them.
    """
    if (name is None) == (person is None):
        raise UsageError("say who or what", hint="Give one ID, or --person EMAIL|PHONE|LINKEDIN.")
    with open_ledger(config) as ledger:
        if person is not None or name is None:
            lines = _about_person(ledger, _identifiers_of(person or ""), person or "", as_json=as_json)
        elif (delivery := ledger.delivery(name)) is not None:
            lines = list(_story(ledger, delivery))
        elif (task := ledger.task(name)) is not None:
            lines = list(_story_of_task(ledger, task))
        else:
            known = [("person_id", name), ("prospect_id", name)]
            lines = _about_person(ledger, known, name, as_json=as_json)
    for line in lines:
        if as_json:
            click.echo(json.dumps({"at": moment(line.at_ms), "delivery_id": line.delivery_id, "what": line.what}))
        else:
            click.echo(f"{moment(line.at_ms)}  {printable(line.what)}")


def _story(ledger: Ledger, delivery: StoredDelivery, *, position: int | None = None) -> Iterator[_Line]:
    """Yield what happened to a delivery in order of time; only to one of its records with *position*."""
    tasks = [task for _, task in ledger.tasks(TaskFilter(delivery_id=delivery.delivery_id), limit=None)]
    lines = [*_arrival(ledger, delivery)]
    for task in tasks:
        lines += _attempts(ledger, task, position)
    yield from sorted(lines, key=lambda line: line.at_ms)
    open_tasks = [task for task in tasks if not task.state.final]
    closing = f"now {delivery.state}" + (f": {delivery.reason}" if delivery.reason else "")
    if open_tasks:
        due = min((task.next_attempt_at_ms for task in open_tasks if task.next_attempt_at_ms), default=None)
        closing += f", {len(open_tasks)} tasks open" + (f", the next attempt at {moment(due)}" if due else "")
    last_ms = lines[-1].at_ms if lines else delivery.received_at_ms
    yield _Line(max(last_ms, delivery.received_at_ms), delivery.delivery_id, f"{delivery.delivery_id} is {closing}")


def _arrival(ledger: Ledger, delivery: StoredDelivery) -> Iterator[_Line]:
    name = delivery.delivery_id
    about = f"{delivery.event_type}, {delivery.body_bytes} bytes, {delivery.records} records"
    proof = f"proved by {delivery.authenticated_by}" + (", too old but new to us" if delivery.stale else "")
    ids = [f"{key} {value}" for key in _IDS if (value := getattr(delivery, key))]
    yield _Line(
        delivery.received_at_ms, name, f"{name} came from source {delivery.source}: {', '.join([about, proof, *ids])}"
    )
    if delivery.repeat_of:
        yield _Line(
            delivery.received_at_ms, name, f"same bytes as {delivery.repeat_of}, after dedupe_window: a new delivery"
        )
    for seen in ledger.sightings(name):
        text = "came again with another body: kept, not forwarded" if seen.conflict else "came again: not forwarded"
        yield _Line(seen.seen_at_ms, name, text)
    if delivery.processed_at_ms is not None:
        flagged = f", {delivery.issues} fields flagged" if delivery.issues else ""
        yield _Line(delivery.processed_at_ms, name, f"{delivery.records} records normalised{flagged}, tasks enqueued")


_IDS = ("job_id", "search_id", "partner_customer_id", "partner_user_id")


def _story_of_task(ledger: Ledger, task: Task) -> Iterator[_Line]:
    delivery = ledger.delivery(task.delivery_id)
    lines = [] if delivery is None else [*_arrival(ledger, delivery)]
    yield from sorted([*lines, *_attempts(ledger, task, None)], key=lambda line: line.at_ms)
    due = f", the next attempt at {moment(task.next_attempt_at_ms)}" if task.next_attempt_at_ms else ""
    yield _Line(task.updated_at_ms, task.delivery_id, f"{task.task_id} is now {task.state}{due}")


def _attempts(ledger: Ledger, task: Task, position: int | None) -> Iterator[_Line]:
    outcomes = {outcome.position: outcome for outcome in ledger.outcomes(task.task_id)}
    yield _Line(task.created_at_ms, task.delivery_id, f"{task.task_id} owes it to sink {task.sink}")
    for attempt in ledger.attempts(task.task_id):
        if attempt.ended_at_ms is None:
            yield _Line(attempt.started_at_ms, task.delivery_id, f"{task.sink}: attempt {attempt.number} is under way")
            continue
        last = attempt.number == task.attempts and task.state.final
        told = f": {_told(outcomes, position)}" if last and outcomes else ""
        error = f": {attempt.error}" if attempt.error else ""
        what = f"{task.sink}: attempt {attempt.number} {attempt.signal}{error}{told}"
        yield _Line(attempt.ended_at_ms, task.delivery_id, what)


def _told(outcomes: dict[int, Outcome], position: int | None) -> str:
    if position is not None:
        one = outcomes.get(position)
        if one is None:
            return "no outcome for this record"
        words = [one.kind, one.category, one.code, one.property, one.message, one.correlation_id]
        return " ".join(str(word) for word in words if word)
    counts = Counter(str(outcome.kind) for outcome in outcomes.values())
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _about_person(ledger: Ledger, identifiers: list[tuple[str, str]], asked: str, *, as_json: bool) -> list[_Line]:
    hashes = [lookup_hash(ledger.hash_key, kind, value) for kind, value in identifiers]
    found = ledger.find_person(hashes)
    if not found:
        raise StibgateError(
            f"nothing is known of {asked!r}", hint="It is compared with normalised values; try another identifier."
        )
    if not as_json:
        names = ", ".join(f"{kind} h:{value.hex()[:16]}" for (kind, _), value in zip(identifiers, hashes, strict=True))
        click.echo(f"in logs: {names}")
    lines: list[_Line] = []
    for delivery_id, position in found:
        delivery = ledger.delivery(delivery_id)
        if delivery is not None:
            lines.append(_Line(delivery.received_at_ms, delivery_id, f"record {position} of {delivery_id}"))
            lines += _story(ledger, delivery, position=position)
    return lines


def _identifiers_of(text: str) -> list[tuple[str, str]]:
    """Return how *text* may stand in a record: normalised as a record's own fields are."""
    from stibgate.normalise import Rules, normalise

    fields: dict[str, Any] = {"business_email": text, "mobile_phone": text, "linkedin_url": text}
    record: Record = normalise(fields, position=0, rules=Rules())
    flagged = {issue.field for issue in record.issues}
    names = {"business_email": "email", "mobile_phone": "phone", "linkedin_url": "linkedin"}
    found = [(kind, value) for name, kind in names.items() if name not in flagged and (value := getattr(record, name))]
    if not found:
        raise UsageError(
            f"{text!r} is no e-mail address, phone number or LinkedIn URL", hint="Give an id without --person."
        )
    return found
