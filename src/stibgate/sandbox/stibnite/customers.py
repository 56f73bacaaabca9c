"""Partner customers as the partner's server sees them: their wallets, and credits for them.

Customers are made by embed sessions. POST /v1/partner-customers is named in the document and shown nowhere, so it
is not here.

Source: Stibnite Person Data API, "Partner customer wallet", "Grant partner customer wallet credits".
"""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from stibgate.domain.instant import from_rfc3339
from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import Body, Word, keyed, read, whole
from stibgate.sandbox.stibnite.prospecting import Customer, Prospecting
from stibgate.sandbox.stibnite.refusals import Refused
from stibgate.sandbox.stibnite.wallet import Grant

UNITS_MAX = 10**12
_INSTANT = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?Z$"


def _instant(text: str) -> str:
    try:
        from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be an ISO timestamp with an offset, 2026-05-17T18:42:10.000Z") from error
    return text


Instant = Annotated[str, AfterValidator(_instant), WithJsonSchema({"type": "string", "pattern": _INSTANT})]


class NewGrant(Body):
    """The body of a credit grant."""

    credit_units: Annotated[int, Field(gt=0, le=UNITS_MAX), BeforeValidator(whole)]
    credit_type: Word | None = None
    starts_at: Instant | None = None
    expires_at: Instant | None = None
    note: str | None = None


class Customers:
    """The partner customers of one account."""

    def __init__(self, account: Account, prospecting: Prospecting) -> None:
        self._account = account
        self._prospecting = prospecting

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        path = "/v1/partner-customers/{partner_customer_id}/wallet"
        return [
            web.get(path, keyed(self._account, self._wallet)),
            web.post(path + "/credits", keyed(self._account, self._credit)),
        ]

    async def _wallet(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        return web.json_response(customer.summary(customer.key))

    async def _credit(self, request: web.Request) -> web.Response:
        customer = self._customer(request)
        asked = await read(request, NewGrant)
        starts_at_s = from_rfc3339(asked.starts_at) / 1000 if asked.starts_at else self._account.now()
        expires_at_s = from_rfc3339(asked.expires_at) / 1000 if asked.expires_at else None
        if expires_at_s is not None and expires_at_s <= starts_at_s:
            raise Refused(400, "expires_at: must be after starts_at")
        customer.wallet.grant(Grant(asked.credit_units, starts_at_s, expires_at_s))
        document = {
            "id": self._account.new_id("grant"),
            "partner_customer_id": customer.partner_customer_id,
            "credit_units_granted": asked.credit_units,
        }
        return web.json_response({"credit_grant": document} | customer.summary(customer.key))

    def _customer(self, request: web.Request) -> Customer:
        customer = self._prospecting.customer(request.match_info["partner_customer_id"])
        if customer is None:
            raise Refused(404, "no such partner customer")
        return customer
