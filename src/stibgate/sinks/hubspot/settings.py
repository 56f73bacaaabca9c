"""The keys of a HubSpot sink."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, Strict, model_validator

from stibgate.sinks import Sink, SinkContext
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.mapping import FIELDS, KEYS, ROWS, FieldMap
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.policy import Policy
from stibgate.sinks.hubspot.sink import HubspotSink, Options
from stibgate.sinks.settings import DeliveryOverride, Duration, SinkSettings

T = TypeVar("T")

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}", re.ASCII)
_PROPERTY = re.compile(r"[a-z][a-z0-9_]{0,99}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def _https(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.query or parts.fragment or "@" in parts.netloc or re.search(r"\s", text):
        raise ValueError('must be a URL such as "https://api.hubapi.com", without query, fragment or user name')
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("must begin with https://; http:// only for 127.0.0.1, [::1] and localhost")
    return text.rstrip("/")


def _one_word(token: SecretStr) -> SecretStr:
    if _TOKEN.fullmatch(token.get_secret_value()) is None:
        raise ValueError("must be a service key or access token: one word of at least 8 ASCII characters")
    return token


def _fingerprint(token: SecretStr) -> str:
    text = token.get_secret_value()
    return f"...({len(text)} chars, sha256 {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _known_fields(table: dict[str, T]) -> dict[str, T]:
    unknown = [name for name in table if name not in FIELDS]
    if unknown:
        raise ValueError(f"unknown {', '.join(map(repr, unknown))}; allowed are {', '.join(FIELDS)}")
    return table


def _property_names(table: dict[str, str]) -> dict[str, str]:
    for field, name in table.items():
        if name and _PROPERTY.fullmatch(name) is None:
            raise ValueError(f"{field}: a HubSpot property's internal name has only a-z, 0-9 and _")
        if not name and field in KEYS:
            raise ValueError(f"{field}: is what replays are recognised by, and cannot be switched off")
    return table


def _not_of_keys(table: dict[str, Policy]) -> dict[str, Policy]:
    for field in KEYS.intersection(table):
        raise ValueError(f"{field}: is what replays are recognised by, and has no policy")
    return table


def _emails(table: dict[str, str]) -> dict[str, str]:
    for user, email in table.items():
        if _EMAIL.fullmatch(email) is None:
            raise ValueError(f"{user}: must be the e-mail address of a HubSpot user")
    return table


Properties = Annotated[dict[str, str], AfterValidator(_known_fields), AfterValidator(_property_names)]
Policies = Annotated[dict[str, Policy], AfterValidator(_known_fields), AfterValidator(_not_of_keys)]
Switch = Annotated[bool, Strict()]


class HubspotSettings(SinkSettings):
    """Records as contacts and companies of one HubSpot account.

    Attributes:
        kind: Names this kind of sink.
        base_url: Where HubSpot's API is.
        token: A service key or a private app's access token.
        api_version: The dated version of HubSpot's API.
        properties: Record field to HubSpot property, where it differs from the default; empty: not sent.
        field_policy: Record field to policy, where it differs from the default.
        skip_unchanged_for: Seconds for which a record whose content HubSpot has acknowledged is not sent again.
        owners: `partner_user_id` to the e-mail address of the HubSpot user who owns new contacts.
        create_properties: Whether missing properties of ours are made at start-up.
        adopt: Whether contacts with the same e-mail address and companies with the same domain are taken over.
        companies: Whether companies are written and associated at all.
    """

    USUAL_DELIVERY: ClassVar[DeliveryOverride] = DeliveryOverride.model_validate(
        {"timeout": "600s", "lease": "660s", "concurrency": 48}
    )

    kind: Literal["hubspot"]
    base_url: Annotated[str, AfterValidator(_https)] = "https://api.hubapi.com"
    token: Annotated[
        SecretStr, AfterValidator(_one_word), PlainSerializer(_fingerprint, return_type=str, when_used="json")
    ]
    api_version: Literal["2026-03", "2026-09"] = "2026-03"
    properties: Properties = Field(default_factory=dict)
    field_policy: Policies = Field(default_factory=dict)
    skip_unchanged_for: Annotated[Duration, Field(ge=0)] = 86_400.0
    owners: Annotated[dict[str, str], AfterValidator(_emails)] = Field(default_factory=dict)
    create_properties: Switch = True
    adopt: Switch = True
    companies: Switch = True

    @model_validator(mode="after")
    def _no_property_twice(self) -> Self:
        seen: dict[tuple[str, str], str] = {}
        for row in ROWS:
            name = self.properties.get(row.field, row.property)
            other = seen.setdefault((row.kind, name), row.field)
            if name and other != row.field:
                raise ValueError(f"properties: {other} and {row.field} both go to {row.kind} property {name}")
        return self

    def build(self, context: SinkContext) -> Sink:
        """Return the sink; nothing is sent before its `open`."""
        client = HubSpotClient(
            base_url=self.base_url,
            token=self.token.get_secret_value(),
            api_version=self.api_version,
            now_ms=context.now_ms,
            jitter=context.jitter,
            name=context.name,
            observe=context.observe,
        )
        token = self.token.get_secret_value()
        return HubspotSink(client, Objects(client), context, self.options(), token=token)

    def options(self) -> Options:
        """Return what the sink is to do, without pydantic and without the token."""
        owners: Mapping[str, str] = {user: email.strip().lower() for user, email in self.owners.items()}
        return Options(
            fields=FieldMap.of(self.properties, self.field_policy, owners=bool(owners)),
            owners=owners,
            skip_unchanged_ms=round(self.skip_unchanged_for * 1000),
            create_properties=self.create_properties,
            adopt=self.adopt,
            companies=self.companies,
        )
