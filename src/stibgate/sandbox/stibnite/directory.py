"""Finding people again: by exact identifiers, by company, and the inventory of companies.

People are made from their numbers and remembered nowhere, so every way back is computed: a domain names its
company's number, an address its company, a LinkedIn slug its person. Phones do not (the lines reserved for fiction are
few), so those are looked for among the first 50,000 people, where searches begin.

Source: Stibnite Person Data API, "Exact person lookup", "Company domain inventory", "Company people".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from yarl import URL

from stibgate.sandbox.people import STAFF_COUNT, People, in_state

INVENTORY_COMPANIES = 2_500
"""Companies that the domain inventory lists; the world itself has no end."""
_PHONE_BOOK = 50_000
_SLUG = re.compile(r"-example-[0-9a-f]{4}([0-9]{1,30})(?:s([0-9]{1,3}))?$")

Person = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Exact identifiers as they are compared; None asks for nothing. A person must have all that are asked for."""

    email: str | None
    domain: str | None
    slug: str | None
    phone: str | None

    @classmethod
    def of(cls, *, email: str | None, domain: str | None, linkedin_url: str | None, phone: str | None) -> "Wanted":
        """Return what was asked for, normalised."""
        return cls(
            email and email.strip().casefold(),
            domain and plain_domain(domain),
            linkedin_url and _slug(linkedin_url),
            phone and _e164(phone),
        )

    def meets(self, person: Person) -> bool:
        """Return whether *person* is whom was asked for."""
        return (
            (self.email is None or self.email == person["business_email"].casefold())
            and (self.domain is None or self.domain == person["company"]["domain"])
            and (self.slug is None or ("linkedin_url" in person and self.slug == _slug(person["linkedin_url"])))
            and (self.phone is None or self.phone == person.get("mobile_phone"))
        )


class Directory:
    """The ways back to the people of one world."""

    def __init__(self, people: People) -> None:
        self._people = people

    def lookup(self, wanted: Wanted, limit: int) -> list[Person]:
        """Return up to *limit* people who have all identifiers that are *wanted*."""
        ways: tuple[tuple[str | None, Callable[[str], Iterator[Person]]], ...] = (
            (wanted.slug, self._of_slug),
            (wanted.email, lambda email: self.staff(email.rpartition("@")[2])),
            (wanted.domain, self.staff),
            (wanted.phone, self._of_phone),
        )
        found = next(way(asked) for asked, way in ways if asked is not None)
        return list(islice(filter(wanted.meets, found), limit))

    def staff(self, domain: str, first: int = 0, last: int | None = None) -> Iterator[Person]:
        """Yield the known people of the company at *domain*, from seat *first* to before *last*."""
        c = self._people.company_of(domain)
        if c is not None:
            seats = range(self._people.contact_count(c))
            yield from (self._people.colleague(c, seat) for seat in seats[first:last])

    def staff_count(self, domain: str) -> int:
        """Return how many people of the company at *domain* are known; 0 when there is no such company."""
        c = self._people.company_of(domain)
        return 0 if c is None else self._people.contact_count(c)

    def domains(
        self, first: int, *, contacts_min: int, industry: str, state: str | None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number and the documented `Domain` of each company from *first* on that the filters leave."""
        for c in range(first, INVENTORY_COMPANIES):
            if not in_state(self._people.place(c * STAFF_COUNT).state, state):
                continue
            company = self._people.company(c)
            count = self._people.contact_count(c)
            if count >= contacts_min and industry.casefold() in company["industry"].casefold():
                yield (
                    c,
                    {
                        "domain": company["domain"],
                        "contact_count": count,
                        "industry": company["industry"],
                        "location": {"city": company["city"], "state": company["state"]},
                    },
                )

    def _of_slug(self, slug: str) -> Iterator[Person]:
        named = _SLUG.search(slug)
        if named is not None:
            number, seat = int(named[1]), named[2]
            yield self._people.person(number) if seat is None else self._people.colleague(number, int(seat))

    def _of_phone(self, phone: str) -> Iterator[Person]:
        for i in range(_PHONE_BOOK):
            if self._people.mobile_phone(i) == phone:
                yield self._people.person(i)


def plain_domain(text: str) -> str:
    """Return the domain that *text*, a domain or a URL, names: lower case, without `www.`."""
    text = text.strip()
    try:
        host = URL(text if "://" in text else f"//{text}").host or ""
    except ValueError:
        host = ""
    return host.lower().rstrip(".").removeprefix("www.")


def _slug(text: str) -> str:
    """Return the last part of a LinkedIn profile's path, which names the person."""
    path = re.split("[?#]", text.strip(), maxsplit=1)[0].rstrip("/")
    return path.rpartition("/")[2].casefold() if re.search(r"(^|//|\.)linkedin\.com/in/", path.casefold()) else ""


def _e164(text: str) -> str:
    """Return the number of North America that *text* is, `+12085550123`."""
    digits = re.sub("[^0-9]", "", text)
    return f"+1{digits}" if len(digits) == 10 else f"+{digits}"
