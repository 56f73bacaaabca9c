"""The page that Prometheus scrapes, on the admin listener: no token, and nothing about people."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

Samples = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns a page and its content type, for what the header Accept says."""


def add_metrics(app: web.Application, samples: Samples) -> None:
    """Add `/metrics` to *app*: Prometheus' text format, or OpenMetrics where it is asked for."""

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await samples(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"})

    app.router.add_get("/metrics", metrics)
