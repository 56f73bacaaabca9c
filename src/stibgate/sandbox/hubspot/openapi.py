"""The OpenAPI 3.1 document of this sandbox: its own routes, what they take, and what it answers.

It describes what is served here, in our own words and shapes, and is no copy of HubSpot's own documents. Faults that
are answers are in it; those that break an answer (cut, truncated, short, empty, a page as a 200) are not.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from stibgate import __version__
from stibgate.sandbox.hubspot import schemas as answers
from stibgate.sandbox.hubspot.account import DAILY_USAGE, DETAILS, KEY_INFORMATION, OWNERS, OWNERS_PAGE_MAX, TokenKey
from stibgate.sandbox.hubspot.bodies import AssociationReads, Body, Creates, Merge, Pairs, Reads, Writes
from stibgate.sandbox.hubspot.border import SEARCH
from stibgate.sandbox.hubspot.paths import ASSOCIATIONS, BY_ID, BY_NAME, OBJECTS, PROPERTIES
from stibgate.sandbox.hubspot.properties import Names, NewGroup, NewProperties, NewProperty
from stibgate.sandbox.hubspot.schemas import Batch, Page, Partial, Shape
from stibgate.sandbox.hubspot.search import Question

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_JSON = "application/json"
_BEARER = "private_app"
_TEXT: Schema = {"type": "string"}
_NAMES: Schema = {"type": "array", "items": _TEXT}
_ARCHIVED: Schema = {"archived": {"type": "boolean", "default": False}}
_AFTER: Schema = {"after": {"type": "string", "pattern": "^[0-9]{1,18}$"}}
_SHOWN = {"properties": _NAMES, "associations": _NAMES, **_ARCHIVED}
_VARIABLE = re.compile(r"{(\w+):([^{}]+)}")
_SAID = {
    "400": "Not valid, or beyond a limit",
    "401": "No key, or not this account's",
    "403": "The key lacks a scope",
    "404": "No such thing in this account",
    "409": "It is there already, or another record has its unique value",
    "423": "Locked; only as a fault",
    "429": "Too many requests",
    "477": "The account is being moved; only as a fault",
    "5XX": "Only as a fault",
}
_ANY_TIME = frozenset({"401", "403", "423", "429", "477", "5XX"})
_RATE = "X-HubSpot-RateLimit-"
_RATE_HEADERS = tuple(
    _RATE + name
    for name in (
        "Max", "Remaining", "Interval-Milliseconds", "Daily", "Daily-Remaining", "Secondly", "Secondly-Remaining"
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """What one route takes and answers.

    Attributes:
        answer: The shape of its success; None for an empty one.
        status: The success.
        partial: The shape of its 207.
        body: The model of its body.
        query: The schemas of its query, by name.
        refusals: Statuses beside those that follow from the rest.
        free: Whether it asks for no key.
    """

    summary: str
    answer: type[Shape] | None
    status: int = 200
    partial: type[Shape] | None = None
    body: type[Body] | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    free: bool = False


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", OBJECTS + "/batch/upsert"): Operation(
        "Create or update records by a unique property",
        Batch[answers.Upserted],
        partial=Partial[answers.Upserted],
        body=Writes,
        refusals=("409",),
    ),
    ("POST", OBJECTS + "/batch/update"): Operation(
        "Update records", Batch[answers.Written], partial=Partial[answers.Written], body=Writes, refusals=("409",)
    ),
    ("POST", OBJECTS + "/batch/create"): Operation(
        "Create records",
        Batch[answers.Written],
        status=201,
        partial=Partial[answers.Written],
        body=Creates,
        refusals=("409",),
    ),
    ("POST", OBJECTS + "/batch/read"): Operation(
        "Read records", Batch[answers.RecordRead], partial=Partial[answers.RecordRead], body=Reads, query=_ARCHIVED
    ),
    ("POST", OBJECTS + "/merge"): Operation("Merge two records", answers.Record, body=Merge),
    ("GET", OBJECTS): Operation(
        "List records",
        Page[answers.RecordWithAssociations],
        query={"limit": {"type": "integer", "minimum": 1, "default": 10}, **_AFTER, **_SHOWN},
    ),
    ("GET", OBJECTS + BY_ID): Operation("Read one record", answers.RecordWithAssociations, query=_SHOWN),
    ("DELETE", OBJECTS + BY_ID): Operation("Archive one record", None, status=204),
    ("POST", OBJECTS + SEARCH): Operation("Search for records", answers.SearchPage, body=Question),
    ("POST", ASSOCIATIONS + "/batch/associate/default"): Operation("Associate records", answers.Associated, body=Pairs),
    ("POST", ASSOCIATIONS + "/batch/read"): Operation(
        "Read associations",
        Batch[answers.AssociationsRead],
        partial=Partial[answers.AssociationsRead],
        body=AssociationReads,
    ),
    ("POST", PROPERTIES + "/batch/read"): Operation(
        "Read properties", Batch[answers.Property], partial=Partial[answers.Property], body=Names
    ),
    ("POST", PROPERTIES + "/batch/create"): Operation(
        "Create properties", Batch[answers.Property], status=201, body=NewProperties, refusals=("409",)
    ),
    ("GET", PROPERTIES + "/groups"): Operation("List groups of properties", Page[answers.PropertyGroup]),
    ("POST", PROPERTIES + "/groups"): Operation(
        "Create a group of properties", answers.PropertyGroup, status=201, body=NewGroup, refusals=("409",)
    ),
    ("GET", PROPERTIES): Operation("List properties", Page[answers.Property], query=_ARCHIVED),
    ("POST", PROPERTIES): Operation(
        "Create a property", answers.Property, status=201, body=NewProperty, refusals=("409",)
    ),
    ("GET", BY_NAME): Operation("Read one property", answers.Property, query=_ARCHIVED),
    ("DELETE", BY_NAME): Operation("Archive a property", None, status=204, refusals=("400",)),
    ("GET", DETAILS): Operation("Read the account", answers.Details),
    ("GET", DAILY_USAGE): Operation("Read what was used today", Page[answers.Usage]),
    ("GET", OWNERS): Operation(
        "List owners",
        Page[answers.Owner],
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": OWNERS_PAGE_MAX, "default": 100},
            "email": _TEXT,
            **_AFTER,
            **_ARCHIVED,
        },
    ),
    ("GET", OWNERS + BY_ID): Operation("Read one owner", answers.Owner),
    ("POST", KEY_INFORMATION): Operation("Read what a key is", answers.KeyInformation, body=TokenKey, free=True),
}
"""By method and path of the route table."""


def document(routes: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    """Return the description of *routes*, each a method and a path with its patterns.

    Raises:
        KeyError: A route has no entry in `OPERATIONS`.
    """
    paths: dict[str, dict[str, Any]] = {}
    for method, path in routes:
        described = _operation(path, OPERATIONS[method, path])
        paths.setdefault(_VARIABLE.sub(r"{\1}", path), {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "HubSpot (sandbox)", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": _models()[1],
            "headers": {
                "CorrelationId": {"required": True, "schema": _TEXT},
                "Rate": {"schema": {"type": "string", "pattern": "^[0-9]+$"}},
            },
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def _models() -> tuple[Mapping[Any, Schema], Schema]:
    """Return the reference to each model, and all their components."""
    models: set[type[Body | Shape]] = {answers.Error}
    for operation in OPERATIONS.values():
        models |= {model for model in (operation.answer, operation.partial, operation.body) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    found, described = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    return {model: reference for (model, _), reference in found.items()}, described["$defs"]


def _operation(path: str, operation: Operation) -> Schema:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "pattern": f"^(?:{pattern})$"}}
        for name, pattern in _VARIABLE.findall(path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()]
    described: Schema = {"summary": operation.summary, "responses": _responses(path, operation)}
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    described["security"] = [] if operation.free else [{_BEARER: []}]
    return described


def _responses(path: str, operation: Operation) -> Schema:
    statuses = {*_ANY_TIME, *operation.refusals}
    if operation.query or operation.body is not None:
        statuses.add("400")
    if operation.body is not None:
        statuses |= {"413", "415"}
    if _VARIABLE.search(path):
        statuses.add("404")
    responses = {str(operation.status): _response(HTTPStatus(operation.status).phrase, operation.answer)}
    if operation.partial is not None:
        responses["207"] = _response("Some of it was not done", operation.partial)
    if not operation.free and not path.endswith(SEARCH):
        for response in responses.values():
            response["headers"] |= {name: {"$ref": "#/components/headers/Rate"} for name in _RATE_HEADERS}
    for status in sorted(statuses):
        responses[status] = _response(_SAID.get(status) or HTTPStatus(int(status)).phrase, answers.Error)
    # What stands before HubSpot answers in text of its own.
    responses["5XX"]["content"] |= {kind: {"schema": _TEXT} for kind in ("text/html", "text/plain")}
    return responses


def _response(description: str, model: type[Shape] | None) -> Schema:
    headers = {"X-HubSpot-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}}
    described: Schema = {"description": description, "headers": headers}
    return described if model is None else {**described, "content": _content(model)}


def _content(model: type[Body | Shape]) -> Schema:
    return {_JSON: {"schema": _models()[0][model]}}
