"""What the settings of every sink are made of: units as people write them, and the strict base model.

A duration, a size and a rate always carry their unit in a file ("5m", "32MiB", "200/s"); a bare number is
refused, because nobody remembers a year later whether 300 meant seconds. Inside the program they are plain
numbers: seconds, bytes, events a second. Defaults are therefore written as numbers in a model, and come out
as text again where a person or a JSON document reads them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

from stibgate.domain.units import format_duration, parse_duration, parse_rate, parse_size
from stibgate.sinks import Sink, SinkContext

_SIZE_STEPS = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_RATE_STEPS = (("s", 1.0), ("m", 60.0), ("h", 3600.0))


def format_size(size_bytes: int) -> str:
    """Return *size_bytes* in the largest unit that needs no fraction; the inverse of `parse_size`."""
    for unit, step in _SIZE_STEPS:
        if size_bytes and size_bytes % step == 0:
            return f"{size_bytes // step}{unit}"
    return f"{size_bytes}B"


def format_rate(per_s: float) -> str:
    """Return *per_s* in the first of N/s, N/m, N/h that is whole; the inverse of `parse_rate`."""
    for unit, seconds in _RATE_STEPS:
        count = round(per_s * seconds, 9)
        if count == int(count):
            return f"{int(count)}/{unit}"
    return f"{per_s:.9g}/s"


def _text_with_unit(parse: Callable[[str], float]) -> Callable[[object], float]:
    """Return a validator that hands text to *parse*, which refuses everything without a unit."""

    def validate(value: object) -> float:
        # str() of a bare number has no unit, so `parse` refuses it with the message that shows how.
        return parse(value if isinstance(value, str) else str(value))

    return validate


Duration = Annotated[
    float,
    BeforeValidator(_text_with_unit(parse_duration)),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration-with-unit", "examples": ["30s", "5m", "400d"]}),
]
"""Seconds, from text such as "30s", "5m", "2h" or "400d"."""

Size = Annotated[
    int,
    BeforeValidator(_text_with_unit(parse_size)),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "size-with-unit", "examples": ["512KiB", "32MiB"]}),
]
"""Bytes, from text such as "512KiB", "32MiB" or "1GiB"."""

Rate = Annotated[
    float,
    BeforeValidator(_text_with_unit(parse_rate)),
    PlainSerializer(format_rate, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "rate-with-unit", "examples": ["200/s", "30/m"]}),
]
"""Events a second, from text such as "200/s" or "30/m"."""


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    return seconds


PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
"""Seconds, above zero."""

Count = Annotated[int, Strict(), Field(ge=1)]
"""A whole number from 1, never text or true/false that happens to look like one."""


def _not_empty(schedule: tuple[float, ...]) -> tuple[float, ...]:
    # Not min_length: pydantic counts only the items that are right, and would call a list of mistakes empty.
    if not schedule:
        raise ValueError("must have 1 or more items")
    return schedule


Schedule = Annotated[
    tuple[Duration, ...], Field(max_length=50, json_schema_extra={"minItems": 1}), AfterValidator(_not_empty)
]
"""The waiting time before each attempt; the first is the wait before the first one."""


class DeliveryOverride(BaseModel):
    """`[sinks.NAME.delivery]`: what this sink does otherwise than `[delivery]`; unset keys follow it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    schedule: Schedule | None = None
    max_age: PositiveDuration | None = None
    timeout: PositiveDuration | None = None
    concurrency: Count | None = None
    rate: Rate | None = None
    lease: PositiveDuration | None = None


class SinkSettings(BaseModel):
    """Base of every sink's settings: unknown keys are refused, and nothing changes after loading.

    A subclass narrows `kind` to a `Literal[...]` and adds its keys with their defaults, and `build()`. Defaults are
    written in the units of the program (seconds, bytes), never as text. A relative `Path` among its keys is made
    absolute by `stibgate.config`, against the folder of the configuration file.

    Attributes:
        USUAL_DELIVERY: What sinks of this kind do otherwise than `[delivery]`, unless their own `delivery` says so;
            validated like a table of the file, so its durations are text: `DeliveryOverride(timeout="10m")`.
        kind: Names the kind of sink.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    USUAL_DELIVERY: ClassVar[DeliveryOverride] = DeliveryOverride()

    kind: str
    delivery: DeliveryOverride = DeliveryOverride()

    def notices(self) -> Iterable[str]:
        """Return what is allowed, and perhaps not meant; without secrets, and without asking the network."""
        return ()

    @abstractmethod
    def build(self, context: SinkContext) -> Sink:
        """Return the sink; nothing is touched before its `open`."""
