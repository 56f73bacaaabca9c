"""`stibgate routes`: what the configured routes make of a delivery that nobody has sent."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import print_rows, printable
from stibgate.config import Settings, load
from stibgate.domain.event import RECORDS_PUSHED, Event
from stibgate.domain.record import Provenance, Record
from stibgate.domain.routing import Explanation, Routing
from stibgate.errors import NotUnderstood, StibgateError, UsageError
from stibgate.events import READERS
from stibgate.events.envelope import parse, resolve
from stibgate.normalise import normalise
from stibgate.views.words import counted


@click.group()
def routes() -> None:
    """Say which records of a body go where, and why."""


@routes.command()
@config_option
@json_option
@click.option(
    "--file", "file", type=click.File("rb"), required=True, help="A delivery's raw body; - is standard input."
)
@click.option("--source", "name", help="Who would send it.  [default: the only one that could]")
@click.option("--event-type", help="The header stibnite-event-type, for a body that does not say what it is.")
def test(*, config: Path | None, as_json: bool, file: BinaryIO, name: str | None, event_type: str | None) -> None:
    """Say which records of a body go where, and why.

    Nothing is stored or forwarded; no store and no service is needed. Of a person only ids are shown.
    """
    settings = load(config).settings
    event, records = _read(file.read(), event_type, settings)
    source = _source(settings, name, event)
    provenance = Provenance(
        delivery_id="test",
        source=source,
        event_type=event.event_type,
        received_at="test",
        search_id=event.search_id,
        job_id=event.job_id,
        partner_customer_id=event.partner_customer_id,
        partner_user_id=event.partner_user_id,
    )
    router = settings.router()
    routing = router.route(provenance, records)
    told = [(record, router.explain(provenance, record)) for record in records]
    if not as_json:
        click.echo(f"{printable(event.event_type)} from {source}: {counted(len(records), 'record')}")
        _print_table(routing, told)
        return
    answer = {
        "source": source,
        "event_type": event.event_type,
        "records": len(records),
        "sinks": {sink: _counted(positions) for sink, positions in routing.sinks.items()},
        "unrouted": _counted(routing.unrouted),
        "decisions": [_decision(record, why) for record, why in told],
    }
    click.echo(json.dumps(answer))


def _read(body: bytes, header_event_type: str | None, settings: Settings) -> tuple[Event, list[Record]]:
    """Return what *body* is, and its records, as the pipeline reads them.

    Raises:
        StibgateError: It would be quarantined or ignored.
    """
    try:
        document = parse(body)
        event = resolve(document, header_event_type=header_event_type)
        raw = READERS[event.event_type].raw_records(document) if event.known else []
    except NotUnderstood as error:
        raise StibgateError(
            f"the body is not understood: {error.message}",
            hint=f"Such a delivery is kept in quarantine, with the reason {error.reason}.",
        ) from error
    if not event.known:
        raise StibgateError(
            f"{event.event_type!r} is an event type that is not known",
            hint=f"Such a delivery is kept and ignored. Known are {', '.join(READERS)}.",
        )
    rules = settings.normalise.rules()
    return event, [normalise(one, position=position, rules=rules) for position, one in enumerate(raw)]


def _source(settings: Settings, name: str | None, event: Event) -> str:
    """Return *name*, or the only source that could send *event*.

    Raises:
        UsageError: There is no such source, or not exactly one.
    """
    known = ", ".join(settings.sources) or "none"
    if name is not None:
        if name not in settings.sources:
            raise UsageError(f"there is no source {name!r}", hint=f"The configuration has {known}.")
        return name
    kind = "stibnite_push" if event.event_type == RECORDS_PUSHED else "stibnite_jobs"
    fitting = [key for key, source in settings.sources.items() if source.kind == kind]
    if len(fitting) != 1:
        which = f"could be {', '.join(fitting)}" if fitting else f"none is of kind {kind}; there are {known}"
        raise UsageError("which source?", hint=f"Give --source: {which}.")
    return fitting[0]


def _print_table(routing: Routing, told: Sequence[tuple[Record, Explanation]]) -> None:
    for sink, positions in routing.sinks.items():
        click.echo(f"  to {sink}: {_told(positions)}")
    if routing.unrouted:
        click.echo(f"  to no sink: {_told(routing.unrouted)}")
    columns = ("position", "person_id", "prospect_id", "sinks", "routes", "why")
    print_rows([_row(record, why) for record, why in told], as_json=False, columns=columns, empty="no records to route")


def _counted(positions: Sequence[int]) -> dict[str, Any]:
    return {"count": len(positions), "positions": list(positions)}


def _decision(record: Record, why: Explanation) -> dict[str, Any]:
    """Return what happens to one record, with what every route said about it."""
    steps = [
        {
            "route": step.route,
            "to": list(step.to),
            "asked": step.asked,
            "condition": step.condition or None,
            "seen": step.seen or None,
        }
        for step in why.steps
    ]
    return {
        "position": record.position,
        "person_id": record.person_id,
        "prospect_id": record.prospect_id,
        "sinks": list(why.sinks),
        "routes": list(why.matched),
        "why": why.why_nowhere or None,
        "steps": steps,
    }


def _row(record: Record, why: Explanation) -> dict[str, Any]:
    return {
        "position": record.position,
        "person_id": record.person_id,
        "prospect_id": record.prospect_id,
        "sinks": ", ".join(why.sinks) or None,
        "routes": ", ".join(why.matched) or None,
        "why": why.why_nowhere or None,
    }


def _told(positions: Sequence[int]) -> str:
    return f"{counted(len(positions), 'record')} ({', '.join(_ranges(positions))})"


def _ranges(positions: Sequence[int]) -> Iterator[str]:
    """Yield *positions*, which ascend, as `0-4` and `7`."""
    for _, run in groupby(enumerate(positions), key=lambda pair: pair[1] - pair[0]):
        first, *_, last = [position for _, position in run] * 2
        yield str(first) if first == last else f"{first}-{last}"
