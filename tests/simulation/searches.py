"""What people search for in two hours: drawn from a seed, the same in every run of it."""

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from stibgate.domain.budget import Budget, Period, Unit
from stibgate.vendors.stibnite import NewJob

HOUR_S = 3600
KINDS = ("owners of law firms", "ceos of software companies", "attorneys in Boise", "brokers", "doctors of clinics")
THIN_S = ((900, True), (2700, False), (3300, True), (4500, False), (6000, True), (6600, False))
"""Since when the vendor's events are thin, or not."""

_UNIT = Unit.STIBNITE_CREDIT_UNIT
BUDGETS = {
    "usual": Budget("usual", _UNIT, Decimal(2_000), Period.TOTAL),
    "tight": Budget("tight", _UNIT, Decimal(25), Period.TOTAL),
    "careful": Budget("careful", _UNIT, Decimal(500), Period.DAY, confirm_above=Decimal(8)),
}


@dataclass(frozen=True)
class Search:
    """One search that somebody wants.

    Attributes:
        name: Its pages' `by`.
        at_s: When.
        after: The search that must be over first: what the vendor leaves out then depends on it.
    """

    name: str
    at_s: float
    wanted: NewJob
    budget: str | None = "usual"
    after: str | None = None


def draw(dice: Random) -> list[Search]:
    """Return twelve searches, most of several pages; five of them at least begin in the lost hour."""
    lost = [dice.uniform(0.55 * HOUR_S, 1.4 * HOUR_S) for _ in range(5)]
    moments = iter(dice.sample([*lost, *(dice.uniform(0, 2 * HOUR_S) for _ in range(7))], 12))

    def search(name: str, q: str, *, budget: str | None = "usual", after: str | None = None, **more: Any) -> Search:
        limit = dice.choice((5, 7, 10))
        asked = {"limit": limit, "max_records": limit * dice.randint(1, 2) + dice.randrange(3), **more}
        wanted = NewJob(q, **asked)
        return Search(name, next(moments), wanted, budget, after)

    found = [search(f"plain {i}", f"{dice.randint(3, 40)} {dice.choice(KINDS)} {i}") for i in range(3)]
    found += [
        search("failing", "20 brokers who fail"),
        search("nobody pays", f"{dice.randint(10, 30)} lawyers", budget=None),
        search("runs dry", "60 plumbers", budget="tight", limit=10, max_records=60),
        search("asks again", "40 bakers", budget="careful", limit=10, max_records=40),
        search("somewhere", "12 owners of mills", location_state="ID"),
        search("token 1", "12 owners of law firms", dedupe_token="spring", max_records=40),
        search("token 2", "30 owners of law firms", dedupe_token="spring", max_records=40, after="token 1"),
        search("token 3", "25 painters", dedupe_token="spring", limit=10, max_records=25),
        search("token of one", "15 painters", dedupe_token="spring", dedupe_user_id="ann", limit=5, max_records=15),
    ]
    return sorted(found, key=lambda one: one.at_s)
