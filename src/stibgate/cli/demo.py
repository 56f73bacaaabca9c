"""`stibgate demo` and `stibgate dev`: the main job on this machine, with no account anywhere."""

import asyncio
import csv
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.cli.program import program
from stibgate.domain.record import COLUMNS
from stibgate.errors import EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from stibgate.cli.stage import Stage
    from stibgate.domain.record import Record

PUSH_QUERY, PUSH_RECORDS = "60 owners of dental practices in Texas", 25
JOB_QUERY, JOB_RECORDS, JOB_PAGE = "100 CMOs at SaaS companies", 100, 50
FORWARD_TIMEOUT_S = 60
CHAOS_TIMEOUT_S = 180
SHOWN_ROWS = 3
DEV_FOLDER = Path("stibgate-dev")


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything here.  [default: a temporary folder]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which invented people there are.")
@click.option("--chaos", is_flag=True, help="With every fault that the sandboxes know; takes about a minute.")
def demo(*, folder: Path | None, seed: int, chaos: bool) -> None:
    """Do the whole main job on this machine, once, and show the result.

    Starts the sandboxes of Stibnite and HubSpot and the gateway on free loopback ports, registers one with the
    other, pushes prospects, runs a search job in two pages, sends one event twice, and waits until all of it is
    in CSV files and in HubSpot. Exit code 0 when every record arrived exactly once at both.
    """
    for name, what in (("data", "a store"), ("config.toml", "a configuration")):
        if folder is not None and (folder / name).exists():
            raise UsageError(f"{folder} holds {what} already; nothing was changed", hint="Give --dir a new folder.")
    place = folder or Path(tempfile.mkdtemp(prefix="stibgate-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    _log_to(place / "gateway.log")
    started = time.monotonic()
    problems = asyncio.run(_demo(place.resolve(), seed, chaos=chaos))
    for problem in problems:
        click.echo(f"missing: {problem}", err=True)
    left = "" if folder else f"; everything is kept in {place}; delete it when done"
    click.echo(f"\n{'FAILED' if problems else 'done'} in {time.monotonic() - started:.1f} s{left}")
    sys.exit(EXIT_FAILED if problems else 0)


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEV_FOLDER,
    show_default=True,
    help="Where config, store and drops are kept.",
)
@click.option("--port", type=int, default=8080, show_default=True, help="Public listener.")
@click.option("--admin-port", type=int, default=9090, show_default=True, help="Admin listener.")
@click.option("--sandbox-port", type=int, default=0, help="Stibnite's sandbox.  [default: a free one]")
@click.option("--seed", type=int, default=1, show_default=True, help="Which invented people there are.")
def dev(*, folder: Path, port: int, admin_port: int, sandbox_port: int, seed: int) -> None:
    """Run sandbox and gateway on this machine until ^C, connected with each other.

    A second start in the same folder goes on with the same URLs and the same signing secret.
    """
    from stibgate.log import configure

    configure(level="info", format="auto")
    asyncio.run(_dev(folder.resolve(), port, admin_port, sandbox_port, seed))


async def _dev(folder: Path, port: int, admin_port: int, sandbox_port: int, seed: int) -> None:
    from stibgate.app.token import known_token
    from stibgate.cli.stage import dev_stage

    async with dev_stage(folder, seed=seed, public=port, admin=admin_port, sandbox_port=sandbox_port) as on:
        source, command = on.settings.sources, program()
        click.echo(
            f"""
stibgate dev: everything is in {folder}   (^C stops it)
  jobs webhook         {on.gateway.url}/hooks/jobs
    signing secret     {source["jobs"].secrets[0].value.get_secret_value()}
  result_delivery_url  {on.gateway.url}/hooks/push/{source["push"].tokens[0].get_secret_value()}
  console              {on.gateway.admin_url}/
    token              {known_token(on.settings.storage.path)}
  health               {on.gateway.admin_url}/readyz
  drops                {on.folder / "data" / "drops"}
  Stibnite's sandbox   {on.sandbox_url}
    x-api-key          {on.sandbox.api_key}
  HubSpot's sandbox    {on.hubspot_url}
    token              {on.hubspot.token}

In other terminals:
  {command} listen --config {on.config}
  {command} trigger prospecting.records.pushed --config {on.config}
  {command} jobs submit "60 CMOs at SaaS companies" --limit 60 --budget trial --config {on.config}
  {command} deliveries list --config {on.config}
""",
            err=True,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on.gateway.stopping.set)
        await on.gateway.stopping.wait()


async def _demo(folder: Path, seed: int, *, chaos: bool) -> Sequence[str]:
    """Play the demo in *folder*; return what is missing in the end."""
    from stibgate.cli.chaos import DELIVERY
    from stibgate.cli.stage import stage

    _step("starting the sandboxes of Stibnite and HubSpot, and the gateway")
    async with stage(folder, seed=seed, delivery=DELIVERY if chaos else "") as on:
        _tell(f"Stibnite {on.sandbox_url}, HubSpot {on.hubspot_url}, gateway {on.gateway.url}, all files in {folder}")
        _step("registered: a webhook endpoint for job events, an embed key for pushes")
        limit_s = CHAOS_TIMEOUT_S if chaos else FORWARD_TIMEOUT_S
        try:
            async with asyncio.timeout(limit_s):
                if chaos:
                    await _play_in_a_storm(on)
                else:
                    await _play(on)
                    await _send_again(on)
                _step("waiting until every record is forwarded")
                await on.gateway.idle()
        except TimeoutError:
            return [f"the gateway was not finished within {limit_s} s; see {folder / 'gateway.log'}"]
        return await _report(on, chaos=chaos)


async def _play_in_a_storm(on: "Stage") -> None:
    """Play with every fault on; then let an operator mend what does not mend itself."""
    from stibgate.cli.chaos import STORM_S, mend, storm
    from stibgate.sandbox.hubspot import FAULTS

    _step(f"a storm of {STORM_S:g} s begins: every fault that the sandboxes know")
    over = asyncio.Event()
    weather = asyncio.create_task(storm(on))
    mending = asyncio.create_task(mend(on, _tell, until=over))
    try:
        await _play(on)
        await asyncio.sleep(STORM_S)
        weather.cancel()
        await asyncio.wait({weather})
        _step("the storm is over")
        for number, sent in enumerate(on.sandbox.sent):
            if not sent.taken:  # the storm spoilt every try of it
                _tell(f"Stibnite sends {sent.event_type} of {sent.subject_id} anew: {await on.sandbox.resend(number)}")
        await _send_again(on)  # not before: an event that the storm spoils is refused, and none is a duplicate
        over.set()
        await mending
    finally:
        for task in (weather, mending):
            task.cancel()
        await asyncio.gather(weather, mending, return_exceptions=True)
    seen = on.hubspot.counters
    _tell(f"HubSpot counted {seen.requests} requests, {seen.errors} of them failed")
    _tell(f"{len(seen.faults)} of {len(FAULTS)} kinds of fault hit it")


async def _play(on: "Stage") -> None:
    _step(f"a partner's user pushes {PUSH_RECORDS} people")
    pushed = await on.push(PUSH_QUERY, PUSH_RECORDS)
    _tell(
        f"delivered {'yes' if pushed['delivered'] else 'no'}, our answer {pushed['delivery_status']},"
        f" {pushed['pushed_records']} records, {pushed['net_new_billable_records']} billed"
    )
    _step(f"a search job for {JOB_RECORDS} people, {JOB_PAGE} on a page; each page is a job with its signed event")
    async for job in on.search(JOB_QUERY, page=JOB_PAGE):
        _tell(f"job {job['job_id']} {job['status']}, {job['billable_records']} records billed")


async def _send_again(on: "Stage") -> None:
    _step("Stibnite sends the last event once more")
    status = await on.sandbox.resend(len(on.sandbox.sent) - 1)
    _tell(f"our answer {status}; it must not be forwarded again")


@dataclass(slots=True)
class _Drops:
    """What the CSV files hold."""

    files: list[Path] = field(default_factory=list)
    headers: set[tuple[str, ...]] = field(default_factory=set)
    rows: list[list[str]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "_Drops":
        found = cls(files=sorted(folder.rglob("*.csv")))
        for path in found.files:
            with path.open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file, strict=True)
            found.headers.add(tuple(header))
            found.rows += rows
        return found


async def _report(on: "Stage", *, chaos: bool) -> Sequence[str]:
    """Print receipts and rows; return what is missing."""
    from stibgate.app import open_store_ledger
    from stibgate.cli.output import print_rows
    from stibgate.stores import DeliveryFilter
    from stibgate.views.deliveries import delivery_row

    with closing(open_store_ledger(on.settings)) as ledger:
        stored = ledger.deliveries(DeliveryFilter(), limit=None)
        records = [record for one in stored for record in ledger.records(one.delivery_id)]
        wrong = list(ledger.check())
    _step("receipts")
    columns = ("delivery_id", "event_type", "state", "records", "duplicates")
    print_rows([delivery_row(one) for one in reversed(stored)], as_json=False, columns=columns, empty="none")
    drops = _Drops.read(on.folder / "data" / "drops")
    people = {row[COLUMNS.index("person_id")] for row in drops.rows}
    _step(f"{len(drops.rows)} rows in {len(drops.files)} CSV files, {len(people)} different people")
    for path in drops.files:
        _tell(str(path))
    with drops.files[0].open(encoding="utf-8", newline="") as file:
        for line in islice(file, 1 + SHOWN_ROWS):
            _tell(line.rstrip())
    in_crm = await _in_crm(on, records)
    _tell(f"look around: {program()} deliveries list --config {on.config}")
    expected = PUSH_RECORDS + JOB_RECORDS
    duplicates = sum(one.duplicates for one in stored)
    laws = {
        f"{expected} records in the drops, not {len(drops.rows)}": len(drops.rows) == expected,
        f"{expected} different people, not {len(people)}": len(people) == expected,
        f"the {len(COLUMNS)} documented columns": drops.headers == {COLUMNS},
        "one push and two pages": len(stored) == 3,
        "one duplicate that was not forwarded": duplicates == 1 or (chaos and duplicates > 1),
        "every delivery done": all(one.state == "done" for one in stored),
    }
    return [*wrong, *in_crm, *(law for law, holds in laws.items() if not holds)]


async def _in_crm(on: "Stage", records: "Sequence[Record]") -> Sequence[str]:
    """Count what HubSpot has by its own API; return what is missing or doubled."""
    contacts = [one async for one in on.crm("contacts")]
    companies = [one async for one in on.crm("companies")]
    linked = {
        (contact["properties"]["stibnite_person_id"], link["id"])
        for contact in contacts
        for link in contact.get("associations", {}).get("companies", {}).get("results", [])
    }
    _step(f"HubSpot has {len(contacts)} contacts, {len(companies)} companies, {len(linked)} associations")
    people = {record.person_id for record in records}
    places = {record.company_id for record in records if record.company_id}
    works = {(record.person_id, record.company_id) for record in records if record.company_id}
    found = {contact["properties"]["stibnite_person_id"] for contact in contacts}
    laws = {
        f"{len(people)} contacts in HubSpot, each once": len(contacts) == len(people) and found == people,
        f"{len(places)} companies in HubSpot": len(companies) == len(places),
        f"{len(works)} associations in HubSpot": len(linked) == len(works),
    }
    return [law for law, holds in laws.items() if not holds]


def _step(text: str) -> None:
    click.echo(f"{click.style('==>', fg='green')} {text}")


def _tell(text: str) -> None:
    click.echo(f"    {text}")


def _log_to(path: Path) -> None:
    from stibgate.log import configure

    configure(level="info", format="json", stream=path.open("ab"))
