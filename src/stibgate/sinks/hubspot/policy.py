"""Field policy: which values may be written over what HubSpot has already.

A CRM belongs to the people who work in it. So most fields only fill blanks, and what makes a contact somebody's
(its e-mail address, its owner) is set once, when the contact is created.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Policy(StrEnum):
    """When a field is written."""

    OVERWRITE = "overwrite"
    FILL_BLANK = "fill_blank"
    CREATE_ONLY = "create_only"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Want:
    """A value that a property should have, and how much."""

    value: str
    policy: Policy


Wants = Mapping[str, Want]
"""By HubSpot property; nothing with the policy `never` is in it."""


def for_new(wants: Wants) -> dict[str, str]:
    """Return what is sent for an object that is not there yet: everything."""
    return {name: want.value for name, want in wants.items()}


def for_existing(wants: Wants, there: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return what is sent for an object that is there.

    Args:
        wants: What it should have.
        there: What it has; None when that was not read, and then no blank is filled. What is equal is left out.
    """
    return {name: want.value for name, want in wants.items() if _is_due(want, name, there)}


def _is_due(want: Want, name: str, there: Mapping[str, str | None] | None) -> bool:
    if want.policy is Policy.OVERWRITE:
        return there is None or there.get(name) != want.value
    return want.policy is Policy.FILL_BLANK and there is not None and not there.get(name)


def fills(wants: Wants) -> dict[str, Want]:
    """Return those of *wants* that can only be decided by reading what is there."""
    return {name: want for name, want in wants.items() if want.policy is Policy.FILL_BLANK}


def digest(wants: Wants) -> str:
    """Return a fingerprint of *wants*, values and policies; 128 bits, so two contents never share one."""
    rows = sorted((name, want.value, want.policy) for name, want in wants.items())
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()[:32]
