"""Where a request to the public listener goes: three routes need no router."""

from typing import NamedTuple

from aiohttp import web

from stibgate.errors import DeliveryRefused
from stibgate.pipeline.intake import not_found

PATH_MAX = 2048


class Target(NamedTuple):
    """Where a request goes: `/hooks/{source}` with or without a token, or a path of ours."""

    path: str
    source: str | None
    token: str | None
    route: str = ""


def target_of(request: web.BaseRequest) -> Target:
    """Return where *request* goes; the raw path counts, so that an encoded token is a wrong token.

    Raises:
        DeliveryRefused: 414 when the target is too long, 404 when it holds two tokens.
    """
    raw = request.raw_path
    if len(raw) > PATH_MAX:
        raise DeliveryRefused(414, "URI Too Long", "uri_too_long", close=True)
    if not raw.startswith("/"):  # absolute form, as sent to a proxy
        raw = request.rel_url.raw_path_qs
    path, _, query = raw.partition("?")
    parts = path.split("/")
    if len(parts) not in {3, 4} or parts[1] != "hooks" or not parts[2]:
        return Target(path, None, None)
    keys = [value for name, _, value in (pair.partition("=") for pair in query.split("&")) if name == "key"]
    tokens = [*parts[3:], *keys]
    if len(tokens) > 1:
        raise not_found()
    route = "/hooks/{source}" if len(parts) == 3 else "/hooks/{source}/{token}"
    return Target(path, parts[2], tokens[0] if tokens else None, route)
