"""`stibgate doctor url`: the receiver seen from outside, through whatever stands in front of it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.doctor_findings import Finding, exit_by, note, ok, print_finding, wrong
from stibgate.cli.output import checked_url
from stibgate.errors import UsageError
from stibgate.views.words import counted

if TYPE_CHECKING:
    from stibgate.cli.doctor_door import Door
    from stibgate.config import Settings


@click.command()
@config_option
@json_option
@click.option("--source", "name", help="Look at this source alone.  [default: every source]")
@click.option("--url", "base", help="Base URL to look at.  [default: server.public_url]")
@click.option(
    "--log",
    "log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A log of the service or its proxy, to look for tokens in.",
)
def url(*, config: Path | None, as_json: bool, name: str | None, base: str | None, log: Path | None) -> None:
    """Look at the receiver from outside: TLS, answers, size limits, redirects.

    Sends refused requests, and one push of 2,000 invented records under the event type stibgate.doctor, which nobody
    knows: it is stored as ignored and forwarded to nobody. Exit code 1 when something is wrong, 69 when nothing
    answers.
    """
    from stibgate.config import load

    settings = load(config).settings
    if name is not None and name not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise UsageError(f"there is no source {name!r}", hint=f"The configuration has {known}.")
    base = checked_url(base) if base is not None else settings.server.public_url
    if not base:
        raise UsageError("which URL?", hint="Set server.public_url, or give --url https://hooks.example.com.")
    names = [name] if name is not None else list(settings.sources)
    doors = _doors(config, settings, names, base)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        print_finding(finding, as_json=as_json)

    for finding in _in_log(log, settings):
        tell(finding)
    asyncio.run(_look(base, doors, settings, tell))
    exit_by(found)


async def _look(base: str, doors: "list[Door]", settings: "Settings", tell: Callable[[Finding], None]) -> None:
    from stibgate.cli.doctor_door import look_at_door, push_much, session
    from stibgate.cli.doctor_transport import look_at_transport

    if not await look_at_transport(base, tell):
        return
    async with session() as http:
        for door in doors:
            await look_at_door(http, door, settings.server.max_body, tell)
        await push_much(http, doors, tell)


def _doors(config: Path | None, settings: "Settings", names: list[str], base: str) -> "list[Door]":
    from stibgate.cli.doctor_door import Door
    from stibgate.cli.senders import find_sender

    return [
        Door(
            sender=find_sender(config, name, url=base),
            base=f"{base}/hooks/{name}",
            ack_status=settings.sources[name].ack_status,
            token_alone=settings.sources[name].auth == "token",
            # A valid signature would pin the scheme of a source that has not seen its sender yet.
            would_pin=settings.sources[name].scheme == "auto",
            is_push=settings.sources[name].kind == "stibnite_push",
        )
        for name in names
    ]


def _in_log(log: Path | None, settings: "Settings") -> Iterator[Finding]:
    """Yield whether a token of ours stands in the file *log*; nothing of its lines is shown."""
    if log is None:
        yield note("log", "not looked at", "Give --log FILE, to see whether the service or its proxy logs tokens.")
        return
    sources = settings.sources.items()
    tokens = {token.get_secret_value().encode(): name for name, source in sources for token in source.tokens}
    lines: dict[str, int] = {}
    with log.open("rb") as file:
        for line in file:
            for token, name in tokens.items():
                if token in line:
                    lines[name] = lines.get(name, 0) + 1
    for name, count in lines.items():
        yield wrong(
            "log",
            f"{log} holds a token of source {name} in {counted(count, 'line')}",
            "Leave request paths out of that log, give the source a new token, register its new URL, remove the old.",
        )
    if not lines:
        yield ok("log", f"no token in {log}")
