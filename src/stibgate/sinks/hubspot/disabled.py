"""Properties that HubSpot does not let us write: left out for a while, then tried again."""

from collections.abc import Callable, Mapping

DISABLED_S = 600.0


class DisabledProperties:
    """What is left out at present.

    Args:
        now_s: A clock that never jumps.

    Attributes:
        on_disabled: Called with the type of object, the property and HubSpot's code when one is newly left out.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.on_disabled: Callable[[str, str, str], None] | None = None
        self._now_s = now_s
        self._all: dict[str, dict[str, tuple[str, float]]] = {}

    def add(self, object_type: str, name: str, code: str) -> None:
        """Leave property *name* out of every record for `DISABLED_S`."""
        new = name not in self.of(object_type)
        self._all.setdefault(object_type, {})[name] = (code, self._now_s() + DISABLED_S)
        if new and self.on_disabled is not None:
            self.on_disabled(object_type, name, code)

    def of(self, object_type: str) -> Mapping[str, str]:
        """Return the properties to leave out, with HubSpot's code for each."""
        known = self._all.get(object_type)
        if not known:
            return {}
        now_s = self._now_s()
        return {name: code for name, (code, until_s) in known.items() if now_s < until_s}
