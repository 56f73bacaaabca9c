"""The kinds of value that only the configuration has: addresses, URLs, names, secrets.

Every message here ends up behind "file:line  key  value", so it says what is allowed and nothing else; above
all it never repeats the value.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SecretStr,
    Strict,
    WithJsonSchema,
)

from stibgate.config.masks import mask
from stibgate.domain.budget import PLACES_MAX, format_amount, to_amount
from stibgate.domain.instant import from_rfc3339

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}", re.ASCII)
_SQLITE = "sqlite:///"


def split_bind(text: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[ipv6]:port`; port 0 lets the system choose one.

    Raises:
        ValueError: *text* is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('must be host:port, with an IPv6 address in brackets, for example "[::1]:8080"')
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError('must be host:port with a port from 0 to 65535, for example "127.0.0.1:8080"')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether *host* can only be reached from this machine."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(text: str) -> str:
    split_bind(text)
    return text


def _public_url(text: str) -> str:
    if not text:
        return text
    wrong = 'must be a URL such as "https://hooks.example.com", without query, fragment or user name'
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if not host or parts.query or parts.fragment or "@" in parts.netloc or re.search(r"\s", text):
        raise ValueError(wrong)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK_NAMES):
        raise ValueError("must begin with https://; http:// only for 127.0.0.1, [::1] and localhost")
    return text.rstrip("/")


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError('must be a network such as "10.0.0.0/8" or "::1/128", without host bits') from None


def _store_url(text: str) -> str:
    if not text.startswith(_SQLITE) or len(text) == len(_SQLITE) or re.search(r"[?#\x00]", text):
        raise ValueError('must be "sqlite:///" and a path; four slashes make it absolute')
    return text


def _pattern(pattern: re.Pattern[str], allowed: str) -> AfterValidator:
    def validate(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(allowed)
        return text

    return AfterValidator(validate)


Bind = Annotated[str, AfterValidator(_bind)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]}),
]


def _one_worker(count: int) -> int:
    if count != 1:
        raise ValueError(
            "must be 1: one process commits to the store, and others would only stand in line for it;"
            " a second service needs its own storage.url and its own address"
        )
    return count


OneWorker = Annotated[
    int, Strict(), AfterValidator(_one_worker), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1})
]
Name = Annotated[
    str,
    _pattern(_NAME, "a name has 1 to 64 of a-z 0-9 _ - and begins with a letter or a digit"),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
HeaderName = Annotated[str, _pattern(_HEADER, "must be the name of an HTTP header"), AfterValidator(str.lower)]


def _check_token(token: SecretStr) -> SecretStr:
    if _TOKEN.fullmatch(token.get_secret_value()) is None:
        raise ValueError("must have at least 16 characters, all of A-Z a-z 0-9 _ -")
    return token


def _check_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be the key as the vendor shows it: printable ASCII without spaces")
    return key


def _api_base_url(text: str) -> str:
    if not text:
        raise ValueError('must be a URL such as "https://platform.stibnite.co"')
    return _public_url(text)


def _header_lines(value: object) -> object:
    """Return a table of headers; text has one `name: value` a line."""
    if not isinstance(value, str):
        return value
    pairs = [line.partition(":") for line in value.splitlines() if line.strip()]
    return {name.strip(): content.strip() for name, _, content in pairs}


def _headers(headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    for name, value in headers.items():
        text = value.get_secret_value()
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or not text.isascii() or not text.isprintable() or not text:
            raise ValueError('must be headers by their names, such as {"x-api-key" = "..."}')
    return headers


def _collector_url(text: str) -> str:
    plain = text.isascii() and text.isprintable() and not any(mark in text for mark in " ?#@\\[")
    if not plain or not re.match(r"https?://[^/:]", text):
        raise ValueError('must be a URL without user name and query, such as "http://127.0.0.1:4318/v1/traces"')
    return text


def _amount(value: object) -> Decimal:
    allowed = f"must be a number from 0 with at most {PLACES_MAX} digits behind the point, for example 500"
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(allowed)  # noqa: TRY004  (pydantic wants this one)
    try:
        return to_amount(str(value).strip())
    except ValueError:
        raise ValueError(allowed) from None


def _check_secret(secret: SecretStr) -> SecretStr:
    from stibgate.signatures import check_secret  # noqa: PLC0415  (keeps `stibgate --help` fast)

    complaint = check_secret(secret.get_secret_value())
    if complaint:
        raise ValueError(complaint)
    return secret


# Masked already in the model, so that no dump of the settings can show one by oversight.
_AsFingerprint = PlainSerializer(lambda secret: mask(secret.get_secret_value()), return_type=str, when_used="json")

Token = Annotated[SecretStr, AfterValidator(_check_token), _AsFingerprint]
Key = Annotated[SecretStr, AfterValidator(_check_key), _AsFingerprint]
"""A vendor's API key."""
CollectorHeaders = Annotated[Mapping[str, SecretStr], BeforeValidator(_header_lines), AfterValidator(_headers)]
CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
ApiBaseUrl = Annotated[str, AfterValidator(_api_base_url)]
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    PlainSerializer(format_amount, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]
"""Credits, exact; from a number or a text."""


def _moment(value: object) -> datetime:
    """Return an aware UTC time from RFC 3339 text or a TOML date-time with an offset."""
    text = value.isoformat() if isinstance(value, datetime) else value
    try:
        return datetime.fromtimestamp(from_rfc3339(text if isinstance(text, str) else "") / 1000, UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time with an offset, for example 2026-05-17T18:42:10Z") from None


class Secret(BaseModel):
    """A signing secret, and until when it is accepted.

    Attributes:
        value: The secret as the sender gave it, with its prefix.
        not_after: From then on it no longer verifies anything; None means never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    value: Annotated[SecretStr, AfterValidator(_check_secret), _AsFingerprint]
    not_after: Annotated[datetime, BeforeValidator(_moment)] | None = None


def _secret_item(item: Any) -> Any:
    return item if isinstance(item, dict | Secret) else {"value": item}


SecretItem = Annotated[
    Secret,
    BeforeValidator(_secret_item),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "value": {"type": "string"},
                        "not_after": {"type": "string", "format": "date-time"},
                    },
                    "required": ["value"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""A secret as text, or a table of `value` and `not_after`."""


ADMIN_TOKEN_CHARS_MIN = 32

_ADMIN_TOKEN = re.compile(r"[!-~]+", re.ASCII)


def _check_admin_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < ADMIN_TOKEN_CHARS_MIN or _ADMIN_TOKEN.fullmatch(text) is None:
        raise ValueError(f"must have at least {ADMIN_TOKEN_CHARS_MIN} characters, printable ASCII without spaces")
    return token


class AdminTokenSettings(BaseModel):
    """A token of the admin listener: whose it is, and what they may do."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Name
    role: Literal["viewer", "operator", "admin"]
    token: Annotated[SecretStr, AfterValidator(_check_admin_token), _AsFingerprint]


def _admin_token_item(item: Any) -> Any:
    """Return a table for `name:role:token`, which is how a line of a file or a variable says it."""
    if not isinstance(item, str):
        return item
    parts = item.split(":", 2)
    if len(parts) != 3:
        raise ValueError('must be a table with name, role and token, or the text "name:role:token"')
    return dict(zip(("name", "role", "token"), parts, strict=True))


AdminToken = Annotated[
    AdminTokenSettings,
    BeforeValidator(_admin_token_item),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "role": {"enum": ["viewer", "operator", "admin"]},
                        "token": {"type": "string", "minLength": ADMIN_TOKEN_CHARS_MIN},
                    },
                    "required": ["name", "role", "token"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""A token of the admin listener as a table, or as the text `name:role:token`."""

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
HostName = Annotated[str, _pattern(_HOST, 'must be a host name in small letters, for example "gate.example.com"')]
