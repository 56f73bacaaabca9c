"""What the key has used.

Source: Stibnite Person Data API, "Usage summary".
"""

from aiohttp import web

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import keyed


class Usage:
    """The usage ledger of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoint of this room."""
        return [web.get("/v1/usage", keyed(self._account, self._get))]

    async def _get(self, _request: web.Request) -> web.Response:
        account = self._account
        return web.json_response({"requests": account.requests, "billable_records": account.billable_records})
