"""How a record's properties are shown to a reader."""

from collections.abc import Mapping, Sequence
from typing import Any

from stibgate.sandbox.hubspot.records import Record, Records


def shown(records: Records, properties: Mapping[str, str], asked: Sequence[str]) -> dict[str, str | None]:
    """Return the *asked* properties: null where there is no value, left out where there is no such property.

    The record's id and times are always there; nothing asked for means the kind's usual ones.
    """
    kind = records.kind
    live = records.definitions.live
    names = {"createdate", "hs_object_id", kind.modified, *asked} if asked else kind.shown
    return {name: properties.get(name) for name in sorted(names) if name in live}


def history(record: Record, asked: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return every value that the *asked* properties had, newest first."""
    return {
        name: [
            {"value": changes[name], "timestamp": at, "sourceType": "INTEGRATION"}
            for at, changes in reversed(record.history)
            if name in changes
        ]
        for name in asked
    }
