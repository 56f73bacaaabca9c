"""What the log may say, and above all what it may not: canaries are sent in everywhere, and none is heard."""

import ast
import asyncio
import gc
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from aiohttp import web

import stibgate
from stibgate import events
from stibgate.domain.circuit import CircuitPolicy
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED, QuarantineReason
from stibgate.domain.record import COLUMNS
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.errors import AuthReason, SinkHeld, SinkRejected, SinkUnavailable, VendorUnavailable
from stibgate.log import ALLOWED, describe_exception
from stibgate.pipeline import fanout as fanout_module
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.fanout import Fanout
from stibgate.pipeline.source import StalePolicy
from stibgate.signatures import Secret
from stibgate.stores.memory import MemoryStore
from stibgate.vendors.stibnite import NewJob
from stibgate.web.protocol import QuietServer
from tests.pipeline.jobs_world import AFAR, RECONCILE_AFTER_S, House, budget, document, full, thin
from tests.pipeline.world import (
    NOW_MS,
    OLD_SECRET,
    POLICY,
    SECRET,
    TOKEN,
    Clock,
    ScriptedSink,
    make_dispatcher,
    make_fanout,
    make_source,
    signed,
)
from tests.web.door import OTHER_TOKEN, Door, open_door, request, sources

EXPIRED = "whsec_ZXhwaXJlZC1zZWNyZXQtb2YtdGhlLXRlc3Rz"
SRC = Path(stibgate.__file__).parent


class Canaries:
    """Makes values that must never be seen again, and remembers them."""

    def __init__(self) -> None:
        self.values = [SECRET, OLD_SECRET, EXPIRED, TOKEN, OTHER_TOKEN]

    def __call__(self, name: str) -> str:
        value = f"canary-{len(self.values)}-{name.replace('_', '-')}"
        self.values.append(value)
        return value

    def person(self) -> dict:
        """Return a record whose every field is a canary, valid where the field has a grammar, else not."""
        record = {name: self(name) for name in COLUMNS}
        record["business_email"] = f"{self('mailbox')}@example.com"
        record["mobile_phone"] = "+1 208 555 0199"
        record["linkedin_url"] = f"https://www.linkedin.com/in/{self('linkedin')}"
        record["company_domain"] = f"{self('domain')}.com"
        self.values += ["5550199", "555 0199"]
        company = {name: self(f"company-{name}") for name in ("name", "domain", "phone", "revenue", "city")}
        return {**record, "company": company, "reveal_state": self("reveal"), "unknown_field": self("extra")}

    def heard_in(self, text: str) -> list[str]:
        folded = text.casefold()
        return [value for value in self.values if value.casefold() in folded]


# -- every path

_REASONS = {
    "[]": QuarantineReason.NOT_JSON_OBJECT,
    '{"a": ' * 70 + '"X"' + "}" * 70: QuarantineReason.TOO_DEEP,
    '{"event": "prospecting.records.pushed", "data": [{"first_name": "X", "y": NaN}]}': QuarantineReason.NOT_FINITE,
    '{"event": "prospecting.records.pushed", "data": "X"}': QuarantineReason.ENVELOPE,
    '{"event": "person_search.job.succeeded", "job_id": "job_7", "note": "X"}': QuarantineReason.RECORDS_MISSING,
}


def _push(canary: Canaries, search_id: str, records: int = 1) -> bytes:
    return json.dumps(
        {
            "event": RECORDS_PUSHED,
            "search_id": search_id,
            "partner_customer_id": "customer_1",
            "partner_user_id": canary("partner_user_id"),
            "selection": {"filters": {"q": canary("filter")}},
            "data": [canary.person() for _ in range(records)],
        }
    ).encode()


async def _admitted(door: Door, canary: Canaries) -> None:
    """Send what is taken: accepted, duplicate, conflict, quarantined, ignored, failed."""
    headers = [(name, canary(name)) for name in ("user-agent", "cookie", "authorization", "x-any", "idempotency-key")]
    headers.append(("stibnite-delivery-id", canary("vendor-id")))
    push = _push(canary, "search_1")
    await door.deliver(push, headers)
    await door.deliver(push, headers)
    for _ in range(2):
        job = {"event": JOB_SUCCEEDED, "job_id": "job_1", "data": [canary.person()]}
        await door.deliver(json.dumps(job).encode())
    for text in _REASONS:
        await door.deliver(text.replace("X", canary("quarantined")).encode())
    for said in (canary("type"), f"{canary('type')}@example.com", f"{canary('type')}.job", "+1 208 555 0199"):
        await door.deliver(json.dumps({"event": said, "job_id": "job_2"}).encode())
        await door.deliver(b"{}", [("stibnite-event-type", said)])
    failed = {"event": JOB_FAILED, "job_id": "job_3", "error": {"code": "x", "message": canary("job-error")}}
    await door.deliver(json.dumps(failed).encode())


async def _refused(door: Door, canary: Canaries) -> None:
    """Send what is not taken, for every reason there is."""
    body = _push(canary, "search_9")
    proofs = [
        [],
        [("stibnite-signature", canary("signature"))],
        [*signed(body), ("stibnite-signature", canary("signature"))],
        *(signed(body, secret=secret) for secret in (EXPIRED, "whsec_" + canary("guess"))),
        *(signed(body, at_ms=NOW_MS + shift) for shift in (-3_600_000, 3_600_000)),
    ]
    for proof in proofs:
        await door.post("/hooks/stib", body, proof)
        canary.values += [value for _, value in proof if len(value) > 20]
    for path in (
        f"/hooks/{canary('source')}",
        f"/hooks/push/{canary('token')}",
        f"/hooks/push?key={canary('key')}&email={canary('query')}",
        f"/hooks/push/{TOKEN}?key={OTHER_TOKEN}",
        f"/{canary('path')}",
        "/hooks/stib/" + canary("long") * 1000,
    ):
        await door.post(path, body)
    await door.exchange(request("PUT", f"/hooks/push/{TOKEN}?a={canary('query')}"))
    await door.exchange(request(canary("METHOD").upper(), f"/hooks/push/{TOKEN}"))
    await door.post(f"/hooks/push/{TOKEN}", body, content_type=f"text/{canary('kind')}")
    await door.post(f"/hooks/push/{TOKEN}", body, [("Content-Encoding", canary("encoding"))])
    await door.post(f"/hooks/push/{TOKEN}", body, [("Expect", canary("expect"))])
    await door.post(f"/hooks/push/{TOKEN}", body, length=10**9)
    await door.post(f"/hooks/push/{TOKEN}", b"{", [("X-Any", canary("header"))], length=10)
    for line in ("X-A : {}", "X-A: {}\0", "{}\r\n folded", "Content-Length: {}", "X-B: " + "{}" * 2000):
        text = f"POST /hooks/push/{TOKEN} HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n"
        await door.exchange(text.replace("{}", canary("malformed")).encode())
    door.receiver._limiter._rate = 1e-9
    door.receiver._limiter._buckets.clear()
    door.receiver._limiter._burst = 0
    await door.deliver(body)


async def _forwarded(door: Door, canary: Canaries, monkeypatch) -> None:
    """Process and forward: delivered, partial, retried, dead, and all that explodes on the way."""
    clock = Clock()
    script = [
        [Outcome(0, OutcomeKind.REFUSED, "VALIDATION", "INVALID_EMAIL", "email", message=canary("sink-message"))],
        KeyError(canary("sink-bug")),
        SinkUnavailable("429 from the far side", hint=canary("hint")),
        SinkRejected("410 from the far side"),
        [],
    ]
    for number in range(len(script) + 2):
        await door.deliver(_push(canary, f"search_{20 + number}"))
    patient = replace(POLICY, circuit=CircuitPolicy(failures=99))
    dispatcher = make_dispatcher(door.store, {"drop": Outlet(ScriptedSink(script), patient)}, now_ms=clock)
    fanout = make_fanout(door.store, ["drop"], now_ms=clock)
    await fanout.run_once()
    while claimed := (await door.store.claim("drop", patient, now_ms=clock(), limit=100)).tasks:
        for task in claimed:
            await dispatcher.attempt(task)
        clock.advance(100)
    await _left_alone(door, canary, clock, fanout)
    await door.deliver(_push(canary, "search_40"))
    message = canary("reader-bug")

    class Exploding:
        @staticmethod
        def raw_records(_document):
            raise ValueError(message)

    with monkeypatch.context() as patch:
        patch.setattr(fanout_module, "READERS", {**events.READERS, RECORDS_PUSHED: Exploding})
        await make_fanout(door.store, ["drop"], now_ms=clock).run_once()


async def _left_alone(door: Door, canary: Canaries, clock: Clock, fanout: Fanout) -> None:
    """Let a sink hold, fail and come back, and a task be given up."""
    words = canary("held-hint")
    script = [SinkHeld("the token expired", hint=words, retry_after_s=5), SinkUnavailable("503", hint=words)]
    policy = replace(POLICY, circuit=CircuitPolicy(failures=1), schedule_s=(0, 1, 1))
    dispatcher = make_dispatcher(door.store, {"drop": Outlet(ScriptedSink(script), policy)}, now_ms=clock)
    for search_id in ("search_30", "search_31"):
        await door.deliver(_push(canary, search_id))
    await fanout.run_once()
    for _ in range(4):
        for task in (await door.store.claim("drop", policy, now_ms=clock(), limit=1)).tasks:
            await dispatcher.attempt(task)
        clock.advance(700)
    for search_id in ("search_32", "search_33"):
        await door.deliver(_push(canary, search_id))
    await fanout.run_once()
    clock.advance(POLICY.max_age_s + 1)
    for task in (await door.store.claim("drop", policy, now_ms=clock(), limit=9)).given_up:
        dispatcher.gave_up(task)


async def _bought(canary: Canaries) -> None:
    """Buy, read back and reconcile: submitted, denied, fetched, reconciled, given up, alarmed."""
    people = {"data": [canary.person()], "pagination": {"next_cursor": canary("cursor")}}
    house = House(MemoryStore(), budgets={"ops": budget(2)}, continue_pages=True)
    asked = {"dedupe_token": canary("token"), "dedupe_user_id": canary("user"), "location_city": canary("city")}
    for _ in range(2):
        await house.desk.submit(
            NewJob(canary("query"), limit=2, max_records=4, **asked), "ops", confirmed=True, by="me"
        )
        house.vendor.finish(**people)
        await house.poll(RECONCILE_AFTER_S)
        await house.settle_all()
    house.vendor.on_read = [AFAR]
    for number, job in enumerate((document("job_read", **people), {"job_id": "job_slow", "status": canary("status")})):
        house.vendor.jobs[job["job_id"]] = job
        await house.post(thin(job["job_id"], JOB_SUCCEEDED), message_id=f"msg_{number}")
    await house.settle_all(30)
    house.vendor.on_read = [VendorUnavailable("GET /v1/persons/search/jobs/{job_id}: 503")] * 500
    await house.post(thin("job_never"))
    await house.settle_all(30)
    house = House(MemoryStore(), adopt_unknown=False)
    await house.post(full(document("job_strange", **people)))


class _CannotBePrinted:
    def __init__(self, canary: Canaries) -> None:
        self._value = canary("unprintable")

    def __str__(self) -> str:
        raise ValueError(self._value)

    __repr__ = __str__


async def _other_libraries(canary: Canaries) -> None:
    """Let asyncio, aiohttp and others complain about canaries, to our handler alone: pytest has louder ones."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if type(handler).__module__ == "stibgate.log"]

    def explode(text: str) -> None:
        raise RuntimeError(text)

    async def fail() -> None:
        explode(canary("never-retrieved"))

    forgotten = asyncio.create_task(fail())
    await asyncio.wait([forgotten])
    del forgotten
    gc.collect()
    loop = asyncio.get_running_loop()
    loop.call_soon(explode, canary("callback"))
    loop.call_exception_handler({"message": f"said '{canary('context')}'", "exception": ValueError(canary("context"))})
    await asyncio.sleep(0)
    server = logging.getLogger("aiohttp.server")
    server.error("Error handling request from %s", canary("argument"), exc_info=ValueError(canary("exc-info")))
    try:
        explode(canary("chained"))
    except RuntimeError:
        server.exception("Unhandled exception\n%s", canary("second-line"))
    library = logging.getLogger("some.library")
    library.warning("first line\n%s", canary("second-line"))
    library.warning(f"token={canary('formatted')}")
    library.error(ValueError(f"bad value: {canary('as-message')}"))
    library.error("%s and %d", "not a number", canary("wrong-arguments"))
    library.error(_CannotBePrinted(canary))


async def _every_path(canary: Canaries, monkeypatch) -> None:
    message = canary("store-bug")

    class Breaks(MemoryStore):
        broken = False

        async def admit(self, delivery, *, only_if_new=False):
            if self.broken:
                raise RuntimeError(message)
            return await super().admit(delivery, only_if_new=only_if_new)

    store = Breaks()
    secrets = [Secret(SECRET, "1"), Secret(EXPIRED, "2", NOW_MS / 1000 - 1)]
    known = [make_source(secrets=secrets, stale=StalePolicy.REJECT), *sources()[1:]]
    async with open_door(store=store, with_sources=known, body_timeout_s=0.1) as door:
        await _admitted(door, canary)
        await _forwarded(door, canary, monkeypatch)
        store.broken = True
        await door.deliver(_push(canary, "search_50"))
        store.broken = False
        door.receiver.draining = True
        await door.deliver(_push(canary, "search_51"), [("x-any", canary("draining"))])
        door.receiver.draining = False
        await _refused(door, canary)
    await _bought(canary)
    await _other_libraries(canary)


@pytest.mark.parametrize("form", ["json", "console", "ecs"])
async def test_no_canary_is_ever_heard(configure_log, capfd, monkeypatch, form):
    """No personal datum, secret, token, path, header or message of an exception is in any line, in any format."""
    lines = configure_log(format=form)
    canary = Canaries()
    await _every_path(canary, monkeypatch)
    assert len(lines.text.splitlines()) > 60
    assert canary.heard_in(lines.text) == []
    printed = capfd.readouterr()
    assert canary.heard_in(printed.out + printed.err) == []


async def test_the_canaries_sang_everywhere(lines, monkeypatch):
    """The canary test went every way there is: each event and each reason was logged."""
    await _every_path(Canaries(), monkeypatch)
    seen = {line["event"] for line in lines.all}
    assert seen >= {
        *(f"delivery.{word}" for word in ("accepted", "duplicate", "conflict", "quarantined", "ignored", "rejected")),
        *(f"task.{word}" for word in ("delivered", "partial", "retry_scheduled", "dead")),
        *("record.refused", "sink.circuit_opened", "sink.circuit_closed"),
        *("result.fetched", "job.submitted", "job.reconciled", "job.failed", "vendor.unavailable"),
        *("budget.denied", "budget.alarm"),
        *("delivery.throttled", "records.normalised", "store.error", "unhandled", "library.logged"),
    }
    reasons = {line.get("reason") for line in lines.all}
    assert reasons >= {*QuarantineReason, *AuthReason}
    assert reasons >= {"unknown_source", "method", "content_type", "content_encoding", "expect", "too_large"}
    assert reasons >= {"body_timeout", "uri_too_long", "malformed_http", "rate", "event_type_unknown", "draining"}


# -- the form of a line

_RFC3339_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def test_every_line_is_one_object(lines, monkeypatch):
    """A line is one JSON object with a time in UTC, a level, an event and the service, and with allowed names only."""
    await _every_path(Canaries(), monkeypatch)
    for line in lines.all:
        assert _RFC3339_Z.fullmatch(line["timestamp"])
        assert line["level"] in {"debug", "info", "warning", "error"}
        assert re.fullmatch(r"unhandled|[a-z]+\.[a-z_]+", line["event"])
        assert line["service"] == "stibgate"
        assert set(line) <= ALLOWED
        assert "dropped" not in line


async def test_every_ecs_line_is_one_object(configure_log, monkeypatch):
    """In ECS the same things are there under its names, and what has none is under ours."""
    lines = configure_log(format="ecs")
    await _every_path(Canaries(), monkeypatch)
    for line in lines.all:
        assert _RFC3339_Z.fullmatch(line["@timestamp"])
        assert line["log.level"]
        assert line["event.action"] == line["message"]
        assert line["service.name"] == "stibgate"


def test_unknown_names_are_dropped_and_named(lines):
    """A field that is not on the list leaves only its name."""
    structlog.get_logger().info("test.line", first_name="Zoe", email="zoe@example.com", records=1, reason=None)
    (line,) = lines.all
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "test.line",
        "service": "stibgate",
        "records": 1,
        "dropped": ["email", "first_name"],
    }


def test_callers_cannot_forge_the_head_of_a_line(lines):
    """Time, level and service are the log's own, whatever a caller passes."""
    structlog.get_logger().info("test.line", timestamp="then", level="debug", service="other")
    (line,) = lines.all
    assert (line["level"], line["service"]) == ("info", "stibgate")
    assert _RFC3339_Z.fullmatch(line["timestamp"])


@pytest.mark.parametrize("form", ["json", "console", "ecs"])
@pytest.mark.parametrize(
    "value",
    [
        'two\nlines {"event": "forged"}',
        "esc\x1b[2J",
        "\ud800 alone",
        "x" * 10_000,
        2**70,
        float("nan"),
        b"\xff",
        {1: {2}},
    ],
    ids=["newline", "escape", "surrogate", "long", "big", "nan", "bytes", "set"],
)
def test_no_value_breaks_a_line(configure_log, form, value):
    """Whatever a field holds, it is one line of bounded length, and logging never raises."""
    lines = configure_log(format=form)
    structlog.get_logger().warning("test.line", error=value)
    assert lines.text.count("\n") == 1
    if form != "console":
        json.loads(lines.text, parse_constant=pytest.fail)
    assert len(lines.text) < 1000
    assert "\x1b[2J" not in lines.text


def test_an_exception_is_told_by_type_and_place():
    """Of an exception the log says what kind it was and where it came through."""
    try:
        int("secret")
    except ValueError as error:
        kind, place = describe_exception(error)
    assert kind == "ValueError"
    assert re.fullmatch(r"tests/test_log\.py:\d+ test_an_exception_is_told_by_type_and_place", place)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels(configure_log, level):
    """Lines below the level are not written; warnings of libraries keep to it too."""
    lines = configure_log(level=level)
    names = ["debug", "info", "warning", "error"]
    for name in names:
        getattr(structlog.get_logger(), name)("test.line")
    assert [line["level"] for line in lines.all] == names[names.index(level) :]
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("a warning")
    assert len(lines.of("library.logged")) == (level != "error")


# -- aiohttp


async def test_there_is_no_access_log(lines):
    """A request that needs no line gets none: aiohttp's own access log, with its paths, is off."""
    async with open_door() as door:
        for path in (f"/hooks/push/{TOKEN}", f"/hooks/push?key={TOKEN}", "/healthz"):
            assert (await door.exchange(request("GET", path))).status == 200
        await door.post(f"/hooks/push/{TOKEN}", b"{}")
    assert [line["event"] for line in lines.all] == ["delivery.quarantined"]
    assert TOKEN not in lines.text
    assert "hooks" not in lines.text


async def test_what_escapes_a_handler_is_told_without_its_words(lines):
    """An exception that escapes even the receiver is one line with type and place, and a problem to the sender."""

    async def explode(_request):
        raise ZeroDivisionError(TOKEN)

    runner = web.ServerRunner(QuietServer(explode, access_log=None, new_request_id=lambda: "made-1"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(request("POST", f"/hooks/push/{TOKEN}", b"{}"))
    answer = await reader.read()
    writer.close()
    await runner.cleanup()
    assert b" 500 " in answer.partition(b"\r\n")[0]
    (line,) = lines.all
    assert (line["event"], line["exception"][0], line["request_id"]) == ("unhandled", "ZeroDivisionError", "made-1")
    assert TOKEN not in lines.text + answer.decode()


# -- the source


_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call in the source that writes a log line, with its place."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _writes(node.func, path):
                yield f"{path.relative_to(SRC)}:{node.lineno}", node


def _writes(func: ast.expr, path: Path) -> bool:
    if isinstance(func, ast.Attribute):
        return func.attr in _LEVELS and isinstance(func.value, ast.Name) and func.value.id in {"log", "logger"}
    if isinstance(func, ast.Name):  # write = log.warning if ... else log.info
        return func.id == "write" and path.parent.name in {"pipeline", "web"}
    is_getattr = isinstance(func, ast.Call) and isinstance(func.func, ast.Name) and func.func.id == "getattr"
    return is_getattr and isinstance(func.args[0], ast.Name) and func.args[0].id == "log"


def test_the_source_logs_only_allowed_names():
    """No line of the source logs a field that is not on the list, or fields that nobody can name beforehand."""
    calls = list(_log_calls())
    assert len(calls) > 20
    wrong = [(place, k.arg) for place, call in calls for k in call.keywords if k.arg not in ALLOWED | {"exc_info"}]
    assert wrong == []


def test_the_source_logs_constant_events():
    """What happened is a fixed word, never a sentence with values in it, and has no arguments besides."""
    for place, call in _log_calls():
        assert len(call.args) == 1, place
        event = call.args[0]
        if isinstance(event, ast.Constant):
            assert re.fullmatch(r"unhandled|[a-z]+\.[a-z_]+", event.value), place


def test_only_the_log_and_the_command_line_print():
    """No module but the command line and the demo's output writes to the terminal by itself."""
    for path in SRC.rglob("*.py"):
        if "cli" in path.parts or path.name == "__main__.py":
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert "print" not in names, path
