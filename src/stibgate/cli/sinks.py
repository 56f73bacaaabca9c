"""`stibgate sinks`: where records go, and whether they could go there now."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.operate import actor, operate, user, with_acts
from stibgate.cli.output import print_rows, printable
from stibgate.cli.service import Way, way_options
from stibgate.domain.circuit import CircuitState, SinkState
from stibgate.errors import EXIT_FAILED, NoStore, UsageError

if TYPE_CHECKING:
    from stibgate.config import Settings
    from stibgate.pipeline.acts import Acts
    from stibgate.sinks import Finding


@click.group()
def sinks() -> None:
    """List, test, pause and resume sinks."""


@sinks.command("list")
@config_option
@json_option
def list_(*, config: Path | None, as_json: bool) -> None:
    """List sinks: where each leads, what routes lead there, and its tasks.

    Needs no running service. A sink that is no longer configured is listed while tasks name it.
    """
    from stibgate.config import load
    from stibgate.views.sinks import sink_rows

    settings = load(config).settings
    tasks, states = _known(settings)
    rows = sink_rows(settings, states, tasks)
    if not as_json:
        rows = [_in_words(row) for row in rows]
    columns = ("sink", "kind", "destination", "routes", "state", "tasks")
    print_rows(rows, as_json=as_json, columns=columns, empty="no sinks")


def _in_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of `sink_rows` as people read it."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted((row["tasks"] or {}).items()))
    routes = ", ".join(row["routes"])
    state = "gone" if row["kind"] is None else _in_short(row["state"])
    return {**row, "routes": routes or None, "state": state, "tasks": counts or None}


def _in_short(state: Mapping[str, Any]) -> str:
    """Return whether a sink takes tasks, in a word or two."""
    if state["paused_at"] is not None:
        return f"paused by {state['paused_by']}"
    if state["circuit"] == CircuitState.CLOSED:
        return "going"
    word = "held" if state["held"] else "left alone" if state["circuit"] == CircuitState.OPEN else "being tried"
    return f"{word}: {state['reason']}"


def _add_change(verb: str, about: str, *, done: str, nothing: str) -> None:
    """Add the command *verb*: what it prints is *done*, or *nothing* when there was nothing to change."""

    @sinks.command(verb, help=about)
    @click.argument("name")
    @config_option
    @way_options
    def change(*, name: str, config: Path | None, way: Way) -> None:
        changed = _change(name, verb, config, way=way)
        click.echo((done if changed else nothing).format(name))


_add_change(
    "pause",
    "Start no more attempts at NAME: its tasks are kept as `paused` until it is resumed.",
    done="{} is paused; its tasks wait",
    nothing="{} was paused already",
)
_add_change(
    "resume",
    "Go on with NAME at once, whether it was paused or left alone after failures.",
    done="{} goes on",
    nothing="nothing kept {}",
)
_add_change(
    "reset",
    "Close the circuit breaker of NAME, which was left alone after failures; a pause stays as it is.",
    done="the breaker of {} is closed",
    nothing="the breaker of {} was closed already",
)


def _change(name: str, verb: str, config: Path | None, *, way: Way) -> bool:
    from stibgate.config import load

    async def work(acts: "Acts") -> dict[str, Any]:
        changing = {"pause": acts.pause, "resume": acts.resume, "reset": acts.reset}
        return {"changed": await changing[verb](actor(), name)}

    by = f"{user()}, by command"
    path = f"/api/v1/sinks/{quote(name, safe='')}/{verb}?by={quote(by)}"
    settings = load(config).settings
    return bool(operate(settings, path, None, with_acts(settings, work), way=way)["changed"])


@sinks.command()
@click.argument("name", required=False)
@config_option
@json_option
def test(*, name: str | None, config: Path | None, as_json: bool) -> None:
    """Look whether NAME, or every sink, could take records now.

    Nothing is written anywhere. Exit code 1 when something is in the way.
    """
    from stibgate.app.looking import look
    from stibgate.config import load
    from stibgate.log import configure

    settings = load(config).settings
    if name is not None and name not in settings.sinks:
        raise UsageError(
            f"there is no sink {name!r}", hint=f"The configuration has {', '.join(settings.sinks) or 'none'}."
        )
    chosen = {name: settings.sinks[name]} if name is not None else settings.sinks
    if not chosen:
        click.echo("no sinks", err=True)
    configure(level="warning", stream=sys.stderr.buffer)
    found = asyncio.run(look(chosen))
    for sink, findings in zip(chosen, found, strict=True):
        for finding in findings:
            _print(sink, finding, as_json=as_json)
    if not all(finding.ok for findings in found for finding in findings):
        sys.exit(EXIT_FAILED)


def _known(
    settings: "Settings",
) -> tuple[Mapping[str, Mapping[str, int]] | None, Mapping[str, SinkState]]:
    """Return tasks by sink and state, and what is known of sinks; None and nothing where nothing was received."""
    from stibgate.app import open_store_ledger

    try:
        ledger = open_store_ledger(settings)
    except NoStore:
        return None, {}
    with closing(ledger):
        return ledger.task_counts(), ledger.sinks()


def _print(sink: str, finding: "Finding", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"sink": sink, "ok": finding.ok, "what": finding.what, "hint": finding.hint}))
        return
    word = click.style("ok", fg="green") if finding.ok else click.style("not ok", fg="red")
    click.echo(f"{sink}: {word}: {printable(finding.what)}")
    if finding.hint:
        click.echo(f"  hint: {printable(finding.hint)}")
