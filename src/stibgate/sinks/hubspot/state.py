"""What the sink remembers about HubSpot, durably: which of our people and companies are which record there.

Everything is scoped by the account's id, because record ids mean nothing in another account. Keys are hashed: a key
may be an e-mail address or a phone number. Losing all of it costs requests and figures, never a duplicate.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.sinks import Memory
from stibgate.sinks.hubspot.mapping import Kind


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered about one contact or company.

    Attributes:
        record_id: Its record id; None when a creation was begun and nobody saw its end, or when it was lost.
        content: Fingerprint of what HubSpot last acknowledged.
        fills: Fingerprint of the part of it that only fills blanks.
        checked_at_ms: When HubSpot acknowledged it.
        received_at_ms: When the delivery came that it is from; an older one never overwrites it.
        batch: The `Batch.key` that wrote it last, or that began to.
        outcome: What that batch's answer was or, while only begun, would be.
        message: The answer's message.
        companies: Record ids of the companies that a contact is associated with.
        begun: Whether `batch` began to write it and nobody saw the end.
    """

    record_id: str | None = None
    content: str = ""
    fills: str = ""
    checked_at_ms: int = 0
    received_at_ms: int = 0
    batch: str = ""
    outcome: str = ""
    message: str | None = None
    companies: tuple[str, ...] = ()
    begun: bool = False

    def answer(self, position: int) -> Outcome:
        """Return the outcome that `batch` was given."""
        return Outcome(position, OutcomeKind(self.outcome), message=self.message)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values, without what is empty; `from_document` undoes it."""
        values = {short: getattr(self, name) for name, short in _SHORT.items()}
        return {
            short: list(value) if isinstance(value, tuple) else value
            for short, value in values.items()
            if value not in _EMPTY
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Known":
        """Return what `to_document` wrote; members that this version does not know are left out."""
        values = {name: document[short] for name, short in _SHORT.items() if short in document}
        return cls(**{**values, "companies": tuple(values.get("companies", ()))})


_EMPTY: tuple[object, ...] = (None, "", 0, ())
_SHORT = {
    "record_id": "id",
    "content": "content",
    "fills": "fills",
    "checked_at_ms": "at",
    "received_at_ms": "received",
    "batch": "batch",
    "outcome": "outcome",
    "message": "message",
    "companies": "companies",
    "begun": "begun",
}


class State:
    """The memory of one sink about one account.

    Args:
        memory: Where it is kept.
        account_id: HubSpot's number of the account.
    """

    def __init__(self, memory: Memory, account_id: str) -> None:
        self._memory = memory
        self._account_id = account_id

    async def recall(self, kind: Kind, keys: Iterable[str]) -> dict[str, Known]:
        """Return what is known, by our key."""
        names = {self._name(kind, key): key for key in keys}
        documents = await self._memory.recall(list(names)) if names else {}
        return {names[name]: Known.from_document(document) for name, document in documents.items()}

    async def remember(self, kind: Kind, known: Mapping[str, Known]) -> None:
        """Keep *known*, by our key."""
        if known:
            await self._memory.remember({self._name(kind, key): item.to_document() for key, item in known.items()})

    async def complete(self, keys: Mapping[Kind, str]) -> frozenset[Kind]:
        """Return the kinds of which everything that has a value in the key property was written by this memory's sink.

        Args:
            keys: The key property of each kind.
        """
        names = {self._made(kind, name): kind for kind, name in keys.items()}
        documents = await self._memory.recall(list(names))
        return frozenset(kind for name, kind in names.items() if documents.get(name))

    async def set_complete(self, keys: Mapping[Kind, str]) -> None:
        """Say that nothing in the account has a value in these key properties yet: they were made just now."""
        if keys:
            await self._memory.remember({self._made(kind, name): True for kind, name in keys.items()})

    def _made(self, kind: Kind, name: str) -> str:
        return f"{self._account_id}/complete/{kind}/{name}"

    def _name(self, kind: Kind, key: str) -> str:
        return f"{self._account_id}/{kind}/{hashlib.sha256(key.encode()).hexdigest()[:32]}"
