"""What the doctor found, one line each: what was looked at, how it is, what to do."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

import click

from stibgate.cli.output import printable
from stibgate.errors import EXIT_FAILED


class State(StrEnum):
    """How bad it is: a note asks for nothing, a warning may become wrong."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    WRONG = "wrong"


_COLOURS = {State.OK: "green", State.NOTE: "blue", State.WARNING: "yellow", State.WRONG: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What was looked at, a word or `source push`.
        state: How it is.
        message: What was seen, in one line without personal data or secrets.
        hint: What to do about it; empty when nothing.
    """

    check: str
    state: State
    message: str
    hint: str = ""


def ok(check: str, message: str) -> Finding:
    """Return that all is well."""
    return Finding(check, State.OK, message)


def note(check: str, message: str, hint: str = "") -> Finding:
    """Return something to know, often that a thing was not checked."""
    return Finding(check, State.NOTE, message, hint)


def warning(check: str, message: str, hint: str) -> Finding:
    """Return something that works and may not for long."""
    return Finding(check, State.WARNING, message, hint)


def wrong(check: str, message: str, hint: str) -> Finding:
    """Return something that does not work."""
    return Finding(check, State.WRONG, message, hint)


def print_finding(finding: Finding, *, as_json: bool) -> None:
    """Print *finding* as one JSON object, or for people."""
    if as_json:
        click.echo(json.dumps(asdict(finding)))
        return
    word = click.style(finding.state, fg=_COLOURS[finding.state])
    click.echo(f"{word}: {finding.check}: {printable(finding.message)}")
    if finding.hint:
        click.echo(f"  hint: {printable(finding.hint)}")


def exit_by(findings: Iterable[Finding]) -> None:
    """End with exit code 1 when anything is wrong."""
    if any(finding.state is State.WRONG for finding in findings):
        sys.exit(EXIT_FAILED)
