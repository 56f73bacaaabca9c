"""What the admin listener is made of: health, the API and what else operators look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from stibgate.app.audience import Audience
from stibgate.app.metrics import Meters
from stibgate.app.parts import now_ms
from stibgate.app.reload import ReloadStatus
from stibgate.app.token import admin_token
from stibgate.config import Settings
from stibgate.domain.access import Grant, Role, grant
from stibgate.normalise import Rules
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.pipeline.operations import Operations
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.admin import AdminApi
from stibgate.web.console import Console, ConsoleParts
from stibgate.web.health import health_application
from stibgate.web.jobs import JobsApi
from stibgate.web.live import Feed, LiveStream
from stibgate.web.metrics import add_metrics


@dataclass(slots=True)
class AdminParts:
    """What the admin listener shows, and what it acts through.

    A reload changes `settings` and `desk`: ask for them when they are needed, or be told by `followers`.

    Attributes:
        desk: Buys; None without an API key.
        reload_status: How the configuration was read last.
        draining: Whether the service is about to end.
        alive: The answer of `/livez`.
        ready: The checks of `/readyz`.
        audience: Where facts can be listened to.
        feed: The lines of the log, for the live tail.
        meters: What is measured; None when nobody wants to see it.
    """

    settings: Settings
    store: SqliteStore
    operations: Operations
    desk: JobDesk | None
    reload_status: Callable[[], ReloadStatus]
    draining: Callable[[], bool]
    alive: Callable[[], bool]
    ready: Callable[[], Mapping[str, str]]
    audience: Audience
    feed: Feed
    meters: Meters | None = None
    followers: list[Callable[[], None]] = field(default_factory=list)

    def turn_to(self, settings: Settings, desk: JobDesk | None) -> None:
        """Show and act through these from now on."""
        self.settings, self.desk = settings, desk
        for follow in self.followers:
            follow()


def admin_application(parts: AdminParts) -> web.Application:
    """Return the application of the admin listener."""
    app = health_application(alive=parts.alive, ready=parts.ready)
    token = admin_token(parts.settings.storage.path)
    if parts.meters is not None:
        add_metrics(app, parts.meters.page)
    jobs = JobsApi(parts.desk, draining=parts.draining)
    live = LiveStream(parts.feed, lambda: _names(parts.settings))
    api = AdminApi(parts.operations, jobs, token=token, rules=_rules(parts.settings), live=live)
    api.add_to(app)
    console = ConsoleParts(
        settings=lambda: parts.settings,
        read=parts.store.browse,
        operations=parts.operations,
        grants=lambda: _grants(parts.settings, token),
        ready=parts.ready,
        now_ms=now_ms,
        reading=parts.reload_status,
        live=live,
    )
    Console(console).add_to(app)

    def follow() -> None:
        jobs.desk, api.rules = parts.desk, _rules(parts.settings)

    parts.followers.append(follow)
    return app


def _rules(settings: Settings) -> Rules:
    return Rules(**settings.normalise.model_dump())


def _names(settings: Settings) -> Mapping[str, Sequence[str]]:
    return {"source": sorted(settings.sources), "sink": sorted(settings.sinks)}


def _grants(settings: Settings, token: str) -> Sequence[Grant]:
    """Return what each token gives: those of the configuration, else the one beside the store."""
    configured = settings.console.tokens
    if not configured:
        return [grant("local", Role.ADMIN, token)]
    return [grant(one.name, Role(one.role), one.token.get_secret_value()) for one in configured]
