"""What Stibnite answers: typed, and nothing lost.

Unknown fields are kept, documented ones may be missing or null unless an answer means nothing without them, and
words are open sets: a new status is no error. Times are ISO text as sent. `to_document()` gives the answer back, its
secrets masked. A `repr` shows documented fields only, without secrets, URLs (they may hold tokens) and people.

Credit units are whole numbers as documented, and `Decimal` should they ever have fractions.
Source: Stibnite Person Data API, every "Response fields" and "Example response".
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from stibgate.domain.event import BILLED_MAX
from stibgate.vendors.stibnite.people import Domain, Person

Units = int | Decimal
USED_MAX = 10**15


def _list(value: object) -> object:
    return [] if value is None else value


def _count(value: object) -> object:
    return value if type(value) is int and 0 <= value <= BILLED_MAX else None


Words = Annotated[list[str], BeforeValidator(_list)]
Billed = Annotated[int | None, BeforeValidator(_count)]
"""What was billed, as events say it too: what cannot be a count is as good as not said."""


class Reply(BaseModel):
    """What every answer is."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    def to_document(self) -> dict[str, Any]:
        """Return the answer's fields, unknown ones too, as JSON values; secrets are masked."""
        return self.model_dump(mode="json", exclude_unset=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return what a `repr` shows; unknown fields may be secrets."""
        fields = type(self).model_fields.items()
        return [(name, getattr(self, name)) for name, field in fields if field.repr and name in self.model_fields_set]


class Pagination(Reply):
    """Where a page stands.

    Attributes:
        total_records: How many there are; a lower bound when `total_records_relation` is `gte`.
        next_cursor: Opaque; None on the last page.
    """

    limit: int | None = None
    total_records: int | None = None
    total_records_relation: str | None = None
    total_pages: int | None = None
    next_cursor: str | None = Field(default=None, repr=False)
    max_records: int | None = None

    @property
    def following(self) -> str | None:
        """Where the next page begins, or None when there is none; a blank is nothing."""
        return self.next_cursor if self.next_cursor and self.next_cursor.strip() else None


class Choice(Reply):
    """A role or an industry; `phrases` for those of indexed searches."""

    key: str
    label: str | None = None
    phrases: Words = []


class Job(Reply):
    """A search job; what it found is there when `status` is `succeeded`, `error` when it is `failed`."""

    job_id: str
    status: str
    search_strategy: str | None = None
    interpretation: dict[str, Any] | None = Field(default=None, repr=False)
    created_at: str | None = None
    pagination: Pagination | None = None
    data: list[Person] | None = Field(default=None, repr=False)
    billable_records: Billed = None
    error: str | None = None
    timings_ms: Any = Field(default=None, repr=False)

    @property
    def ended(self) -> bool:
        """Whether it will not change any more; an unknown status may."""
        return self.status in {"succeeded", "failed"}

    @property
    def rows(self) -> list[Person]:
        """Whom it found; empty until it has succeeded."""
        return self.data or []

    @property
    def lacks_rows(self) -> bool:
        """Whether it says that it succeeded, and not whom it found; nobody at all would be an empty list."""
        return self.status == "succeeded" and self.data is None

    @property
    def next_cursor(self) -> str | None:
        """What the job of the next page is queued with, or None when there is no next page."""
        return self.pagination.following if self.pagination else None


class TaxonomyPath(Reply):
    """Precomputed searches: exact counts, and which roles go with which industry."""

    description: str | None = None
    roles: Annotated[list[Choice], BeforeValidator(_list)] = []
    industries: Annotated[list[Choice], BeforeValidator(_list)] = []
    compatibility: dict[str, list[str]] | None = None
    example_queries: Words = []


class IndexedPath(Reply):
    """Indexed searches: role buckets, and the company filters that go with them."""

    description: str | None = None
    roles: Annotated[list[Choice], BeforeValidator(_list)] = []
    company_filters: Words = []


class FastPaths(Reply):
    """The ways of searching that need no live scan."""

    taxonomy: TaxonomyPath | None = None
    indexed_dynamic: IndexedPath | None = None


class Taxonomy(Reply):
    """What to search for, for suggestions."""

    fast_paths: FastPaths
    native_geo_parameters: Words = []


class Page(Reply):
    """One page of a list, whatever it lists."""

    pagination: Pagination | None = None

    @property
    def next_cursor(self) -> str | None:
        """What the next page is asked for with, or None when there is none."""
        return self.pagination.following if self.pagination else None


class PeoplePage(Page):
    """People: of a lookup, or of a company. What is returned is billed."""

    data: Annotated[list[Person], BeforeValidator(_list)] = Field(repr=False)
    billable_records: Billed = None

    @property
    def rows(self) -> list[Person]:
        """Who is on this page."""
        return self.data


class DomainsPage(Page):
    """Companies' domains; not billed."""

    data: Annotated[list[Domain], BeforeValidator(_list)] = Field(repr=False)

    @property
    def rows(self) -> list[Domain]:
        """What is on this page."""
        return self.data


class LimitState(Reply):
    """What the customer may do now; the reasons are the vendor's words."""

    can_search: bool | None = None
    can_reveal: bool | None = None
    search_block_reason: str | None = None
    reveal_block_reason: str | None = None


class Wallet(Reply):
    """One customer's credits.

    Attributes:
        available_credit_units: None means that there is no finite wallet.
        applied_credit_units: Of the wallet's period: its life for `rollover`, the month for `monthly_reset`.
        limits: By name, `monthly_credit_units`; None for no limit.
        usage: By name.
    """

    available_credit_units: Units | None = None
    granted_credit_units: Units | None = None
    applied_credit_units: Units | None = None
    monthly_applied_credit_units: Units | None = None
    lifetime_applied_credit_units: Units | None = None
    credit_enforcement_mode: str | None = None
    credit_reset_policy: str | None = None
    active_credit_grants: int | None = None
    monthly_credit_units_used: Units | None = None
    lifetime_credit_units_used: Units | None = None
    limits: dict[str, Units | None] | None = None
    usage: dict[str, Units | None] | None = None
    limit_state: LimitState | None = None
    allowed_result_actions: Words = []
    result_action_labels: dict[str, str | None] | None = None


class CustomerWallet(Reply):
    """A partner customer and its wallet."""

    partner_customer_id: str
    wallet: Wallet
    status: str | None = None
    allowed_result_actions: Words = []
    result_action_labels: dict[str, str | None] | None = None


class CreditGrant(Reply):
    """A grant of credits as it was made."""

    id: str | None = None
    partner_customer_id: str | None = None
    credit_units_granted: Units | None = None


class GrantedCredits(CustomerWallet):
    """The grant, and the wallet that it went into."""

    credit_grant: CreditGrant


class EmbedKey(Reply):
    """A public loader key, without its value."""

    id: str | None = None
    key_prefix: str | None = Field(default=None, repr=False)
    label: str | None = None
    status: str | None = None
    allowed_origins: Words = []
    result_delivery_url: str | None = Field(default=None, repr=False)
    result_delivery_cta: str | None = None
    csv_export_enabled: bool | None = None
    default_credit_enforcement_mode: str | None = None
    default_credit_reset_policy: str | None = None
    default_limits: dict[str, Units | None] | None = None


class CreatedEmbedKey(Reply):
    """A new loader key; its value comes this once."""

    public_key: SecretStr
    embed_key: EmbedKey


class EmbedSession(Reply):
    """A customer's way into the widget, until `expires_at`."""

    token: SecretStr
    partner_customer_id: str
    external_customer_id: str | None = None
    expires_at: str | None = None


class PushSelection(Reply):
    """What was pushed."""

    mode: str | None = None
    prospect_ids: Words = []


class Pushed(Reply):
    """What became of a push: it is bought and billed even where it was not `delivered`."""

    delivered: bool
    delivery_status: int | None = None
    search_id: str | None = None
    partner_customer_id: str | None = None
    selection: PushSelection | None = None
    pushed_records: int | None = None
    net_new_billable_records: int | None = None
    already_purchased_records: int | None = None


class Endpoint(Reply):
    """A registered webhook endpoint."""

    id: str
    url: str = Field(repr=False)
    description: str | None = None
    events: Words = []
    status: str | None = None
    created_at: str | None = None


class CreatedEndpoint(Endpoint):
    """A new endpoint; its secret comes this once."""

    signing_secret: SecretStr


class Endpoints(Page):
    """The account's endpoints."""

    data: Annotated[list[Endpoint], BeforeValidator(_list)]


class Deleted(Reply):
    """Whether it is gone."""

    deleted: bool


class Usage(Reply):
    """What the key has used so far; cumulative."""

    requests: int
    billable_records: Annotated[int, Field(ge=0, le=USED_MAX)]
