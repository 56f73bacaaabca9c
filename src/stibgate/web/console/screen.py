"""Values into HTML: jinja with autoescape always on, and the few words that all pages share."""

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from stibgate.domain.instant import from_rfc3339, to_rfc3339
from stibgate.views.words import counted as plainly_counted

STATIC = (
    "console.css",
    "charts.js",
    "console.js",
    "live.js",
    "vendor/htmx.min.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
)
_HERE = files("stibgate.web.console")

_STEPS = ((1_000, 60, "s"), (60_000, 60, "min"), (3_600_000, 48, "h"), (86_400_000, 10**9, "d"))
_HARMLESS = "\n\t\N{NO-BREAK SPACE}"
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


class Screen:
    """Renders the templates.

    Args:
        now_ms: The clock, for `3 min ago`.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.static = {name: _HERE.joinpath("static", name).read_bytes() for name in STATIC}
        self._digests = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self.static.items()}
        self._now_ms = now_ms
        self._jinja = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            loader=FunctionLoader(_template),
            finalize=_visible,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._jinja.globals["static"] = self._static
        self._jinja.filters.update(
            ago=self._ago,
            utc=to_rfc3339,
            span=span,
            counted=counted,
            ticked=ticked,
            size=size,
            number=number,
            pretty=_pretty,
        )

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the page."""
        return self._jinja.get_template(template).render(values)

    def _static(self, name: str) -> str:
        """Return a static file's URL, which is another one when its content is."""
        return f"/static/{name}?v={self._digests[name]}"

    def _ago(self, at: int | str | None) -> Markup | str:
        """Return a time, in ms or as the views write it, as people say it, with the exact one beside it."""
        if at is None:
            return "-"
        at_ms = from_rfc3339(at) if isinstance(at, str) else at
        passed_ms = self._now_ms() - at_ms
        words = "now" if abs(passed_ms) < 1_000 else span(abs(passed_ms))
        said = words if words == "now" else f"{words} ago" if passed_ms > 0 else f"in {words}"
        exact = to_rfc3339(at_ms)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, said)


def _template(name: str) -> str | None:
    source = _HERE.joinpath("templates", name)
    return source.read_text(encoding="utf-8") if source.is_file() else None


def _visible(value: object) -> object:
    """Return what is printed: what turns the direction of text or hides in it is shown as an escape."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return "-" if value is None else value
    return "".join(
        character if character.isprintable() or character in _HARMLESS else f"\\u{ord(character):04x}"
        for character in value
    )


def span(ms: int) -> str:
    """Return how long *ms* is, in its largest whole unit: `4 min`."""
    if ms < 1_000:
        return f"{ms} ms"
    for unit_ms, many, unit in _STEPS:
        if ms < unit_ms * many:
            return f"{ms // unit_ms} {unit}"
    raise AssertionError("the last step has no end")


def ticked(text: str) -> Markup:
    """Return a sentence of ours with what stands between backticks as code."""
    parts = (escape(_visible(part)) for part in text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def counted(count: int, noun: str) -> str:
    """Return `1 record`, `2 records`, with the thousands apart."""
    return plainly_counted(count, noun, number)


def number(count: float) -> str:
    """Return *count* with its thousands apart."""
    return f"{count:,}".replace(",", "\N{NO-BREAK SPACE}")


def size(count: int) -> str:
    """Return bytes as people read them: `11.7 KiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_BYTES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_BYTES[unit]}" if unit == 0 else f"{value:.1f} {_BYTES[unit]}"


def _pretty(word: object) -> str:
    """Return a name of ours as words: `half_open` becomes `half open`."""
    return str(word).replace("_", " ")
