"""The records of one kind: what is stored, under which ids and unique values it is found, and what search sees."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from stibgate.domain.instant import to_rfc3339
from stibgate.sandbox.hubspot.definitions import Definitions
from stibgate.sandbox.hubspot.kinds import Kind


@dataclass(slots=True)
class Record:
    """One contact or company.

    Attributes:
        id: Its record id, decimal digits.
        created_at: RFC 3339.
        updated_at: RFC 3339.
        properties: Name to text, non-empty values only. Replaced at each write, never changed in place: the search
            index keeps the older one until it has caught up.
        archived_at: Set when it was archived, or merged into another.
        history: Each write's time and what it set, oldest first.
    """

    id: str
    created_at: str
    updated_at: str
    properties: Mapping[str, str] = field(default_factory=dict)
    archived_at: str | None = None
    history: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def document(self, properties: Mapping[str, str | None]) -> dict[str, Any]:
        """Return it as the API shows it, with *properties* and no others."""
        shown = {
            "id": self.id,
            "properties": properties,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived_at is not None,
        }
        return shown if self.archived_at is None else {**shown, "archivedAt": self.archived_at}


class Records:
    """All records of one kind.

    Args:
        kind: Which.
        definitions: Its properties.
        now: Seconds since the Unix epoch.
        first_id: The first record id; the next ones are a little higher each, as HubSpot's are.
        lag_s: How long a change stays invisible to search.

    Attributes:
        on_email: Called with each contact whose e-mail was set.
    """

    def __init__(
        self, kind: Kind, definitions: Definitions, now: Callable[[], float], *, first_id: int, lag_s: float
    ) -> None:
        self.kind = kind
        self.definitions = definitions
        self.on_email: Callable[[Record], None] | None = None
        self._now = now
        self._lag_s = lag_s
        self._ids = count(first_id, 3)
        self._by_id: dict[str, Record] = {}
        self._order: list[int] = []
        self._owners: dict[str, dict[str, str]] = {}
        self._merged: dict[str, str] = {}
        self._indexed: dict[str, Mapping[str, str]] = {}
        self._to_index: deque[tuple[float, Record, Mapping[str, str]]] = deque()

    def new_id(self) -> str:
        """Return the next record id; ids that a refused batch took are not used again."""
        return str(next(self._ids))

    def timestamp(self) -> str:
        """Return now as RFC 3339."""
        return to_rfc3339(int(self._now() * 1000))

    def live(self) -> Iterator[Record]:
        """Yield what is not archived, oldest first."""
        return (record for record in self._by_id.values() if record.archived_at is None)

    def all_after(self, after: int, *, archived: bool) -> Iterator[Record]:
        """Yield the records, live or archived, whose id is above *after*, oldest first."""
        for number in islice(self._order, bisect_right(self._order, after), None):
            record = self._by_id[str(number)]
            if (record.archived_at is not None) is archived:
                yield record

    def find(self, record_id: str, *, archived: bool = False) -> Record | None:
        """Return the record of that id; a merged one's id finds the record that took it over."""
        while record_id in self._merged:
            record_id = self._merged[record_id]
        record = self._by_id.get(record_id)
        return record if record is not None and (record.archived_at is not None) is archived else None

    def owner_of(self, name: str, value: str) -> str | None:
        """Return the id of the live record whose unique property *name* is *value*; an e-mail may be a further one."""
        owners = self._owners.get(name)
        return None if owners is None else owners.get(value)

    def put(self, record_id: str, changes: Mapping[str, str], at: str) -> Record:
        """Return the record after *changes* were written; it is made where there was none. "" clears."""
        record = self._by_id.get(record_id)
        if record is None:
            system = {"hs_object_id": record_id, "createdate": at}
            record = self._by_id[record_id] = Record(record_id, at, at, system)
            self._order.append(int(record_id))
        before = record.properties
        after = {**before, **changes, self.kind.modified: at}
        if "email" in changes:
            after["hs_email_domain"] = changes["email"].rpartition("@")[2]
        if "" in changes.values():
            after = {name: value for name, value in after.items() if value}
        for name in self.definitions.unique:
            if name in changes:
                self._own(name, record_id, before.get(name), after)
        record.properties = after
        record.updated_at = at
        record.history.append((at, changes))
        self._to_index.append((self._now() + self._lag_s, record, after))
        if self.on_email is not None and changes.get("email"):
            self.on_email(record)
        return record

    def archive(self, record: Record, at: str) -> None:
        """Hide *record*; its unique values are free again."""
        record.archived_at = at
        self._indexed.pop(record.id, None)
        for name, owners in self._owners.items():
            for value in _emails(record) if name == "email" else [record.properties.get(name, "")]:
                if owners.get(value) == record.id:
                    del owners[value]

    def merge(self, primary: Record, other: Record) -> Record:
        """Return the record that takes both over: a new id, the primary's values before the other's.

        The other's e-mail addresses stay identifiers, as additional ones; both old ids find the new record.
        """
        at = self.timestamp()
        values = {**other.properties, **primary.properties}
        emails = [*_emails(primary), *_emails(other)]
        if len(emails) > 1:
            values["hs_additional_emails"] = ";".join(emails[1:])
        self.archive(primary, at)
        self.archive(other, at)
        new_id = self.new_id()
        kept = {name: value for name, value in values.items() if name not in {"hs_object_id", "createdate"}}
        merged = self.put(new_id, kept, at)
        for email in emails:
            self._owners.setdefault("email", {})[email] = new_id
        self._merged |= {primary.id: new_id, other.id: new_id}
        return merged

    def searchable(self) -> Iterator[tuple[Record, Mapping[str, str]]]:
        """Yield the live records that search knows, each with the properties that it knows of it."""
        now_s = self._now()
        while self._to_index and self._to_index[0][0] <= now_s:
            _, record, properties = self._to_index.popleft()
            if record.archived_at is None:
                self._indexed[record.id] = properties
        return ((self._by_id[record_id], properties) for record_id, properties in self._indexed.items())

    def _own(self, name: str, record_id: str, before: str | None, after: Mapping[str, str]) -> None:
        owners = self._owners.setdefault(name, {})
        if before is not None and owners.get(before) == record_id:
            del owners[before]
        if name in after:
            owners[after[name]] = record_id


def _emails(record: Record) -> list[str]:
    """Return the e-mail addresses of *record*, the primary one first."""
    additional = record.properties.get("hs_additional_emails", "").split(";")
    return [email for email in (record.properties.get("email", ""), *additional) if email]
