"""HubSpot's objects, many at a time: written, read, searched, associated, each input answered for by itself.

Calls of several tasks share requests. What HubSpot refuses is a value here; what failed on the way is raised.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from stibgate.errors import SinkHeld
from stibgate.sinks.hubspot.answers import Refused
from stibgate.sinks.hubspot.client import HubSpotClient, Lane
from stibgate.sinks.hubspot.errands import Errand, mapping, members, normal, record_id
from stibgate.sinks.hubspot.gather import Gather, Item, Load, Result
from stibgate.sinks.hubspot.isolate import Isolation
from stibgate.sinks.hubspot.requests import Associate, Pair, Read, Write
from stibgate.sinks.hubspot.shapes import Found, Input, Refusal, Written

PAGE_MAX = 200
PAGES_MAX = 50
"""HubSpot shows no more than 10,000 hits."""

HOLD_S = 600.0
AnyGather = TypeVar("AnyGather", bound=Gather[Any, Any])


class Objects:
    """One account's contacts and companies.

    Args:
        client: Where requests go; closing it ends what is under way here.
        trace_ids: Whether inputs get trace ids, by which HubSpot takes a batch without its bad ones.
    """

    def __init__(self, client: HubSpotClient, *, trace_ids: bool = True) -> None:
        self._client = client
        self._trace_ids = trace_ids
        self._gathers: dict[tuple[object, ...], Gather[Any, Any]] = {}
        self._pairs = self._make(Associate(client), ":".join)

    async def upsert(self, object_type: str, inputs: Sequence[Input]) -> Sequence[Written | Refusal]:
        """Create or update under a unique property; result i belongs to input i.

        Args:
            object_type: `contacts` or `companies`.
            inputs: Any number; all with the same `id_property`.

        Raises:
            SinkUnavailable: Transient; the same inputs may be sent again.
            ValueError: An input has no `id_property`, or another one than the first.
        """
        keys = {item.id_property for item in inputs}
        if len(keys) > 1 or None in keys:
            raise ValueError("the inputs of an upsert need one id_property, the same for all")
        return await self._write(object_type, keys.pop() if keys else None, inputs)

    async def update(self, object_type: str, inputs: Sequence[Input]) -> Sequence[Written | Refusal]:
        """Update by record id; result i belongs to input i.

        Raises:
            SinkUnavailable: Transient; the same inputs may be sent again.
        """
        return await self._write(object_type, None, inputs)

    async def read(
        self, object_type: str, ids: Sequence[str], *, id_property: str | None, properties: Sequence[str]
    ) -> Mapping[str, Found]:
        """Return the objects that are there, by the ids as they were asked for.

        Args:
            object_type: `contacts` or `companies`.
            ids: Values of *id_property*, compared without regard to case; record ids where that is None.
            id_property: `email` also finds a contact by one of its further addresses, where HubSpot does.
            properties: What each `Found` shall have.

        Raises:
            SinkUnavailable: Transient.
        """
        name = ("read", object_type, id_property, tuple(properties))
        gather = self._known(name, lambda: self._make(Read(self._client, object_type, id_property, properties), normal))
        spellings: dict[str, list[str]] = {}
        for id_ in dict.fromkeys(ids):
            spellings.setdefault(normal(id_), []).append(id_)
        results = await gather.call([same[0] for same in spellings.values()])
        pairs = zip(spellings.values(), results, strict=True)
        return {id_: found for same, found in pairs if found is not None for id_ in same}

    async def search(
        self,
        object_type: str,
        property: str,  # noqa: A002  (HubSpot's word)
        values: Sequence[str],
        properties: Sequence[str],
    ) -> Sequence[Found]:
        """Return the objects whose *property* is one of *values*, in the order of the values, each once.

        HubSpot's index lags by some seconds: what is not found may still be there.

        Args:
            object_type: `contacts` or `companies`.
            property: A text property.
            values: Compared without regard to case.
            properties: What each `Found` shall have.

        Raises:
            SinkUnavailable: Transient.
        """
        name = ("search", object_type, property, tuple(properties))
        gather = self._known(name, lambda: self._gather(_Search(self._client, *name[1:]).carry, str))
        hits = await gather.call(list(dict.fromkeys(normal(value) for value in values)))
        return list({found.id: found for group in hits for found in group}.values())

    async def associate(self, pairs: Sequence[Pair]) -> Sequence[Refusal | None]:
        """Associate contacts with companies, contact id first; result i belongs to pair i, None where it is done.

        Raises:
            SinkUnavailable: Transient; the same pairs may be sent again.
        """
        results = await self._pairs.call(pairs)
        return [result if isinstance(result, Refusal) else None for result in results]

    async def _write(self, object_type: str, key: str | None, inputs: Sequence[Input]) -> Sequence[Written | Refusal]:
        def make() -> Gather[Input, Written | Refusal]:
            errand = Write(self._client, object_type, key, trace_ids=self._trace_ids)
            return self._make(errand, lambda item: normal(item.id))

        return await self._known(("write", object_type, key), make).call(inputs)

    def _make(self, errand: Errand[Item, Result], key: Callable[[Item], str]) -> Gather[Item, Result]:
        async def carry(load: Load[Item, Result]) -> None:
            await Isolation(self._client, errand, load).run()

        return self._gather(carry, key)

    def _gather(
        self, carry: Callable[[Load[Item, Result]], Awaitable[None]], key: Callable[[Item], str]
    ) -> Gather[Item, Result]:
        return Gather(carry, spawn=self._client.spawn, key=key)

    def _known(self, name: tuple[object, ...], make: Callable[[], AnyGather]) -> AnyGather:
        """Return the gather of an operation; operations are as many as the configuration makes them."""
        if name not in self._gathers:
            self._gathers[name] = make()
        return self._gathers[name]  # type: ignore[return-value]  # the name says which type it is


class _Search:
    """One search, for the values of several callers."""

    def __init__(self, client: HubSpotClient, object_type: str, name: str, properties: Sequence[str]) -> None:
        self._client = client
        self._path = f"crm/objects/{{version}}/{object_type}/search"
        self._name = name
        self._properties = properties
        self._asked = list(dict.fromkeys((*properties, name)))

    async def carry(self, load: Load[str, Sequence[Found]]) -> None:
        """Settle each value of *load* with what has it, whole pages later."""
        hits: dict[str, list[Found]] = {}
        after: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._page(load, after)
            for result in members(page.get("results")):
                self._add(result, hits)
            after = str(mapping(mapping(page.get("paging")).get("next")).get("after") or "")
            if not after:
                break
        for index, value in enumerate(load.items):
            load.settle(index, hits.get(value, ()))

    async def _page(self, load: Load[str, Sequence[Found]], after: str | None) -> Mapping[str, Any]:
        def body() -> Mapping[str, Any]:
            values = load.take() if after is None else load.items
            condition = {"propertyName": self._name, "operator": "IN", "values": list(values)}
            return {
                "filterGroups": [{"filters": [condition]}],
                "properties": self._asked,
                "limit": PAGE_MAX,
                "after": after or "0",
                "sorts": [],
            }

        try:
            return (await self._client.request("POST", self._path, body, lane=Lane.SEARCH)).document
        except Refused as refused:
            hint = "Look at the account's properties (Settings > Properties) and at the sink's `properties`."
            raise SinkHeld(f"{refused.message}, a search", hint=hint, retry_after_s=HOLD_S) from refused

    def _add(self, result: Mapping[str, Any], hits: dict[str, list[Found]]) -> None:
        id_, properties = record_id(result), mapping(result.get("properties"))
        if id_ is not None:
            shown = {name: properties[name] for name in self._properties if name in properties}
            hits.setdefault(normal(str(properties.get(self._name))), []).append(Found(id_, shown))
