"""Is it alive, is it ready: for orchestrators, on the admin listener. No token, no detail about people."""

from collections.abc import Callable, Mapping

from aiohttp import web

from stibgate.web.problem import SERVER

Checks = Callable[[], Mapping[str, str]]
"""Returns each check's word; `ok` is good, anything else says what is wrong."""


def health_application(*, alive: Callable[[], bool], ready: Checks) -> web.Application:
    """Return the application of the admin listener.

    `/livez`: the loop turns and the writer thread lives. `/readyz` (and `/healthz`): deliveries can be
    stored now. Sinks never make it fail: the queue is their buffer.
    """

    async def livez(_request: web.Request) -> web.Response:
        living = alive()
        return web.json_response({"status": "ok" if living else "failed"}, status=200 if living else 503)

    async def readyz(_request: web.Request) -> web.Response:
        checks = dict(ready())
        good = all(word == "ok" for word in checks.values())
        return web.json_response(
            {"status": "ready" if good else "not ready", "checks": checks}, status=200 if good else 503
        )

    async def anonymous(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER

    app = web.Application()
    app.on_response_prepare.append(anonymous)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/healthz", readyz)
    return app
