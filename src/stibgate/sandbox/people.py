"""Invented people and companies: the same for the same seed, in the vendor's documented record shape.

Nobody here exists: domains are sub-domains of `example.com` (RFC 2606), phone numbers are the fictional 555-01xx
line numbers behind real area codes, LinkedIn slugs end in `-example-<n>`. A few records are hostile on purpose
(formula-like titles, non-ASCII names, leading-zero codes, missing and null fields), because real ones are.

Source: Stibnite Person Data API, "Exact person lookup" (Person) and "Push prospecting results to partner"
(partner delivery payload).
"""

import re
from collections.abc import Iterator
from typing import Any

from stibgate.normalise import states
from stibgate.sandbox.dice import Random, dice
from stibgate.sandbox.names import (
    COMPANY_FORMS,
    COMPANY_WORDS,
    FIRST_NAMES,
    INDUSTRIES,
    JOB_TITLES,
    LAST_NAMES,
    PLACES,
    STRANGE_TITLES,
    Name,
    Place,
)

STAFF_COUNT = 4
"""People a company: few enough that a page of 100 shows 25 companies, enough that companies repeat."""

_CONTACTS = {3: 4, 12: 5, 42: 12, 82: 25, 250: 120, 1_200: 640}
"""How many people of a company are known, by its `employee_count`; no fewer than searches find there."""

_TAGS = 65_536
_TAG_FACTOR = 40_503
_TAG_SHIFT = 7_919
_DOMAIN = re.compile(r"[a-z]+-([1-9][0-9]{0,11})?([0-9a-f]{4})\.example\.com")
_COMPANY_LINES = 20
"""Line numbers 0100 to 0119 are companies', 0120 to 0199 people's: one number never names both."""


class People:
    """All people of one seed, numbered from 0 without end; `person(i)` is always the same person.

    Args:
        seed: Which world.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tag = f"{dice(seed, 'world').randrange(_TAGS):04x}"

    def person(self, i: int) -> dict[str, Any]:
        """Return person *i* as the documented `Person`; about one in eight is sparse."""
        return self.colleague(*divmod(i, STAFF_COUNT))

    def colleague(self, c: int, seat: int) -> dict[str, Any]:
        """Return who has *seat* (from 0) at company *c*; those behind the first `STAFF_COUNT` are in no search."""
        i = c * STAFF_COUNT + seat
        searched = seat < STAFF_COUNT
        draw = dice(self._seed, "person", i if searched else f"{c}s{seat}")
        first, last = self._name(c, seat, draw)
        company = self.company(c)
        slug = f"{self._tag}{i}" if searched else f"{self._tag}{c}s{seat}"
        person: dict[str, Any] = {
            "person_id": f"person_{self._tag}{i:06d}" if searched else f"person_{self._tag}{c:06d}s{seat}",
            "first_name": first.written,
            "last_name": last.written,
            "job_title": draw.choice(STRANGE_TITLES if draw.random() < 0.02 else JOB_TITLES),
            "business_email": f"{first.plain}.{last.plain}{'' if searched else seat}@{company['domain']}",
            "mobile_phone": self.mobile_phone(i),
            "linkedin_url": f"https://www.linkedin.com/in/{first.plain}-{last.plain}-example-{slug}",
            "company": company,
        }
        if not searched:  # the fictional lines are too few for everybody
            del person["mobile_phone"]
        return _sparse(person, draw) if draw.random() < 0.125 else person

    def mobile_phone(self, i: int) -> str:
        """Return the number that person *i* has unless sparse; cheap, because who is looked up by it scans for it."""
        # Counted, not drawn: the numbers of 2,800 neighbours differ, so that a phone finds one person again.
        line = 100 + _COMPANY_LINES + (i // STAFF_COUNT // len(PLACES) * STAFF_COUNT + i % STAFF_COUNT) % 80
        return f"+1{self.place(i).area_code}5550{line}"

    def contact_count(self, c: int) -> int:
        """Return how many people of company *c* are known: 4 to 640."""
        return _CONTACTS[self.company(c)["employee_count"]]

    def company_of(self, domain: str) -> int | None:
        """Return the number of the company whose domain is *domain*, in plain lower case; None when nobody's is."""
        named = _DOMAIN.fullmatch(domain)
        if named is None:
            return None
        rest = (int(named[2], 16) - self._seed * _TAG_SHIFT) * pow(_TAG_FACTOR, -1, _TAGS) % _TAGS
        c = int(named[1] or 0) * _TAGS + rest
        return c if self.company(c)["domain"] == domain else None

    def company(self, c: int) -> dict[str, Any]:
        """Return company *c* with all 12 documented fields."""
        draw = dice(self._seed, "company", c)
        word = draw.choice(COMPANY_WORDS)
        industry = draw.choice(INDUSTRIES)
        place = self._place_of_company(c)
        tag = self._company_tag(c)
        employees = draw.choice((3, 12, 42, 82, 250, 1_200))
        return {
            "company_id": f"company_{self._tag}{c:06d}",
            "name": f"{word} {draw.choice(COMPANY_FORMS)}",
            "domain": f"{word.lower()}-{tag}.example.com",
            "phone": f"+1{place.area_code}5550{100 + c // len(PLACES) % _COMPANY_LINES}",
            "linkedin_url": f"https://www.linkedin.com/company/{word.lower()}-example-{tag}",
            "revenue": employees * draw.randrange(90_000, 260_000, 10_000),
            "employee_count": employees,
            "industry": industry.label,
            "sic": industry.sic,
            "naics": industry.naics,
            "city": place.city,
            "state": place.state,
        }

    def prospect_id(self, i: int) -> str:
        """Return the id under which the widget knows person *i*."""
        return f"5x5-person-{self._tag}{i:06d}"

    def prospect(self, i: int) -> dict[str, Any]:
        """Return person *i* as a push carries it: bought, with both ids."""
        return {"prospect_id": self.prospect_id(i), **self.person(i), "reveal_state": "purchased"}

    def preview(self, i: int, *, purchased: bool) -> dict[str, Any]:
        """Return what the widget shows of person *i*: nothing that could be used without buying."""
        person = self.person(i)
        company = self.company(i // STAFF_COUNT)
        return {
            "prospect_id": self.prospect_id(i),
            "first_name": person["first_name"],
            "last_name": f"{person['last_name'][0]}.",
            "job_title": person.get("job_title"),
            "company": {key: company[key] for key in ("name", "employee_count", "industry", "city", "state")},
            "reveal_state": "purchased" if purchased else "preview",
        }

    def place(self, i: int) -> Place:
        """Return where person *i* works; cheap, because searches by place scan for it."""
        return self._place_of_company(i // STAFF_COUNT)

    def found(self, first: int, *, city: str | None = None, state: str | None = None) -> Iterator[int]:
        """Yield the numbers of people from *first* on who work in *city* and *state* (a code or a full name).

        Ends at once when nobody does; else it never ends.
        """
        wanted = {place for place in PLACES if _same(city, place.city) and in_state(place.state, state)}
        i = first
        while wanted:
            if self.place(i) in wanted:
                yield i
            i += 1

    def _place_of_company(self, c: int) -> Place:
        return PLACES[(c + self._seed) % len(PLACES)]

    def _company_tag(self, c: int) -> str:
        # An odd factor permutes 0..65535, so that domains are unique without remembering them.
        lap, rest = divmod(c, _TAGS)
        return f"{lap or ''}{(rest * _TAG_FACTOR + self._seed * _TAG_SHIFT) % _TAGS:04x}"

    def _name(self, c: int, seat: int, draw: Random) -> tuple[Name, Name]:
        # Colleagues get different last names, so that an address belongs to one person.
        base = dice(self._seed, "family", c).randrange(len(LAST_NAMES))
        return draw.choice(FIRST_NAMES), LAST_NAMES[(base + seat) % len(LAST_NAMES)]


def in_state(state: str, asked: str | None) -> bool:
    """Return whether *state*, a code, is the one *asked* for by its code or its full name; None asks for none."""
    return asked is None or states.canonical(asked.strip()).casefold() == state.casefold()


def _same(asked: str | None, there: str) -> bool:
    return asked is None or asked.strip().casefold() == there.casefold()


def _sparse(person: dict[str, Any], draw: Random) -> dict[str, Any]:
    """Return *person* with the holes that the vendor's own examples have, now and then a null."""
    kept = {key: value for key, value in person.items() if key not in {"mobile_phone", "linkedin_url"}}
    if draw.random() < 0.3:
        kept["job_title"] = None
    if draw.random() < 0.5:
        kept["company"] = {key: person["company"][key] for key in ("company_id", "name", "domain")}
    return kept
