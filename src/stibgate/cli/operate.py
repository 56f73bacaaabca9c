"""How commands change something: through the running service, or on the store itself when no service runs.

The store has one writer. So a writing command takes the store's lock when it is free, and asks the service that
holds it through its admin listener when it is not.
"""

import asyncio
import functools
import getpass
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.direct import open_direct
from stibgate.cli.output import cause
from stibgate.cli.service import Way, service_at, way_options
from stibgate.cli.times import time_option
from stibgate.domain.access import Principal, Role
from stibgate.domain.audit import Actor
from stibgate.errors import (
    Busy,
    PermissionRefused,
    ServiceUnreachable,
    StibgateError,
    StoreLocked,
    StoreUnavailable,
    UsageError,
)
from stibgate.views.words import counted

if TYPE_CHECKING:
    from stibgate.config import Settings
    from stibgate.pipeline.acts import Acts

R = TypeVar("R")
_FILTERS = ("source", "since", "until", "error", "job_id", "search_id", "person", "state")
_NAME_MAX = 60
TIMEOUT_S = 120.0
COMMANDS_WAIT_S = 60.0
"""How long a command waits for other commands that use the store."""
COMMANDS_PAUSE_S = 0.05


def selection_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add what says which deliveries or tasks are meant, and how the command behaves; passes them as *chosen*."""
    options: list[Callable[[Any], Any]] = [
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        config_option,
        json_option,
        click.option("--sink", help="Only what is owed to this sink."),
        click.option("--source", help="Only what came from this source."),
        time_option("--since", "Only what was received then or later."),
        time_option("--until", "Only what was received before."),
        click.option("--error", metavar="TEXT", help="Only tasks whose error contains TEXT."),
        click.option("--job-id"),
        click.option("--search-id"),
        click.option("--person", metavar="WHO", help="An id, e-mail address, phone number or LinkedIn URL."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        way_options,
    ]

    @functools.wraps(command)
    def wrapped(*, config: Path | None, as_json: bool, yes: bool, way: Way, **chosen: Any) -> R:
        return command(Request(config, chosen, way, as_json=as_json, yes=yes))

    return functools.reduce(lambda inner, option: option(inner), reversed(options), wrapped)


class Request:
    """What one command was asked to do.

    Args:
        config: The configuration's path.
        chosen: The options of `selection_options`, and those that the command has beside them.
        way: To the service, or to the store.
        as_json: Whether the report is printed as JSON.
        yes: Whether nobody is asked.
    """

    def __init__(self, config: Path | None, chosen: dict[str, Any], way: Way, *, as_json: bool, yes: bool) -> None:
        self.config = config
        self.chosen = chosen
        self.way = way
        self.as_json = as_json
        self.yes = yes

    @property
    def unlimited(self) -> bool:
        """Whether neither an id nor a filter nor `--all` says what is meant."""
        return not any(self.chosen.get(name) for name in ("ids", "sink", "all_", *_FILTERS))

    def body(self, of: str, **fixed: str) -> dict[str, Any]:
        """Return the request as the admin API takes it; *fixed* filters win over the command line's."""
        given = {**{name: self.chosen.get(name) for name in _FILTERS}, **fixed}
        return {
            "of": of,
            "ids": list(self.chosen["ids"]),
            "filter": {name: value for name, value in given.items() if value is not None},
            "sink": self.chosen["sink"],
            **({"all": bool(self.chosen["all_"])} if "all_" in self.chosen else {}),
            "dry_run": self.chosen["dry_run"],
            "by": f"{user()}, by command",
        }

    def run(self, call: str, body: dict[str, Any], *, verb: str) -> None:
        """Ask where somebody can answer, do it, and print the report.

        Raises:
            UsageError: Ids and filters were given.
            StibgateError: Something that was named is not known.
        """
        if body["ids"] and any(self.chosen.get(name) for name in _FILTERS):
            raise UsageError("ids and filters were both given", hint="Give one or the other; --sink goes with both.")
        if not body["dry_run"] and not self.yes and not body["ids"] and sys.stdin.isatty() and sys.stdout.isatty():
            report = self._call(call, {**body, "dry_run": True})
            print_report(report, verb=verb, as_json=False, err=True)
            click.confirm("Do it?", abort=True, err=True)
        report = self._call(call, body)
        print_report(report, verb=verb, as_json=self.as_json)
        if report["unknown"]:
            names = ", ".join(report["unknown"][:5])
            raise StibgateError(f"nothing is known of {names}", hint="`deliveries list` and `tasks list` show ids.")

    def _call(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        from stibgate.config import load

        settings = load(self.config).settings
        return operate(
            settings,
            f"/api/v1/{call}",
            body,
            with_acts(settings, lambda acts: _locally(settings, acts, call, body)),
            way=self.way,
        )


def with_acts(
    settings: "Settings", work: Callable[["Acts"], Awaitable[dict[str, Any]]]
) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
    """Return what does *work* on the store itself."""

    async def locally() -> dict[str, Any]:
        from stibgate.app.offline import operate as offline

        return await offline(settings, work)

    return locally


def operate(
    settings: "Settings",
    path: str,
    body: dict[str, Any] | None,
    locally: Callable[[], Coroutine[Any, Any, dict[str, Any]]],
    *,
    way: Way,
) -> dict[str, Any]:
    """Return what *locally* returns on the store itself, or what the service that has the store answers to *path*.

    Raises:
        StoreLocked: A service runs, and *way* says not to ask it.
        ServiceUnreachable: Somebody has the store, and does not answer.
    """
    from stibgate.log import configure

    configure(level="error", stream=sys.stderr.buffer)  # what is done is printed; a service would log it
    deadline_s = time.monotonic() + COMMANDS_WAIT_S
    while way.url is None:
        try:
            return asyncio.run(locally())
        except StoreLocked as error:
            if not error.for_a_moment or time.monotonic() > deadline_s:
                if way.offline:
                    raise
                break
        time.sleep(COMMANDS_PAUSE_S)
    url, token = service_at(lambda: settings, way.url, way.token_file)
    return _post(f"{url}{path}", body, token=token)


async def _locally(settings: "Settings", acts: "Acts", call: str, body: dict[str, Any]) -> dict[str, Any]:
    from stibgate.views.replays import report_row
    from stibgate.web.api.replays import ReplayBody, SelectionBody

    rules = settings.normalise.rules()
    if call == "replays":
        wanted = ReplayBody.read(json.dumps(body))
        return report_row(
            await acts.replay(actor(), wanted.selection(rules), forced=wanted.all, dry_run=wanted.dry_run)
        )
    asked = SelectionBody.read(json.dumps(body))
    return report_row(await acts.cancel(actor(), asked.selection(rules), dry_run=asked.dry_run))


def _post(url: str, body: dict[str, Any] | None, *, token: str) -> dict[str, Any]:
    """Return what the admin listener answers.

    Raises:
        ServiceUnreachable: Nobody answers, or somebody who is no gateway.
        StibgateError: It refused what was asked.
    """
    request = urllib.request.Request(  # noqa: S310  (http, by configuration)
        url,
        data=json.dumps(body or {}).encode(),
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        method="POST",
    )
    try:
        with open_direct(request, timeout_s=TIMEOUT_S) as answer:
            document: dict[str, Any] = json.loads(answer.read())
            _ours(answer.headers)
            return document
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServiceUnreachable(
            f"no service answers at {url.partition('/api/')[0]}: {cause(error)}",
            hint="Check --admin or server.admin_bind, or stop the service that has the store and try again.",
        ) from error


def _refused(error: urllib.error.HTTPError) -> StibgateError:
    """Return what the admin listener refused, as the error that it would have been here."""
    try:
        _ours(error.headers)
        told = json.loads(error.read())
        title, hint = str(told["title"]), str(told.get("hint", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return ServiceUnreachable(f"{error.url} answered {error.code}", hint=_OTHER)
    if error.code == 401:
        return PermissionRefused(f"the service at {error.url} takes another admin token than this one", hint=_OTHER)
    if error.code == 403:
        return PermissionRefused(title, hint=hint)
    kind = {400: UsageError, 413: UsageError, 429: Busy, 503: StoreUnavailable}.get(error.code, StibgateError)
    refused = kind(title, hint=hint)
    if isinstance(told.get("exit_code"), int):
        refused.exit_code = told["exit_code"]
    return refused


_OTHER = "Is server.admin_bind the admin listener of the service that has this store?"


def _ours(headers: Message) -> None:
    """Raise ValueError when this is not an answer of a gateway."""
    from stibgate.web.problem import SERVER

    if headers.get("Server") != SERVER:
        raise ValueError("another server")


def print_report(report: dict[str, Any], *, verb: str, as_json: bool, err: bool = False) -> None:
    """Print what was done, or would be; with *err* beside the output."""
    if as_json:
        click.echo(json.dumps(report))
        return
    records, sinks = report["records"], report["sinks"]
    where = ", ".join(f"{count} to {sink}" for sink, count in sinks.items())
    would = "would be " if report["dry_run"] else ""
    click.echo(f"{counted(records, 'record')} {would}{verb}" + (f": {where}" if where else ""), err=err)
    for result, count in report["results"].items():
        click.echo(f"  {_RESULTS.get(result, result):40} {count}", err=err)


_RESULTS = {
    "replayed": "sent again",
    "nothing_left": "nothing left to send (--all sends again)",
    "on_the_way": "on the way by themselves",
    "sink_gone": "their sink is not configured any more",
}


def actor() -> Actor:
    """Return who acts on a store that no service uses: whoever may read and write it may do everything."""
    return Actor(Principal(user(), Role.ADMIN), by=f"{user()}, by command")


def user() -> str:
    """Return who calls, for the story that others read."""
    try:
        return getpass.getuser()[:_NAME_MAX]
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return "somebody"
