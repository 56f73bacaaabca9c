"""Where each setting that applies came from, for people who look for the place to change it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stibgate.config.lines import KeyPath

DEFAULT = "default"


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Where a configuration came from.

    Attributes:
        path: The file that was read.
        places: Key path -> `config.toml:12`, `environment STIBGATE_...`, `credentials` or `flags`.
        notices: What is allowed in it and perhaps not meant.
    """

    path: Path | None = None
    places: Mapping[KeyPath, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Two configurations that say the same are the same, wherever each says it."""
        return isinstance(other, Origins)

    __hash__ = None  # type: ignore[assignment]  # equal whatever is in it

    def of(self, path: KeyPath) -> str:
        """Return where the value at *path* came from."""
        return self.places.get(path, DEFAULT)

    def moved(self, path: Path) -> "Origins":
        """Return where everything came from once the file has become *path*."""
        places = {key: place.replace(str(self.path), str(path)) for key, place in self.places.items()}
        return replace(self, path=path, places=places)
