"""`stibgate trigger`: sample deliveries, signed as the source expects, to a running gateway."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.context import config_option, json_option
from stibgate.cli.output import cause, checked_url, printable
from stibgate.cli.senders import Sender, find_sender
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.domain.units import parse_rate
from stibgate.errors import EXIT_FAILED, ServiceUnreachable, UsageError
from stibgate.views.words import counted

if TYPE_CHECKING:
    import aiohttp

_KINDS = {JOB_SUCCEEDED: "stibnite_jobs", JOB_FAILED: "stibnite_jobs", RECORDS_PUSHED: "stibnite_push"}
_BAD = ("signature", "stale", "json", "duplicate")
_SERIALS = 2**40
AT_ONCE = 32
"""How many may wait for their answers, when they are sent at a rate."""


def _rate(_ctx: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("event", required=False)
@config_option
@json_option
@click.option(
    "--records", type=click.IntRange(0, 10_000), default=3, show_default=True, help="People in each delivery."
)
@click.option("--count", type=click.IntRange(1, 100_000), help="Deliveries.  [default: 1; with --rate, until ^C]")
@click.option("--rate", metavar="N/s", callback=_rate, help="So many a second, whether or not the last is answered.")
@click.option("--source", "name", help="Source to post to.  [default: the only one of the event's kind]")
@click.option("--to", "url", metavar="URL", help="Base URL of the gateway.  [default: server.bind]")
@click.option("--scheme", help="Preset to sign with.  [default: what the source expects]")
@click.option("--seed", type=int, help="Same seed, same people.  [default: other people each time]")
@click.option("--bad", type=click.Choice(_BAD), help="Spoil each delivery in this way.")
def trigger(
    *,
    event: str | None,
    config: Path | None,
    as_json: bool,
    records: int,
    count: int | None,
    rate: float | None,
    name: str | None,
    url: str | None,
    scheme: str | None,
    seed: int | None,
    bad: str | None,
) -> None:
    """Send signed sample deliveries of EVENT to a running gateway; without EVENT, list the events."""
    if event is None:
        for known in _KINDS:
            click.echo(known)
        return
    if event not in _KINDS:
        raise UsageError(f"no sample of {event!r}", hint=f"There are {', '.join(_KINDS)}.")
    base = None if url is None else checked_url(url)
    sender = find_sender(config, name, kind=None if name else _KINDS[event], url=base)
    if bad in {"signature", "stale"} and not sender.signs:
        raise UsageError(f"source {sender.name} has no signature to spoil", hint="It proves itself by its token alone.")
    count = 1 if count is None and rate is None else count
    deliveries = _make(event, sender, records=records, count=count, scheme=scheme, seed=seed, bad=bad)
    sending, started_s = _Sending(sender, rate, as_json), time.monotonic()
    try:
        asyncio.run(sending.run(deliveries))
    except KeyboardInterrupt:
        if rate is None:
            raise
    if rate is not None:
        took_s = time.monotonic() - started_s
        click.echo(f"{sending.sent} sent, {sending.refused} refused, in {took_s:.1f} s", err=True)
    sys.exit(EXIT_FAILED if sending.refused and bad is None else 0)


def _make(
    event: str,
    sender: Sender,
    *,
    records: int,
    count: int | None,
    scheme: str | None,
    seed: int | None,
    bad: str | None,
) -> Iterator[tuple[list[tuple[str, str]], bytes]]:
    """Yield headers and body of each delivery, signed when it is its turn; a duplicate comes twice."""
    from random import Random

    from stibgate.sandbox.samples import sample

    rng = Random(seed if seed is not None else secrets.randbits(64))  # noqa: S311  (invented people)
    first = 0 if seed is not None else secrets.randbelow(_SERIALS)
    for serial in islice(count_from(first), count):
        one = sample(event, records=records, rng=rng, serial=serial)
        body = one.body if bad != "json" else one.body[:-1]
        at = int(time.time()) - (3600 if bad == "stale" else 0)
        proof = sender.signed(body, scheme=scheme, unix_s=at) if sender.signs else []
        if bad == "signature":
            body += b" "
        yield from [([*one.headers, *proof], body)] * (2 if bad == "duplicate" else 1)


@dataclass(slots=True)
class _Sending:
    """Posts deliveries and prints each answer.

    Attributes:
        rate: Deliveries a second; None for one after the other.
        sent: How many were answered.
        refused: How many of them were not taken.
    """

    sender: Sender
    rate: float | None
    as_json: bool
    sent: int = 0
    refused: int = 0

    async def run(self, deliveries: Iterator[tuple[list[tuple[str, str]], bytes]]) -> None:
        """Post them all.

        Raises:
            ServiceUnreachable: No gateway answers.
        """
        import aiohttp

        turns = enumerate(deliveries)
        started_s = time.monotonic()

        async def post_in_turn(session: aiohttp.ClientSession) -> None:
            for turn, (headers, body) in turns:
                if self.rate is not None:
                    await asyncio.sleep(started_s + turn / self.rate - time.monotonic())
                await self._post(session, headers, body)

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(post_in_turn(session) for _ in range(1 if self.rate is None else AT_ONCE)))

    async def _post(self, session: "aiohttp.ClientSession", headers: list[tuple[str, str]], body: bytes) -> None:
        import aiohttp

        started_s = time.monotonic()
        try:
            async with session.post(self.sender.url, data=body, headers=headers, allow_redirects=False) as response:
                answer = dict(await response.json(content_type=None))
        except (aiohttp.ClientError, OSError, ValueError, TypeError) as error:
            network = isinstance(error, aiohttp.ClientError | OSError)
            why = cause(error) if network else "what answers there is not stibgate"
            raise ServiceUnreachable(
                f"no gateway answers for source {self.sender.name}: {why}",
                hint="Start `stibgate serve` with the same configuration, or give --to URL.",
            ) from error
        self.sent += 1
        self.refused += response.status >= 400
        if self.as_json:
            click.echo(json.dumps({"http_status": response.status, **answer}))
            return
        what = answer.get("status") if response.ok else answer.get("title")
        people = counted(answer.get("records", 0), "record")
        told = f"{response.status} {what}  {answer.get('delivery_id', '')}  {people}"
        click.echo(f"{printable(told)}  {len(body)} bytes  {(time.monotonic() - started_s) * 1000:.1f} ms")
