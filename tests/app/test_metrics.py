"""What a scrape shows, after a day's work in small."""

import asyncio
import re
import shutil
import subprocess
import threading
import time
from itertools import count
from pathlib import Path

import pytest
from aiohttp import ClientSession
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from stibgate.app.metrics.catalogue import CATALOGUE, Kind
from stibgate.app.metrics.counting import Names, Tally
from stibgate.app.metrics.state import Money
from stibgate.cli.stage import stage
from stibgate.domain.calling import telling
from stibgate.domain.fact import Answer, Answered, Attempted, Normalised, Proof
from stibgate.domain.task import OutcomeKind, Signal
from tests.app.running import running
from tests.e2e.gateway import TOKEN, configure

ROOT = Path(__file__).parents[2]
OPEN = "application/openmetrics-text; version=1.0.0"
NEEDS_PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


async def _scrape(gateway, accept="*/*"):
    async with ClientSession() as http, http.get(f"{gateway.admin_url}/metrics", headers={"Accept": accept}) as answer:
        assert answer.status == 200
        return answer.headers["Content-Type"], await answer.text()


async def _a_day(folder):
    """Return (content type, text) in both forms, after a push, a job, a duplicate and some that were refused."""
    async with stage(folder, seed=3) as on, ClientSession() as http:
        await on.push("9 owners of dental practices in Texas", 5)
        async for _ in on.search("8 CMOs at SaaS companies", page=4):
            pass
        await on.sandbox.idle()
        await on.gateway.idle()
        for path in ("/hooks/nobody", "/hooks/jobs", "/elsewhere"):
            await http.post(on.gateway.url + path, json={})
        await http.get(f"{on.gateway.url}/healthz")
        return await _scrape(on.gateway), await _scrape(on.gateway, OPEN)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    return asyncio.run(_a_day(tmp_path_factory.mktemp("day")))


@pytest.fixture(scope="module")
def samples(scraped):
    """Return (name, labels) -> value of everything in the text form."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(scraped[0][1])
        for sample in family.samples
    }


def one(samples, name, **labels):
    return samples[name, tuple(sorted(labels.items()))]


def family_of(name):
    """Return the metric that a sample belongs to."""
    return name if name in CATALOGUE else re.sub(r"_(bucket|sum|count)$", "", name)


def test_what_was_done_is_what_is_counted(samples):
    """Deliveries, records, outcomes and money of the day stand in the page."""
    assert one(samples, "stibgate_receive_requests_total", source="push", outcome="accepted", reason="") == 1
    assert one(samples, "stibgate_receive_requests_total", source="", outcome="rejected", reason="unknown_source") == 2
    assert one(samples, "stibgate_receive_requests_total", source="jobs", outcome="rejected", reason="missing") == 1
    pushed, succeeded = "prospecting.records.pushed", "person_search.job.succeeded"
    assert one(samples, "stibgate_receive_records_total", source="push", event_type=pushed) == 5
    assert one(samples, "stibgate_receive_records_total", source="jobs", event_type=succeeded) == 8
    assert one(samples, "stibgate_signature_verifications_total", source="jobs", scheme="t_v1", key_slot="1") == 2
    assert one(samples, "stibgate_sink_records_total", sink="drop", outcome="written") == 13
    assert one(samples, "stibgate_task_attempts_total", sink="crm", result="taken") >= 3
    assert one(samples, "stibgate_records_billed_total", source="jobs") == 8
    assert one(samples, "stibgate_billed_missing_records") == 0
    assert one(samples, "stibgate_budget_remaining", budget="trial", unit="stibnite.credit_unit") == 500
    assert one(samples, "stibgate_queue_tasks", sink="drop", state="queued") == 0
    assert one(samples, "stibgate_queue_oldest_age_seconds", sink="drop") == 0
    assert one(samples, "stibgate_circuit_state", sink="crm", state="closed") == 1
    assert one(samples, "stibgate_ready", check="store") == 1
    assert one(samples, "stibgate_storage_wal_bytes") > 4096
    assert one(samples, "stibgate_store_commit_seconds_count") > 3
    assert one(samples, "stibgate_sink_quota_remaining", sink="crm", policy="daily") > 1000
    out = {"http_request_method": "POST", "server_address": "127.0.0.1", "error_type": ""}
    assert one(samples, "http_client_request_duration_seconds_count", http_response_status_code="200", **out) >= 3
    get = {"http_request_method": "GET", "http_route": "/healthz", "http_response_status_code": "200"}
    assert one(samples, "http_server_request_duration_seconds_count", **get) == 1
    post = {
        "http_request_method": "POST",
        "http_route": "/hooks/{source}/{token}",
        "http_response_status_code": "202",
    }
    assert one(samples, "http_server_request_duration_seconds_count", **post) == 1


def test_every_sample_is_of_the_catalogue(samples):
    """What is shown is in the catalogue with just these labels; and all of the catalogue can be shown."""
    shown = {}
    for name, labels in samples:
        shown.setdefault(family_of(name), set()).add(tuple(sorted({key for key, _ in labels} - {"le"})))
    ours = {name: labels for name, labels in shown.items() if not name.startswith("process_")}
    assert ours == {name: {tuple(sorted(CATALOGUE[name].labels))} for name in ours}
    rare = {  # have a series once they have happened, or once they are configured
        "stibgate_normalise_field_issues_total",
        "stibgate_secret_expiry_timestamp_seconds",
        "stibgate_trace_spans_total",
        "stibgate_sink_throttled_total",
        "stibgate_upstream_requests_total",
        "stibgate_upstream_ratelimit_remaining",
    }
    assert set(CATALOGUE) - set(ours) <= rare


def test_the_process_is_shown_once(samples):
    """The process's memory and files are there; what the library measures of itself is not."""
    assert one(samples, "process_resident_memory_bytes") > 1e6
    assert not [name for name, _ in samples if name.startswith("python_")]


def test_both_forms_say_the_same(scraped):
    """A scraper that asks for OpenMetrics gets it, with the same metrics."""
    (text_type, text), (open_type, other) = scraped
    assert text_type.startswith("text/plain; version=")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert other.endswith("# EOF\n")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {family.name for family in open_families(other)} == names


@NEEDS_PROMTOOL
def test_promtool_finds_nothing_to_mend(scraped):
    """`promtool check metrics` has nothing to say about a scrape."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped[0][1], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_nobody_outside_makes_a_series():
    """Whatever is sent, series come only from configured names and closed sets of words."""
    tally = Tally(Names(frozenset({"push"}), frozenset({"drop"})), now_s=time.time)

    def series():
        return {
            (sample.name, tuple(sample.labels.items())) for table in tally.tables for sample in table.family().samples
        }

    def hostile(number):
        proof = Proof("t_v1", "1", 0.1)
        name = f"hostile{number}"
        for source in (name, "push", None):
            tally.observe(Answered(source, Answer.IGNORED, 202, 0.1, name, 10, 1, f"{name}.x", proof))
            tally.observe(Answered(source, Answer.ACCEPTED, 202, 0.1, None, 10, 1, f"{name}.x", proof))
            tally.observe(Answered(source, Answer.REJECTED, 404, 0.1, name))
            tally.observe(Normalised(source or name, 1, 1, {"business_email.invalid": 1}))

    hostile(0)
    first = series()
    for number in range(1, 50):
        hostile(number)
    assert series() == first
    assert len(first) < 400


async def test_hostile_requests_make_no_series(tmp_path, lines):
    """On the wire: random sources, tokens, paths, methods and event types leave the page as long as it was."""
    async with running(configure(tmp_path)) as gateway, ClientSession() as http:
        numbers = count()

        async def hostile():
            number = next(numbers)
            for method in ("POST", "PUT", "GET", f"M{number}"):
                for path in (f"/hooks/s{number}", f"/hooks/push/t{number}", f"/p{number}?q={number}", "/healthz"):
                    await http.request(method, gateway.url + path, data=b"{}")
            body = {"event_type": f"e.x{number}", "data": {}}
            headers = {"stibnite-event-type": f"event.type{number}"}
            await http.post(f"{gateway.url}/hooks/push/{TOKEN}", json=body, headers=headers)

        async def series():
            _, text = await _scrape(gateway)
            return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}

        await hostile()
        first = await series()
        for _ in range(5):
            await hostile()
        assert await series() == first


def test_readmes_table_is_the_catalogue():
    """README has a row for each metric, as the catalogue says it, and none that there is not."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = [line for line in readme.splitlines() if re.match(r"\| `(stibgate|http)_[a-z_]+` \| (co|ga|hi)", line)]
    assert table == [row(metric) for metric in CATALOGUE.values()]


def row(metric):
    """Return the line of README's table about *metric*."""
    labels = ", ".join(metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric):
    """Counters end in `_total` and nothing else does; times are seconds, sizes bytes; no label is called like a unit."""
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|milliseconds|kb|mib|percent)(_|$)", metric.name)
    assert "le" not in metric.labels
    assert metric.help.endswith(".")


async def test_a_scrape_does_not_wait_for_a_slow_look(tmp_path, lines, monkeypatch):
    """While bills are being looked at the page is shown without the money, and with it afterwards."""
    hold = threading.Event()
    monkeypatch.setattr("stibgate.app.metrics.state.PATIENCE_S", 0.05)
    monkeypatch.setattr("stibgate.app.metrics.state._money", lambda *_: hold.wait(60) and Money(7, 1000, {}))
    async with running(configure(tmp_path)) as gateway:
        try:
            _, text = await _scrape(gateway)
            assert "stibgate_storage_free_bytes" in text
            assert "stibgate_billed_missing_records" not in text
        finally:
            hold.set()
        async with asyncio.timeout(60):
            while "stibgate_billed_missing_records 7.0" not in text:
                _, text = await _scrape(gateway)


async def test_it_can_be_turned_off(tmp_path, lines):
    """With `metrics.enabled = false` there is no page."""
    config = configure(tmp_path, extra="[metrics]\nenabled = false")
    async with running(config) as gateway, ClientSession() as http, http.get(f"{gateway.admin_url}/metrics") as answer:
        assert answer.status == 404


def test_attempts_are_counted_by_what_came_of_them():
    """An attempt steps its result; only a delivered one has an end to end; a dead one has a reason."""
    tally = Tally(Names(frozenset(), frozenset({"drop"})), now_s=time.time)
    tally.observe(Attempted("drop", Signal.TAKEN, 0.2, 3.0, {OutcomeKind.WRITTEN: 4}))
    tally.observe(Attempted("drop", Signal.REJECTED, 0.2, 3.0, {OutcomeKind.REFUSED: 2}))
    assert tally.attempts.rows["drop", "taken"] == tally.attempts.rows["drop", "rejected"] == 1
    assert tally.outcomes.rows["drop", "written"] == 4
    assert sum(tally.end_to_end.rows["drop",][:-1]) == 1
    assert tally.dead.rows == {("drop", "rejected"): 1, ("drop", "exhausted"): 0}


def test_requests_that_go_out_are_told():
    """An exchange is timed by its server and status; one without an answer by why; a vendor's by its operation too."""
    tally, now_s = Tally(Names(), now_s=time.time), iter((0.0, 0.5, 1.0, 3.0))
    with telling(tally.observe, lambda: next(now_s), "api.example", "GET", "GET /v1/usage") as told:
        told.status, told.remaining = 429, 0
    with pytest.raises(TimeoutError), telling(tally.observe, lambda: next(now_s), "crm.example", "POST"):
        raise TimeoutError
    assert {labels: row[-1] for labels, row in tally.called.rows.items()} == {
        ("GET", "api.example", "429", ""): 0.5,
        ("POST", "crm.example", "", "timeout"): 2.0,
    }
    assert tally.upstream.rows == {("GET /v1/usage", "4xx"): 1}
    assert tally.rate_left == {(): 0}
