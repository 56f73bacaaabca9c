"""`stibgate listen`: the log of a running service, live in a terminal or a pipe."""

import functools
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.direct import open_direct
from stibgate.cli.event_stream import Event, events
from stibgate.cli.output import cause, printable
from stibgate.cli.service import admin_option, service_at, token_option
from stibgate.domain.units import parse_duration
from stibgate.errors import PermissionRefused, ServiceUnreachable, StibgateError, UsageError
from stibgate.views.words import counted

R = TypeVar("R")

SILENT_S = 40.0
"""The service says something every 15 s; who is silent for longer is not there any more."""
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
LAST_MAX = 1000

_SAID = {
    "source": "Only of this source; may be repeated, like all filters.",
    "sink": "Only of this sink.",
    "event": "Only these events: task.dead, or delivery.*",
    "event_type": "Only of this event type of the vendor.",
    "delivery_id": "Only of this delivery.",
    "task_id": "Only of this task.",
    "job_id": "Only of this job.",
    "search_id": "Only of this search.",
    "run_id": "Only of this run, whose pages are jobs.",
    "partner_customer_id": "Only of this customer of the partner.",
    "request_id": "Only of this request.",
    "reason": "Only with this reason: mismatch, draining, ...",
    "state": "Only what came into this state: dead, quarantined, ...",
    "outcome": "Only attempts with records that became this: refused, created, ...",
}
"""The filters, but for the level; what is not understood is said by the service."""
LEVELS = ("debug", "info", "warning", "error", "critical")
_MISSED = {
    "rate": "more came at once than is shown; a filter shows all of fewer",
    "overrun": "they are not kept any more",
    "restarted": "the service was restarted",
}


def _patience(_ctx: click.Context, _option: click.Parameter, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _filters(command: Callable[..., R]) -> Callable[..., R]:
    options = [click.option(f"--{name.replace('_', '-')}", multiple=True, help=said) for name, said in _SAID.items()]
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


@click.command()
@config_option
@json_option
@_filters
@click.option("--level", type=click.Choice(LEVELS), help="Only of this level and above.")
@click.option("--last", type=click.IntRange(0, LAST_MAX), default=0, help="First show so many lines that were.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many lines.")
@click.option(
    "--retry-for", default="60s", show_default=True, callback=_patience, help="How long to try again when it is gone."
)
@admin_option
@token_option
def listen(
    *,
    config: Path | None,
    as_json: bool,
    level: str | None,
    last: int,
    count: int | None,
    retry_for: float,
    url: str | None,
    token_file: Path | None,
    **chosen: Sequence[str],
) -> None:
    """Show what a running service does, as it happens, until ^C.

    Exit code 69 when nobody answers, or the service is gone for longer than --retry-for; 77 when it refuses the token.
    """
    from stibgate.config import load

    query = [(name, value) for name in _SAID for value in chosen[name]]
    query += [("level", level)] if level else []
    base, token = service_at(lambda: load(config).settings, url, token_file)
    line = _Line(base, token, query, last, retry_for)
    show = _as_json if as_json else _as_text
    try:
        for number, text in enumerate(line.lines(), 1):
            show(text)
            if number == count:
                return
    except KeyboardInterrupt:
        click.echo(err=True)  # behind the terminal's ^C


def _as_json(text: str) -> None:
    click.echo(json.dumps(_fields(text)))  # in ASCII, so that no terminal obeys it


def _as_text(text: str) -> None:
    from stibgate.cli.listen_output import told

    for row in told(_fields(text)):
        click.echo(row)


def _fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text)
    return fields


@dataclass(slots=True)
class _Line:
    """A line to the service that is taken up again when it breaks.

    Attributes:
        query: What to show.
        last: How many lines that were to begin with.
        patience_s: How long to try again.
        last_id: Behind which event to go on; empty at the start.
    """

    base: str
    token: str
    query: Sequence[tuple[str, str]]
    last: int
    patience_s: float
    last_id: str = ""

    def lines(self) -> Iterator[str]:
        """Yield lines of the log as JSON, as they come; what else there is to say goes to stderr.

        Raises:
            ServiceUnreachable: Nobody answers at the start, or for too long.
            PermissionRefused: The token is refused.
        """
        answer = self._call()
        asked = "".join(f"  {name}={printable(value)}" for name, value in self.query)
        click.echo(f"listening to {self.base}{asked}", err=True)
        while True:
            renewed = yield from self._read(answer)
            answer = self._call_again(at_once=renewed)

    def _read(self, answer: http.client.HTTPResponse) -> Generator[str, None, bool]:
        """Yield the lines of one connection; return whether it ended only to begin anew."""
        try:
            with answer:
                for event in events(answer):
                    self.last_id = event.id or self.last_id
                    if event.name == "line":
                        yield event.data
                    elif event.name == "bye":
                        return self._said_bye(event)
                    else:
                        _notice(event)
            why = "it ended"
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = cause(error)
        click.echo(f"connection lost: {printable(why)}; trying again", err=True)
        return False

    def _said_bye(self, event: Event) -> bool:
        renewed = bool(json.loads(event.data).get("reason") == "renew")
        if not renewed:
            click.echo("the service stops; waiting for it to come back", err=True)
        return renewed

    def _call_again(self, *, at_once: bool) -> http.client.HTTPResponse:
        lost_s = time.monotonic()
        for pause_s in _pauses():
            try:
                if not at_once:
                    time.sleep(min(pause_s, max(0.0, lost_s + self.patience_s - time.monotonic())))
                at_once = False
                answer = self._call()
            except ServiceUnreachable as error:
                if time.monotonic() - lost_s >= self.patience_s:
                    raise ServiceUnreachable(
                        f"{error.message}, for {self.patience_s:g} s", hint=error.hint or _HINT
                    ) from error
            else:
                return answer
        raise AssertionError("there is always another pause")

    def _call(self) -> http.client.HTTPResponse:
        """Return the answer of the service, which has a stream.

        Raises:
            ServiceUnreachable: Nobody answers now, or nobody whom we know.
            PermissionRefused: The token is refused.
            UsageError: The service does not know what was asked for.
        """
        query = [*self.query, *([("last", str(self.last))] if self.last else [])]
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        request = urllib.request.Request(  # noqa: S310  (http or https, checked)
            f"{self.base}/api/v1/events?{urllib.parse.urlencode(query)}", headers=headers
        )
        try:
            answer = open_direct(request, timeout_s=SILENT_S)
        except urllib.error.HTTPError as error:
            raise _refused(self.base, error) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServiceUnreachable(f"no gateway answers at {self.base}: {cause(error)}", hint=_HINT) from error
        if answer.headers.get_content_type() != "text/event-stream":
            answer.close()
            raise ServiceUnreachable(f"what answers at {self.base} is not the admin listener of stibgate", hint=_HINT)
        return answer


_HINT = "Is `stibgate serve` running, and is this its admin_bind?"


def _pauses() -> Iterator[float]:
    yield from PAUSES_S
    while True:
        yield PAUSES_S[-1]


def _notice(event: Event) -> None:
    if event.name == "ready":
        click.echo("Ready. (^C to quit)", err=True)
    elif event.name == "gap":
        gap = _fields(event.data)
        missed = "an unknown number of lines" if gap["missed"] is None else counted(gap["missed"], "line")
        click.echo(f"missed {missed}: {_MISSED.get(gap['reason'], 'they were left out')}", err=True)


def _refused(base: str, error: urllib.error.HTTPError) -> StibgateError:
    """Return what the service refused, as the error that ends this command or is tried again."""
    try:
        told = json.loads(error.read())
        title, hint = str(told["title"]), str(told["hint"])
    except (OSError, ValueError, KeyError, TypeError):
        title, hint = f"it answered {error.code}", _HINT
    if error.code in {401, 403}:
        return PermissionRefused(f"the service at {base} refuses the token: {printable(title)}", hint=_OTHER)
    if error.code in {404, 405}:
        return ServiceUnreachable(f"what answers at {base} has no live tail", hint=_HINT)
    kind: Callable[..., StibgateError] = UsageError if error.code == 400 else ServiceUnreachable
    return kind(printable(title if error.code == 400 else f"no live tail at {base}: {title}"), hint=printable(hint))


_OTHER = "Give --token-file; is this the service that has this store?"
