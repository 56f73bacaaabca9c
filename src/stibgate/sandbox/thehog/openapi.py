"""The OpenAPI 3.1 document of this server: what it takes and every answer that it can give."""

from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from stibgate import __version__
from stibgate.sandbox.thehog.bodies import ErrorEnvelope, Estimate, PeopleSearch
from stibgate.sandbox.thehog.border import KEY_HEADERS
from stibgate.sandbox.thehog.faults import STATUSES

_REF = "#/components/schemas/"
_ERRORS = sorted({"400", "413", *STATUSES})


def document(path: str, *, wrapped: bool) -> dict[str, Any]:
    """Return the document of a server that answers estimates at *path*, in `data` when *wrapped*."""
    _, schemas = models_json_schema(
        [(PeopleSearch, "validation"), (Estimate, "serialization"), (ErrorEnvelope, "serialization")],
        ref_template=_REF + "{model}",
    )
    answer: dict[str, Any] = {"$ref": f"{_REF}Estimate"}
    if wrapped:
        answer = {"type": "object", "required": ["data"], "properties": {"data": answer}}
    errors = {status: _answer(HTTPStatus(int(status)).phrase, {"$ref": f"{_REF}ErrorEnvelope"}) for status in _ERRORS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The Hog (sandbox)", "version": __version__},
        "security": [{name: [] for name in KEY_HEADERS}],
        "paths": {
            path: {
                "post": {
                    "operationId": "estimatePeopleSearch",
                    "summary": "Estimate people search",
                    "requestBody": {"required": True, "content": _json({"$ref": f"{_REF}PeopleSearch"})},
                    "responses": {"200": _answer("The estimate", answer), **errors},
                }
            }
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {name: {"type": "apiKey", "in": "header", "name": name} for name in KEY_HEADERS},
        },
    }


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _json(schema)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
