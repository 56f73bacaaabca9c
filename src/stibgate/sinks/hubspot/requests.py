"""The errands that are run at HubSpot: writing objects, reading them, associating them.

Source: HubSpot, CRM objects and associations guides, 2026-03 and 2026-09; both versions take the same documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stibgate.errors import SinkHeld
from stibgate.sinks.hubspot.answers import Answer, Refused
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.errands import Errand, Index, Mark, Sorted, mapping, members, normal, record_id
from stibgate.sinks.hubspot.faults import Fault
from stibgate.sinks.hubspot.shapes import Found, Input, Refusal, Written

HOLD_S = 600.0
_ADDRESSES = "hs_additional_emails"
_COMPANY_TO_CONTACT = frozenset({280, 2})
_CONFIGURATION_HINT = "Look at the account's properties (Settings > Properties) and at the sink's `properties`."

Pair = tuple[str, str]


class Write(Errand[Input, Written | Refusal]):
    """Upserts under a unique property, or updates by record id.

    Args:
        client: Where it goes.
        object_type: `contacts` or `companies`.
        key: The unique property; None for record ids.
        trace_ids: Whether every input gets a name of its own, by which HubSpot then takes the others.
    """

    def __init__(self, client: HubSpotClient, object_type: str, key: str | None, *, trace_ids: bool) -> None:
        self.path = f"crm/objects/{{version}}/{object_type}/batch/{'upsert' if key else 'update'}"
        self._client = client
        self._type = object_type
        self._key = key
        self._trace_ids = trace_ids

    def body(self, items: Sequence[Input]) -> Mapping[str, Any]:
        """Return the batch, without what is disabled at present."""
        disabled = self._client.disabled_properties(self._type)
        return {"inputs": [self._input(position, item, disabled) for position, item in enumerate(items)]}

    def marks(self, position: int, item: Input) -> Iterable[Mark]:
        """Yield trace, key or record id."""
        if self._trace_ids:
            yield "trace", str(position)
        yield ("key" if self._key else "id"), normal(item.id)
        if self._key:
            yield "id", normal(item.id)  # what a complaint calls an id is the key that was sent

    def marks_of(self, result: Mapping[str, Any]) -> Iterable[Mark]:
        """Yield trace, key or record id."""
        if isinstance(trace := result.get("objectWriteTraceId"), str):
            yield "trace", trace
        if self._key is None:
            yield "id", record_id(result) or ""
        elif isinstance(key := _properties(result).get(self._key), str):
            yield "key", normal(key)

    def accept(self, result: Mapping[str, Any]) -> Written | None:
        """Return the record that there is now."""
        id_ = record_id(result)
        return None if id_ is None else Written(id_, new=result.get("new") is True)

    def refuse(self, fault: Fault) -> Refusal:
        """Return *fault* as it is told to the sink."""
        return fault.to_refusal()

    def disable(self, fault: Fault, items: Sequence[Input]) -> bool:
        """Leave unknown and read-only properties out from now on, for a while."""
        if fault.not_unique or (self._key and self._key in fault.properties):
            raise SinkHeld(
                f"HubSpot does not take {self._key or 'the record id'} as the key of {self._type}",
                hint="The key must be a property that requires unique values (Settings > Properties).",
                retry_after_s=HOLD_S,
            )
        sent = {name for item in items for name in item.properties}
        ours = {name: code for name, code in fault.properties.items() if name in sent}
        for name, code in ours.items():
            self._client.disabled.add(self._type, name, code)
        return bool(ours)

    async def confirm(
        self, items: Sequence[Input], strangers: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Written | Refusal]:
        """Read the inputs back by their key: written is one whose record the answer names, or that has our values."""
        names = sorted({name for item in items for name in item.properties})
        read = Read(self._client, self._type, self._key, names)
        ids = list(dict.fromkeys(normal(item.id) if self._key == "email" else item.id for item in items))
        try:
            answer = await self._client.request("POST", read.path, read.body(ids))
        except Refused:
            return {}
        there = read.sort(ids, answer).done
        found = {normal(ids[index]): record for index, record in there.items() if record is not None}
        named = {id_: result.get("new") is True for result in strangers if (id_ := record_id(result))}
        disabled = self._client.disabled_properties(self._type)
        confirmed: dict[int, Written | Refusal] = {}
        for index, item in enumerate(items):
            record = found.get(normal(item.id))
            if record and (record.id in named or _has(record, item, disabled)):
                confirmed[index] = Written(record.id, new=named.get(record.id, False))
        return confirmed

    def _input(self, position: int, item: Input, disabled: Mapping[str, str]) -> dict[str, Any]:
        properties = dict(item.properties)
        if disabled:
            properties = {name: value for name, value in properties.items() if name not in disabled}
        document: dict[str, Any] = {"id": item.id, "properties": properties}
        if self._key:
            document["idProperty"] = self._key
            if self._key != "email":  # an address may be a secondary one, which must not become the first
                properties.setdefault(self._key, item.id)  # so that the result names it
        if self._trace_ids:
            document["objectWriteTraceId"] = str(position)
        return document


class Read(Errand[str, Found | None]):
    """Objects by record id or by a unique property; None for those that are not there.

    Args:
        client: Where it goes.
        object_type: `contacts` or `companies`.
        key: The unique property that ids are values of; None for record ids.
        properties: What to return.
    """

    def __init__(self, client: HubSpotClient, object_type: str, key: str | None, properties: Sequence[str]) -> None:
        self.path = f"crm/objects/{{version}}/{object_type}/batch/read"
        self._client = client
        self._type = object_type
        self._key = key
        self._properties = tuple(properties)
        more = () if key is None else (key, _ADDRESSES) if key == "email" else (key,)
        self._asked = list(dict.fromkeys((*properties, *more)))

    def body(self, items: Sequence[str]) -> Mapping[str, Any]:
        """Return the batch."""
        document: dict[str, Any] = {"inputs": [{"id": id_} for id_ in items], "properties": self._asked}
        return document if self._key is None else {**document, "idProperty": self._key}

    def marks(self, position: int, item: str) -> Iterable[Mark]:  # noqa: ARG002  (reads have no trace ids)
        """Yield the id."""
        yield "id", normal(item)

    def marks_of(self, result: Mapping[str, Any]) -> Iterable[Mark]:
        """Yield the key, a contact's further addresses, or the record id."""
        properties = _properties(result)
        if self._key is None:
            yield "id", record_id(result) or ""
            return
        names = [properties.get(self._key)]
        if self._key == "email":
            names += str(properties.get(_ADDRESSES) or "").split(";")
        yield from (("id", normal(name)) for name in names if isinstance(name, str) and name)

    def accept(self, result: Mapping[str, Any]) -> Found | None:
        """Return the record with the properties that were asked for."""
        id_, properties = record_id(result), _properties(result)
        if id_ is None:
            return None
        return Found(id_, {name: _text(properties[name]) for name in self._properties if name in properties})

    def refuse(self, fault: Fault) -> None:  # noqa: ARG002  (whatever it is, there is no such record)
        """Return that it is not there."""
        return

    def disable(self, fault: Fault, items: Sequence[str]) -> bool:  # noqa: ARG002  (about the properties only)
        """Hold the sink when it is the properties that HubSpot does not know."""
        if fault.not_unique or fault.properties:
            raise _misconfigured(f"HubSpot does not read {self._type} by these properties: {fault.words}")
        return False

    async def confirm(self, items: Sequence[str], strangers: Sequence[Mapping[str, Any]]) -> Mapping[int, Found | None]:
        """Return that they are not there, unless there are records that nobody asked for."""
        return {} if strangers and len(items) > 1 else dict.fromkeys(range(len(items)))


class Associate(Errand[Pair, Refusal | bool]):
    """Contacts to companies, with the default type; harmless for pairs that are associated already."""

    path = "crm/associations/{version}/contacts/companies/batch/associate/default"
    _read_path = "crm/associations/{version}/contacts/companies/batch/read"

    def __init__(self, client: HubSpotClient) -> None:
        self._client = client

    def body(self, items: Sequence[Pair]) -> Mapping[str, Any]:
        """Return the batch."""
        return {"inputs": [{"from": {"id": contact}, "to": {"id": company}} for contact, company in items]}

    def marks(self, position: int, item: Pair) -> Iterable[Mark]:  # noqa: ARG002  (pairs have no trace ids)
        """Yield the pair, and each end of it."""
        yield "pair", *item
        for end in item:
            yield "id", end

    def marks_of(self, result: Mapping[str, Any]) -> Iterable[Mark]:
        """Yield the pair as we write it, contact first."""
        yield "pair", *_ends(result)

    def accept(self, result: Mapping[str, Any]) -> bool | None:
        """Return that the pair is associated."""
        return all(_ends(result)) or None

    def refuse(self, fault: Fault) -> Refusal:
        """Return *fault* as it is told to the sink."""
        return fault.to_refusal()

    def disable(self, fault: Fault, items: Sequence[Pair]) -> bool:  # noqa: ARG002  (pairs have no properties)
        """Return that there is nothing to leave out."""
        return False

    def about(self, fault: Fault, index: Index) -> Sequence[int]:
        """Return the pairs of which *fault* names both ends; else those of which it names one."""
        named, context = fault.named, fault.context or {}
        nears, fars = context.get("fromObjectId", named), context.get("toObjectId", named)
        pairs = [hit for near in nears for far in fars for hit in index.get(("pair", near, far), ())]
        return pairs or [hit for name in named for hit in index.get(("id", name), ())]

    def sort(self, items: Sequence[Pair], answer: Answer) -> Sorted[Refusal | bool]:
        """Return what *answer* says about each pair; both directions of one are the same thing said twice."""
        document = dict(answer.document)
        document["results"] = list({_ends(result): result for result in members(document.get("results"))}.values())
        return super().sort(items, replace(answer, document=document))

    async def confirm(
        self,
        items: Sequence[Pair],
        strangers: Sequence[Mapping[str, Any]],  # noqa: ARG002  (they name other records)
    ) -> Mapping[int, Refusal | bool]:
        """Read the contacts' companies back."""
        contacts = dict.fromkeys(contact for contact, _ in items)
        body = {"inputs": [{"id": contact} for contact in contacts]}
        try:
            answer = await self._client.request("POST", self._read_path, body)
        except Refused:
            return {}
        there = {
            (record_id(mapping(result.get("from"))), str(other.get("toObjectId")))
            for result in members(answer.document.get("results"))
            for other in members(result.get("to"))
        }
        return {index: True for index, pair in enumerate(items) if pair in there}


def _ends(result: Mapping[str, Any]) -> Pair:
    """Return contact id and company id of an association, whichever way round it is given."""
    near, far = (record_id(mapping(result.get(end))) or "" for end in ("from", "to"))
    type_id = mapping(result.get("associationSpec")).get("associationTypeId")
    return (far, near) if type_id in _COMPANY_TO_CONTACT else (near, far)


def _properties(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(result.get("properties"))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _has(record: Found, item: Input, disabled: Mapping[str, str]) -> bool:
    """Return whether *record* has what *item* would set."""
    return all(
        normal(record.properties.get(name) or "") == normal(value)
        for name, value in item.properties.items()
        if name not in disabled
    )


def _misconfigured(message: str) -> SinkHeld:
    return SinkHeld(message, hint=_CONFIGURATION_HINT, retry_after_s=HOLD_S)
