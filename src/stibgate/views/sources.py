"""Sources: who may post, how each proves itself, and what was pinned for it."""

from collections.abc import Mapping
from typing import Any

from stibgate.config import Settings


def source_rows(settings: Settings, pins: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every configured source; `pinned` is what `scheme = "auto"` found."""
    return [
        {
            "source": name,
            "kind": source.kind,
            "auth": source.auth,
            "scheme": source.scheme,
            "pinned": pins[name]["name"] if name in pins else None,
            "key_reading": pins[name]["key"] if name in pins else None,
            "routes": list(source.routes),
        }
        for name, source in settings.sources.items()
    ]
