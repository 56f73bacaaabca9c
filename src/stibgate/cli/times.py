"""Times on the command line: a date, which is midnight UTC, or RFC 3339."""

from collections.abc import Callable
from typing import Any

import click

from stibgate.domain.instant import from_date_or_rfc3339, to_rfc3339
from stibgate.errors import UsageError


def time_option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option whose value is passed as RFC 3339 UTC."""
    return click.option(name, metavar="TIME", callback=_checked, help=f"{text} A date (midnight UTC) or RFC 3339.")


def _checked(_ctx: click.Context, option: click.Parameter, text: str | None) -> str | None:
    return None if text is None else to_rfc3339(parse_time(text, option.opts[0]))


def parse_time(text: str, option: str) -> int:
    """Return *text* in milliseconds since the epoch.

    Raises:
        UsageError: It is neither a date nor a time.
    """
    try:
        return from_date_or_rfc3339(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is neither a date nor a time with its offset",
            hint="Write it like 2026-05-17, which is midnight UTC, or like 2026-05-17T18:42:10Z.",
        ) from error
