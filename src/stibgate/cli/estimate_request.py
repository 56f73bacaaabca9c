"""The people search that `stibgate estimate` is asked about: its options, each a documented field of the request."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stibgate.cli.output import chosen
from stibgate.domain.budget import to_amount
from stibgate.domain.preflight import PAGE_PEOPLE
from stibgate.errors import UsageError

if TYPE_CHECKING:
    from stibgate.vendors.thehog import CountRange, PeopleFilters, PeopleSearch

R = TypeVar("R")

_CONTACTS: dict[str, tuple[Any, ...]] = {
    "none": (),
    "email": ("email",),
    "phone": ("phone",),
    "both": ("email", "phone"),
    "email,phone": ("email", "phone"),
    "phone,email": ("email", "phone"),
}
_TEXTS = {
    "--title": "Job title of the person.",
    "--location": "Where the person is.",
    "--industry": "Industry of the person.",
    "--signal": "Signal of the person.",
    "--company-name": "Name of the company.",
    "--company-domain": "Domain of the company.",
    "--company-linkedin": "LinkedIn URL of the company.",
    "--company-industry": "Industry of the company.",
    "--company-signal": "Signal of the company.",
}
_COUNTS = {
    "--employees-min": "Fewest employees.",
    "--employees-max": "Most employees.",
    "--company-employees-min": "Fewest employees, as a filter of the company.",
    "--company-employees-max": "Most employees, as a filter of the company.",
}


def search_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the argument QUERY and an option for each other field of the request."""
    options: list[Callable[[Any], Any]] = [
        click.argument("query"),
        click.option("--limit", type=int, default=PAGE_PEOPLE, show_default=True, help="How many people, 1 to 100."),
        click.option(
            "--contacts",
            type=chosen(_CONTACTS),
            default="none",
            show_default=True,
            metavar="WHICH",
            help="Contacts to look up: email, phone, both (or email,phone) or none.",
        ),
        click.option("--signals", is_flag=True, help="Include signals."),
        click.option("--max-credits", metavar="X", help="The most that the search may charge."),
        click.option("--title-match", type=chosen(("exact", "similar")), help="How job titles are compared."),
        *(
            click.option(name, multiple=True, metavar="TEXT", help=f"{text} Repeatable.")
            for name, text in _TEXTS.items()
        ),
        *(click.option(name, type=int, metavar="N", help=text) for name, text in _COUNTS.items()),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def search_of(asked: dict[str, Any]) -> "PeopleSearch":
    """Return the search that the options ask for.

    Raises:
        UsageError: It is outside of the documented limits.
    """
    from stibgate.vendors.thehog import PeopleSearch

    fields = _CONTACTS[asked["contacts"]]
    return PeopleSearch(
        asked["query"],
        limit=asked["limit"],
        include_signals=asked["signals"],
        include_contacts=bool(fields),
        contact_fields=fields or None,
        max_credits=None if asked["max_credits"] is None else _amount(asked["max_credits"]),
        filters=_filters(asked),
    )


def _filters(asked: dict[str, Any]) -> "PeopleFilters":
    from stibgate.vendors.thehog import CompanyFilters, PeopleFilters

    return PeopleFilters(
        titles=asked["title"],
        title_match=asked["title_match"],
        locations=asked["location"],
        industries=asked["industry"],
        employee_count=_range(asked["employees_min"], asked["employees_max"]),
        signals=asked["signal"],
        company=CompanyFilters(
            names=asked["company_name"],
            domains=asked["company_domain"],
            linkedin_urls=asked["company_linkedin"],
            industries=asked["company_industry"],
            employee_count=_range(asked["company_employees_min"], asked["company_employees_max"]),
            signals=asked["company_signal"],
        ),
    )


def _range(least: int | None, most: int | None) -> "CountRange | None":
    from stibgate.vendors.thehog import CountRange

    return None if least is None and most is None else CountRange(least, most)


def _amount(text: str) -> Decimal:
    """Return the value of `--max-credits`.

    Raises:
        UsageError: It is no amount.
    """
    try:
        return to_amount(text)
    except ValueError as error:
        raise UsageError(f"--max-credits {text!r}: {error}", hint="Write it like 320 or 320.5.") from None
