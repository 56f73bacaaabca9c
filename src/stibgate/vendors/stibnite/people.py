"""People, companies and domains as Stibnite lists them.

A listed person is paid for. So nothing in one may spoil the page: a field of an undocumented type reads as None (a
number where text is documented as its digits), and `to_document()` gives the object exactly as it was sent.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)


def _lenient(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    return None if isinstance(value, bool) else _lenient(value, handler)


Text = Annotated[str | None, BeforeValidator(_text)]
Number = Annotated[int | Decimal | None, WrapValidator(_number)]


class Row(BaseModel):
    """One listed object; its `repr` shows nothing but its kind."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    _sent: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        row = handler(value)
        if isinstance(value, dict):
            row._sent = value  # noqa: SLF001  (its own)
        return row

    @model_serializer
    def to_document(self) -> dict[str, Any]:
        """Return the object as it was sent."""
        return dict(self._sent)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return nothing: it is a person, or belongs to one."""
        return ()


class Company(Row):
    """Where a person works."""

    company_id: Text = None
    name: Text = None
    domain: Text = None
    phone: Text = None
    linkedin_url: Text = None
    revenue: Number = None
    employee_count: Number = None
    industry: Text = None
    sic: Text = None
    naics: Text = None
    city: Text = None
    state: Text = None


class Person(Row):
    """One person; `prospect_id` and `reveal_state` come with prospecting only."""

    person_id: Text = None
    prospect_id: Text = None
    first_name: Text = None
    last_name: Text = None
    job_title: Text = None
    business_email: Text = None
    mobile_phone: Text = None
    linkedin_url: Text = None
    company: Annotated[Company | None, WrapValidator(_lenient)] = None
    reveal_state: Text = None


class Location(Row):
    """Where a company is."""

    city: Text = None
    state: Text = None


class Domain(Row):
    """A company's domain, and how many contacts are known there."""

    domain: Text = None
    contact_count: Number = None
    industry: Text = None
    location: Annotated[Location | None, WrapValidator(_lenient)] = None
