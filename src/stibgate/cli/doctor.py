"""`stibgate doctor`: what is wrong, and what to do about it."""

import asyncio
import sys
from pathlib import Path

import click

from stibgate.cli.context import Context, config_option, json_option
from stibgate.cli.doctor_findings import Finding, exit_by, print_finding, wrong
from stibgate.cli.doctor_signature import signature
from stibgate.cli.doctor_url import url
from stibgate.errors import ConfigError, UsageError


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, config: Path | None, as_json: bool) -> None:
    """Find out what is wrong: configuration, clock, disk, store, keys, sinks, listeners.

    Changes nothing and forwards nothing; asks each vendor one free question when there is a key for it. Exit code 1
    when something is wrong.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise UsageError("--json stands before the subcommand", hint="Put it behind: `stibgate doctor url --json`.")
        ctx.obj = Context(config_path=config)
        return
    exit_by(asyncio.run(_look(config, as_json=as_json)))


doctor.add_command(signature)
doctor.add_command(url)


async def _look(config: Path | None, *, as_json: bool) -> list[Finding]:
    from stibgate.cli.doctor_checks import look
    from stibgate.config import load
    from stibgate.log import configure

    configure(level="warning", stream=sys.stderr.buffer)
    try:
        loaded = load(config)
        loaded.require()
    except ConfigError as error:
        # Nothing else can be looked at without settings.
        for problem in error.problems:
            print_finding(wrong("config", str(problem), error.hint), as_json=as_json)
        sys.exit(error.exit_code)
    found: list[Finding] = []
    async for finding in look(loaded):
        found.append(finding)
        print_finding(finding, as_json=as_json)
    return found
