"""A line of the log as bytes: for programs, for people at a terminal, for Elastic."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog
from pydantic_core import to_json

EventDict = MutableMapping[str, Any]


def as_json(line: Mapping[str, Any]) -> bytes:
    """Return *line* as one JSON object, without a line break in it."""
    try:
        return to_json(line, fallback=str, inf_nan_mode="null")
    except ValueError:  # a lone surrogate, which UTF-8 cannot say and an escape can
        return json.dumps(line, default=str).encode()


def _json_renderer() -> Callable[..., bytes]:
    def render(_logger: object, _method: str, event: EventDict) -> bytes:
        return as_json(event)

    return render


def _console_renderer() -> Callable[..., bytes]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR"), pad_event_to=22
    )

    def render(logger: object, method: str, event: EventDict) -> bytes:
        shown = {name: _visible(value) if isinstance(value, str) else value for name, value in event.items()}
        shown.pop("service", None)
        if places := shown.pop("exception", None):  # structlog would write it over several lines
            shown["raised"] = _visible(" ".join(map(str, places)))
        return renderer(logger, method, shown).encode("utf-8", "backslashreplace")

    return render


def _visible(text: str) -> str:
    """Return *text* with its control characters spelled out: a terminal must not obey a log line."""
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], text)


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_ECS_NAMES = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "event": "event.action",
    "service": "service.name",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "client_ip": "client.ip",
    "http_status": "http.response.status_code",
    "body_bytes": "http.request.body.bytes",
    "error": "error.message",
    "request_id": "http.request.id",
}
"""Ours -> Elastic Common Schema 8; what has no name there goes under `stibgate.`."""


def _ecs_renderer() -> Callable[..., bytes]:
    render = _json_renderer()

    def ecs(logger: object, method: str, event: EventDict) -> bytes:
        line = {_ECS_NAMES.get(name, f"stibgate.{name}"): value for name, value in event.items()}
        line["message"] = event["event"]
        line["ecs.version"] = "8.17.0"
        return render(logger, method, line)

    return ecs


RENDERERS: dict[str, Callable[[], Callable[..., bytes]]] = {
    "json": _json_renderer,
    "console": _console_renderer,
    "ecs": _ecs_renderer,
}
