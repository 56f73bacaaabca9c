"""README is the contract's other half: what it does not name, nobody finds."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stibgate.cli import COMMANDS, cli
from stibgate.config.model import Settings
from stibgate.domain.delivery import DeliveryState

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src/stibgate"
README = (ROOT / "README.md").read_text(encoding="utf-8")

_EVENT = re.compile(r"[a-z]+\.[a-z_]+")
_WRITES = {"debug", "info", "warning", "error", "exception", "critical"}


def commands():
    """Return every command line there is, groups and their commands."""
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, below) for below in command.commands]
    return found


def event_names():
    """Return the names of all events that the source may log, with the file that each is in.

    They stand in modules that have a logger: as the first argument of a logging call, or before it in a condition or
    in a row of a table. `delivery.{state}` is the one that is put together.
    """
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "structlog.get_logger" in text:
            names = {name for node in ast.walk(ast.parse(text)) for name in _named_in(node)}
            found |= dict.fromkeys(names, path.relative_to(SRC))
    return found


def _named_in(node):
    match node:
        case ast.Call(func=ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]) if called in _WRITES:
            yield name
        case ast.IfExp(body=ast.Constant() as one, orelse=ast.Constant() as other):
            yield from filter(_is_event, (one.value, other.value))
        case ast.Tuple(elts=[ast.Constant(value=first), *_]) if _is_event(first):
            yield first
        case ast.JoinedStr(values=[ast.Constant(value="delivery."), ast.FormattedValue()]):
            logged = set(DeliveryState) - {DeliveryState.PROCESSING, DeliveryState.DONE}  # the states of an admission
            yield from (f"delivery.{state}" for state in logged)


def _is_event(value):
    return isinstance(value, str) and _EVENT.fullmatch(value) is not None


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(words):
    """`-h` of every command ends with 0, says what it does, and explains every option it has."""
    from click.testing import CliRunner

    inner = cli
    for word in words:
        inner = inner.get_command(click.Context(cli), word)
        inner._help_option = None  # click keeps the one of whoever called the command first, maybe without its group
    ran = CliRunner().invoke(cli, [*words, "-h"])
    assert ran.exit_code == 0, ran.output
    assert ran.output.startswith("Usage: ")
    command = cli
    for word in words:
        command = command.get_command(click.Context(cli), word)
    assert command.get_short_help_str()
    assert {"-h", "--help"} <= set(command.get_help_option(click.Context(command)).opts) | {"-h"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_in_readme(words):
    """README names every command, with its group."""
    group, *rest = words
    pattern = rf"(stibgate {group}|`{group})\b"
    if rest:
        # `deliveries list`, or in short form `deliveries list|show`
        pattern = rf"\b{group} ([a-z]+(\||\\\||`, `|, ))*{rest[0]}\b"
    assert re.search(pattern, README), f"README.md does not name `{' '.join(words)}`"


def test_the_table_of_help_says_what_the_commands_say():
    """The one-line help that `--help` shows without importing anything is the command's own first sentence."""
    for name, entry in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command.help, name
        assert entry.help.endswith("."), name


@pytest.mark.parametrize("section", Settings.model_fields)
def test_every_section_of_the_configuration_is_in_readme(section):
    """README names every table of config.toml."""
    assert re.search(rf"\[{section}[\].]", README), f"README.md does not name [{section}]"


def test_the_events_are_found_at_all():
    """The search below finds what is known to be logged, in whichever way it is written."""
    names = event_names()
    known = {"service.started", "delivery.quarantined", "delivery.conflict", "delivery.throttled", "task.delivered"}
    assert known | {"unhandled", "library.logged"} <= set(names)


@pytest.mark.parametrize("name", sorted(event_names()))
def test_every_log_event_is_in_readmes_table(name):
    """An operator can look up every event of the log in README's table, by its whole name."""
    rows = [line for line in README.splitlines() if line.startswith("|")]
    assert any(f"`{name}`" in row for row in rows), f"README.md's log table lacks `{name}` of {event_names()[name]}"


def test_help_imports_nothing_that_is_slow():
    """`stibgate --help` answers at once: neither aiohttp nor pydantic nor SQLite is imported for it."""
    code = (
        "import sys; from stibgate.cli import cli; cli.main(['--help'], standalone_mode=False);"
        "print([name for name in ('aiohttp', 'asyncio', 'pydantic', 'sqlite3', 'sqlite_utils', 'structlog',"
        " 'phonenumbers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert all(name in ran.stdout for name in COMMANDS)
