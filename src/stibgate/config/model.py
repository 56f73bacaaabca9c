"""Every setting there is, with its default; `config.example.toml` shows the same ones to people.

Inside the program durations are seconds, sizes bytes, rates events a second. Models are frozen and hold only
what one field can decide about itself: what two settings must agree on is in `checks`, so that a wrong field
never hides a wrong pair.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, Strict, model_validator

from stibgate.config.fields import (
    AdminToken,
    Amount,
    ApiBaseUrl,
    Bind,
    CollectorHeaders,
    CollectorUrl,
    HeaderName,
    HostName,
    Key,
    Name,
    Network,
    OneWorker,
    PublicUrl,
    SecretItem,
    StoreUrl,
    Token,
    split_bind,
)
from stibgate.config.kinds import AnySink
from stibgate.config.origins import Origins
from stibgate.config.routes import Routes, rules
from stibgate.domain.budget import Budget, Period, Unit
from stibgate.domain.routing import Router
from stibgate.errors import UsageError
from stibgate.normalise import Rules
from stibgate.sinks.settings import Count, Duration, PositiveDuration, Rate, Schedule, Size

Auth = Literal["signature", "token", "signature+token", "signature_or_token"]
SourceKind = Literal["stibnite_jobs", "stibnite_push"]
Scheme = Literal["auto", "t_v1", "sha256_hex", "sha256_base64", "v0_timestamp", "standard_webhooks", "custom"]

SECRETS_MAX = 8
ADMIN_TOKENS_MAX = 50


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LimitSettings(_Section):
    """`[server.limits]`: what the public listener takes before it says 429 or 503."""

    rate: Rate = 200.0
    burst: Count = 400
    concurrency: Count = 512
    bytes_in_flight: Size = 256 * 1024**2


class ServerSettings(_Section):
    """`[server]`: the two listeners."""

    bind: Bind = "127.0.0.1:8080"
    admin_bind: Bind = "127.0.0.1:9090"
    public_url: PublicUrl = ""
    trusted_proxies: tuple[Network, ...] = (ip_network("127.0.0.1/32"), ip_network("::1/128"))
    max_body: Size = 32 * 1024**2
    body_timeout: PositiveDuration = 15.0
    ack_timeout: PositiveDuration = 10.0
    keepalive: PositiveDuration = 15.0
    drain_timeout: Duration = 30.0
    workers: OneWorker = 1
    limits: LimitSettings = LimitSettings()

    @property
    def bind_address(self) -> tuple[str, int]:
        """Host and port of the public listener."""
        return split_bind(self.bind)

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and port of the admin listener."""
        return split_bind(self.admin_bind)


class RetentionSettings(_Section):
    """`[storage.retention]`: how long a delivery is recognised when it comes again."""

    dedupe_keys: PositiveDuration = 400 * 86_400.0
    dedupe_window: PositiveDuration = 86_400.0


class StorageSettings(_Section):
    """`[storage]`: where deliveries are remembered."""

    url: StoreUrl = "sqlite:///./data/stibgate.db"
    durability: Literal["full", "normal"] = "full"
    commit_max_rows: Annotated[Count, Field(le=10_000)] = 128
    min_free: Size = 256 * 1024**2
    retention: RetentionSettings = RetentionSettings()

    @property
    def path(self) -> Path:
        """The database file; absolute after loading."""
        return Path(self.url.removeprefix("sqlite:///"))


class SignatureSettings(_Section):
    """`[sources.NAME.signature]`: overrides of a preset, or all of a scheme when `scheme = "custom"`."""

    header: str | None = None
    grammar: str | None = None
    label: str | None = None
    algorithm: str | None = None
    encoding: str | None = None
    content: str | None = None
    key: str | None = None
    timestamp: str | None = None
    timestamp_unit: str | None = None
    id: str | None = None

    def overrides(self) -> dict[str, str]:
        """Return the keys that are set, as `stibgate.signatures.candidates` takes them."""
        return self.model_dump(exclude_none=True)


class SourceSettings(_Section):
    """`[sources.NAME]`: who may post to `/hooks/NAME`, and how that is proved."""

    kind: SourceKind
    auth: Auth = "signature"
    secrets: Annotated[tuple[SecretItem, ...], Field(json_schema_extra={"maxItems": SECRETS_MAX})] = ()
    tokens: tuple[Token, ...] = ()
    scheme: Scheme = "auto"
    signature: SignatureSettings = SignatureSettings()
    allow_sha1: Annotated[bool, Strict()] = False
    tolerance: PositiveDuration = 300.0
    future_tolerance: Duration = 60.0
    stale: Literal["reject", "accept_if_new"] = "reject"
    routes: tuple[str, ...] = ()
    ack_status: Annotated[int, Strict(), Field(ge=200, le=299)] = 202
    id_headers: tuple[HeaderName, ...] = (
        "webhook-id",
        "stibnite-delivery-id",
        "stibnite-event-id",
        "idempotency-key",
    )

    @model_validator(mode="before")
    @classmethod
    def _auth_of_kind(cls, data: Any) -> Any:
        # The documented headers of a push carry no signature; only its URL can prove it.
        if isinstance(data, dict) and "auth" not in data:
            return {**data, "auth": default_auth(data.get("kind"))}
        return data


def default_auth(kind: object) -> Auth:
    """Return how a source of *kind* is proved when its `auth` is not set."""
    return "token" if kind == "stibnite_push" else "signature"


class NormaliseSettings(_Section):
    """`[normalise]`: how fields of a record are cleaned."""

    default_region: str = "US"
    invalid_field: Literal["null", "keep"] = "null"

    def rules(self) -> Rules:
        """Return them for `normalise`."""
        return Rules(**self.model_dump())


class CircuitSettings(_Section):
    """`[delivery.circuit]`: when a sink that fails is left alone, and for how long."""

    failures: Count = 5
    open_for: PositiveDuration = 30.0
    half_open_probes: Count = 1


class DeliverySettings(_Section):
    """`[delivery]`: how long and how often a sink is tried."""

    schedule: Schedule = (0.0, 5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0)
    max_age: PositiveDuration = 72 * 3_600.0
    timeout: PositiveDuration = 30.0
    concurrency: Count = 4
    rate: Rate | None = None
    lease: PositiveDuration = 120.0
    circuit: CircuitSettings = CircuitSettings()


class StibniteSettings(_Section):
    """`[stibnite]`: our account at Stibnite; without a key nothing is read back, polled or submitted."""

    base_url: ApiBaseUrl = "https://platform.stibnite.co"
    api_key: Key | None = None
    readback: Literal["auto", "always", "never"] = "auto"
    continue_pages: Annotated[bool, Strict()] = False
    reconcile_after: PositiveDuration = 120.0
    adopt_unknown_jobs: Annotated[bool, Strict()] = True


class TheHogSettings(_Section):
    """`[thehog]`: our account at The Hog, for estimates."""

    base_url: ApiBaseUrl = "https://developer.thehog.ai"
    access_key: Key | None = None
    secret_key: Key | None = None


class BudgetSettings(_Section):
    """`[budgets.NAME]`: how much may be spent of one unit in each period."""

    unit: Literal["stibnite.credit_unit", "thehog.credit"]
    limit: Amount
    period: Literal["month", "day", "total"]
    confirm_above: Amount | None = None


class ConsoleSettings(_Section):
    """`[console]`: who may use the admin listener, and what its pages are called."""

    tokens: Annotated[tuple[AdminToken, ...], Field(json_schema_extra={"maxItems": ADMIN_TOKENS_MAX})] = ()
    environment: Annotated[str, Field(max_length=40)] = ""
    session: PositiveDuration = 12 * 3_600.0
    hosts: tuple[HostName, ...] = ()


class LogSettings(_Section):
    """`[log]`: what is written to stdout."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console", "ecs"] = "auto"


class MetricsSettings(_Section):
    """`[metrics]`: what `/metrics` of the admin listener shows."""

    enabled: Annotated[bool, Strict()] = True


class TracingSettings(_Section):
    """`[tracing]`: spans of what comes and of what is forwarded, sent to a collector; needs the extra `otel`."""

    enabled: Annotated[bool, Strict()] = False
    endpoint: CollectorUrl = "http://127.0.0.1:4318/v1/traces"
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    headers: CollectorHeaders = Field(default_factory=dict)


class Settings(_Section):
    """The whole configuration. It reads nothing by itself: `stibgate.config.load` does."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    sources: dict[Name, SourceSettings] = {}
    normalise: NormaliseSettings = NormaliseSettings()
    sinks: dict[Name, AnySink] = {}
    routes: Routes = ()
    delivery: DeliverySettings = DeliverySettings()
    stibnite: StibniteSettings = StibniteSettings()
    thehog: TheHogSettings = TheHogSettings()
    budgets: dict[Name, BudgetSettings] = {}
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    _origins: Origins = PrivateAttr(default=Origins())

    @property
    def origins(self) -> Origins:
        """Where each value came from."""
        return self._origins

    def said_by(self, origins: Origins) -> "Settings":
        """Return the same settings, which came from *origins*."""
        copy = self.model_copy()
        copy._origins = origins  # noqa: SLF001  (a private attribute is no argument of a model)
        return copy

    def delivery_of(self, sink: str) -> DeliverySettings:
        """Return `[delivery]` with what the sink's kind and then `[sinks.<sink>.delivery]` say otherwise.

        Raises:
            KeyError: There is no such sink.
        """
        settings = self.sinks[sink]
        usual, own = (
            override.model_dump(exclude_none=True) for override in (settings.USUAL_DELIVERY, settings.delivery)
        )
        return self.delivery.model_copy(update={**usual, **own})

    def budget(self, name: str) -> Budget:
        """Return `[budgets.<name>]`.

        Raises:
            UsageError: There is no such budget.
        """
        found = self.budgets.get(name)
        if found is None:
            known = ", ".join(self.budgets) or "none"
            raise UsageError(f"there is no budget {name!r}", hint=f"The configuration has {known}: [budgets.NAME].")
        return Budget(name, Unit(found.unit), found.limit, Period(found.period), found.confirm_above)

    def router(self) -> Router:
        """Return what decides where records go: `[[routes]]`, and after them each source's own `routes`."""
        return Router(rules(self.routes), {name: source.routes for name, source in self.sources.items()})
