"""What a value must be before it is sent; the errors name the field and show nothing but numbers."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from stibgate.errors import UsageError

NUMBERS_HINT = "Whole numbers above 0 are meant."
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def text(**values: str | None) -> None:
    """Check that each of *values* that is given says something.

    Raises:
        UsageError: It is not.
    """
    for name, value in values.items():
        if value is not None and not value.strip():
            raise UsageError(f"{name} must not be empty", hint="Leave it out, or give it a value.")


def count(name: str, value: int | None, value_max: int | None = None) -> None:
    """Check that *value*, when given, is a whole number from 1 to *value_max*.

    Raises:
        UsageError: It is not.
    """
    if value is None:
        return
    if type(value) is not int or value < 1 or (value_max is not None and value > value_max):
        allowed = "above 0" if value_max is None else f"from 1 to {value_max}"
        hint = NUMBERS_HINT if value_max is None else "These are the vendor's documented limits."
        raise UsageError(f"{name} must be a whole number {allowed}, not {value!r}", hint=hint)


def one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    """Check that *value*, when given, is among *allowed*.

    Raises:
        UsageError: It is not.
    """
    if value is not None and value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}", hint="These are what the vendor documents.")


def url(name: str, value: str | None) -> None:
    """Check that *value*, when given, is an https URL, or http on loopback, without user name.

    Raises:
        UsageError: It is not.
    """
    if value is None:
        return
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not value.isascii() or not value.isprintable() or re.search(r"[\s@\\]", value):
        raise UsageError(f"{name} must be a URL without user name", hint="https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise UsageError(f"{name} must be an https URL", hint="http:// is for the sandbox on this machine only.")
