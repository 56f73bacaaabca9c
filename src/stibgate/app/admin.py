"""What the admin listener is made of: health, the API and what else operators look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from stibgate.app.clock import new_request_id, now_ms
from stibgate.app.metrics import Meters
from stibgate.app.token import admin_token
from stibgate.config import ReloadStatus, Settings
from stibgate.domain.access import Grant, Role, grant
from stibgate.pipeline.acts import Acts
from stibgate.pipeline.jobdesk import JobDesk
from stibgate.stores.sqlite import SqliteStore
from stibgate.web.access import Access
from stibgate.web.api import Api, Door, add_api
from stibgate.web.api.cursors import Cursors
from stibgate.web.api.route import LOCAL
from stibgate.web.console import Console, ConsoleParts
from stibgate.web.health import health_application
from stibgate.web.live import Feed, LiveStream
from stibgate.web.metrics import add_metrics
from stibgate.web.proxies import Proxies
from stibgate.web.throttle import Throttle


@dataclass(slots=True)
class AdminParts:
    """What the admin listener shows, and what it acts through.

    A reload changes `settings` and `desk`: ask for them when they are needed, or be told by `followers`.

    Attributes:
        acts: What people do.
        desk: Buys; None without an API key.
        reload_status: How the configuration was read last.
        draining: Whether the service is about to end.
        alive: The answer of `/livez`.
        ready: The checks of `/readyz`.
        feed: The lines of the log, for the live tail.
        meters: What is measured; None when nobody wants to see it.
    """

    settings: Settings
    store: SqliteStore
    acts: Acts
    desk: JobDesk | None
    reload_status: Callable[[], ReloadStatus]
    draining: Callable[[], bool]
    alive: Callable[[], bool]
    ready: Callable[[], Mapping[str, str]]
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
    if parts.meters is not None:
        add_metrics(app, parts.meters.page)
    grants = _Grants(parts)
    live = LiveStream(parts.feed, lambda: _names(parts.settings))
    access = _access(parts, grants)
    _add_api(app, parts, access, live)
    console = ConsoleParts(
        settings=lambda: parts.settings,
        read=parts.store.browse,
        acts=parts.acts,
        access=access,
        ready=parts.ready,
        now_ms=now_ms,
        reading=parts.reload_status,
        live=live,
    )
    Console(console).add_to(app)
    return app


def _access(parts: AdminParts, grants: "_Grants") -> Access:
    """Return who may come in; a wrong token counts whether a script or a person tries it."""
    server = parts.settings.server
    proxies = Proxies(server.trusted_proxies)
    parts.followers.append(lambda: proxies.turn_to(parts.settings.server.trusted_proxies))
    return Access(grants, server.admin_address[0], lambda: parts.settings.console.hosts, proxies, Throttle(now_ms))


def _add_api(app: web.Application, parts: AdminParts, access: Access, live: LiveStream) -> None:
    """Add the API to *app*, and its door before everything else."""
    api = Api(
        settings=lambda: parts.settings,
        read=parts.store.browse,
        acts=parts.acts,
        office=parts.store,
        desk=lambda: parts.desk,
        cursors=Cursors(lambda: parts.store.hash_key),
        draining=parts.draining,
        now_ms=now_ms,
        live=live,
    )
    add_api(app, api, Door(access, new_request_id=new_request_id))


def _names(settings: Settings) -> Mapping[str, Sequence[str]]:
    return {"source": sorted(settings.sources), "sink": sorted(settings.sinks)}


class _Grants:
    """What each token gives, as the configuration is now: hashed once for each, not for each call."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._grants = _grants(parts.settings)

    def __call__(self) -> Sequence[Grant]:
        """Return them."""
        if self._settings is not self._parts.settings:
            self._settings, self._grants = self._parts.settings, _grants(self._parts.settings)
        return self._grants


def _grants(settings: Settings) -> Sequence[Grant]:
    """Return what each token gives: those of the configuration, else the one beside the store, made now."""
    configured = settings.console.tokens
    if not configured:
        return [grant(LOCAL, Role.ADMIN, admin_token(settings.storage.path))]
    return [grant(one.name, Role(one.role), one.token.get_secret_value()) for one in configured]
