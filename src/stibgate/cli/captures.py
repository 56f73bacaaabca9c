"""Captured deliveries, and secrets from the environment, as `verify` and `doctor signature` take them."""

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stibgate.domain.instant import from_rfc3339
from stibgate.errors import UsageError

if TYPE_CHECKING:
    from stibgate.signatures import Request, Secret

_HINT = 'A capture is {"method", "path", "headers": [[name, value], ...], "body_base64", "received_at"}.'


def read_capture(file: str, raw: bytes) -> "Request":
    """Return the request that *raw* is, read from *file*; only its headers and its body must be there.

    Raises:
        UsageError: It is no capture; the message names the part.
    """
    from stibgate.signatures import Request

    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _no_capture(file, "not JSON") from error
    if not isinstance(document, dict):
        raise _no_capture(file, "not a JSON object")
    return Request(
        headers=_headers(file, document),
        body=_body(file, document),
        method=_text(file, document, "method"),
        # A whole URL is as good as a path; the host counts as the headers say.
        path=re.sub(r"^https?://[^/]*", "", _text(file, document, "path")),
        received_unix_s=_received(file, document),
    )


def read_secrets(variables: Sequence[str]) -> "list[Secret]":
    """Return the secrets in the environment's *variables*, each under its variable's name.

    Raises:
        UsageError: A variable is not set, or holds no secret.
    """
    from stibgate.signatures import Secret, keys_of

    found = []
    for name in dict.fromkeys(variables):
        value = os.environ.get(name)
        if value is None:
            raise UsageError(f"the variable {name} is not set", hint="Export the signing secret in it.")
        if not value.strip():
            raise UsageError(f"the variable {name} is empty", hint="Export the signing secret in it.")
        secret = Secret(value, name)
        if not keys_of(secret):
            raise UsageError(
                f"the variable {name} holds no key: nothing stands behind whsec_",
                hint="Export the whole secret, as the vendor showed it.",
            )
        found.append(secret)
    return found


def _headers(file: str, document: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = document.get("headers")
    if pairs is None:
        raise _no_capture(file, "headers is missing")
    good = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
    )
    if not good:
        raise _no_capture(file, "headers is not a list of [name, value]")
    return [(name, value) for name, value in pairs]


def _body(file: str, document: Mapping[str, Any]) -> bytes:
    text = document.get("body_base64")
    if text is None:
        raise _no_capture(file, "body_base64 is missing")
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise _no_capture(file, "body_base64 is not base64") from error


def _text(file: str, document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise _no_capture(file, f"{key} is not text")
    return value or ""


def _received(file: str, document: Mapping[str, Any]) -> float | None:
    text = _text(file, document, "received_at")
    if not text:
        return None
    try:
        return from_rfc3339(text) / 1000
    except ValueError as error:
        raise _no_capture(file, "received_at is not RFC 3339, such as 2026-05-17T18:42:10Z") from error


def _no_capture(file: str, why: str) -> UsageError:
    return UsageError(f"{file} is not a capture: {why}", hint=_HINT)
