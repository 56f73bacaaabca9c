"""The OpenAPI 3.1 description of the sandbox's Stibnite, from the bodies' own models and from `shapes`.

A test holds it to the routes that are served: each is here, and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from stibgate.sandbox.stibnite.border import Body, Query
from stibgate.sandbox.stibnite.customers import NewGrant
from stibgate.sandbox.stibnite.jobs import NewJob, SearchQuery
from stibgate.sandbox.stibnite.lookups import DomainsQuery, LookupQuery, StaffQuery
from stibgate.sandbox.stibnite.prospecting import NewEmbedKey, NewEmbedSession
from stibgate.sandbox.stibnite.sessions import NewSearch, NewSelection
from stibgate.sandbox.stibnite.shapes import SHAPES, TEXT, Schema, named
from stibgate.sandbox.stibnite.webhooks import NewEndpoint

_REF = "#/components/schemas/{model}"
_JSON = "application/json"
_KEY, _TOKEN = "api_key", "embed_token"
_SAID = {
    400: "Invalid cursor, missing field, unsupported search or invalid numeric cap",
    401: "No credentials, or not known, or expired",
    402: "The customer's wallet hard-stops it",
    403: "Not allowed for this origin or customer",
    404: "No such thing in this account",
    413: "The body is too large",
    429: "Rate limit exceeded",
    500: "The fault http500",
}
_RATE_HEADERS = {
    name: {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "required": True}
    for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
}
_EXPORT_HEADERS = {
    name: {"schema": {"type": "string", "pattern": pattern}, "required": True}
    for name, pattern in (
        ("content-disposition", '^attachment; filename="prospecting-[!-~]+\\.csv"$'),
        ("x-exported-records", "^[0-9]+$"),
        ("x-net-new-billable-records", "^[0-9]+$"),
        ("x-already-purchased-records", "^[0-9]+$"),
    )
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        answer: The component that a 200 carries; None for the CSV export.
        body: The model of the request's body.
        query: The model of its query.
        security: Which credentials it takes; None for none.
        refusals: Statuses beside those that follow from the rest.
    """

    method: str
    path: str
    summary: str
    answer: str | None
    body: type[Body] | None = None
    query: type[Query] | type[SearchQuery] | None = None
    security: str | None = _KEY
    refusals: tuple[int, ...] = ()


_JOBS = "/v1/persons/search/jobs"
_CUSTOMER = "/v1/partner-customers/{partner_customer_id}/wallet"
_SESSIONS = "/v1/prospecting/sessions"
_ENDPOINTS = "/v1/webhooks/endpoints"
OPERATIONS = (
    Operation("get", "/v1/persons/search", "Search persons", "SearchResult", query=SearchQuery),
    Operation("post", _JOBS, "Create async person search job", "JobCreated", body=NewJob),
    Operation("get", _JOBS + "/{job_id}", "Get async person search job", "Job"),
    Operation("get", "/v1/persons/search/taxonomy", "Person search taxonomy", "Taxonomy"),
    Operation("get", "/v1/persons/lookup", "Exact person lookup", "LookupResult", query=LookupQuery),
    Operation("get", "/v1/domains", "Company domain inventory", "Domains", query=DomainsQuery),
    Operation("get", "/v1/companies/{domain}/people", "Company people", "CompanyPeople", query=StaffQuery),
    Operation("get", _CUSTOMER, "Partner customer wallet", "WalletSummary"),
    Operation("post", _CUSTOMER + "/credits", "Grant partner customer wallet credits", "CreditGranted", body=NewGrant),
    Operation(
        "post",
        "/v1/prospecting/embed-keys",
        "Create prospecting public loader key",
        "EmbedKeyCreated",
        body=NewEmbedKey,
    ),
    Operation(
        "post",
        "/v1/prospecting/embed-sessions",
        "Bootstrap prospecting embed session",
        "EmbedSession",
        body=NewEmbedSession,
        security=None,
        refusals=(401, 403),
    ),
    Operation("get", "/v1/prospecting/wallet", "Prospecting embed wallet", "WalletSummary", security=_TOKEN),
    Operation(
        "post",
        _SESSIONS,
        "Search in the prospecting widget",
        "ProspectingSession",
        body=NewSearch,
        security=_TOKEN,
        refusals=(402,),
    ),
    Operation(
        "post",
        _SESSIONS + "/{search_id}/push",
        "Push prospecting results to partner",
        "Pushed",
        body=NewSelection,
        security=_TOKEN,
        refusals=(402,),
    ),
    Operation(
        "post",
        _SESSIONS + "/{search_id}/export",
        "Export prospecting results as CSV",
        None,
        body=NewSelection,
        security=_TOKEN,
        refusals=(402, 403),
    ),
    Operation("post", _ENDPOINTS, "Create webhook endpoint", "EndpointCreated", body=NewEndpoint),
    Operation("get", _ENDPOINTS, "List webhook endpoints", "Endpoints"),
    Operation("delete", _ENDPOINTS + "/{endpoint_id}", "Delete webhook endpoint", "Deleted"),
    Operation("get", "/v1/usage", "Usage summary", "Usage"),
)


@cache
def document() -> Mapping[str, Any]:
    """Return the description; the same object each time."""
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    models = sorted(bodies, key=lambda model: model.__name__)
    _, described = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stibnite Person Data API (sandbox)", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**SHAPES, **described["$defs"]},
            "securitySchemes": {
                _KEY: {"type": "apiKey", "in": "header", "name": "x-api-key"},
                _TOKEN: {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(operation: Operation) -> Schema:
    described: Schema = {"summary": operation.summary, "responses": _responses(operation)}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query is not None:
        parameters += _query(operation.query)
    if 403 in operation.refusals and operation.security is None:
        parameters.append({"name": "Origin", "in": "header", "required": True, "schema": TEXT})
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {_JSON: {"schema": named(operation.body.__name__)}}
        described["requestBody"] = {"required": True, "content": content}
    described["security"] = [{operation.security: []}] if operation.security else []
    return described


def _query(model: type[Body]) -> list[Schema]:
    schema = model.model_json_schema(ref_template=_REF)
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _not_null(field)}
        for name, field in schema["properties"].items()
    ]


def _not_null(field: Schema) -> Schema:
    """Return the schema of a parameter: what is left out is not null."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    return kinds[0] if kinds else {key: value for key, value in field.items() if key != "title"}


def _responses(operation: Operation) -> Schema:
    statuses = {429, 500, *operation.refusals}
    if operation.security is not None:
        statuses.add(401)
    if operation.body is not None:
        statuses |= {400, 413}
    if operation.query is not None:
        statuses.add(400)
    if re.search(r"{(?!domain)", operation.path):
        statuses.add(404)
    refusals = {str(status): _refusal(status) for status in sorted(statuses)}
    return {"200": _success(operation.answer)} | refusals


def _success(answer: str | None) -> Schema:
    if answer is None:
        return {"description": "CSV", "headers": _EXPORT_HEADERS, "content": {"text/csv": {"schema": TEXT}}}
    return {"description": answer, "content": {_JSON: {"schema": named(answer)}}}


def _refusal(status: int) -> Schema:
    described: Schema = {"description": _SAID[status], "content": {_JSON: {"schema": named("Message")}}}
    if status == 429:
        described["headers"] = _RATE_HEADERS
    return described
