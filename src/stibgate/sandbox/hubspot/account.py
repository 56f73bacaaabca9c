"""The account itself: details, what it has used today, its owners, and what its key is.

Source: account information and owners guides; the key's information as a client's author observed it.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from stibgate.domain.instant import to_rfc3339
from stibgate.sandbox.hubspot.answers import Answer, Call, page
from stibgate.sandbox.hubspot.bodies import Body, Text, read
from stibgate.sandbox.hubspot.border import Border
from stibgate.sandbox.hubspot.limits import Limits
from stibgate.sandbox.hubspot.paths import BY_ID, VERSION
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.refusals import NOT_FOUND, Refused, unauthenticated

DETAILS = f"/account-info/{VERSION}/details"
DAILY_USAGE = f"/account-info/{VERSION}/api-usage/daily/private-apps"
OWNERS = f"/crm/owners/{VERSION}"
KEY_INFORMATION = "/oauth/v2/private-apps/get/access-token-info"
OWNERS_PAGE_MAX = 500
_SINCE = "2020-01-01T00:00:00.000Z"


class TokenKey(Body):
    """The body of a question about a key."""

    tokenKey: Text  # noqa: N815


class Account:
    """What is known of one account."""

    def __init__(self, portal: Portal, token: str, limits: Limits, now: Callable[[], float]) -> None:
        self._portal = portal
        self._token = token
        self._limits = limits
        self._now = now

    def routes(self, border: Border) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        may_read = "crm.objects.owners.read"
        return [
            web.get(DETAILS, border.door(self._details), allow_head=False),
            web.get(DAILY_USAGE, border.door(self._usage), allow_head=False),
            web.get(OWNERS, border.door(self._owners, may_read), allow_head=False),
            web.get(OWNERS + BY_ID, border.door(self._owner, may_read), allow_head=False),
            web.post(KEY_INFORMATION, border.door(self._token_info, free=True)),
        ]

    def _details(self, _call: Call) -> Answer:
        offset = datetime.fromtimestamp(self._now(), UTC).astimezone(ZoneInfo(self._portal.time_zone)).utcoffset()
        minutes = round(offset.total_seconds() / 60) if offset else 0
        return Answer(
            200,
            {
                "portalId": self._portal.portal_id,
                "accountType": "STANDARD",
                "timeZone": self._portal.time_zone,
                "companyCurrency": self._portal.company_currency,
                "additionalCurrencies": [],
                "utcOffset": f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}",
                "utcOffsetMilliseconds": minutes * 60_000,
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            },
        )

    def _usage(self, _call: Call) -> Answer:
        usage = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self._portal.limit_daily,
            "currentUsage": self._limits.used_today,
            "collectedAt": to_rfc3339(int(self._now() * 1000)),
            "fetchStatus": "SUCCESS",
            "resetsAt": to_rfc3339(int(self._limits.day_ends_at_s * 1000)),
        }
        return Answer(200, {"results": [usage]})

    def _owners(self, call: Call) -> Answer:
        limit, after, archived = call.number("limit", 100), call.number("after", 0), call.archived
        if not 1 <= limit <= OWNERS_PAGE_MAX:
            raise Refused(400, f"limit must be 1 to {OWNERS_PAGE_MAX}")
        email = call.query.get("email", "").lower()
        found = sorted(
            (int(owner_id), address)
            for address, owner_id in self._portal.owners.items()
            if int(owner_id) > after and email in {"", address.lower()} and not archived
        )
        shown = [_owner(address, str(owner_id)) for owner_id, address in found[:limit]]
        return page(shown, shown[-1]["id"] if len(found) > len(shown) else None)

    def _owner(self, call: Call) -> Answer:
        for address, owner_id in self._portal.owners.items():
            if owner_id == call.params["id"]:
                return Answer(200, _owner(address, owner_id))
        raise Refused(404, "No owner with that id", NOT_FOUND)

    def _token_info(self, call: Call) -> Answer:
        asked = read(call.body, TokenKey)
        if not hmac.compare_digest(asked.tokenKey.encode(), self._token.encode()):
            raise unauthenticated()
        scopes = sorted(self._portal.scopes)
        return Answer(200, {"userId": 1, "hubId": self._portal.portal_id, "appId": 1, "scopes": scopes})


def _owner(address: str, owner_id: str) -> dict[str, Any]:
    document = {"id": owner_id, "email": address, "type": "PERSON", "firstName": "Sandbox", "lastName": owner_id}
    return document | {"userId": int(owner_id), "archived": False, "createdAt": _SINCE, "updatedAt": _SINCE}
