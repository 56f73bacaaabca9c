"""The HubSpot of one sandbox: one account, its rooms, its life."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from stibgate.sandbox.dice import dice
from stibgate.sandbox.hubspot.account import Account
from stibgate.sandbox.hubspot.associations import Associations
from stibgate.sandbox.hubspot.border import Border, Recorded
from stibgate.sandbox.hubspot.counters import Counters
from stibgate.sandbox.hubspot.definitions import Definitions
from stibgate.sandbox.hubspot.kinds import COMPANIES, CONTACTS
from stibgate.sandbox.hubspot.matching import Matching
from stibgate.sandbox.hubspot.objects import Objects
from stibgate.sandbox.hubspot.openapi import document
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.properties import Properties
from stibgate.sandbox.hubspot.records import Records
from stibgate.sandbox.hubspot.search import Search

BODY_MAX = 32 * 2**20
_FIRST_IDS = {"contacts": 171_591_000_001, "companies": 28_903_000_001}
_KEYS = (("contacts", "stibnite_person_id"), ("contacts", "email"), ("companies", "stibnite_company_id"))


class HubSpotSandbox:
    """HubSpot on loopback: one account, empty at first, with nobody real in it.

    Args:
        seed: Which world: the same seed, clock and requests give the same bodies.
        now: Seconds since the Unix epoch; limits, lags and delays follow it and nothing else.
        portal: The account's settings.
        pause: Waits the given seconds, for latency and slow answers; a test passes its own clock here.

    Attributes:
        token: The account's only key.
        counters: What was counted; see also `duplicates` and `missing`.
        recording: Whether `requests` is kept; switch it off before sending much.
    """

    def __init__(
        self,
        *,
        seed: int,
        now: Callable[[], float],
        portal: Portal | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        portal = portal or Portal()
        self.token = _token(seed)
        self._records = {
            kind.plural: Records(
                kind, Definitions(kind, portal), now, first_id=_FIRST_IDS[kind.plural], lag_s=portal.search_lag_s
            )
            for kind in (CONTACTS, COMPANIES)
        }
        self._border = Border(seed, self.token, portal, now, pause)
        self._associations = Associations(portal, self._records)
        self._matching = Matching(portal, self._records, self._associations, now)
        self._border.before = self._matching.settle
        objects = Objects(portal, self._records, self._associations, dice(seed, "hubspot order"))
        account = Account(portal, self.token, self._border.limits, now)
        self._rooms = (objects, Search(self._records), self._associations, Properties(self._records), account)

    @property
    def counters(self) -> Counters:
        """What was counted since the start."""
        return self._border.counters

    @property
    def recording(self) -> bool:
        """Whether `requests` is kept."""
        return self._border.recording

    @recording.setter
    def recording(self, on: bool) -> None:
        self._border.recording = on

    @property
    def requests(self) -> list[Recorded]:
        """The last requests, oldest first: method, path, JSON body and status (0: the connection was cut)."""
        return list(self._border.recorded)

    def app(self) -> web.Application:
        """Return an application that serves this sandbox."""
        app = web.Application(middlewares=[self._border.lost], client_max_size=BODY_MAX)
        routes = [route for room in self._rooms for route in room.routes(self._border)]
        app.add_routes(routes)

        async def described(_request: web.Request) -> web.Response:
            return web.json_response(document((route.method, route.path) for route in routes))

        # Beside the border: HubSpot has no such path, so nothing is counted, limited or spoilt here.
        app.router.add_get("/openapi.json", described, allow_head=False)
        return app

    def contacts(self) -> list[dict[str, Any]]:
        """Return the contacts that are not archived, oldest first, with all their properties."""
        return self._live("contacts")

    def companies(self) -> list[dict[str, Any]]:
        """Return the companies that are not archived, oldest first, with all their properties."""
        return self._live("companies")

    def associations(self) -> set[tuple[str, str]]:
        """Return all pairs of contact id and company id."""
        self._matching.settle()
        return self._associations.pairs

    def fail_next(self, fault: str, *, count: int = 1, path: str | None = None, **details: Any) -> None:
        """Let *fault* hit the next *count* requests whose path contains *path*.

        Args:
            fault: One of `FAULTS`.
            count: How many.
            path: A part of the path, `batch/upsert`; None hits any request.
            **details: `retry_after_s` adds the header to an error; `seconds` (30) is how slow; `drop` (1) is how many
                results are left out; `scopes` is what a 403 names.

        Raises:
            ValueError: There is no such fault.
        """
        self._border.faults.fail_next(fault, count=count, path=path, details=details)

    def set_fault_rate(self, fault: str, rate: float, *, path: str | None = None, **details: Any) -> None:
        """Let *fault* hit a share of the requests, drawn from the seed; 0 ends it. *details* are those of `fail_next`.

        Raises:
            ValueError: There is no such fault, or *rate* is not between 0 and 1.
        """
        self._border.faults.set_rate(fault, rate, path=path, details=details)

    def duplicates(self) -> dict[str, dict[str, int]]:
        """Return, for each of our keys and `email`, the values that more than one live record has; none is right."""
        found: dict[str, dict[str, int]] = {}
        for kind, name in _KEYS:
            values = Counter(record["properties"].get(name) for record in self._live(kind))
            found[name] = {value: number for value, number in values.items() if value and number > 1}
        return found

    def missing(self, kind: str, name: str, expected: Iterable[str]) -> set[str]:
        """Return which of the *expected* values of property *name* no live record has: what was lost."""
        return set(expected) - {record["properties"].get(name) for record in self._live(kind)}

    def _live(self, kind: str) -> list[dict[str, Any]]:
        self._matching.settle()
        return [record.document(dict(record.properties)) for record in self._records[kind].live()]


def _token(seed: int) -> str:
    """Return a key of the right shape that says what it is."""
    tail = dice(seed, "hubspot token").randbytes(6).hex()
    return f"pat-na1-5a4db0c5-0000-4000-a000-{tail}"
