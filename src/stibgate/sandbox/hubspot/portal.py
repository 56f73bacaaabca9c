"""What one HubSpot account is like, and how it was set up by its admin."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ALL_SCOPES = frozenset(
    {
        "oauth",
        "crm.objects.contacts.read",
        "crm.objects.contacts.write",
        "crm.objects.companies.read",
        "crm.objects.companies.write",
        "crm.schemas.contacts.read",
        "crm.schemas.contacts.write",
        "crm.schemas.companies.read",
        "crm.schemas.companies.write",
        "crm.objects.owners.read",
    }
)
"""What a key with every right that stibgate can use holds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An admin's rule: a record whose *when* is *equals* must have *requires*.

    Attributes:
        kind: `contacts` or `companies`.
        when: The property that is looked at.
        equals: Its value that switches the rule on.
        requires: The property that must then have a value.
    """

    kind: str
    when: str
    equals: str
    requires: str


@dataclass(frozen=True, slots=True)
class Portal:
    """The switches of one account; the defaults are a Professional account's.

    Attributes:
        portal_id: Its number.
        time_zone: IANA name; the daily quota ends at midnight there.
        company_currency: ISO 4217.
        limit_ten_s: Requests in any 10 seconds: 100, 190 or 250 by tier.
        limit_daily: Requests in a day: 250,000, 625,000 or 1,000,000 by tier.
        limit_search_s: Searches in any second.
        scopes: What the key may do.
        trace_id_in_results: Whether results repeat `objectWriteTraceId`; the documented ones do not, errors always do.
        upsert_partial: `207`: a conflict is an error of its record where trace ids were sent; `whole_409`: it
            refuses the request even then. Both were reported of the real service.
        conflict_shape: How a 409 is worded: today's body, or the older one with `identityProfile`.
        auto_create_companies: Whether a contact's e-mail domain brings it a company. Off here, though on in many
            accounts, so that an association is the client's own work.
        auto_create_delay_s: How long after the contact that company appears.
        search_lag_s: How long a change stays invisible to search.
        required: By kind, what the admin demands of new records; version 2026-09 enforces it.
        conditional: What the admin demands under a condition; version 2026-09 enforces it.
        lifecycle_step_back: Whether an earlier lifecycle stage is refused or silently dropped; not documented.
        send_rate_headers: Whether answers carry `X-HubSpot-RateLimit-*`.
        owners: E-mail address to owner id.
        companies_per_contact: The admin's association limit; more is refused pair by pair.
        association_inputs: Pairs that one request may carry; the real bound is not documented, 100 is the safe one.
        latency_s: Added to every answer, through `pause`.

    Source: usage guidelines (limits); object, association and account guides (the rest).
    """

    portal_id: int = 48_151_623
    time_zone: str = "America/New_York"
    company_currency: str = "USD"
    limit_ten_s: int = 190
    limit_daily: int = 625_000
    limit_search_s: int = 5
    scopes: frozenset[str] = ALL_SCOPES
    trace_id_in_results: bool = False
    upsert_partial: Literal["207", "whole_409"] = "207"
    conflict_shape: Literal["modern", "legacy"] = "modern"
    auto_create_companies: bool = False
    auto_create_delay_s: float = 1.0
    search_lag_s: float = 3.0
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conditional: tuple[Condition, ...] = ()
    lifecycle_step_back: Literal["error", "silent"] = "silent"
    send_rate_headers: bool = True
    owners: Mapping[str, str] = field(default_factory=dict)
    companies_per_contact: int | None = None
    association_inputs: int = 100
    latency_s: float = 0.0
