"""`stibgate explain`: the whole story of a delivery, a task, a job, a run, a search or a person, in order."""

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import open_ledger, printable
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.record import Record, lookup_hash
from stibgate.errors import StibgateError, UsageError
from stibgate.stores import DeliveryFilter, Ledger
from stibgate.views.job_story import story_of_job
from stibgate.views.story import Line, line_row, story_of_delivery, story_of_task
from stibgate.views.words import moment

if TYPE_CHECKING:
    from stibgate.config import Settings


@click.command()
@click.argument("name", metavar="ID", required=False)
@config_option
@json_option
@click.option("--person", help="An e-mail address, phone number or LinkedIn URL instead of an ID.")
def explain(*, name: str | None, config: Path | None, as_json: bool, person: str | None) -> None:
    """Tell the whole story of ID: a delivery, task, job, run or search, or a person by person_id or prospect_id.

    With --person, find somebody by e-mail address, phone number or LinkedIn URL.
    """
    if name is not None and person is not None:
        raise UsageError("an ID and --person were both given", hint="Give one of them.")
    if name is None and person is None:
        raise UsageError("say who or what", hint="Give one ID, or --person EMAIL|PHONE|LINKEDIN.")
    from stibgate.config import load

    settings = load(config).settings
    with open_ledger(config) as ledger:
        lines = _about_id(ledger, name, settings.sinks) if name else _about_person(ledger, person or "", settings)
    for line in lines:
        if as_json:
            click.echo(json.dumps(line_row(line)))
        else:
            click.echo(f"{moment(line.at_ms)}  {printable(line.what)}")


def _about_id(ledger: Ledger, name: str, known: Collection[str]) -> list[Line]:
    """Return the story of whatever *name* names.

    Raises:
        StibgateError: It names nothing that the store knows.
    """
    if (delivery := ledger.delivery(name)) is not None:
        return story_of_delivery(ledger, delivery, configured=known)
    if (task := ledger.task(name)) is not None:
        return story_of_task(ledger, task, configured=known)
    if lines := _about_job(ledger, name, known):
        return lines
    if found := ledger.deliveries(DeliveryFilter(search_id=name), limit=None):
        return _stories(ledger, found, known)
    if lines := _stories_of(ledger, [("person_id", name), ("prospect_id", name)], known):
        return lines
    raise StibgateError(f"nothing is known of {name!r}", hint="`stibgate deliveries list` shows what came, with ids.")


def _about_job(ledger: Ledger, name: str, known: Collection[str]) -> list[Line]:
    """Return the story of the job or run *name*: its money, and the deliveries that told of it."""
    job = ledger.job(name)
    lines = [] if job is None else story_of_job(ledger, job)
    job_id = name if job is None else job.job_id
    found = ledger.deliveries(DeliveryFilter(job_id=job_id), limit=None) if job_id else []
    return [*lines, *_stories(ledger, found, known)]


def _stories(ledger: Ledger, found: Sequence[StoredDelivery], known: Collection[str]) -> list[Line]:
    """Return the stories of deliveries that were listed newest first."""
    return [line for delivery in reversed(found) for line in story_of_delivery(ledger, delivery, configured=known)]


def _about_person(ledger: Ledger, text: str, settings: "Settings") -> list[Line]:
    lines = _stories_of(ledger, _identifiers_of(text, settings), settings.sinks)
    if not lines:
        raise StibgateError(
            f"nothing is known of {text!r}", hint="It is compared with normalised values; try another identifier."
        )
    return lines


def _stories_of(ledger: Ledger, identifiers: list[tuple[str, str]], known: Collection[str]) -> list[Line]:
    """Return what happened to every record that carries one of the identifiers; say what logs call the person."""
    hashes = [lookup_hash(ledger.hash_key, kind, value) for kind, value in identifiers]
    lines: list[Line] = []
    names: dict[str, None] = {}
    for delivery_id, position in ledger.find_person(hashes):
        delivery = ledger.delivery(delivery_id)
        if delivery is not None:
            lines.append(Line(delivery.received_at_ms, delivery_id, f"record {position} of {delivery_id}"))
            lines += story_of_delivery(ledger, delivery, position=position, configured=known)
            record = next(one for one in ledger.records(delivery_id) if one.position == position)
            names |= dict.fromkeys(_log_names(record, ledger.hash_key))
    if called := ", ".join(names):
        click.echo(f"notice: logs call this person {called}", err=True)
    return lines


def _log_names(record: Record, hash_key: bytes) -> Iterator[str]:
    """Yield what a log line calls the person, as `pipeline.dispatch` writes it: by the strongest identifier."""
    for kind, value in islice(record.identifiers(), 1):
        yield f"h:{lookup_hash(hash_key, kind, value).hex()}"


def _identifiers_of(text: str, settings: "Settings") -> list[tuple[str, str]]:
    from stibgate.normalise import identifiers_of

    found = list(identifiers_of(text, settings.normalise.rules()))
    if not found:
        raise UsageError(
            f"{text!r} is no e-mail address, phone number or LinkedIn URL", hint="Give an id without --person."
        )
    return found
