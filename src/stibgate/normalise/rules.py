"""The settings of normalisation."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may choose, `[normalise]` in the configuration.

    Attributes:
        default_region: ISO 3166-1 alpha-2, upper-case; where phone numbers without a country code are from.
        invalid_field: `null` empties a field whose value is invalid, `keep` leaves a text as it was sent.
            Both flag it with its original.
    """

    default_region: str = "US"
    invalid_field: Literal["null", "keep"] = "null"
