"""The operator's door: one file a noun, loaded only when its command is called.

`stibgate --help` must answer at once, so nothing but click is imported before a command is chosen;
the table below carries the one-line help that click would otherwise import a module for.
"""

import errno
import importlib
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from stibgate import __version__
from stibgate.cli.context import CONFIG_HELP, Context
from stibgate.errors import EXIT_FAILED, EXIT_PERMISSION, ConfigError, StibgateError


class _Entry(NamedTuple):
    module: str
    attribute: str
    help: str


COMMANDS = {
    "serve": _Entry("serve", "serve", "Run the gateway until SIGTERM."),
    "demo": _Entry("demo", "demo", "Do the whole main job here, once, and show the result."),
    "dev": _Entry("demo", "dev", "Run sandbox and gateway on this machine until ^C."),
    "sandbox": _Entry("sandbox", "sandbox", "Run Stibnite, The Hog and HubSpot on this machine until SIGTERM."),
    "init": _Entry("init", "init", "Write a commented config.toml with fresh secrets."),
    "config": _Entry("config", "config", "Check, show or describe the configuration."),
    "trigger": _Entry("trigger", "trigger", "Send signed sample deliveries to a running gateway."),
    "listen": _Entry("listen", "listen", "Show what a running gateway does, live, until ^C."),
    "sign": _Entry("sign", "sign", "Print the headers that a sender would add to a body."),
    "verify": _Entry("sign", "verify", "Check a captured delivery and say why it fails."),
    "routes": _Entry("routes", "routes", "Say which records of a body go where, and why."),
    "sources": _Entry("sources", "sources", "List sources and what is pinned for them."),
    "sinks": _Entry("sinks", "sinks", "List, test, pause and resume sinks."),
    "deliveries": _Entry("deliveries", "deliveries", "List, show and replay deliveries."),
    "tasks": _Entry("tasks", "tasks", "List, retry and cancel what is owed to which sink."),
    "dead": _Entry("dead", "dead", "List and replay what will not be tried again by itself."),
    "explain": _Entry("explain", "explain", "Tell the whole story of a delivery, a task or a person."),
    "register": _Entry("register", "register", "Register this gateway's webhook at Stibnite, once."),
    "endpoints": _Entry("endpoints", "endpoints", "List, delete and rotate webhook endpoints at Stibnite."),
    "embed-key": _Entry("embed_key", "embed_key", "Make a public loader key whose pushes come here."),
    "wallet": _Entry("wallet", "wallet", "Show what a partner customer may still spend."),
    "usage": _Entry("usage", "usage", "Show what the API key has been billed so far."),
    "jobs": _Entry("jobs", "jobs", "Submit search jobs within a budget, and see what became of them."),
    "estimate": _Entry("estimate", "estimate", "Ask The Hog what a people search may cost; free."),
    "budget": _Entry("budget", "budget", "Show what is left of each budget."),
    "ledger": _Entry("ledger", "ledger", "Show what was paid for, where it went, and what is wrong with it."),
    "doctor": _Entry("doctor", "doctor", "Find out what is wrong: signature, URL, clock, disk, key, sinks."),
    "db": _Entry("db", "db", "Look after the store."),
    "health": _Entry("health", "health", "Ask a running gateway whether it is ready."),
    "openapi": _Entry("openapi", "openapi", "Print the OpenAPI 3.1 description of the admin API."),
    "version": _Entry("version", "version", "Print versions."),
}


class _LazyGroup(click.Group):
    """A group that imports a command's module only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now, or None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"stibgate.cli.{entry.module}")
        command: click.Command = getattr(module, entry.attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; it has ended well when the reader of its output (`| head`) went away."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains while flushing
            ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Durable webhook receiver and prospecting push gateway for the Stibnite Person Data API.",
    epilog="Try it with no account anywhere: stibgate demo",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=CONFIG_HELP,
)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def cli(ctx: click.Context, config_path: Path | None) -> None:
    """Remember what was said before the subcommand."""
    ctx.obj = Context(config_path=config_path)
    ctx.color = _color()


def main() -> None:
    """Run the command line and exit with a documented code."""
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        sys.exit(EXIT_FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except StibgateError as error:
        _show(error)
        sys.exit(error.exit_code)
    except OSError as error:  # of a file or folder that the command line named
        place = f"{error.filename}: " if error.filename else ""
        _show(StibgateError(f"{place}{error.strerror or error}", hint="Check the path, its owner and its disk."))
        forbidden = isinstance(error, PermissionError) or error.errno == errno.EROFS
        sys.exit(EXIT_PERMISSION if forbidden else EXIT_FAILED)
    sys.exit(status if isinstance(status, int) else 0)


def _color() -> bool | None:
    """Return False when nobody wants colours (https://no-color.org), None when click may see for itself."""
    return False if os.environ.get("NO_COLOR") else None


def _show(error: StibgateError) -> None:
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(str(problem), err=True)
    click.echo(f"{click.style('error', fg='red')}: {error.message}", err=True, color=_color())
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)
