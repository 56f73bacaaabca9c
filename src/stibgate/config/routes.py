"""`[[routes]]`: which records go to which sinks, as people write it.

Text is brought into the form that records have, so that `company_state = "Idaho"` asks for what a record holds.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
    model_validator,
)

from stibgate.domain.record import FIELDS
from stibgate.domain.routing import Condition, Route
from stibgate.normalise.states import canonical as canonical_state
from stibgate.normalise.text import clean

NAME_CHARS_MAX = 100


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    # Not min_length: pydantic counts only the items that are right.
    if not values:
        raise ValueError("must have 1 or more items: an empty list would allow nothing")
    return values


def _present(text: str) -> str:
    if not clean(text):
        raise ValueError("must not be empty; `has` and `lacks` ask whether a field is there")
    return text


def _domain(text: str) -> str:
    from stibgate.normalise.domains import canonical  # noqa: PLC0415  (loads the list of public suffixes)

    domain = canonical(clean(text))
    if domain is None:
        raise ValueError('must be a domain, for example "example.com"')
    return domain


def _field(name: str) -> str:
    if name not in FIELDS:
        from stibgate.config.shape import closest  # noqa: PLC0415  (it reads the model, which this file is part of)

        # "email" is further from business_email, letter by letter, than it is meant.
        guess = next((known for known in FIELDS if known.endswith(f"_{name}")), "") or closest(name, FIELDS)
        raise ValueError(f"no such field; did you mean {guess}?" if guess else "no such field of a record")
    return name


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > NAME_CHARS_MAX:
        raise ValueError(f"must be 1 to {NAME_CHARS_MAX} printable characters")
    return text


Item = TypeVar("Item")
_ONE_OR_MORE = WithJsonSchema(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
OneOrMore = Annotated[tuple[Item, ...], BeforeValidator(_listed), AfterValidator(_not_empty), _ONE_OR_MORE]

Ids = OneOrMore[Annotated[str, AfterValidator(_present)]]
Texts = OneOrMore[Annotated[str, AfterValidator(_present), AfterValidator(clean)]]
States = OneOrMore[Annotated[str, AfterValidator(_present), AfterValidator(clean), AfterValidator(canonical_state)]]
Domains = OneOrMore[Annotated[str, AfterValidator(_domain)]]
Fields = OneOrMore[Annotated[str, AfterValidator(_field)]]
Sinks = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
WholeNumber = Annotated[int, Strict(), Field(ge=0)]
RouteName = Annotated[str, AfterValidator(_name)]


class WhenSettings(BaseModel):
    """`when` of a route: what `domain.routing.Condition` asks for; an unset key asks for nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    event_type: Ids | None = None
    source: Ids | None = None
    partner_customer_id: Ids | None = None
    partner_user_id: Ids | None = None
    search_id: Ids | None = None
    job_id: Ids | None = None
    has: Fields | None = None
    lacks: Fields | None = None
    job_title: Texts | None = None
    company_name: Texts | None = None
    company_domain: Domains | None = None
    company_industry: Texts | None = None
    company_sic: Texts | None = None
    company_naics: Texts | None = None
    company_city: Texts | None = None
    company_state: States | None = None
    reveal_state: Texts | None = None
    employee_count_min: WholeNumber | None = None
    employee_count_max: WholeNumber | None = None
    revenue_min: WholeNumber | None = None
    revenue_max: WholeNumber | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        for field in self.has or ():
            if field in (self.lacks or ()):
                raise ValueError(f"can never hold: has and lacks both name {field}")
        for low, high in (("employee_count_min", "employee_count_max"), ("revenue_min", "revenue_max")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"can never hold: {low} is above {high}")
        return self

    def condition(self) -> Condition:
        """Return what the router asks."""
        asked: dict[str, Any] = {}
        for key, value in self:
            if value is not None:
                asked[key] = frozenset(value) if isinstance(value, tuple) else value
        return Condition(**asked)


class RouteSettings(BaseModel):
    """`[[routes]]`: one rule.

    Attributes:
        go_on: `continue` in the file, which is no name in Python.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, serialize_by_alias=True)

    name: RouteName | None = None
    when: WhenSettings = WhenSettings()
    to: Sinks
    go_on: Annotated[bool, Strict()] = Field(default=False, alias="continue")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.go_on and not self.to:
            raise ValueError("does nothing: to = [] and continue = true")
        return self


def _tables(value: object) -> object:
    tables = isinstance(value, list | tuple) and all(isinstance(one, dict | RouteSettings) for one in value)
    if not tables:
        raise ValueError('must be a list of tables, for example [{ to = ["drop"] }]')
    return value


Routes = Annotated[tuple[RouteSettings, ...], BeforeValidator(_tables)]


def rules(routes: Sequence[RouteSettings]) -> list[Route]:
    """Return *routes* as the router takes them; one without a name is called by its place, `routes[0]`."""
    return [
        Route(route.name or f"routes[{index}]", route.when.condition(), route.to, route.go_on)
        for index, route in enumerate(routes)
    ]
