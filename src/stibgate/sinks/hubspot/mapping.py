"""Which record field goes to which HubSpot property, and as what text.

If you change ROWS, also read the table of fields in `config.example.toml` and the README.
Source: HubSpot, contacts and companies guides; default property names as `properties/batch/read` gives them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stibgate.domain.record import IssueReason, Provenance, Record
from stibgate.sinks.hubspot.choices import Choices
from stibgate.sinks.hubspot.freemail import FREE_MAIL_DOMAINS
from stibgate.sinks.hubspot.policy import Policy, Want

Kind = Literal["contacts", "companies"]

VALUE_CHARS_MAX = 65_536
OURS = "stibnite_"
"""Properties with this prefix are made at start-up when they are missing."""

PERSON_KEY = "person_id"
COMPANY_KEY = "company_id"
OWNER = "partner_user_id"


@dataclass(frozen=True, slots=True)
class Row:
    """One record field and where it goes.

    Attributes:
        field: Its name in the tables `properties` and `field_policy`.
        kind: The HubSpot object.
        property: The HubSpot property; empty when the field is not sent unless an operator names one.
        policy: When it is written.
        source: The field of the record, or of its provenance, that the value is read from.
        shape: `text`; `number`, a whole one; `money`, a number that is left out in portals of another currency.
    """

    field: str
    kind: Kind
    property: str
    policy: Policy
    source: str
    shape: Literal["text", "number", "money"] = "text"


_O, _F, _C = Policy.OVERWRITE, Policy.FILL_BLANK, Policy.CREATE_ONLY

ROWS = (
    Row("person_id", "contacts", "stibnite_person_id", _O, "person_id"),
    Row("prospect_id", "contacts", "stibnite_prospect_id", _O, "prospect_id"),
    Row("first_name", "contacts", "firstname", _F, "first_name"),
    Row("last_name", "contacts", "lastname", _F, "last_name"),
    Row("job_title", "contacts", "jobtitle", _F, "job_title"),
    Row("business_email", "contacts", "email", _C, "business_email"),
    Row("mobile_phone", "contacts", "mobilephone", _F, "mobile_phone"),
    Row("linkedin_url", "contacts", "hs_linkedin_url", _F, "linkedin_url"),
    Row("contact_company", "contacts", "company", _F, "company_name"),
    Row("partner_user_id", "contacts", "hubspot_owner_id", _C, "partner_user_id"),
    Row("reveal_state", "contacts", "", _O, "reveal_state"),
    Row("source", "contacts", "", _O, "source"),
    Row("search_id", "contacts", "", _O, "search_id"),
    Row("job_id", "contacts", "", _O, "job_id"),
    Row("partner_customer_id", "contacts", "", _O, "partner_customer_id"),
    Row("company_id", "companies", "stibnite_company_id", _O, "company_id"),
    Row("company_name", "companies", "name", _F, "company_name"),
    Row("company_domain", "companies", "domain", _F, "company_domain"),
    Row("company_phone", "companies", "phone", _F, "company_phone"),
    Row("company_linkedin_url", "companies", "linkedin_company_page", _F, "company_linkedin_url"),
    Row("company_revenue", "companies", "annualrevenue", _F, "company_revenue", "money"),
    Row("company_employee_count", "companies", "numberofemployees", _F, "company_employee_count", "number"),
    Row("company_industry", "companies", "industry", _F, "company_industry"),
    Row("company_industry_text", "companies", "stibnite_industry", _O, "company_industry"),
    Row("company_sic", "companies", "stibnite_sic", _O, "company_sic"),
    Row("company_naics", "companies", "stibnite_naics", _O, "company_naics"),
    Row("company_city", "companies", "city", _F, "company_city"),
    Row("company_state", "companies", "state", _F, "company_state"),
)
FIELDS = tuple(row.field for row in ROWS)
KEYS = frozenset({PERSON_KEY, COMPANY_KEY})

_NAMING = frozenset({"business_email", "linkedin_url", "company_domain", "company_linkedin_url"})
"""Fields whose invalid text, where `invalid_field = "keep"` left it in the record, would only be refused."""


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Where one configuration sends the fields.

    Attributes:
        rows: The fields that are sent.
        person_key: The contact property that holds our key.
        company_key: The company property that holds our key.
    """

    rows: tuple[Row, ...]
    person_key: str
    company_key: str

    @classmethod
    def of(cls, properties: Mapping[str, str], policies: Mapping[str, Policy], *, owners: bool) -> "FieldMap":
        """Return the default mapping with what the tables say otherwise.

        Args:
            properties: Record field to HubSpot property; an empty one switches the field off.
            policies: Record field to policy; `never` switches it off too.
            owners: Whether owners are set at all.
        """
        chosen = (
            replace(row, property=properties.get(row.field, row.property), policy=policies.get(row.field, row.policy))
            for row in ROWS
            if owners or row.field != OWNER
        )
        rows = tuple(row for row in chosen if row.property and row.policy is not Policy.NEVER)
        keys = {row.field: row.property for row in rows}
        return cls(rows, keys[PERSON_KEY], keys[COMPANY_KEY])

    def of_kind(self, kind: Kind) -> Iterator[Row]:
        """Yield the rows of *kind*."""
        return (row for row in self.rows if row.kind == kind)

    def names(self, kind: Kind) -> list[str]:
        """Return the HubSpot properties of *kind* that are written."""
        return [row.property for row in self.of_kind(kind)]

    def property_of(self, field: str) -> str | None:
        """Return where *field* goes, or None when it is not sent."""
        return next((row.property for row in self.rows if row.field == field), None)

    def field_of(self, kind: Kind, property_: str | None) -> str | None:
        """Return the record field that goes to *property_*, or None."""
        return next((row.field for row in self.of_kind(kind) if row.property == property_), None)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a portal says about values.

    Attributes:
        currency: ISO 4217; figures of ours are in USD.
        choices: By object and property, what an enumeration takes.
        owners: HubSpot owner id by `partner_user_id`.
    """

    currency: str
    choices: Mapping[tuple[Kind, str], Choices]
    owners: Mapping[str, str]


def wants(mapping: FieldMap, terms: Terms, kind: Kind, record: Record, provenance: Provenance) -> dict[str, Want]:
    """Return what the object of *kind* should have after *record*; our own key is not among it.

    Values are text, numbers never in exponent form. What is blank, what we found invalid, and what is no option of
    an enumeration is left out: HubSpot would refuse the whole record for it.
    """
    invalid = {issue.field for issue in record.issues if issue.reason is IssueReason.INVALID} & _NAMING
    out: dict[str, Want] = {}
    for row in mapping.of_kind(kind):
        if row.field in KEYS or row.source in invalid:
            continue
        value = _text(row, record, provenance, terms)
        choices = terms.choices.get((kind, row.property))
        if value and choices is not None:
            value = choices.meant_by(value, row.source)
        if value:
            out[row.property] = Want(value[:VALUE_CHARS_MAX], row.policy)
    return out


def _text(row: Row, record: Record, provenance: Provenance, terms: Terms) -> str | None:
    value = getattr(record, row.source) if hasattr(record, row.source) else getattr(provenance, row.source)
    if value is None:
        return None
    if row.shape != "text":
        usable = isinstance(value, int) and (row.shape == "number" or terms.currency == "USD")
        return f"{value:d}" if usable else None
    shape = _SHAPES.get(row.field)
    if row.field == OWNER:
        return terms.owners.get(value)
    return shape(str(value)) if shape else str(value).strip()


def company_domain(record: Record) -> str | None:
    """Return the domain that only this record's company has, or None; a free-mail host is nobody's company."""
    if any(issue.field == "company_domain" and issue.reason is IssueReason.INVALID for issue in record.issues):
        return None
    return _own_domain(record.company_domain or "") or None


def email(record: Record) -> str | None:
    """Return the e-mail address as HubSpot keeps it, in lower case; None when it is missing or invalid."""
    if any(issue.field == "business_email" and issue.reason is IssueReason.INVALID for issue in record.issues):
        return None
    return (record.business_email or "").strip().lower() or None


def _own_domain(text: str) -> str:
    domain = text.strip().lower()
    return "" if domain in FREE_MAIL_DOMAINS else domain


_SHAPES: Mapping[str, Callable[[str], str]] = {
    "business_email": lambda text: text.strip().lower(),
    "company_domain": _own_domain,
}


def person_key(record: Record) -> str | None:
    """Return what our key property holds: the `person_id`, else the next of the ladder with its kind in front.

    An invalid e-mail address or link names nobody. Letter case of addresses does not tell people apart.
    """
    invalid = {issue.field for issue in record.issues if issue.reason is IssueReason.INVALID}
    for kind, value in record.identifiers():
        if kind == "person_id":
            return value.strip()
        if (kind == "email" and "business_email" in invalid) or (kind == "linkedin" and "linkedin_url" in invalid):
            continue
        if kind == "phone" and "mobile_phone" in invalid:
            continue
        return f"{kind.removesuffix('_id')}:{value.strip().lower() if kind in {'email', 'linkedin'} else value}"
    return None


def is_weak(key: str) -> bool:
    """Return whether *key* is a stand-in for an id that the record did not have."""
    return key.startswith(("prospect:", "linkedin:", "email:", "phone:", "domain:"))


def company_key(record: Record) -> str | None:
    """Return what our key property of companies holds, or None when nothing tells the company from others."""
    if record.company_id:
        return record.company_id.strip()
    domain = company_domain(record)
    return f"domain:{domain}" if domain else None
