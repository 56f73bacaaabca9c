"""Sinks: where each leads, what leads there, and whether it takes tasks now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stibgate.config import AnySink, Settings
from stibgate.config.routes import rules
from stibgate.domain.circuit import SinkState
from stibgate.views.words import moment


def sink_rows(
    settings: Settings, states: Mapping[str, SinkState], tasks: Mapping[str, Mapping[str, int]] | None
) -> list[dict[str, Any]]:
    """Return every configured sink, and those that are gone while tasks name them.

    Args:
        settings: The configuration.
        states: What the store knows of sinks.
        tasks: How many tasks each has, by state; None where nothing was ever received.
    """
    gone = {name: None for name in tasks or () if name not in settings.sinks}
    return [
        {
            "sink": name,
            "kind": None if sink is None else sink.kind,
            "destination": None if sink is None else destination(sink),
            "routes": routes_to(name, settings),
            "state": sink_state(states.get(name, SinkState(name))),
            "tasks": None if tasks is None else dict(tasks.get(name, {})),
        }
        for name, sink in {**settings.sinks, **gone}.items()
    ]


def sink_state(state: SinkState) -> dict[str, Any]:
    """Return whether a sink takes tasks, and why not."""
    circuit = state.circuit
    return {
        "sink": state.sink,
        "paused_at": moment(state.paused_at_ms),
        "paused_by": state.paused_by,
        "circuit": str(circuit.state),
        "held": circuit.held_since_ms is not None,
        "open_until": moment(circuit.open_until_ms),
        "failures": circuit.failures,
        "reason": circuit.reason,
    }


def destination(sink: AnySink) -> str | None:
    """Return where *sink* leads, without anything that may be a secret: a path, or the origin of a URL.

    It is the first of its own keys that is one of the two.
    """
    for value in (getattr(sink, key) for key in type(sink).model_fields):
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, str) and "://" in value:
            parts = urlsplit(value)
            # The path of a web address may be a secret, as that of many webhooks is; that of a bucket is none.
            path = "" if parts.scheme in {"http", "https"} else parts.path
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
    return None


def routes_to(name: str, settings: Settings) -> list[str]:
    """Return what leads to the sink: routes by their name, then sources."""
    routes = [route.name for route in rules(settings.routes) if name in route.to]
    return routes + [f"sources.{source}" for source, own in settings.sources.items() if name in own.routes]
