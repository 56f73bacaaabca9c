"""A line of the log as people read it in a terminal: `-->` came, `<--` was answered, `==>` went on, `---` all else."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from stibgate.cli.output import printable
from stibgate.views.words import counted

_COMMON = {"timestamp", "level", "event", "service", "delivery_id"}
_LEVEL_COLORS = {"warning": "yellow", "error": "red", "critical": "red"}


def told(line: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a terminal shows of *line*, with colours; nothing in it can steer the terminal."""
    event = str(line.get("event"))
    kind, _, word = event.partition(".")
    if kind == "delivery" and "http_status" in line:
        yield _row(line, "-->", _arrived(line))
        yield _row(line, "<--", _answered(line, word))
    elif event in _AT_SINK:
        yield _row(line, "==>", _AT_SINK[event](line))
    else:
        yield _row(line, "---", _anything(line, event))


def _row(line: Mapping[str, Any], arrow: str, text: str) -> str:
    time = click.style(f"{_clock(line.get('timestamp'))}", dim=True)
    return f"{time}  {arrow} {text}"


def _arrived(line: Mapping[str, Any]) -> str:
    parts = [click.style(printable(line.get("source") or "?"), bold=True)]
    if "event_type" in line:
        parts.append(printable(line["event_type"]))
    if "records" in line:
        parts.append(printable(counted(line["records"], "record")))
    if "delivery_id" not in line:
        parts.append(f"from {printable(line.get('client_ip') or '?')}")
    return "  ".join(parts) + _id(line)


def _answered(line: Mapping[str, Any], word: str) -> str:
    status = printable(line["http_status"])
    color = "red" if status >= "400" else "yellow" if line.get("level") == "warning" else "green"
    text = f"{click.style(status, fg=color)} {printable(word)}"
    if "duration_ms" in line:
        text += f" in {printable(line['duration_ms'])} ms"
    if line.get("reason"):
        text += f": {printable(line['reason'])}"
    if line.get("suppressed"):
        text += f"  (and {printable(line['suppressed'])} more without a line)"
    return text


def _done(line: Mapping[str, Any]) -> str:
    outcomes = line.get("outcomes") or {}
    text = (
        ", ".join(f"{printable(count)} {printable(kind)}" for kind, count in outcomes.items()) or "nothing left to do"
    )
    return f"{_sink(line)}  {_colored(line, text)}  {printable(line.get('duration_ms'))} ms{_id(line)}"


def _waits(line: Mapping[str, Any]) -> str:
    what = f"will be tried again at {_clock(line.get('next_attempt_at'))}: {printable(line.get('error'))}"
    return f"{_sink(line)}  {_colored(line, what)}  (attempt {printable(line.get('attempt'))}){_id(line)}"


def _dead(line: Mapping[str, Any]) -> str:
    what = printable(f"dead after {counted(line.get('attempt') or 0, 'attempt')}: {line.get('error')}")
    return f"{_sink(line)}  {_colored(line, what)}{_id(line)}"


def _anything(line: Mapping[str, Any], event: str) -> str:
    level = str(line.get("level"))
    named = click.style(printable(event), bold=True)
    loud = f"{_colored(line, printable(level))} " if level in _LEVEL_COLORS else ""
    fields = [f"{printable(name)}={_value(value)}" for name, value in line.items() if name not in _COMMON]
    return "  ".join([loud + named, *([" ".join(fields)] if fields else [])]) + _id(line)


_AT_SINK = {
    "task.delivered": _done,
    "task.partial": _done,
    "task.retry_scheduled": _waits,
    "task.dead": _dead,
}


def _sink(line: Mapping[str, Any]) -> str:
    return click.style(printable(line.get("sink")), bold=True)


def _id(line: Mapping[str, Any]) -> str:
    return f"  [{printable(line['delivery_id'])}]" if "delivery_id" in line else ""


def _colored(line: Mapping[str, Any], text: str) -> str:
    return click.style(text, fg=_LEVEL_COLORS.get(str(line.get("level"))))


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{printable(name)}:{printable(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ",".join(printable(one) for one in value)
    return printable(value)


def _clock(timestamp: object) -> str:
    """Return the time of day in an RFC 3339 time."""
    day, mark, time = printable(timestamp or "").partition("T")
    return f"{time[:8]}Z" if mark else day
