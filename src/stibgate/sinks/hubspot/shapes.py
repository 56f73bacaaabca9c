"""What goes over to HubSpot and what comes back, input by input."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Input:
    """One object to write.

    Attributes:
        id: The value of `id_property`, or HubSpot's record id where that is None.
        properties: What to set; values are text, never null.
        id_property: The unique property that `id` is of; None for an update by record id.
    """

    id: str
    properties: Mapping[str, str]
    id_property: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """HubSpot has the object.

    Attributes:
        id: Its record id, from the response; a merged record answers under another id than the one that was sent.
        new: Whether it was created now.
    """

    id: str
    new: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """HubSpot will never take this input as it is.

    Attributes:
        category: HubSpot's category, for example `VALIDATION_ERROR` or `CONFLICT`.
        code: HubSpot's code, for example `INVALID_EMAIL`.
        property: The HubSpot property that was at fault.
        correlation_id: What HubSpot's support asks for.
        existing_id: With a conflict, the record that has the value already.
        message: One line in our words, without personal data.
    """

    category: str | None = None
    code: str | None = None
    property: str | None = None
    correlation_id: str | None = None
    existing_id: str | None = None
    message: str = "HubSpot refused the record"


@dataclass(frozen=True, slots=True)
class Found:
    """An object as HubSpot has it.

    Attributes:
        id: Its record id.
        properties: Those that were asked for; None where HubSpot has no value.
    """

    id: str
    properties: Mapping[str, str | None] = field(default_factory=dict)
