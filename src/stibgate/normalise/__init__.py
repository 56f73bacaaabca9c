"""What records look like once they are ours: pure, idempotent, never raises, never invents.

One file a family of fields; `person` puts them together. The libraries behind them (phonenumbers,
email-validator, the public suffix list) take 0.2 s to load, so they are loaded by the first record or by
`warm`, not by importing this room.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stibgate.domain.record import Record
from stibgate.normalise.rules import Rules

__all__ = ["Rules", "normalise", "warm"]


def normalise(raw: Mapping[str, Any], *, position: int, rules: Rules) -> Record:
    """Return *raw* as a record; whatever could not be taken as sent is in its `issues` and `extra`.

    `normalise(record.to_document(), position=record.position, rules=rules) == record`.

    Args:
        raw: The vendor's record with a nested `company`, or with flat `company_name`, ... names as in the
            vendor's CSV, or what `Record.to_document` returned.
        position: The record's index in its delivery, from 0.
        rules: The settings of `[normalise]`.
    """
    from stibgate.normalise.person import read_person  # noqa: PLC0415  (see the module's docstring)

    return read_person(raw, position=position, rules=rules)


_NAMED = {"business_email": "email", "mobile_phone": "phone", "linkedin_url": "linkedin"}


def identifiers_of(text: str, rules: Rules) -> Sequence[tuple[str, str]]:
    """Return the (kind, value) pairs that *text* can mean in a record, normalised as a record's own fields are.

    Args:
        text: An e-mail address, a phone number or a LinkedIn URL; anything else gives nothing.
        rules: As the records were normalised.
    """
    record = normalise(dict.fromkeys(_NAMED, text), position=0, rules=rules)
    flagged = {issue.field for issue in record.issues}
    return [(kind, value) for name, kind in _NAMED.items() if name not in flagged and (value := getattr(record, name))]


def warm() -> None:
    """Load the libraries and their tables, so that no record waits for them and none is read from disk later."""
    from stibgate.normalise import person, phones  # noqa: F401, PLC0415

    phones.load_tables()
