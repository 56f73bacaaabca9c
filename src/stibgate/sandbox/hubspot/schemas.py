"""The shapes of what is answered, for `/openapi.json`: only described by, never built from.

The rooms build plain dictionaries, which is fast; a test holds every answer to these. What may be left out has a
factory in place of a default, so that no schema shows one.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Item = TypeVar("Item")
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Digits = Annotated[str, Field(pattern="^[0-9]+$")]
Count = Annotated[int, Field(ge=0)]
Context = dict[str, list[str]]
MaybeText = Annotated[str, Field(default_factory=str)]
MaybeInstant = Annotated[Instant, Field(default_factory=str)]
MaybeContext = Annotated[Context, Field(default_factory=dict)]
Sensitivity = Literal["highly_sensitive", "non_sensitive", "sensitive"]


class Shape(BaseModel):
    """An object with these members and no others, in HubSpot's spelling."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Detail(Shape):
    """One thing that is wrong with a request."""

    message: str
    code: MaybeText
    context: MaybeContext


class Error(Shape):
    """A refused request. The last two members are those of an older conflict."""

    status: Literal["error"]
    message: str
    correlation_id: str
    category: MaybeText
    sub_category: MaybeText
    errors: Annotated[list[Detail], Field(default_factory=list)]
    context: MaybeContext
    error_type: MaybeText
    policy_name: MaybeText
    request_id: MaybeText
    error: MaybeText
    identity_profile: Annotated[dict[str, Any], Field(default_factory=dict)]


class InputError(Shape):
    """Why one input of a batch, or some of them, came to nothing."""

    status: Literal["error"]
    category: str
    message: str
    context: Context
    sub_category: MaybeText


class Batch(Shape, Generic[Item]):
    """A batch of which everything was done."""

    status: Literal["COMPLETE"]
    results: list[Item]
    started_at: Instant
    completed_at: Instant


class Partial(Batch[Item], Generic[Item]):
    """A batch of which something was not done."""

    num_errors: Annotated[int, Field(ge=1)]
    errors: Annotated[list[InputError], Field(min_length=1)]


class Next(Shape):
    """Where the next page begins."""

    after: Digits


class Paging(Shape):
    """What follows."""

    next: Next


class Page(Shape, Generic[Item]):
    """One page; the last one has no `paging`."""

    results: list[Item]
    paging: Annotated[Paging, Field(default_factory=dict)]


class Record(Shape):
    """One contact or company."""

    id: Digits
    properties: dict[str, str | None]
    created_at: Instant
    updated_at: Instant
    archived: bool
    archived_at: MaybeInstant


class Written(Record):
    """A record as it was created or updated."""

    object_write_trace_id: MaybeText


class Upserted(Written):
    """A record as it was created or updated, and which of the two."""

    new: bool


class OldValue(Shape):
    """One value that a property had."""

    value: str
    timestamp: Instant
    source_type: str


class RecordRead(Record):
    """A record of a batch read."""

    properties_with_history: Annotated[dict[str, list[OldValue]], Field(default_factory=dict)]


class Neighbour(Shape):
    """An associated record."""

    id: Digits
    type: str


class Neighbours(Shape):
    """The associated records of one kind."""

    results: list[Neighbour]


class RecordWithAssociations(Record):
    """A record, with what it is associated to when that was asked for."""

    associations: Annotated[dict[str, Neighbours], Field(default_factory=dict)]


class SearchPage(Page[Record]):
    """One page of what was found."""

    total: Count


class End(Shape):
    """One side of an association."""

    id: Digits


class SpecShown(Shape):
    """An association's type."""

    association_category: Literal["HUBSPOT_DEFINED"]
    association_type_id: int


class Association(Shape):
    """One association that there is now."""

    from_: Annotated[End, Field(alias="from")]
    to: End
    association_spec: SpecShown


class Associated(Batch[Association]):
    """A batch of associations; what cannot be associated is an error in a 200."""

    num_errors: Annotated[int, Field(ge=1, default_factory=int)]
    errors: Annotated[list[InputError], Field(min_length=1, default_factory=list)]


class AssociationType(Shape):
    """One way in which two records are associated."""

    category: Literal["HUBSPOT_DEFINED"]
    type_id: int
    label: str | None


class Far(Shape):
    """The other side of an association."""

    to_object_id: Digits
    association_types: list[AssociationType]


class AssociationsRead(Shape):
    """The associations of one record."""

    from_: Annotated[End, Field(alias="from")]
    to: list[Far]


class OptionShown(Shape):
    """One value of an enumeration."""

    label: str
    value: str
    display_order: int
    hidden: bool


class Modification(Shape):
    """What may be changed of a property."""

    archivable: bool
    read_only_definition: bool
    read_only_value: bool


class Property(Shape):
    """One property's definition."""

    name: str
    label: str
    type: str
    field_type: str
    description: str
    group_name: str
    options: list[OptionShown]
    display_order: int
    calculated: bool
    external_options: bool
    has_unique_value: bool
    hidden: bool
    hubspot_defined: bool
    modification_metadata: Modification
    form_field: bool
    data_sensitivity: Sensitivity
    created_at: Instant
    updated_at: Instant
    archived: bool
    archived_at: MaybeInstant


class PropertyGroup(Shape):
    """One group of properties."""

    name: str
    label: str
    display_order: int
    archived: bool


class Details(Shape):
    """The account."""

    portal_id: int
    account_type: str
    time_zone: str
    company_currency: str
    additional_currencies: list[str]
    utc_offset: Annotated[str, Field(pattern="^[+-][0-9]{2}:[0-9]{2}$")]
    utc_offset_milliseconds: int
    ui_domain: str
    data_hosting_location: str


class Usage(Shape):
    """What the account has used today."""

    name: str
    usage_limit: Count
    current_usage: Count
    collected_at: Instant
    fetch_status: Literal["SUCCESS"]
    resets_at: Instant


class Owner(Shape):
    """Somebody who may own records."""

    id: Digits
    email: str
    type: Literal["PERSON"]
    first_name: str
    last_name: str
    user_id: int
    archived: bool
    created_at: Instant
    updated_at: Instant


class KeyInformation(Shape):
    """What a key is."""

    user_id: int
    hub_id: int
    app_id: int
    scopes: list[str]
