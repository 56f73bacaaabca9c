"""The two kinds of record that the sandbox keeps, and what is particular to each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One object type.

    Attributes:
        plural: Its name in paths and scopes, `contacts`.
        singular: Its name in messages, `Contact`.
        type_id: Its number in paths and messages, `0-1`.
        modified: The property that holds the time of the last change.
        identity: A new record needs at least one of these.
        shown: What a read answers when no property was asked for.
        to_other: The association type towards the other kind that every associated pair has.
        to_other_primary: The association type of the primary pair.
    """

    plural: str
    singular: str
    type_id: str
    modified: str
    identity: tuple[str, ...]
    shown: tuple[str, ...]
    to_other: int
    to_other_primary: int


CONTACTS = Kind(
    "contacts", "Contact", "0-1", "lastmodifieddate", ("email", "firstname", "lastname"),
    ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"), 279, 1,
)  # fmt: skip
COMPANIES = Kind(
    "companies", "Company", "0-2", "hs_lastmodifieddate", ("name", "domain"),
    ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"), 280, 2,
)  # fmt: skip
KINDS = {kind.plural: kind for kind in (CONTACTS, COMPANIES)} | {kind.type_id: kind for kind in (CONTACTS, COMPANIES)}
