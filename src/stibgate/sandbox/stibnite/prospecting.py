"""Embed keys and embed sessions: who may open the widget, and for which customer.

Source: Stibnite Person Data API, "Create prospecting public loader key", "Bootstrap prospecting embed session".
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import Body, Origin, Refused, SafeUrl, Word, bearer, keyed, read

TOKEN_LIFE_S = 3_600
"""How long an embed token lives: the example's `expires_at` is an hour after its other timestamps."""
PREFIX_CHARS = len("stib_embed_pk_abc")


class NewEmbedKey(Body):
    """The body of an embed key's creation; `label` is in the answer's example only."""

    allowed_origins: Annotated[list[Origin], Field(min_length=1)]
    label: Word = "Partner app loader"
    credit_enforcement_mode: Literal["enforced", "metered"] = "metered"
    credit_reset_policy: Literal["monthly_reset", "rollover"] = "monthly_reset"
    limits: dict[str, int | None] = Field(default_factory=dict)
    result_delivery_url: SafeUrl | None = None
    result_delivery_cta: Word = "Push"
    csv_export_enabled: bool = False


class NewEmbedSession(Body):
    """The body of an embed session's bootstrap."""

    partner_key: Word
    customer_id: Word
    customer_name: Word | None = None
    user_id: Word | None = None


@dataclass(slots=True)
class Customer:
    """One partner customer: made by its first embed session, under the defaults of that session's key.

    Attributes:
        owned: The people it has bought; it never pays for them again.
    """

    partner_customer_id: str
    external_customer_id: str
    name: str | None
    policy: NewEmbedKey
    owned: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an embed token stands for."""

    customer: Customer
    user_id: str | None
    delivery_url: str | None
    expires_at_s: float


class Prospecting:
    """The embed keys, customers and embed tokens of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._keys: dict[str, NewEmbedKey] = {}
        self._customers: dict[str, Customer] = {}
        self._tokens: dict[str, Embedded] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        return [
            web.post("/v1/prospecting/embed-keys", keyed(self._account, self._create_key)),
            # Called by browsers: the public key in the body and the Origin header stand for the API key.
            web.post("/v1/prospecting/embed-sessions", self._create_session),
        ]

    def embedded(self, request: web.Request) -> Embedded:
        """Return what the request's embed token stands for.

        Raises:
            Refused: 401, when there is no token, or it is not known or has expired.
        """
        session = self._tokens.get(bearer(request))
        if session is None or session.expires_at_s <= self._account.now():
            raise Refused(401, "the embed token is not known or has expired")
        return session

    async def _create_key(self, request: web.Request) -> web.Response:
        asked = await read(request, NewEmbedKey)
        public_key = self._account.new_id("stib_embed_pk")
        self._keys[public_key] = asked
        document: dict[str, Any] = {
            "id": self._account.new_id("embed_key"),
            "key_prefix": public_key[:PREFIX_CHARS],
            "label": asked.label,
            "status": "active",
            "allowed_origins": asked.allowed_origins,
            "result_delivery_url": asked.result_delivery_url,
            "result_delivery_cta": asked.result_delivery_cta,
            "csv_export_enabled": asked.csv_export_enabled,
            "default_credit_enforcement_mode": asked.credit_enforcement_mode,
            "default_credit_reset_policy": asked.credit_reset_policy,
            "default_limits": {"monthly_credit_units": None, **asked.limits},
        }
        return web.json_response({"public_key": public_key, "embed_key": document})

    async def _create_session(self, request: web.Request) -> web.Response:
        asked = await read(request, NewEmbedSession)
        key = self._keys.get(asked.partner_key)
        if key is None:
            raise Refused(401, "partner_key is not known")
        if request.headers.get("origin") not in key.allowed_origins:
            raise Refused(403, "this origin is not among the key's allowed_origins")
        customer = self._customers.get(asked.customer_id)
        if customer is None:
            customer = Customer(self._account.new_id("customer"), asked.customer_id, asked.customer_name, policy=key)
            self._customers[asked.customer_id] = customer
        token = self._account.new_id("stib_embed_token")
        self._tokens[token] = Embedded(
            customer, asked.user_id, key.result_delivery_url, self._account.now() + TOKEN_LIFE_S
        )
        return web.json_response(
            {
                "token": token,
                "partner_customer_id": customer.partner_customer_id,
                "external_customer_id": customer.external_customer_id,
                "expires_at": self._account.timestamp(TOKEN_LIFE_S),
            }
        )
