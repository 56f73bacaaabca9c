"""One line for each unit of work, and never a person in it.

Only names on the allow-list leave the process, whatever a caller passes; unknown names are dropped and
named in `dropped`. Exceptions are logged as types and places, because their messages may quote a body.
Lines of other libraries go through the same processors: of theirs only the message template's first line
is kept, since arguments and later lines quote headers and task results.
"""

import asyncio
import atexit
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

import structlog
from pydantic_core import to_json

from stibgate.domain.trace import CURRENT
from stibgate.log.rendering import RENDERERS, EventDict

LogFormat = Literal["auto", "json", "console", "ecs"]

SERVICE = "stibgate"
TEXT_MAX = 300

ALLOWED = frozenset({
    "timestamp", "level", "event", "service", "request_id", "delivery_id", "task_id", "trace_id", "span_id",
    "actor", "admin_bind", "alarm", "attempt", "attempts", "authenticated_by", "body_bytes", "budget", "category",
    "changed", "client_ip", "clients", "code", "config_path", "conflict", "correlation_id", "deadline_s", "detail",
    "dropped", "duration_ms", "end_to_end_ms", "error", "errors", "estimated", "event_type", "exception", "exit_code",
    "flagged", "free_bytes", "hint", "http_status", "inflight_requests", "issues", "job_id", "kept", "key_reading",
    "library", "message", "method", "migrations", "next_attempt_at", "outcomes", "partner_customer_id", "person",
    "position", "property", "python_version", "reason", "records", "recovered_replays", "recovered_tasks", "remaining",
    "repeat_of", "retry_after_s", "role", "run_id", "scheme", "search_id", "setting", "signal", "sink", "sinks",
    "source", "sources", "sqlite_version", "stale", "startup_ms", "suppressed", "target", "unrouted", "uptime_s", "url",
    "version", "warnings",
})  # fmt: skip
"""Every field that may be logged. Ids here name purchases and parts of ours, never people."""


def configure(
    *,
    level: str = "info",
    format: LogFormat = "auto",  # noqa: A002  (the setting is called so)
    stream: BinaryIO | None = None,
    cache: bool = True,
    gather: bool = False,
) -> None:
    """Send every log line of this process to *stream* (stdout) in *format*.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        format: `auto` is `console` on a terminal, else `json`.
        stream: A binary stream; a line is one write.
        cache: Whether loggers may keep this configuration; tests say no.
        gather: Whether lines of one turn of the event loop may be one write; for services.
    """
    terminal = stream is None and sys.stdout is not None and sys.stdout.isatty()
    out = _Unbreakable(stream or _stdout(), gather=gather)
    chosen = ("console" if terminal else "json") if format == "auto" else format
    structlog.configure(
        processors=[_line, RENDERERS[chosen]()],
        wrapper_class=_Logger,
        logger_factory=structlog.BytesLoggerFactory(file=cast("BinaryIO", out)),
        cache_logger_on_first_use=cache,
    )
    root = logging.getLogger()
    root.handlers = [_ThroughStructlog()]
    set_level(level)


def set_level(level: str) -> None:
    """Write lines of *level* and above from now on, also of loggers that are in use."""
    number = logging.getLevelNamesMapping()[level.upper()]
    leveled = _loggers(number)
    for name in _LEVELS:
        setattr(_Logger, name, getattr(leveled, name))
    logging.getLogger().setLevel(max(number, logging.WARNING))


class _Logger(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]  # a class made at run time
    """Every logger is one of these, so that its methods can be exchanged for those of another level."""


_LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


class Listener(Protocol):
    """Somebody who hears each line as the allow-list let it pass: the live tail."""

    @property
    def keen(self) -> bool:
        """Whether somebody waits for lines now, from `info` on, that `log.level` keeps from being written."""

    def hear(self, line: Mapping[str, Any]) -> None:
        """Take *line*, in whichever thread it was logged; must not raise, wait, log or change it."""


_LISTENERS: list[Listener] = []


def add_listener(listener: Listener) -> Callable[[], None]:
    """Let *listener* hear every line that is written from now on; return what ends that."""
    _LISTENERS.append(listener)
    return lambda: _LISTENERS.remove(listener)


def _loggers(number: int) -> type[Any]:
    """Return the class of loggers: what is below level *number* is not written, but heard by whoever is keen."""
    written: type[Any] = structlog.make_filtering_bound_logger(number)
    levels = logging.getLevelNamesMapping()
    unwritten = {name: _only_heard(name) for name in ("info", "warning") if levels[name.upper()] < number}
    return type(written.__name__, (written,), unwritten) if unwritten else written


def _only_heard(method: str) -> Callable[..., None]:
    def tell(self: Any, event: str, **fields: Any) -> None:
        for listener in _LISTENERS:
            if listener.keen:
                _line(None, method, {**self._context, **fields, "event": event})
                return

    return tell


def _stdout() -> BinaryIO:
    """Return standard output, unbuffered; a service that was started without one logs nowhere."""
    if sys.stdout is None:
        return Path(os.devnull).open("wb", buffering=0)
    return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)


class _Unbreakable:
    """A stream whose failures cost log lines and nothing else.

    A pipe without a reader or a full disk under the log must not stop a delivery from being answered. What
    was lost is counted and told with the next line that can be written.

    With *gather*, lines of one turn of the event loop are one write: a call to the system for each line costs
    as much as verifying a delivery.
    """

    def __init__(self, stream: BinaryIO, *, gather: bool) -> None:
        self._stream = stream
        self._gather = gather
        self._held: list[bytes] = []
        self._lost = 0
        atexit.register(self.release)

    def write(self, data: bytes) -> None:
        """Write one line now, or with the others of this turn of the loop."""
        if self._gather and _in_event_loop():
            self._held.append(data)
            if len(self._held) == 1:
                asyncio.get_running_loop().call_soon(self.release)
        else:
            self._put([data])

    def release(self) -> None:
        """Write what is held back."""
        held, self._held = self._held, []
        if held:
            self._put(held)

    def flush(self) -> None:
        """Do nothing: `write` decides when lines leave."""

    def _put(self, lines: list[bytes]) -> None:
        try:
            if self._lost:
                self._write(_lost_line(self._lost))
                self._lost = 0
            self._write(b"".join(lines))
        except (OSError, ValueError):
            self._lost += len(lines)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) or len(rest) :]
        self._stream.flush()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _line(_logger: object, method: str, event: EventDict) -> EventDict:
    """Return a new line with the allowed fields, cut to a readable length, without those that are None.

    One processor instead of a chain: this runs before every answer.
    """
    now_ns = time.time_ns()
    line: EventDict = {
        "timestamp": f"{_second(now_ns // 1_000_000_000)}.{now_ns // 1000 % 1_000_000:06d}Z",
        "level": "error" if method == "exception" else method,
        "event": event.pop("event"),
        "service": SERVICE,
    }
    if (trace := CURRENT.get()) is not None:
        line["trace_id"], line["span_id"] = trace.trace_id, trace.span_id
    dropped = []
    if event.get("exc_info"):
        line["exception"] = _places(event["exc_info"])
    event.pop("exc_info", None)
    for name, value in event.items():
        if value is None or name in line:
            continue
        if name not in ALLOWED:
            dropped.append(name)
        elif isinstance(value, str) and len(value) > TEXT_MAX:
            line[name] = value[:TEXT_MAX] + "..."
        else:
            line[name] = value
    if dropped:
        line["dropped"] = sorted(dropped)
    for listener in _LISTENERS:
        listener.hear(line)
    return line


def _lost_line(count: int) -> bytes:
    event = {"event": "log.lost", "records": count}
    return to_json(_line(None, "warning", event)) + b"\n"


@lru_cache(maxsize=4)
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))


def _places(exc_info: object) -> list[str] | None:
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    if isinstance(exc_info, tuple):
        error = exc_info[1]
    return None if error is None else describe_exception(error)


def describe_exception(error: BaseException) -> list[str]:
    """Return the type of *error* and the places it came through, innermost last; never its message."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return [type(error).__name__, *places]


class _ThroughStructlog(logging.Handler):
    """Takes lines of other libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the first line of the message's template, and the exception's places."""
        try:
            logger = structlog.get_logger("stibgate.library")
            write = logger.error if record.levelno >= logging.ERROR else logger.warning
            exc_info = record.exc_info[1] if record.exc_info else None
            event = "unhandled" if exc_info is not None else "library.logged"
            write(event, library=record.name, message=_plain(str(record.msg)), exc_info=exc_info)
        except Exception:  # noqa: BLE001, S110  (a log line must never break what it reports on)
            pass  # nor be shown by `handleError`, which prints the arguments


def _plain(template: str) -> str:
    """Return the words that *template* begins with.

    Arguments are never put in, but some libraries write them into the template themselves, as asyncio does:
    `Exception in callback send('...')`. They come behind a sign.
    """
    return _SIGNS.split(template, maxsplit=1)[0].strip()


_SIGNS = re.compile(r"[^A-Za-z %,.-]")
