"""`stibgate sandbox`: the vendors' APIs on this machine, until SIGTERM."""

import asyncio
import errno
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stibgate.errors import AddressInUse, UsageError

if TYPE_CHECKING:
    from aiohttp import web

    from stibgate.sandbox.stibnite import StibniteSandbox


_PORT = click.IntRange(0, 65_535)


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Which invented people there are.")
@click.option("--stibnite-port", type=_PORT, metavar="PORT", default=0, help="Port of Stibnite.  [default: a free one]")
@click.option("--thehog-port", type=_PORT, metavar="PORT", default=0, help="Port of The Hog.  [default: a free one]")
@click.option("--hubspot-port", type=_PORT, metavar="PORT", default=0, help="Port of HubSpot.  [default: a free one]")
@click.option(
    "--fault",
    "faults",
    metavar="NAME[=RATE]",
    multiple=True,
    help="Let Stibnite go wrong, always or at a rate from 0 to 1: duplicate, delay, reorder, drop, tamper, stale, cut, "
    "http429, http500, slow. Repeatable.",
)
@click.option("--scheme", metavar="PRESET", default="t_v1", show_default=True, help="How job events are signed.")
@click.option("--thin", is_flag=True, help="Job events carry no records: whoever wants them reads the job.")
@click.option(
    "--env",
    "env_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the variables with which stibgate uses these servers, for a shell: `. FILE`.",
)
def sandbox(
    *,
    seed: int,
    stibnite_port: int,
    thehog_port: int,
    hubspot_port: int,
    faults: tuple[str, ...],
    scheme: str,
    thin: bool,
    env_file: Path | None,
) -> None:
    """Run Stibnite, The Hog and HubSpot on this machine until SIGTERM.

    Prints one JSON line with their URLs and keys when all three answer. Everybody in them is invented; the same seed
    gives the same people, ids and keys. All three describe themselves at /openapi.json.
    """
    from stibgate.sandbox.stibnite import StibniteSandbox

    try:
        stibnite = StibniteSandbox(seed=seed, now=time.time, scheme=scheme, thin=thin, faults=_rates(faults))
    except ValueError as error:
        what, _, names = str(error).partition("; ")
        raise UsageError(what, hint=names.capitalize() + ".") from None
    asyncio.run(_serve(stibnite, seed, (stibnite_port, thehog_port, hubspot_port), env_file))


def _rates(faults: tuple[str, ...]) -> Mapping[str, float]:
    """Return the rate of each fault that was named; the last one counts.

    Raises:
        UsageError: A rate is not a number.
    """
    rates = {}
    for fault in faults:
        name, _, rate = fault.partition("=")
        try:
            rates[name] = float(rate) if rate or fault.endswith("=") else 1.0
        except ValueError:
            raise UsageError(f"--fault {fault}: the rate is not a number", hint="Give 0 to 1, http500=0.1.") from None
    return rates


async def _serve(stibnite: "StibniteSandbox", seed: int, ports: tuple[int, int, int], env_file: Path | None) -> None:
    """Serve all three until a signal; print where they are once they answer."""
    from stibgate.sandbox.hubspot import HubSpotSandbox
    from stibgate.sandbox.thehog import TheHogSandbox

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    thehog = TheHogSandbox(seed=seed, now=time.time)
    hubspot = HubSpotSandbox(seed=seed, now=time.time)
    hubspot.recording = False
    async with (
        served(stibnite.app(), ports[0], "--stibnite-port") as stibnite_url,
        served(thehog.app(), ports[1], "--thehog-port") as thehog_url,
        served(hubspot.app(), ports[2], "--hubspot-port") as hubspot_url,
    ):
        line = {
            "stibnite": {"url": stibnite_url, "api_key": stibnite.api_key},
            "thehog": {"url": thehog_url, "access_key": thehog.access_key, "secret_key": thehog.secret_key},
            "hubspot": {"url": hubspot_url, "token": hubspot.token},
        }
        if env_file is not None:
            _write_variables(env_file, line)
        click.echo(json.dumps(line))
        await stopping.wait()


def _write_variables(file: Path, line: Mapping[str, Mapping[str, str]]) -> None:
    """Write shell commands that set stibgate's variables for the accounts of *line*; its values need no quotes."""
    variables = {
        "STIBNITE__BASE_URL": line["stibnite"]["url"],
        "STIBNITE__API_KEY": line["stibnite"]["api_key"],
        "THEHOG__BASE_URL": line["thehog"]["url"],
        "THEHOG__ACCESS_KEY": line["thehog"]["access_key"],
        "THEHOG__SECRET_KEY": line["thehog"]["secret_key"],
    }
    text = "".join(f"export STIBGATE_{name}={value}\n" for name, value in variables.items())
    file.touch(0o600)
    file.write_text(text, encoding="utf-8")


@asynccontextmanager
async def served(app: "web.Application", port: int, option: str) -> AsyncIterator[str]:
    """Serve *app*; a port that is taken is said with the option that chooses another.

    Raises:
        AddressInUse: *port* is taken.
    """
    from stibgate.sandbox.server import serve

    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serve(app, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise AddressInUse(
                f"127.0.0.1:{port} is in use by another program", hint=f"Stop it, or choose another {option}."
            ) from None
        yield url
