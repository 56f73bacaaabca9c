"""Who may make which call: names, tokens, roles, in this order, for every call that there is."""

import asyncio
import json
import re

import pytest

from stibgate.domain.access import Role, grant
from stibgate.log.rendering import as_json
from stibgate.web.api import PREFIX, ROUTES
from stibgate.web.live import Feed, LiveStream
from stibgate.web.throttle import FAILURES_MAX
from tests.web.api.office import LOCAL, TOKENS, bearer, make_office

NAMES = {"{id}": "dlv_1", "{name}": "drop"}
EVERY = [
    pytest.param(
        route, re.sub(r"\{\w+\}", lambda match: NAMES[match[0]], route.path), id=f"{route.method} {route.path}"
    )
    for route in ROUTES
]
GOOD = TOKENS[Role.ADMIN]


@pytest.mark.parametrize(("route", "path"), EVERY)
async def test_roles(office, route, path):
    """Every call: without a token 401, with too little a role 403 before anything is read, with the role neither."""
    lame = b"{" * 10  # no body that could be read: the role is looked at before
    status, problem = await office.ask(path.strip("/"), lame, method=route.method, role=None)
    assert status == 401
    assert not [token for token in TOKENS.values() if token in json.dumps(problem)]
    for role in Role:
        if not role.may(route.role):
            status, problem = await office.ask(path.strip("/"), lame, method=route.method, role=role)
            assert (status, f"role {route.role}" in problem["title"]) == (403, True)
    assert office.audit() == []
    assert office.states() == ["dead", "delivered"]
    answer, _ = await office.answer(path.strip("/"), lame, method=route.method, role=route.role)
    assert answer.status not in {401, 403, 405}


def test_the_table_of_roles():
    """A viewer can do nothing that writes; who may see the configuration and the audit is written down here."""
    assert {route.path for route in ROUTES if route.role is Role.ADMIN} == {"/config", "/audit"}
    assert {route.path for route in ROUTES if route.role is Role.OPERATOR and route.method == "GET"} == {
        "/deliveries/{id}/body"
    }
    assert all(route.role is Role.OPERATOR for route in ROUTES if route.method != "GET")
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {GOOD[:-1]}"},
        {"Authorization": f"Bearer {GOOD}x"},
        {"Authorization": f"Bearer {GOOD} {GOOD}"},
        {"Authorization": f"Basic {GOOD}"},
        {"Authorization": GOOD},
        {"Authorization": "Bearer t\u00f6ken"},
        {"X-Api-Key": GOOD, "Cookie": f"token={GOOD}"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "sinks"), ("POST", "replays"), ("GET", "nothing"), ("PUT", "sinks")]
)
async def test_without_the_token_nothing_is_answered(office, headers, method, path):
    """Whatever is not exactly one good token is 401, whatever else is wrong with the request."""
    answer, problem = await office.answer(path, b"{", method=method, role=None, headers=headers)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert GOOD not in json.dumps(problem)


async def test_a_header_that_comes_twice_is_refused(office):
    """Two credentials are none, though both be good: it would depend on the proxy which one counts."""
    host, port = office.client.server.host, office.client.server.port
    for first, second in ((GOOD, GOOD), (GOOD, "x"), ("x", GOOD)):
        head = f"GET /api/v1/sinks HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        head += f"Authorization: Bearer {first}\r\nAuthorization: Bearer {second}\r\n\r\n"
        assert (await raw(host, port, head)).startswith("HTTP/1.1 401 ")


async def raw(host, port, head):
    import asyncio

    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_the_word_bearer_is_written_as_one_likes(office):
    """The scheme's name is not case-sensitive (RFC 9110, 11.1)."""
    for word in ("bearer", "BEARER", "Bearer "):
        assert (await office.ask("sinks", method="GET", role=None, headers={"Authorization": f"{word} {LOCAL}"}))[
            0
        ] == 200


@pytest.mark.parametrize("name", ["token", "access_token", "key", "api_key"])
async def test_a_token_in_the_url_is_refused(office, name):
    """What stands in a URL stands in logs: it is refused, with or without a good header, and must be replaced."""
    for role in (None, Role.ADMIN):
        status, problem = await office.ask(f"sinks?{name}={GOOD}", method="GET", role=role)
        assert status == 400
        assert "replace it" in problem["hint"]
        assert GOOD not in json.dumps(problem)


async def test_wrong_tokens_are_counted(office, lines):
    """After ten wrong tokens in a minute every further one is asked to wait, and costs no line of the log."""
    wrong = {"Authorization": "Bearer x"}
    for _ in range(FAILURES_MAX):
        assert (await office.ask("sinks", method="GET", role=None, headers=wrong))[0] == 401
    for _ in range(2):
        answer, problem = await office.answer("sinks", method="GET", role=None, headers=wrong)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
        assert "A right one is let in" in problem["hint"]
    assert len(lines.of("audit.token_refused")) == FAILURES_MAX
    office.clock.advance(60)
    assert (await office.ask("sinks", method="GET", role=None, headers=wrong))[0] == 401


async def test_a_right_token_never_waits(office):
    """A script that was left behind with an old token locks nobody out of the same machine."""
    for _ in range(FAILURES_MAX + 1):
        await office.ask("sinks", method="GET", role=None, headers={"Authorization": "Bearer x"})
    await office.get("sinks")
    for _ in range(FAILURES_MAX * 2):
        assert (await office.ask("sinks", method="GET", role=None))[0] == 401  # who shows none guesses none
    await office.get("sinks")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:9090", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:9090", 200),
        ("console.localhost", 200), ("gate.example.com", 200), ("gate.example.com:8443", 200),
        ("rebound.example", 421), ("192.0.2.7", 421), ("127.0.0.1.example", 421), ("", 421), ("[::1", 421),
        ("gate.example.com.evil.example", 421), ("xgate.example.com", 421),
    ],
)  # fmt: skip
async def test_names_of_the_listener(aiohttp_client, host, status):
    """Under a name that is not the listener's nothing is answered, good token or not; probes may call it as they like."""
    office = await make_office(aiohttp_client, hosts=("gate.example.com",))
    assert (await office.ask("sinks", method="GET", headers={"Host": host}))[0] == status
    assert (await office.client.get("/livez", headers={"Host": host})).status == 200
    if status == 421:
        assert (await office.client.get("/", headers={"Host": host})).status == 421


async def test_no_other_site_may_read(office):
    """There is no CORS: a page of another site gets no permission to read, whatever it asks."""
    answer, _ = await office.answer("sinks", method="GET", headers={"Origin": "https://other.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    preflight = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    assert (await office.ask("replays", method="OPTIONS", headers=preflight))[0] == 405


async def test_request_ids(office):
    """Every answer has an id to quote; one that is sent is not believed, for no proxy is trusted here."""
    answer, _ = await office.answer("sinks", method="GET", headers={"X-Request-Id": "mine"})
    assert answer.headers["X-Request-Id"] == "req1"


async def test_a_head_is_a_get_without_its_body(office):
    """HEAD asks for what GET would answer."""
    answer, body = await office.answer("sinks", method="HEAD")
    assert (answer.status, body) == (200, b"")


async def test_a_fault_of_ours_says_nothing(office, monkeypatch, lines):
    """An exception is 500 with the id of its line in the log, and neither has its message."""

    def broken(*_args, **_kwargs):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(office.store, "task_counts", broken)
    status, problem = await office.ask("sinks", method="GET")
    assert (status, "ann@" in json.dumps(problem)) == (500, False)
    (line,) = lines.of("unhandled")
    assert (line["request_id"], "ann@" in json.dumps(line)) == (problem["request_id"], False)


def test_every_call_is_below_the_prefix():
    """The API has one version, and no call without it."""
    assert PREFIX == "/api/v1"
    assert all(route.path.startswith("/") for route in ROUTES)
    assert bearer("viewer") != bearer("admin")


@pytest.mark.parametrize("role", list(Role))
async def test_a_stream_tells_who_did_what_to_admins(aiohttp_client, role):
    """Whoever may not read the audit does not read it in the live tail: neither what was, nor what comes."""
    feed = Feed(encode=as_json, run="test", clock_s=asyncio.get_running_loop().time)
    office = await make_office(aiohttp_client, live=LiveStream(feed, dict))
    line = {"timestamp": "T", "level": "info", "client_ip": "192.0.2.7"}
    feed.hear({**line, "event": "audit.login"})
    async with office.client.get("/api/v1/events?last=9", headers=bearer(role)) as answer:
        await answer.content.readuntil(b"event: ready")
        feed.hear({**line, "event": "audit.pii_revealed"})
        feed.hear({**line, "event": "delivery.rejected"})
        async with asyncio.timeout(60):
            told = await answer.content.readuntil(b"delivery.rejected")
        await feed.close()
    assert told.count(b"audit.") == (2 if role is Role.ADMIN else 0)


async def test_a_stream_ends_with_its_token(aiohttp_client):
    """A token that a reload takes away, or gives another role, ends the live tail that it opened."""
    feed, grants = Feed(encode=as_json, run="test", clock_s=asyncio.get_running_loop().time), []
    office = await make_office(aiohttp_client, live=LiveStream(feed, dict), grants=grants)
    for change in (lambda old: [], lambda old: [grant(old.principal.name, Role.VIEWER, TOKENS[Role.ADMIN])]):
        was = next(one for one in grants if one.principal.role is Role.ADMIN)
        async with office.client.get("/api/v1/events", headers=bearer(Role.ADMIN)) as answer:
            await answer.content.readuntil(b"event: ready")
            grants[:] = [*change(was), *(one for one in grants if one is not was)]
            async with asyncio.timeout(60):
                assert b"event: bye" in await answer.content.read()
        grants[:] = [was, *grants]
