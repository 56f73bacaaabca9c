"""Invented people and companies: the same for the same seed, in the vendor's documented record shape.

Nobody here exists: domains are sub-domains of `example.com` (RFC 2606), phone numbers are the fictional 555-01xx
line numbers behind real area codes, LinkedIn slugs end in `-example-<n>`. A few records are hostile on purpose
(formula-like titles, non-ASCII names, leading-zero codes, missing and null fields), because real ones are.

Source: Stibnite Person Data API, "Exact person lookup" (Person) and "Push prospecting results to partner"
(partner delivery payload).
"""

from collections.abc import Iterator
from typing import Any

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

_TAGS = 65_536
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
        draw = dice(self._seed, "person", i)
        first, last = self._name(i, draw)
        company = self.company(i // STAFF_COUNT)
        area_code = self.place(i).area_code
        # Counted, not drawn: the numbers of 2,800 neighbours differ, so that a phone finds one person again.
        line = 100 + _COMPANY_LINES + (i // STAFF_COUNT // len(PLACES) * STAFF_COUNT + i % STAFF_COUNT) % 80
        person: dict[str, Any] = {
            "person_id": f"person_{self._tag}{i:06d}",
            "first_name": first.written,
            "last_name": last.written,
            "job_title": draw.choice(STRANGE_TITLES if draw.random() < 0.02 else JOB_TITLES),
            "business_email": f"{first.plain}.{last.plain}@{company['domain']}",
            "mobile_phone": f"+1{area_code}5550{line}",
            "linkedin_url": f"https://www.linkedin.com/in/{first.plain}-{last.plain}-example-{self._tag}{i}",
            "company": company,
        }
        return _sparse(person, draw) if draw.random() < 0.125 else person

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
        """Yield the numbers of people from *first* on who work in *city* and *state*, without regard to case.

        Ends at once when nobody does; else it never ends.
        """
        wanted = {place for place in PLACES if _same(city, place.city) and _same(state, place.state)}
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
        return f"{lap or ''}{(rest * 40_503 + self._seed * 7_919) % _TAGS:04x}"

    def _name(self, i: int, draw: Random) -> tuple[Name, Name]:
        # Colleagues get different last names, so that an address belongs to one person.
        base = dice(self._seed, "family", i // STAFF_COUNT).randrange(len(LAST_NAMES))
        return draw.choice(FIRST_NAMES), LAST_NAMES[(base + i % STAFF_COUNT) % len(LAST_NAMES)]


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
