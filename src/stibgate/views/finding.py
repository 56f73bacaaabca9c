"""What one word may mean: an id of any kind, the beginning of a body's hash, or how a person can be reached.

People are found by the keyed hash of a normalised identifier; text is never searched through.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from stibgate.domain.record import lookup_hash
from stibgate.errors import PermissionRefused
from stibgate.normalise import Rules, identifiers_of
from stibgate.stores import DeliveryFilter, Ledger

HASH_DIGITS_MIN = 8
_HASH = re.compile(rf"[0-9a-fA-F]{{{HASH_DIGITS_MIN},64}}")
_HASH_BYTES = 32
NOTHING = DeliveryFilter(delivery_id="")
"""What no delivery matches."""


def person_identifiers(text: str, rules: Rules) -> list[tuple[str, str]]:
    """Return how a person who is asked for may stand in a record: by an id, or normalised as its fields are."""
    return [("person_id", text), ("prospect_id", text), *identifiers_of(text, rules)]


def person_hashes(ledger: Ledger, identifiers: Sequence[tuple[str, str]]) -> list[bytes]:
    """Return under which hashes the store knows them."""
    return [lookup_hash(ledger.hash_key, kind, value) for kind, value in identifiers]


def narrowed(ledger: Ledger, where: DeliveryFilter, text: str, rules: Rules, *, people: bool = True) -> DeliveryFilter:
    """Return *where*, narrowed to the deliveries that *text* is about: the first of its meanings that names any.

    Args:
        ledger: Where it is looked up.
        where: What must hold beside it.
        text: One word.
        rules: As the records were normalised.
        people: Whether an address may be looked up: that somebody is here is personal data too.

    Raises:
        PermissionRefused: It is an address, and *people* may not be looked up; whether there is somebody or not.
    """
    text = text.strip()
    reached = identifiers_of(text, rules)
    for meaning in _meanings(ledger, text, reached if people else ()):
        if ledger.deliveries(DeliveryFilter(**meaning), limit=1):
            taken = [name for name in meaning if getattr(where, name) not in {None, meaning[name]}]
            return NOTHING if taken else replace(where, **meaning)
    if reached and not people:
        raise PermissionRefused(
            "this looks like an address of a person, and finding people needs the role operator",
            hint="Look for an id: of a delivery, a task, a job, a search, a customer or a person.",
        )
    return NOTHING


def _meanings(ledger: Ledger, text: str, reached: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the filters that *text* may stand for, the most likely first."""
    yield {"delivery_id": text}
    if (task := ledger.task(text)) is not None:
        yield {"delivery_id": task.delivery_id}
    if (job := ledger.job(text)) is not None and job.delivery_id is not None:
        yield {"delivery_id": job.delivery_id}
    for name in ("job_id", "search_id", "partner_customer_id"):
        yield {name: text}
    yield {"person": tuple(person_hashes(ledger, [("person_id", text), ("prospect_id", text), *reached]))}
    if _HASH.fullmatch(text):
        digits = text.lower()
        least, greatest = (bytes.fromhex(digits.ljust(_HASH_BYTES * 2, end)) for end in "0f")
        yield {"body_sha256": (least, greatest)}
