"""Where one person's records went: every delivery that had them, and what each sink made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.record import lookup_hash
from stibgate.stores import Ledger
from stibgate.views.story import Line, story_of_delivery
from stibgate.web.console.filters import person_of
from stibgate.web.console.page import ConsoleParts, Page, Visit

FOUND_MAX = 20
"""The latest records of a person that are told of."""


@dataclass(frozen=True, slots=True)
class Found:
    """One record of the person."""

    delivery: StoredDelivery
    position: int
    story: Sequence[Line]


class Records:
    """The page `/records`."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page."""
        query = frozenset({"person_id", "person"})
        return [Page("/records", self._show, "Records", Role.OPERATOR, nav=True, query=query)]

    async def _show(self, visit: Visit) -> web.Response:
        person_id, hashes = visit.query.get("person_id"), person_of(visit.query)
        found: Sequence[Found] = ()
        total = 0
        if person_id is not None or hashes is not None:
            found, total = await self._parts.read(partial(_look, person_id=person_id, hashes=hashes or ()))
        return visit.show(
            "records.html", asked=bool(person_id or hashes), person_id=person_id, found=found, total=total
        )


def _look(ledger: Ledger, *, person_id: str | None, hashes: Sequence[bytes]) -> tuple[Sequence[Found], int]:
    """Return the latest records of a person, newest first, and how many there are."""
    named = [] if person_id is None else [lookup_hash(ledger.hash_key, "person_id", person_id)]
    places = ledger.find_person([*named, *hashes])
    found = []
    for delivery_id, position in list(reversed(places))[:FOUND_MAX]:
        delivery = ledger.delivery(delivery_id)
        if delivery is not None:
            found.append(Found(delivery, position, story_of_delivery(ledger, delivery, position=position)))
    return found, len(places)
