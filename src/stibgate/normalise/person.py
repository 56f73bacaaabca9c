"""One record: every field found, read and, where it cannot be taken as sent, flagged with its original.

A value that was flagged once stays flagged: a record that went through `to_document` carries its issues, and
reading it again neither loses nor repeats them.

Source: Stibnite, partner delivery payload (nested `company`) and CSV export (flat names).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from stibgate.domain.record import COLUMNS, Issue, IssueReason, Record
from stibgate.normalise import domains, emails, integers, links, phones, states
from stibgate.normalise.rules import Rules
from stibgate.normalise.text import clean, encodable
from stibgate.normalise.values import as_text, tidy

TEXT_CHARS_MAX = 2000
ID_CHARS_MAX = 512
_PRINTED_BITS_MAX = 2048

_Reading = tuple[str | None, IssueReason | None]
"""The canonical value and what is wrong; None as the value: there is no canonical one."""


def _plain(text: str, _: Rules) -> _Reading:
    """Return *text*: any is valid."""
    return text, None


def _email(text: str, _: Rules) -> _Reading:
    """Return the address."""
    return _or_invalid(emails.canonical(text))


def _phone(text: str, rules: Rules) -> _Reading:
    """Return the number; flagged when E.164 cannot say all of it, such as an extension."""
    phone = phones.read(text, rules.default_region)
    if phone is None:
        return None, IssueReason.INVALID
    return phone.e164, (None if phone.whole else IssueReason.TRUNCATED)


def _link(text: str, _: Rules) -> _Reading:
    """Return the LinkedIn URL."""
    return _or_invalid(links.canonical(text))


def _domain(text: str, _: Rules) -> _Reading:
    """Return the domain."""
    return _or_invalid(domains.canonical(text))


def _state(text: str, _: Rules) -> _Reading:
    """Return the state."""
    return states.canonical(text), None


def _or_invalid(value: str | None) -> _Reading:
    """Return *value*, flagged when there is none."""
    return value, (IssueReason.INVALID if value is None else None)


class _Field(NamedTuple):
    """How a field is found and read.

    Attributes:
        name: Its name in `Record`.
        inner: Its name in the vendor's nested `company`, or None.
        read: Reads cleaned text; None for whole numbers.
        chars_max: Longer values are not kept in the field.
        of_int: Whether a whole number is taken as text.
    """

    name: str
    inner: str | None
    read: Callable[[str, Rules], _Reading] | None
    chars_max: int
    of_int: bool


_SPECIAL: Mapping[str, Callable[[str, Rules], _Reading] | None] = {
    "business_email": _email,
    "mobile_phone": _phone,
    "linkedin_url": _link,
    "company_domain": _domain,
    "company_phone": _phone,
    "company_linkedin_url": _link,
    "company_revenue": None,
    "company_employee_count": None,
    "company_state": _state,
}
_CODES = frozenset({"company_sic", "company_naics"})
_IDS = frozenset({"prospect_id", "person_id", "company_id"})
_INNER = {name: name.removeprefix("company_") for name in COLUMNS if name.startswith("company_")} | {
    "company_id": "company_id"
}
_FIELDS = tuple(
    _Field(
        name=name,
        inner=_INNER.get(name),
        read=_SPECIAL.get(name, _plain),
        chars_max=ID_CHARS_MAX if name in _IDS else TEXT_CHARS_MAX,
        of_int=name in _IDS or name in _CODES,
    )
    for name in (*COLUMNS, "company_id", "reveal_state")
)
_FLAT_NAMES = frozenset(field.name for field in _FIELDS)
_INNER_NAMES = frozenset(_INNER.values())
_KNOWN = _FLAT_NAMES | {"company"}
_DOCUMENT_KEYS = frozenset(field.name for field in fields(Record))
_ISSUE_KEYS = frozenset({"field", "reason", "original"})
_REASONS = frozenset(IssueReason)


def read_person(raw: Mapping[str, Any], *, position: int, rules: Rules) -> Record:
    """Return *raw* as a record; see `stibgate.normalise.normalise`."""
    issues: list[Issue] = []
    extra: dict[str, Any] = {}
    company: Mapping[str, Any] = {}
    if _is_document(raw, position):
        issues += (_issue(carried) for carried in raw.get("issues", ()))
        extra.update(raw.get("extra", {}))
    else:
        company = _open_company(raw, issues, extra)
    found: dict[str, Any] = {}
    for field in _FIELDS:
        value = raw.get(field.name)
        if field.inner and (nested := company.get(field.inner)) is not None:
            if value is None:
                value = nested
            elif not _is_blank(nested):
                if value != nested:
                    extra[field.name] = value
                value = nested
        if value is not None:
            kept = _take(field, value, rules, issues)
            if kept is not None:
                found[field.name] = kept
    return Record(**found, position=position, issues=tuple(issues), extra=tidy(extra))


def _is_blank(value: object) -> bool:
    """Return whether *value* is a text with nothing to read in it."""
    return isinstance(value, str) and not clean(value)


def _open_company(raw: Mapping[str, Any], issues: list[Issue], extra: dict[str, Any]) -> Mapping[str, Any]:
    """Return the nested company, or an empty one; what is unknown in it and beside it goes to *extra*."""
    if not _KNOWN.issuperset(raw):
        extra.update((name, value) for name, value in raw.items() if name not in _KNOWN)
    company = raw.get("company")
    if company is None:
        return {}
    if not isinstance(company, Mapping):
        issues.append(Issue("company", IssueReason.WRONG_TYPE, as_text(company)))
        extra["company"] = company
        return {}
    if not _INNER_NAMES.issuperset(company):
        extra["company"] = {name: value for name, value in company.items() if name not in _INNER_NAMES}
    return company


def _take(field: _Field, value: Any, rules: Rules, issues: list[Issue]) -> str | int | None:
    """Return what the field holds, or None, and flag in *issues* what could not be taken as sent."""
    if issues and _was_kept(field, value, rules, issues):
        return str(value)
    if field.read is None:
        return _take_number(field, value, rules, issues)
    if isinstance(value, str):
        text = clean(value)
    elif field.of_int and isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if value.bit_length() <= _PRINTED_BITS_MAX else as_text(value)
    else:
        return _flag(field, value, IssueReason.WRONG_TYPE, rules, issues)
    if not text:
        return None
    canonical, reason = (None, IssueReason.TRUNCATED) if len(text) > field.chars_max else field.read(text, rules)
    if canonical is None or len(canonical) > field.chars_max:
        return _flag(field, value, reason or IssueReason.TRUNCATED, rules, issues)
    if reason is not None:
        _flag(field, value, reason, rules, issues)
    return canonical


def _take_number(field: _Field, value: Any, rules: Rules, issues: list[Issue]) -> str | int | None:
    """Return the whole number that the field holds, or None; flag like `_take`."""
    if isinstance(value, str):
        value_or_text: Any = clean(value)
        if not value_or_text:
            return None
    else:
        value_or_text = value
    number = integers.canonical(value_or_text)
    if number is not None:
        return number
    wrong_type = isinstance(value, list | tuple | Mapping)
    return _flag(field, value, IssueReason.WRONG_TYPE if wrong_type else IssueReason.INVALID, rules, issues)


def _was_kept(field: _Field, value: Any, rules: Rules, issues: list[Issue]) -> bool:
    """Return whether *value* is what `_flag` left in the field an earlier time."""
    return (
        rules.invalid_field == "keep"
        and isinstance(value, str)
        and len(value) <= field.chars_max
        and any(issue.field == field.name and issue.original == value for issue in issues)
    )


def _flag(field: _Field, value: Any, reason: IssueReason, rules: Rules, issues: list[Issue]) -> str | None:
    """Return what the field holds although *value* is refused, after noting the refusal once.

    With `keep` that is the text as it was sent, unless it is too long to be kept anywhere but in the issue.
    """
    original = as_text(value)
    if not any(issue.field == field.name and issue.original == original for issue in issues):
        issues.append(Issue(field.name, reason, original))
    if rules.invalid_field == "keep" and isinstance(value, str) and len(original) <= field.chars_max:
        return original
    return None


def _is_document(raw: Mapping[str, Any], position: int) -> bool:
    """Return whether *raw* is what `Record.to_document` returned: known names only, each of the right shape.

    A vendor's field that happens to be called `issues` or `extra` is an unknown field like any other.
    """
    if type(raw.get("position")) is not int or raw["position"] != position or not _DOCUMENT_KEYS.issuperset(raw):
        return False
    issues, extra = raw.get("issues", []), raw.get("extra", {})
    return isinstance(issues, list) and isinstance(extra, Mapping) and all(map(_is_issue, issues))


def _is_issue(value: object) -> bool:
    """Return whether *value* is an issue as `Record.to_document` writes it."""
    return (
        isinstance(value, Mapping)
        and value.keys() == _ISSUE_KEYS
        and all(isinstance(part, str) for part in value.values())
        and value["field"] in _KNOWN
        and value["reason"] in _REASONS
    )


def _issue(carried: Mapping[str, str]) -> Issue:
    """Return the issue that a document carries."""
    return Issue(carried["field"], IssueReason(carried["reason"]), encodable(carried["original"]))
