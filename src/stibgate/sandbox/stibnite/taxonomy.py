"""What the fast paths of a search know.

Source: Stibnite Person Data API, "Person search taxonomy".
"""

from typing import Any

from aiohttp import web

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import keyed
from stibgate.sandbox.stibnite.search import INDUSTRIES, ROLES

GEO_PARAMETERS = ("location_city", "location_state")

TAXONOMY: dict[str, Any] = {
    "fast_paths": {
        "taxonomy": {
            "description": "Precomputed person-search serving paths with exact count support.",
            "roles": [{"key": key, "label": label} for key, label in ROLES.values()],
            "industries": [{"key": key, "label": label} for key, label in INDUSTRIES.values()],
            "compatibility": {
                "law_firm": ["chief_executive", "owner", "partner", "attorney"],
                "real_estate": ["chief_executive", "owner", "real_estate_agent", "broker"],
                "healthcare_practice": ["chief_executive", "owner", "doctor", "provider"],
            },
            "example_queries": [
                "owners of insurance agencies in Las Vegas",
                "real estate agents in Nevada",
                "partners at law firms",
            ],
        },
        "indexed_dynamic": {
            "description": (
                "Indexed dynamic role buckets that avoid bounded live title scans when combined with company filters, "
                "employee filters, or native geo filters."
            ),
            "roles": [{"key": "owner", "label": "Owner", "phrases": ["owner", "owners", "office owner"]}],
            "company_filters": list(GEO_PARAMETERS),
        },
    },
    "native_geo_parameters": list(GEO_PARAMETERS),
}
"""The document's example, with the roles and industries that its `compatibility` names too."""


class Taxonomy:
    """The taxonomy of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoint of this room."""
        return [web.get("/v1/persons/search/taxonomy", keyed(self._account, self._get))]

    async def _get(self, _request: web.Request) -> web.Response:
        return web.json_response(TAXONOMY)
