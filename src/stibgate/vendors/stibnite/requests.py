"""What Stibnite is asked for: checked here, before anything is sent or billed.

Each class is one documented request; `body()` or `query()` is how it goes over the wire, without what was not given.
What cannot be right raises `UsageError`, which names the field and never shows a personal or secret value.
Source: Stibnite Person Data API, every "Parameter" table; research/vendors.md U32 for the dedupe token.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from stibgate.errors import UsageError
from stibgate.vendors.stibnite.checks import NUMBERS_HINT, count, one_of, text, url

PAGE_MAX = 100
COMPANY_PAGE_MAX = 500

EventType = Literal["person_search.job.succeeded", "person_search.job.failed"]
SelectionMode = Literal["selected", "page", "all_results"]

_DEDUPE_TOKEN = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class NewJob:
    """A person search, of which the job returns one page.

    Attributes:
        q: The search in words. A leading number in it counts as `max_records` when that is not given.
        limit: The page's size, 1 to 100.
        max_records: The cap over all pages; the same for each of them.
        cursor: Of a later page; everything but `limit` stays as it was.
        dedupe_token: People delivered under it are not delivered again.
        dedupe_user_id: Whose deliveries those are; without it the account's.
    """

    q: str = field(repr=False)
    location_city: str | None = None
    location_state: str | None = None
    limit: int = PAGE_MAX
    max_records: int | None = None
    cursor: str | None = field(default=None, repr=False)
    dedupe_token: str | None = None
    dedupe_user_id: str | None = None

    def __post_init__(self) -> None:
        """Check it."""
        text(q=self.q)
        text(
            location_city=self.location_city,
            location_state=self.location_state,
            cursor=self.cursor,
            dedupe_user_id=self.dedupe_user_id,
        )
        count("limit", self.limit, PAGE_MAX)
        count("max_records", self.max_records)
        if self.dedupe_token is not None and not _DEDUPE_TOKEN.fullmatch(self.dedupe_token):
            raise UsageError("dedupe_token must be 1 to 64 letters, digits and _ . : -", hint="Name a campaign so.")

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        return _given(asdict(self))


@dataclass(frozen=True, slots=True)
class Lookup:
    """Exact identifiers of a person, at least one; what is found is billed."""

    email: str | None = field(default=None, repr=False)
    company_domain: str | None = field(default=None, repr=False)
    linkedin_url: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check it."""
        text(**asdict(self))
        if not self.query():
            raise UsageError(
                "a lookup needs at least one of email, company_domain, linkedin_url and phone", hint="Give one."
            )

    def query(self) -> dict[str, Any]:
        """Return the request's parameters."""
        return _given(asdict(self))


@dataclass(frozen=True, slots=True)
class DomainFilters:
    """Which domains; a cursor is bound to these."""

    min_contacts: int | None = None
    industry: str | None = None
    location_state: str | None = None

    def __post_init__(self) -> None:
        """Check it."""
        count("min_contacts", self.min_contacts)
        text(industry=self.industry, location_state=self.location_state)

    def query(self) -> dict[str, Any]:
        """Return the request's parameters."""
        return _given(asdict(self))


@dataclass(frozen=True, slots=True)
class NewCredits:
    """Credits to grant to a partner customer.

    Attributes:
        credit_units: More than 0.
        credit_type: A label, `prepaid`.
        starts_at: With an offset; now when not given.
        expires_at: With an offset; never when not given.
        note: For ourselves.
    """

    credit_units: int | Decimal
    credit_type: str | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    note: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check it."""
        units = Decimal(self.credit_units)
        if not units.is_finite() or units <= 0 or len(units.normalize().as_tuple().digits) > _DIGITS_MAX:
            raise UsageError(f"credit_units must be more than 0, with at most {_DIGITS_MAX} digits", hint=NUMBERS_HINT)
        text(credit_type=self.credit_type, note=self.note)
        for name, moment in (("starts_at", self.starts_at), ("expires_at", self.expires_at)):
            if moment is not None and moment.tzinfo is None:
                raise UsageError(f"{name} needs an offset", hint="For example 2026-05-17T18:42:10Z.")
        if self.starts_at and self.expires_at and self.expires_at <= self.starts_at:
            raise UsageError("expires_at must be after starts_at", hint="Such a grant would never be usable.")

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        units = Decimal(self.credit_units)
        whole = units == units.to_integral_value()
        return _given(
            {
                # A float's shortest text is exact for 15 digits, so JSON shows the very number.
                "credit_units": int(units) if whole else float(units),
                "credit_type": self.credit_type,
                "starts_at": _iso(self.starts_at),
                "expires_at": _iso(self.expires_at),
                "note": self.note,
            }
        )


@dataclass(frozen=True, slots=True)
class NewEmbedKey:
    """A public loader key for the hosted widget.

    Attributes:
        allowed_origins: https origins of pages that may open it; of a page's URL the origin counts.
        credit_enforcement_mode: `enforced` stops customers at their limits; `metered`, the vendor's default, does not.
        credit_reset_policy: `monthly_reset` or `rollover`.
        limits: By name, `monthly_credit_units`; None for no limit.
        result_delivery_url: Where pushes go; usually holds a token.
        result_delivery_cta: The button's text.
        csv_export_enabled: Whether the widget's users may export.
    """

    allowed_origins: Sequence[str]
    credit_enforcement_mode: Literal["enforced", "metered"] | None = None
    credit_reset_policy: Literal["monthly_reset", "rollover"] | None = None
    limits: Mapping[str, int | None] | None = None
    result_delivery_url: str | None = field(default=None, repr=False)
    result_delivery_cta: str | None = None
    csv_export_enabled: bool | None = None

    def __post_init__(self) -> None:
        """Check it."""
        if isinstance(self.allowed_origins, str) or not self.allowed_origins:
            raise UsageError("allowed_origins must be at least one origin", hint='For example "https://app.example".')
        for origin in self.allowed_origins:
            url("allowed_origins", origin)
        one_of("credit_enforcement_mode", self.credit_enforcement_mode, ("enforced", "metered"))
        one_of("credit_reset_policy", self.credit_reset_policy, ("monthly_reset", "rollover"))
        for name, limit in (self.limits or {}).items():
            if limit != 0:
                count(f"limits.{name}", limit)
        url("result_delivery_url", self.result_delivery_url)
        text(result_delivery_cta=self.result_delivery_cta)

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        limits = None if self.limits is None else dict(self.limits)
        return _given(asdict(self) | {"allowed_origins": list(self.allowed_origins), "limits": limits})


@dataclass(frozen=True, slots=True)
class NewEmbedSession:
    """A customer's way into the widget; the first one makes the customer.

    Attributes:
        partner_key: The public loader key.
        customer_id: The partner's own id of the customer.
        origin: One of the key's `allowed_origins`; goes as the header `Origin`.
        customer_name: What a new customer is called.
        user_id: The partner's own id of the user, for attribution.
    """

    partner_key: str = field(repr=False)
    customer_id: str
    origin: str
    customer_name: str | None = field(default=None, repr=False)
    user_id: str | None = None

    def __post_init__(self) -> None:
        """Check it."""
        text(partner_key=self.partner_key)
        text(customer_id=self.customer_id)
        text(customer_name=self.customer_name, user_id=self.user_id)
        url("origin", self.origin)

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        document = _given(asdict(self))
        del document["origin"]
        return document


@dataclass(frozen=True, slots=True)
class Selection:
    """Which results of a prospecting session.

    Attributes:
        mode: `selected` needs `prospect_ids`, `page` takes them, `all_results` takes `applied_filters`.
    """

    mode: SelectionMode
    prospect_ids: Sequence[str] | None = None
    applied_filters: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check it."""
        one_of("selection_mode", self.mode, get_args(SelectionMode))
        if self.mode == "selected" and not self.prospect_ids:
            raise UsageError("prospect_ids are needed with selection_mode selected", hint="Name whom to take.")
        if self.mode == "all_results" and self.prospect_ids is not None:
            raise UsageError("prospect_ids do not go with selection_mode all_results", hint='Use "selected".')
        if self.mode != "all_results" and self.applied_filters is not None:
            raise UsageError("applied_filters go with selection_mode all_results only", hint='Use "all_results".')
        for prospect_id in self.prospect_ids or ():
            text(prospect_ids=prospect_id)

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        ids = None if self.prospect_ids is None else list(self.prospect_ids)
        filters = None if self.applied_filters is None else dict(self.applied_filters)
        return _given({"selection_mode": self.mode, "prospect_ids": ids, "applied_filters": filters})


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """A webhook endpoint for job events.

    Attributes:
        url: https; may hold a token.
        description: For people.
        events: Which; both when not given.
    """

    url: str = field(repr=False)
    description: str | None = None
    events: Sequence[EventType] | None = None

    def __post_init__(self) -> None:
        """Check it."""
        url("url", self.url)
        text(description=self.description)
        if self.events is not None and not self.events:
            raise UsageError("events must name at least one event type", hint="Leave it out for all of them.")
        for event in self.events or ():
            one_of("events", event, get_args(EventType))

    def body(self) -> dict[str, Any]:
        """Return the request's JSON."""
        return _given(asdict(self) | {"events": None if self.events is None else list(self.events)})


def check_page(limit: int, limit_max: int, cursor: str | None, max_records: int | None = None) -> None:
    """Check what a page is asked for with.

    Raises:
        UsageError: *limit* is not from 1 to *limit_max*, *max_records* not above 0, or *cursor* is empty.
    """
    count("limit", limit, limit_max)
    count("max_records", max_records)
    text(cursor=cursor)


def _given(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
