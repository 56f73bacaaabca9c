"""What `/openapi.json` says of an answer, for every call that a test here makes."""

import re
from functools import cache
from typing import Any

import jsonschema_rs

from stibgate.sandbox.hubspot.openapi import OPERATIONS, document

DOCUMENT = document(OPERATIONS)
ROUTES = [(re.compile(re.sub(r"{\w+:([^{}]+)}", r"(?:\1)", path)), *way) for way in OPERATIONS for path in [way[1]]]


def check(method: str, path: str, status: int, body: Any, headers: Any) -> None:
    """Assert that the document has this answer; a path or method that it has not is not its affair."""
    operation = _operation(method, path.partition("?")[0])
    if operation is None:
        return
    said = operation["responses"].get(str(status)) or operation["responses"].get(f"{status // 100}XX")
    assert said is not None, f"{method} {path} does not describe {status}"
    if "content" not in said:
        assert body == ""
    elif not isinstance(body, str):
        _validator(said["content"]["application/json"]["schema"]["$ref"]).validate(body)
    else:
        assert headers["Content-Type"].partition(";")[0] in said["content"]
    rates = {name.lower() for name in headers if name.lower().startswith("x-hubspot-ratelimit-")}
    assert status >= 300 or rates <= {name.lower() for name in said["headers"]}


def _operation(method: str, path: str) -> Any:
    for pattern, verb, template in ROUTES:
        if verb == method and pattern.fullmatch(path):
            return DOCUMENT["paths"][re.sub(r"{(\w+):[^{}]+}", r"{\1}", template)][method.lower()]
    return None


@cache
def _validator(reference: str) -> Any:
    return jsonschema_rs.validator_for({"$ref": reference, "components": DOCUMENT["components"]}, validate_formats=True)
