"""Webhook endpoints, and telling them about jobs.

The document names GET /v1/webhooks/endpoints without showing it; here it answers `{"data": [...]}` as the other
lists do, each endpoint without its secret.

Source: Stibnite Person Data API, "Create webhook endpoint", "Delete webhook endpoint".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from aiohttp import web
from pydantic import Field

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.background import Background
from stibgate.sandbox.stibnite.border import Body, SafeUrl, keyed, read
from stibgate.sandbox.stibnite.courier import Courier, Parcel
from stibgate.sandbox.stibnite.documents import encode, job_event_headers
from stibgate.sandbox.stibnite.refusals import Refused

EventType = Literal["person_search.job.succeeded", "person_search.job.failed"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


class NewEndpoint(Body):
    """The body of an endpoint's creation."""

    url: SafeUrl
    description: str | None = None
    events: Annotated[list[EventType], Field(min_length=1)] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registered URL; `document` is all of it but the secret."""

    url: str
    events: tuple[EventType, ...]
    secret: str
    document: dict[str, Any]


class Webhooks:
    """The endpoints of one account."""

    def __init__(self, account: Account, courier: Courier, background: Background) -> None:
        self._account = account
        self._courier = courier
        self._background = background
        self._endpoints: dict[str, Endpoint] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        path = "/v1/webhooks/endpoints"
        return [
            web.post(path, keyed(self._account, self._create)),
            web.get(path, keyed(self._account, self._list)),
            web.delete(path + "/{endpoint_id}", keyed(self._account, self._delete)),
        ]

    def tell(self, event_type: str, job_id: str, document: Mapping[str, Any]) -> None:
        """Begin to deliver *document* to every endpoint that subscribed to *event_type*."""
        body = encode(document)
        for endpoint_id, endpoint in self._endpoints.items():
            if event_type in endpoint.events:
                message_id = self._account.new_id("evt")
                parcel = Parcel(endpoint.url, job_event_headers(event_type), body, endpoint.secret, message_id)
                self._background.spawn(self._deliver(endpoint_id, event_type, job_id, parcel))

    async def _deliver(self, endpoint_id: str, event_type: str, job_id: str, parcel: Parcel) -> None:
        # Deleting an endpoint stops what is still to come, retries included.
        await self._courier.job_event(event_type, job_id, parcel, wanted=lambda: endpoint_id in self._endpoints)

    async def _create(self, request: web.Request) -> web.Response:
        asked = await read(request, NewEndpoint)
        endpoint_id = self._account.new_id("endpoint")
        events = tuple(dict.fromkeys(asked.events or EVENT_TYPES))
        document = {
            "id": endpoint_id,
            "url": asked.url,
            "description": asked.description,
            "events": list(events),
            "status": "active",
            "created_at": self._account.timestamp(),
        }
        endpoint = Endpoint(asked.url, events, self._account.new_secret(), document)
        self._endpoints[endpoint_id] = endpoint
        return web.json_response({**document, "signing_secret": endpoint.secret})

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": [endpoint.document for endpoint in self._endpoints.values()]})

    async def _delete(self, request: web.Request) -> web.Response:
        if self._endpoints.pop(request.match_info["endpoint_id"], None) is None:
            raise Refused(404, "no such webhook endpoint")
        return web.json_response({"deleted": True})
