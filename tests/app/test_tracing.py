"""Spans: linked, over restarts, to a collector that may be slow; never with a token or a person in them."""

import asyncio
import json
import subprocess
import sys
import threading
from random import Random

import pytest
import structlog
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stibgate.app.tracing import Tracing
from stibgate.config import TracingSettings, load
from stibgate.domain.fact import Answer, Answered, Looked
from stibgate.domain.trace import CURRENT
from stibgate.errors import ConfigError
from stibgate.sandbox.samples import sample
from stibgate.sandbox.server import serve
from stibgate.stores import Selection, TaskFilter
from tests.app.running import running
from tests.e2e.gateway import PUSHED, SECRET, TOKEN, configure

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = "canary-key-of-the-collector"


class Collector:
    """A collector and a webhook's receiver on loopback; keeps every byte that came."""

    def __init__(self):
        self.bytes = []
        self.keys = set()
        self.spans = []
        self.traceparents = []
        self.refusing = True

    async def traces(self, request):
        body = await request.read()  # unpacked by aiohttp
        self.bytes.append(body)
        self.keys.add(request.headers.get("x-key"))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            assert "stibgate" in {one.value.string_value for one in resource.resource.attributes}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf", body=b"")

    async def hook(self, request):
        self.traceparents.append(request.headers["traceparent"])
        return web.Response(status=503 if self.refusing else 204)

    def app(self):
        app = web.Application()
        app.router.add_post("/v1/traces", self.traces)
        app.router.add_post("/hook", self.hook)
        return app


def traced(folder, url):
    hook = f"""
[sinks.hook]
kind = "webhook"
url = "{url}/hook"
secret = "{SECRET}"
allow_private = true

[sinks.hook.delivery]
schedule = ["0s", "30s"]
"""
    extra = f"""
[tracing]
enabled = true
endpoint = "{url}/v1/traces"
headers = {{ x-key = "{KEY}" }}
"""
    if (folder / "config.toml").exists():
        return folder / "config.toml"
    return configure(folder, sinks=hook, routes=("hook",), extra=extra)


def attributes(span):
    """Return the attributes of a span that was received."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return the collector, and the log's lines, after a push that a sink took only after a restart."""
    return asyncio.run(_over_a_restart(tmp_path_factory.mktemp("traced")))


async def _over_a_restart(folder):
    collector = Collector()
    body = sample(PUSHED, records=3, rng=Random(7), serial=1).body
    async with serve(collector.app()) as url, ClientSession() as http:
        config = traced(folder, url)
        async with running(config) as gateway:
            path = f"/hooks/push/{TOKEN}?debug=canary-in-a-query"
            headers = {"traceparent": SENT, "content-type": "application/json", "user-agent": "canary-agent"}
            async with http.post(gateway.url + path, data=body, headers=headers) as answer:
                delivery_id = (await answer.json())["delivery_id"]
            await http.post(f"{gateway.url}/hooks/push/canary-wrong-token", data=body, headers=headers)
            await http.get(f"{gateway.url}/healthz")
            await until(lambda: collector.traceparents)
        collector.refusing = False
        async with running(config) as gateway:
            await gateway.operations.replay(Selection(TaskFilter()), forced=False, by="test", dry_run=False)
            await gateway.idle()
    return collector, delivery_id, body


def test_a_delivery_is_a_span(told):
    """A delivery's span says what came and what was answered; the sender's own is linked, and its trace is not ours."""
    collector, delivery_id, _ = told
    (span,) = [one for one in collector.spans if attributes(one).get("http.response.status_code") == 202]
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.name == "POST /hooks/{source}/{token}"
    assert not span.parent_span_id
    assert span.links[0].trace_id.hex() == SENT.split("-")[1] != span.trace_id.hex()
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/hooks/{source}/{token}",
        "http.response.status_code": 202,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "stibgate.delivery_id": delivery_id,
        "stibgate.source": "push",
        "stibgate.outcome": "accepted",
        "stibgate.event_type": PUSHED,
        "stibgate.records": 3,
    }


def test_attempts_link_back_over_a_restart(told):
    """Each attempt is a trace of its own that links to the delivery's span, also in the process that came after."""
    collector, delivery_id, _ = told
    (came,) = [span for span in collector.spans if attributes(span).get("http.response.status_code") == 202]
    attempts = [span for span in collector.spans if span.kind == Span.SPAN_KIND_CONSUMER]
    assert [attributes(span)["stibgate.result"] for span in attempts] == ["unavailable", "taken"]
    assert [span.status.code for span in attempts] == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
    assert attributes(attempts[1])["stibgate.records.written"] == 3
    for span in attempts:
        assert [(link.trace_id, link.span_id) for link in span.links] == [(came.trace_id, came.span_id)]
        assert span.trace_id != came.trace_id
        assert attributes(span)["stibgate.delivery_id"] == delivery_id
    assert collector.traceparents == [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in attempts]


def test_looks_are_no_spans(told):
    """A health check is not worth a span; a refused delivery is."""
    collector, _, _ = told
    assert {span.name for span in collector.spans} == {"POST /hooks/{source}/{token}", "forward hook"}
    refused = [span for span in collector.spans if attributes(span).get("stibgate.outcome") == "rejected"]
    assert [attributes(span)["stibgate.reason"] for span in refused] == ["token_mismatch"]


def test_nothing_that_is_nobodys_business_is_sent(told):
    """No token, secret, path, query, header or person is in any byte that the collector got, and its key came."""
    collector, _, body = told
    sent = b"".join(collector.bytes)
    assert collector.keys == {KEY}
    values = {text for record in json.loads(body)["data"] for text in _texts(record)}
    values = {text for text in values if len(text) > 3 and not text.isdigit()}  # four digits stand in an id by chance
    assert len(values) > 20
    for secret in (TOKEN, SECRET, KEY, "canary", "user_agent", *values):
        assert secret.encode() not in sent, secret


def _texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


class Stuck(SpanExporter):
    """A collector that does not answer until it is told to."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = threading.Event()

    def export(self, spans):
        self.asked.set()
        self.go.wait()
        return SpanExportResult.FAILURE

    def shutdown(self):
        self.go.set()


async def _answer(tracing, *facts, status=202, headers=None):
    """Answer one request within *tracing*."""

    async def handle(_request):
        for fact in facts:
            tracing.observe(fact)
        answer.append(CURRENT.get())
        return web.Response(status=status)

    answer = []
    await tracing.around(handle)(make_mocked_request("POST", "/hooks/x/canary-token", headers=headers or {}))
    return answer[0]


def make(exporter, **settings):
    return Tracing(TracingSettings(enabled=True, **settings), host="gate.example", exporter=exporter)


ACCEPTED = Answered("push", Answer.ACCEPTED, 202, 0.01, route="/hooks/{source}")


async def test_a_collector_that_hangs_costs_spans_only(monkeypatch):
    """What does not fit is dropped and counted, at once, and the end of the service does not wait for the collector."""
    monkeypatch.setattr("stibgate.app.tracing.QUEUE_MAX", 40)
    monkeypatch.setattr("stibgate.app.tracing.BATCH_MAX", 10)
    monkeypatch.setattr("stibgate.app.tracing.CLOSED_S", 0.1)
    tracing = make(Stuck())
    for _ in range(50):
        await _answer(tracing, ACCEPTED)
    assert tracing.counts["dropped"] == 10
    async with asyncio.timeout(30):
        await tracing.close()
    assert tracing.counts["exported"] == 0


@pytest.mark.parametrize(("sample", "spans"), [(1.0, 20), (0.0, 0)])
async def test_a_part_of_the_deliveries(sample, spans):
    """What is not sampled is not sent, but has a trace for the log, and says so to whoever comes after."""
    exporter = InMemorySpanExporter()
    tracing = make(exporter, sample=sample)
    contexts = [await _answer(tracing, ACCEPTED) for _ in range(20)]
    await tracing.close()
    assert len(exporter.get_finished_spans()) == spans
    assert len({context.trace_id for context in contexts}) == 20
    assert {context.sampled for context in contexts} == {bool(spans)}
    assert CURRENT.get() is None


async def test_an_error_of_ours_is_one():
    """A 503 is an error; a 404 is the sender's, and none of ours."""
    exporter = InMemorySpanExporter()
    tracing = make(exporter)
    await _answer(tracing, Answered("push", Answer.FAILED, 503, 0.1, "store"), status=503)
    await _answer(tracing, Answered(None, Answer.REJECTED, 404, 0.1, "unknown_source"), status=404)
    await _answer(tracing, Looked("GET", "/healthz", 200, 0.1), status=200)
    await tracing.close()
    failed, refused = exporter.get_finished_spans()
    assert (failed.status.is_ok, failed.attributes["error.type"]) == (False, "503")
    assert refused.status.is_ok
    assert refused.name == "POST"
    assert "stibgate.source" not in refused.attributes


@pytest.mark.parametrize("header", ["canary", SENT + "-more", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
async def test_a_trace_that_is_none_is_not_linked(header):
    """What a sender writes into `traceparent` is not taken at its word."""
    exporter = InMemorySpanExporter()
    tracing = make(exporter)
    await _answer(tracing, ACCEPTED, headers={"traceparent": header})
    await tracing.close()
    assert not exporter.get_finished_spans()[0].links


async def test_log_lines_name_the_span(lines):
    """A line that is written within a span has its ids; any other has none."""
    tracing = make(InMemorySpanExporter())

    async def handle(_request):
        structlog.get_logger().info("task.delivered")
        seen.append(CURRENT.get())
        return web.Response()

    seen = []
    await tracing.around(handle)(make_mocked_request("POST", "/"))
    structlog.get_logger().info("task.delivered")
    await tracing.close()
    inside, outside = lines.of("task.delivered")
    assert (inside["trace_id"], inside["span_id"]) == (seen[0].trace_id, seen[0].span_id)
    assert "trace_id" not in outside


def test_it_is_not_loaded_while_it_is_off():
    """Without tracing nothing of OpenTelemetry is imported, so it cannot cost anything."""
    code = (
        "import sys, stibgate.app.gateway; from stibgate.config import Settings;"
        "from stibgate.app.parts import tracing_of; assert tracing_of(Settings()) is None;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_extra_is_asked_for(tmp_path, monkeypatch):
    """Tracing without its libraries is a mistake of the configuration that says what to install."""
    monkeypatch.setattr("stibgate.config.checks.find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as caught:
        load(configure(tmp_path, extra="[tracing]\nenabled = true"), environ={})
    (problem,) = caught.value.problems
    assert (problem.path, caught.value.exit_code) == ("tracing.enabled", 78)
    assert "pip install 'stibgate[otel]'" in problem.allowed


@pytest.mark.parametrize(
    "url", ["", "collector:4318", "ftp://c.example/", "https://dana:pw@c.example/", "https://c.example/?key=x"]
)
def test_a_collector_has_a_plain_url(tmp_path, url):
    """A user name or a key in the URL would be shown; keys belong into headers."""
    with pytest.raises(ConfigError) as caught:
        load(configure(tmp_path, extra=f'[tracing]\nendpoint = "{url}"'), environ={})
    assert [problem.path for problem in caught.value.problems] == ["tracing.endpoint"]
