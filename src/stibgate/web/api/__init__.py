"""The admin API: what operators' programs and the command line call while a service runs.

`route.py` says what a call is, `door.py` lets it in, and every other file has the calls about one thing.
"""

from aiohttp import web

from stibgate.web.api import deliveries, jobs, money, replays, sinks, system, tasks
from stibgate.web.api.door import Door, handler_of
from stibgate.web.api.route import PREFIX, Api, Route

__all__ = ["PREFIX", "ROUTES", "Api", "Door", "add_api"]

ROUTES: tuple[Route, ...] = (
    *deliveries.ROUTES,
    *tasks.ROUTES,
    *replays.ROUTES,
    *sinks.ROUTES,
    *jobs.ROUTES,
    *money.ROUTES,
    *system.ROUTES,
)
"""Every call there is."""


def add_api(app: web.Application, api: Api, door: Door) -> None:
    """Add the calls to *app*, behind *door*."""
    door.add_to(app)
    for route in ROUTES:
        path, handler = PREFIX + _pattern(route.path), handler_of(api, route)
        if route.method == "GET":
            app.router.add_get(path, handler)
        else:
            app.router.add_route(route.method, path, handler)
    if api.live is not None:
        app.on_shutdown.append(api.live.close)


def _pattern(path: str) -> str:
    """Return *path* as aiohttp's router takes it: a name at its end is none of the words that stand in its place."""
    head, _, last = path.rpartition("/")
    beside = {route.path.removeprefix(f"{head}/") for route in ROUTES if route.path.startswith(f"{head}/")}
    words = sorted(one for one in beside if "/" not in one and not one.startswith("{"))
    if not last.startswith("{") or not words:
        return path
    return f"{head}/{{{last[1:-1]}:(?!(?:{'|'.join(words)})$)[^/]+}}"
