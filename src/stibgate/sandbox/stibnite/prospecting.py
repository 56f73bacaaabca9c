"""Embed keys and embed sessions: who may open the widget, and for which customer.

A customer's wallet follows the defaults of the key that made it; where its results may go follows the key that it
came with last.

Source: Stibnite Person Data API, "Create prospecting public loader key", "Bootstrap prospecting embed session",
"Prospecting embed wallet".
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field
from yarl import URL

from stibgate.sandbox.stibnite.account import Account
from stibgate.sandbox.stibnite.border import Body, Count, Origin, SafeUrl, Word, bearer, keyed, read
from stibgate.sandbox.stibnite.refusals import Refused
from stibgate.sandbox.stibnite.wallet import Mode, Reset, Wallet

TOKEN_LIFE_S = 3_600
"""How long an embed token lives: the example's `expires_at` is an hour after its other timestamps."""
PREFIX_CHARS = len("stib_embed_pk_abc")


class Limits(Body):
    """Limits of a customer; null or nothing does not limit."""

    monthly_credit_units: Count | None = None
    monthly_search_sessions: Count | None = None
    monthly_record_reveals: Count | None = None
    lifetime_credit_units: Count | None = None
    lifetime_search_sessions: Count | None = None
    lifetime_record_reveals: Count | None = None

    def document(self) -> dict[str, int | None]:
        """Return the limits that were named; monthly units always, as the document's example does."""
        return {"monthly_credit_units": None} | self.model_dump(exclude_unset=True)


class NewEmbedKey(Body):
    """The body of an embed key's creation; `label` is in the answer's example only."""

    allowed_origins: Annotated[list[Origin], Field(min_length=1)]
    label: Word = "Partner app loader"
    credit_enforcement_mode: Mode = "metered"
    credit_reset_policy: Reset = "monthly_reset"
    limits: Limits = Limits()
    result_delivery_url: SafeUrl | None = None
    result_delivery_cta: Word = "Push"
    csv_export_enabled: bool = False

    def actions(self) -> dict[str, Any]:
        """Return what the widget may do with results, and what its buttons say."""
        labels = {"push_endpoint": self.result_delivery_cta} if self.result_delivery_url is not None else {}
        labels |= {"csv_export": "Export CSV"} if self.csv_export_enabled else {}
        return {"allowed_result_actions": list(labels), "result_action_labels": labels}


class NewEmbedSession(Body):
    """The body of an embed session's bootstrap."""

    partner_key: Word
    customer_id: Word
    customer_name: Word | None = None
    user_id: Word | None = None


@dataclass(slots=True)
class Customer:
    """One partner customer, made by its first embed session.

    Attributes:
        key: The embed key that it came with last.
        owned: The people it has bought; it never pays for them again.
    """

    partner_customer_id: str
    external_customer_id: str
    name: str | None
    key: NewEmbedKey
    wallet: Wallet
    owned: set[int] = field(default_factory=set)

    def summary(self, key: NewEmbedKey) -> dict[str, Any]:
        """Return the documented wallet summary, with the actions that *key* allows."""
        actions = key.actions()
        return {
            "partner_customer_id": self.partner_customer_id,
            "status": "active",
            **actions,
            "wallet": self.wallet.document() | actions,
        }


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an embed token stands for."""

    customer: Customer
    user_id: str | None
    key: NewEmbedKey
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
            web.get("/v1/prospecting/wallet", self._wallet),
        ]

    def customer(self, partner_customer_id: str) -> Customer | None:
        """Return the customer of that id; None when there is none."""
        found = (one for one in self._customers.values() if one.partner_customer_id == partner_customer_id)
        return next(found, None)

    def embedded(self, request: web.Request) -> Embedded:
        """Return what the request's embed token stands for.

        Raises:
            Refused: 401, when there is no token, or it is not known or has expired; 429 beyond the rate limit.
        """
        session = self._tokens.get(bearer(request))
        if session is None or session.expires_at_s <= self._account.now():
            raise Refused(401, "the embed token is not known or has expired")
        self._account.limit.spend()
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
            "default_limits": asked.limits.document(),
        }
        return web.json_response({"public_key": public_key, "embed_key": document})

    async def _create_session(self, request: web.Request) -> web.Response:
        asked = await read(request, NewEmbedSession)
        key = self._keys.get(asked.partner_key)
        if key is None:
            raise Refused(401, "partner_key is not known")
        self._account.limit.spend()
        if _origin(request.headers.get("origin", "")) not in key.allowed_origins:
            raise Refused(403, "this origin is not among the key's allowed_origins")
        customer = self._upsert(asked, key)
        token = self._account.new_id("stib_embed_token")
        self._tokens[token] = Embedded(customer, asked.user_id, key, self._account.now() + TOKEN_LIFE_S)
        return web.json_response(
            {
                "token": token,
                "partner_customer_id": customer.partner_customer_id,
                "external_customer_id": customer.external_customer_id,
                "expires_at": self._account.timestamp(TOKEN_LIFE_S),
            }
        )

    def _upsert(self, asked: NewEmbedSession, key: NewEmbedKey) -> Customer:
        customer = self._customers.get(asked.customer_id)
        if customer is None:
            wallet = Wallet(
                mode=key.credit_enforcement_mode,
                reset=key.credit_reset_policy,
                limits=key.limits.document(),
                now=self._account.now,
            )
            customer_id = self._account.new_id("customer")
            customer = Customer(customer_id, asked.customer_id, asked.customer_name, key, wallet)
            self._customers[asked.customer_id] = customer
        customer.key = key
        return customer

    async def _wallet(self, request: web.Request) -> web.Response:
        embedded = self.embedded(request)
        return web.json_response(embedded.customer.summary(embedded.key))


def _origin(text: str) -> str:
    """Return the origin that a browser sent, spelled as `allowed_origins` are; empty when it is none."""
    try:
        return str(URL(text).origin())
    except ValueError:
        return ""
