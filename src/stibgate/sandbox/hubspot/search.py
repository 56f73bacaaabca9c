"""Search: what its index has caught up with, by the filters that it has.

Source: search guide as its users quote it (limits, lower-case rule of `IN`); the published document (operators).
"""

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from stibgate.sandbox.hubspot.answers import Answer, Call, whole_number
from stibgate.sandbox.hubspot.bodies import Body, Text, read
from stibgate.sandbox.hubspot.border import SEARCH, Border
from stibgate.sandbox.hubspot.definitions import Definitions
from stibgate.sandbox.hubspot.paths import OBJECTS
from stibgate.sandbox.hubspot.records import Records
from stibgate.sandbox.hubspot.refusals import Refused
from stibgate.sandbox.hubspot.shapes import shown

PAGE_MAX = 200
RESULTS_MAX = 10_000
GROUPS_MAX = 5
GROUP_FILTERS_MAX = 6
FILTERS_MAX = 18
VALUES_MAX = 100
QUERY_MAX = 3_000

Match = Callable[[str | None], bool]


class Filter(Body):
    """One condition."""

    propertyName: Text  # noqa: N815
    operator: Literal[
        "BETWEEN", "CONTAINS_TOKEN", "EQ", "GT", "GTE", "HAS_PROPERTY", "IN", "LT", "LTE", "NEQ", "NOT_CONTAINS_TOKEN",
        "NOT_HAS_PROPERTY", "NOT_IN",
    ]  # fmt: skip
    value: str | None = None
    values: Annotated[list[str], Field(max_length=VALUES_MAX)] | None = None
    highValue: str | None = None  # noqa: N815


class Group(Body):
    """Conditions that must all hold."""

    filters: Annotated[list[Filter], Field(max_length=GROUP_FILTERS_MAX)]


class Sort(Body):
    """An order."""

    propertyName: Text  # noqa: N815
    direction: Literal["ASCENDING", "DESCENDING"] = "ASCENDING"


class Question(Body):
    """The body of a search; one of the groups must hold."""

    filterGroups: list[Group] = Field(default_factory=list, json_schema_extra={"maxItems": GROUPS_MAX})  # noqa: N815
    properties: list[str] = Field(default_factory=list)
    limit: Annotated[int, Field(ge=0, json_schema_extra={"maximum": PAGE_MAX})] = 10
    after: str | int | None = None
    sorts: Annotated[list[str | Sort], Field(max_length=1)] = Field(default_factory=list)
    query: Annotated[str, Field(max_length=QUERY_MAX)] | None = None


class Search:
    """Search over the records of both kinds."""

    def __init__(self, records: Mapping[str, Records]) -> None:
        self._records = records

    def routes(self, border: Border) -> list[web.RouteDef]:
        """Return the endpoint of this room."""
        return [web.post(OBJECTS + SEARCH, border.door(self._search, "crm.objects.{kind}.read"))]

    def _search(self, call: Call) -> Answer:
        records = self._records[call.kind.plural]
        asked = read(call.body, Question)
        start = _checked(asked)
        groups = [[(each.propertyName, _match(each, records.definitions)) for each in group.filters]
                  for group in asked.filterGroups]  # fmt: skip
        wanted = (asked.query or "").lower()
        found = [
            (record, properties)
            for record, properties in records.searchable()
            if (not groups or any(all(match(properties.get(name)) for name, match in group) for group in groups))
            and (not wanted or any(wanted in text.lower() for text in properties.values()))
        ]
        for sort in asked.sorts:
            name, backward = (sort, False) if isinstance(sort, str) else (sort.propertyName, sort.direction[0] == "D")
            found.sort(key=lambda pair: _rank(pair[1].get(name, "")), reverse=backward)
        end = start + asked.limit
        results = [
            record.document(shown(records, properties, asked.properties)) for record, properties in found[start:end]
        ]
        body: dict[str, Any] = {"total": len(found), "results": results}
        if end < len(found) and results:
            body["paging"] = {"next": {"after": str(end)}}
        return Answer(200, body)


def _checked(asked: Question) -> int:
    """Return where the page starts.

    Raises:
        Refused: 400, beyond a limit of the search.
    """
    groups = asked.filterGroups
    if len(groups) > GROUPS_MAX:
        raise Refused(400, f"too many filterGroups (count: {len(groups)}, max allowed: {GROUPS_MAX})")
    filters = sum(len(group.filters) for group in groups)
    if filters > FILTERS_MAX:
        raise Refused(400, f"too many filters (count: {filters}, max allowed: {FILTERS_MAX})")
    if asked.limit > PAGE_MAX:
        raise Refused(400, f"limit must not exceed {PAGE_MAX}, got {asked.limit}")
    after = whole_number("after", str(asked.after or 0))
    if after + asked.limit > RESULTS_MAX:
        raise Refused(400, f"a search does not page beyond {RESULTS_MAX} results")
    return after


def _match(asked: Filter, definitions: Definitions) -> Match:
    """Return whether a value meets *asked*.

    Raises:
        Refused: 400 when there is no such property, or the operator lacks its operand.
    """
    definition = definitions.live.get(asked.propertyName)
    if definition is None:
        raise Refused(400, f"There was a problem with the request. Property {asked.propertyName} does not exist")
    kind = asked.operator
    if kind in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
        return lambda text: (text is not None) is (kind == "HAS_PROPERTY")
    fold = str.lower if definition.type == "string" else str
    if kind in {"IN", "NOT_IN"}:
        if not asked.values:
            raise Refused(400, f"operator {kind} requires values")
        # Text is indexed in lower case, and these operands are taken as they are: `Acme.com` finds nothing.
        operands = frozenset(asked.values)
        return lambda text: (text is not None and fold(text) in operands) is (kind == "IN")
    if asked.value is None or (kind == "BETWEEN" and asked.highValue is None):
        raise Refused(400, f"operator {kind} requires a value")
    return _compared(kind, fold(asked.value), fold(asked.highValue or ""), fold)


def _compared(kind: str, value: str, high: str, fold: Callable[[str], str]) -> Match:
    """Return the test of one of the operators with an order or an operand of text."""
    if kind in {"EQ", "NEQ"}:
        return lambda text: (text is not None and fold(text) == value) is (kind == "EQ")
    if kind in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        token = value.strip("*").lower()
        return lambda text: (text is not None and token in text.lower()) is (kind == "CONTAINS_TOKEN")
    if kind == "BETWEEN":
        return lambda text: text is not None and _rank(value) <= _rank(fold(text)) <= _rank(high)
    compare = {"GT": operator.gt, "GTE": operator.ge, "LT": operator.lt, "LTE": operator.le}[kind]
    return lambda text: text is not None and compare(_rank(fold(text)), _rank(value))


def _rank(text: str) -> tuple[float, str]:
    """Return what orders numbers by value, and texts after them by their letters."""
    try:
        return (float(text), "")
    except ValueError:
        return (float("inf"), text)
