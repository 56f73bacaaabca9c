"""The OpenAPI 3.1 description of the admin API, made from its rows and models."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from stibgate import __version__
from stibgate.web.api import ROUTES, shapes
from stibgate.web.api.keyed import HEADER, KEY_PATTERN, REPLAYED
from stibgate.web.api.route import PREFIX, Route

_REF = "#/components/schemas/{model}"
_JSON, _PROBLEM = "application/json", "application/problem+json"
_SAID = {
    202: "It runs in the background; Location says where its progress is",
    400: "Not understood: an unknown filter, a cursor of another list, a body that is not as described",
    401: "The token is missing, malformed, wrong, or came twice",
    403: "The token's role may not do this",
    404: "There is no such thing",
    405: "Not called like this",
    408: "The body did not come in time",
    409: "The first request with this key is still running",
    413: "The body is larger than 1 MiB",
    421: "Called by a name that is not the listener's",
    422: "The key was sent with another request",
    429: "Too many wrong tokens from this address",
    500: "A fault of ours; the log has a line with the request_id",
    502: "The vendor refused our key, or did not answer as documented",
    503: "Not now; Retry-After says when",
}
_ALWAYS = (400, 401, 403, 421, 429, 500, 503)


@cache
def document() -> dict[str, Any]:
    """Return the description."""
    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stibgate admin API",
            "version": __version__,
            "description": (
                "Bearer tokens with roles: viewer looks, operator acts and reveals, admin sees the configuration and"
                " the audit. Times are RFC 3339 UTC. Lists go by pages: follow next_cursor until it is null."
                " What is refused is a problem (RFC 9457) with a hint and the request_id to quote."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _refusal(status) for status in _SAID if status >= 400},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of [console] tokens, or the one beside the store. Never in a URL.",
                }
            },
        },
    }


def _schemas() -> dict[str, Any]:
    answers: set[type[BaseModel]] = {shapes.Problem}
    answers |= {one for route in ROUTES for one in (route.answer, route.later) if one is not None}
    bodies = {route.body for route in ROUTES if route.body is not None}
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((one, "serialization") for one in sorted(answers, key=_called)),
        *((one, "validation") for one in sorted(bodies, key=_called)),
    ]
    _, told = models_json_schema(models, ref_template=_REF)
    found: dict[str, Any] = told["$defs"]
    return found


def _called(model: type[BaseModel]) -> str:
    return model.__name__


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    parameters += _query(route)
    if route.keyed:
        parameters.append(
            {
                "name": HEADER,
                "in": "header",
                "description": "The same key within a day is answered with the first answer, and nothing is done twice",
                "schema": {"type": "string", "pattern": KEY_PATTERN},
            }
        )
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "description": f"Needs the role {route.role}.",
        "tags": [route.path.split("/")[1].removesuffix(".json")],
        "parameters": parameters,
        "responses": _responses(route, takes_name=bool(names)),
    }
    if route.body is not None:
        content = {_JSON: {"schema": {"$ref": _REF.format(model=_model(route.body, schemas))}}}
        operation["requestBody"] = {"required": not route.bodiless, "content": content}
    return operation


def _query(route: Route) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema(ref_template=_REF)
    shared = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "schema": _plain(one, shared)}
        for name, one in schema.get("properties", {}).items()
    ]


def _plain(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* without references and null, which a URL cannot say."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    merged = {**schema, **(options[0] if options else {})}
    for name in ("anyOf", "title"):
        merged.pop(name, None)
    if merged.get("default", "") is None:
        del merged["default"]
    if "$ref" in merged:
        merged = {**shared[merged.pop("$ref").rpartition("/")[2]], **merged}
    for name in ("title", "description"):
        merged.pop(name, None)
    return merged


def _responses(route: Route, *, takes_name: bool) -> dict[str, Any]:
    content: dict[str, Any] = {route.content_type: {}}
    if route.answer is not None:
        content = {_JSON: {"schema": {"$ref": _REF.format(model=route.answer.__name__)}}}
    done: dict[str, Any] = {"description": "Done", "content": content}
    if route.keyed:
        done["headers"] = {REPLAYED: {"schema": {"const": "true"}, "description": "This is the first answer again"}}
    statuses = {*_ALWAYS, *route.refusals}
    statuses |= {404} if takes_name else set()
    statuses |= {408, 413} if route.body is not None else set()
    statuses |= {409, 422} if route.keyed else set()
    refused = {str(s): {"$ref": f"#/components/responses/{s}"} for s in sorted(statuses) if s >= 400}
    if route.later is None:
        return {str(route.status): done, **refused}
    later = {_JSON: {"schema": {"$ref": _REF.format(model=route.later.__name__)}}}
    return {str(route.status): done, "202": {**done, "description": _SAID[202], "content": later}, **refused}


def _refusal(status: int) -> dict[str, Any]:
    return {
        "description": _SAID[status],
        "content": {_PROBLEM: {"schema": {"$ref": _REF.format(model=shapes.Problem.__name__)}}},
    }


def _model(body: type[Any], schemas: Mapping[str, Any]) -> str:
    name = body.__name__
    return name if name in schemas else f"{name}-Input"


def _name(route: Route) -> str:
    words = re.findall(r"\w+", route.path.replace("{id}", "one").replace("{name}", "one").replace(".json", ""))
    return "_".join([route.method.lower(), *words])
