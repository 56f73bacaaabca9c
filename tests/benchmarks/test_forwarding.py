"""Forwarding: how near the HubSpot sink comes to what its limit allows, what sick sinks cost a healthy one, what one bad record costs.

Run with `python -m pytest -m benchmark -s tests/benchmarks`. Rates are printed; what must be exact is asserted: nothing
lost, nothing doubled, nothing out of order, no 429.
"""

import asyncio
import os
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stibgate.normalise import Rules, normalise
from stibgate.sandbox.people import STAFF_COUNT
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.settings import HubspotSettings
from stibgate.sinks.hubspot.sink import HubspotSink
from stibgate.testing import RECEIVED_AT_MS, make_batch, make_context
from tests.benchmarks.world import PEOPLE, FarSide, Gate, World, push, until

LATENCY_S = 0.05
LIMIT, WINDOW_S = 190, 10
ALLOWED_PER_S = LIMIT / WINDOW_S
SCALE = float(os.environ.get("BENCH_SCALE", "1"))
"""Less than 1 makes every benchmark shorter, and its figures worth less."""

HUBSPOT = """
[sinks.crm]
kind = "hubspot"
base_url = "{url}"
token = "{token}"
"""

ROUNDS, ROUND_S, STREAM_PER_S, GROUP, GROUPS = 12, 2.0, 20, 10, 20
SECRET = "whsec_ZmFrZS1mb3ItYmVuY2htYXJrcy1vbmx5LW5vdC1hLXNlY3JldA=="
# Probes come a hundred times as often as by default, so that the sick sinks stay busy and recover within the benchmark.
WEBHOOK = """
[sinks.{name}]
kind = "webhook"
url = "{url}/hook"
secret = "{secret}"
allow_private = true
answer_timeout = "1s"
[sinks.{name}.delivery]
timeout = "2s"
schedule = {schedule}
"""
CIRCUIT = """
[delivery.circuit]
open_for = "300ms"
"""


def needed_per_100(people: int, companies: int) -> float:
    """Return the requests without which 100 new people do not get to HubSpot, searches not counted.

    Read by address (an existing contact is taken over), upsert, associate: one each for 100. Companies are upserted
    100 to a request, too. Searches for domains have a limit of their own.
    """
    return 3 + companies / people


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("people", "batch"), [(20_000, 100), (4_000, 25)])
async def test_hubspot_at_its_limit(people: int, batch: int, tmp_path: Path) -> None:
    """New people reach HubSpot at 90 % of what its limit allows, each once, without a 429, on half a core."""
    people = max(round(people * SCALE) // batch, 1) * batch
    companies = -(-people // STAFF_COUNT)
    async with World(tmp_path) as world:
        hubspot = await world.far_side("hubspot", LATENCY_S, LIMIT)
        token = (await hubspot.report())["token"]
        gate = await world.gate("gate", routes=["crm"], more=HUBSPOT.format(url=hubspot.url, token=token))
        before = Counter((await hubspot.report())["by_path"])
        bodies = [push(f"search_{first}", range(first, first + batch)) for first in range(0, people, batch)]
        started_s, cpu_s = time.perf_counter(), gate.cpu_s()
        await gate.push_all(bodies)
        acknowledged_s = time.perf_counter() - started_s
        await gate.drained(len(bodies), within_s=200)
        took_s, cpu_s = time.perf_counter() - started_s, gate.cpu_s() - cpu_s
        report, problems = await hubspot.report(), gate.problems()
    check_whole(report, people)
    assert problems == []
    by_path = Counter(report["by_path"]) - before
    searches = sum(count for path, count in by_path.items() if path.endswith("/search"))
    requests = by_path.total() - searches
    theory = ALLOWED_PER_S / needed_per_100(people, companies) * 100
    print(
        f"\nHubSpot, {LIMIT} requests per {WINDOW_S} s, {LATENCY_S * 1000:.0f} ms each: {people} new people,", end=" "
    )
    print(f"{companies} companies, {people} associations, in {len(bodies)} deliveries of {batch}")
    print(f"  acknowledged in {acknowledged_s:.1f} s, all in HubSpot and settled after {took_s:.1f} s:", end=" ")
    print(f"{people / took_s:.0f} records/s, {people / took_s / theory:.3f} of the theoretical {theory:.0f} records/s")
    print(f"  requests per 100 people: {requests / people * 100:.2f}, needed", end=" ")
    print(f"{needed_per_100(people, companies):.2f}; besides {searches / people * 100:.2f} searches;", end=" ")
    print(f"{requests / took_s:.1f} requests/s of {ALLOWED_PER_S:.0f}; no 429")
    print(f"  gateway's CPU: {cpu_s / took_s:.0%} of one core, {cpu_s / people * 1e6:.0f} us a record")
    print(f"  {dict(by_path.most_common())}")
    # Unshared, each delivery needs four requests of its own.
    assert requests < 4 * len(bodies) * (0.9 if batch == 100 else 0.5)
    if SCALE >= 1 and batch == 100:
        assert people / took_s > 0.6 * theory


def check_whole(report: dict, people: int) -> None:
    """Fail unless HubSpot has exactly the first *people* of the world, each once, where they work, and refused nobody."""
    records = [PEOPLE.person(i) for i in range(people)]
    assert report["people"] == sorted(one["person_id"] for one in records)
    assert report["companies"] == sorted({one["company"]["company_id"] for one in records})
    assert report["works"] == sorted([one["person_id"], one["company"]["company_id"]] for one in records)
    assert report["duplicates"] == 0
    assert report["policies"] == {}, "a limit was overstepped"
    assert {int(status) for status in report["statuses"]} <= {200, 201, 207}


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_bulkheads(tmp_path: Path) -> None:
    """A sink that hangs and one that fails cost the healthy one next to nothing, and lose nothing themselves."""
    async with World(tmp_path) as world:
        healthy, hanging, failing = [await world.far_side("receiver") for _ in range(3)]
        sinks = {"healthy": healthy, "hanging": hanging, "failing": failing}
        alone = await world.gate("alone", routes=["healthy"], more=CIRCUIT + webhook("healthy", healthy))
        more = CIRCUIT + "".join(webhook(name, side) for name, side in sinks.items())
        beside = await world.gate("beside", routes=list(sinks), more=more)
        await hanging.become("hangs")
        await failing.become("fails")
        streams = Streams(healthy)
        pairs = []
        beside.freeze()
        for _ in range(max(round(ROUNDS * SCALE), 2)):
            one = await streams.round(alone)
            alone.freeze()
            beside.thaw()
            two = await streams.round(beside)
            beside.freeze()
            alone.thaw()
            pairs.append((one, two))
        alone.freeze()
        beside.thaw()
        sick = {name: (await side.report())["refused"] for name, side in sinks.items()}
        await hanging.become("good")
        await failing.become("good")
        recovered_s = time.monotonic()
        await beside.drained(streams.sent[beside], within_s=120)
        empty_s = time.monotonic() - recovered_s
        accepted, problems = beside.searches(), beside.problems()
        taken = {name: (await side.report())["taken"] for name, side in sinks.items()}
    for both in taken.values():
        check_order([search_id for search_id, _ in both if search_id in set(accepted)], accepted)
    probed_s = max(taken[name][0][1] / 1e9 for name in ("hanging", "failing")) - recovered_s
    assert problems == []
    assert sick["hanging"] >= 5
    assert sick["failing"] >= 5
    show_bulkheads(pairs[1:])  # the first pair warms both up
    print(
        f"  attempts that hung {sick['hanging']}, that failed {sick['failing']}; of those that recovered, the later one",
        end=" ",
    )
    print(f"was probed after {probed_s:.1f} s and both were empty after {empty_s:.1f} s:", end=" ")
    print(f"all {len(accepted)} deliveries there once, in order per person")


def webhook(name: str, side: FarSide) -> str:
    schedule = ["0s", *["200ms"] * 49]
    return WEBHOOK.format(name=name, url=side.url, secret=SECRET, schedule=schedule)


def group_of(search_id: str) -> int:
    """Return which people a search is about."""
    return int(search_id.rpartition("_")[2])


def check_order(taken: Sequence[str], accepted: Sequence[str]) -> None:
    """Fail unless a sink took every delivery once and, for each group of people, in the order of acceptance."""
    assert sorted(taken) == sorted(accepted)
    told, owed = defaultdict(list), defaultdict(list)
    for searches, by_group in ((taken, told), (accepted, owed)):
        for search_id in searches:
            by_group[group_of(search_id)].append(search_id)
    assert told == owed


class Streams:
    """Two senders that keep time and send the same people, one half a beat behind the other."""

    def __init__(self, healthy: FarSide) -> None:
        self._healthy = healthy
        self._serial = 0
        self.sent: Counter[Gate] = Counter()

    async def round(self, gate: Gate) -> list[float]:
        """Send for a while; return each delivery's milliseconds from sending it to its arrival at the healthy sink."""
        count = round(ROUND_S * STREAM_PER_S)
        plan = []
        for beat in range(2 * count):
            group = beat // 2 % GROUPS
            search_id = f"search_{self._serial + beat}_{group}"
            plan.append((search_id, push(search_id, range(group * GROUP, (group + 1) * GROUP))))
        self._serial += 2 * count
        sent_ns: dict[str, int] = {}
        begun_s = time.monotonic() + 0.3  # what came due while the process was frozen is over by then

        async def stream(first: int) -> None:
            for beat in range(first, 2 * count, 2):
                await asyncio.sleep(begun_s + beat / (2 * STREAM_PER_S) - time.monotonic())
                search_id, body = plan[beat]
                sent_ns[search_id] = time.monotonic_ns()
                await gate.push(body)

        await asyncio.gather(stream(0), stream(1))
        self.sent[gate] += 2 * count
        taken: dict[str, int] = {}

        async def arrived() -> bool:
            taken.update((await self._healthy.report())["taken"])
            return sent_ns.keys() <= taken.keys()

        await until("everything at the healthy sink", arrived, within_s=30)
        return [(taken[search_id] - sent) / 1e6 for search_id, sent in sent_ns.items()]


def show_bulkheads(pairs: Sequence[tuple[list[float], list[float]]]) -> None:
    def cuts(latencies: Sequence[float]) -> tuple[float, float]:
        percents = statistics.quantiles(latencies, n=100)
        return percents[49], percents[98]

    # Medians over rounds: a round in which the machine did something else says nothing about the sinks.
    rounds = [[cuts(pair[side]) for pair in pairs] for side in (0, 1)]
    one, two = ([statistics.median(each[cut] for each in side) for cut in (0, 1)] for side in rounds)
    ratios = sorted(beside[1] / alone[1] for alone, beside in zip(*rounds, strict=True))
    pooled = [cuts([each for pair in pairs for each in pair[side]])[1] for side in (0, 1)]
    print(
        f"\nbulkheads, {2 * STREAM_PER_S} deliveries/s of {GROUP} records from two streams with the same people,",
        end=" ",
    )
    print(
        f"{len(pairs)} paired rounds of {ROUND_S} s;\n  from sending to arrival at the healthy sink, medians of the rounds:"
    )
    print(f"  alone                              p50 {one[0]:6.2f} ms  p99 {one[1]:6.2f} ms")
    print(f"  beside one that hangs, one of 500s p50 {two[0]:6.2f} ms  p99 {two[1]:6.2f} ms")
    print(f"  ratio of p99 {two[1] / one[1]:.2f} (by round from {ratios[0]:.2f} to {ratios[-1]:.2f};", end=" ")
    print(f"p99 of all rounds together {pooled[0]:.0f} and {pooled[1]:.0f} ms), of p50 {two[0] / one[0]:.2f}")
    assert two[1] < 3 * one[1]


@dataclass(frozen=True)
class Cost:
    """What a batch cost: requests in all, and writes of contacts among them."""

    requests: int
    writes: int


@pytest.mark.benchmark
@pytest.mark.timeout(120)
async def test_poison(tmp_path: Path) -> None:
    """One record of a hundred that HubSpot refuses costs at most 16 writes, and with trace ids at most 4."""
    async with World(tmp_path) as world:
        hubspot = await world.far_side("hubspot", 0, 1_000_000)
        report = await hubspot.report()
        settings = HubspotSettings(kind="hubspot", base_url=hubspot.url, token=report["token"])
        costs: dict[bool, list[tuple[Cost, Cost]]] = {True: [], False: []}
        people = iter(range(0, 10_000, 100))
        for trace_ids, places in costs.items():
            sink = make_sink(settings, trace_ids=trace_ids)
            await sink.open()
            try:
                for place in (0, 37, 50, 99):
                    clean = await cost_of(sink, hubspot, next(people), poison=None)
                    bad = await cost_of(sink, hubspot, next(people), poison=place)
                    places.append((clean, bad))
            finally:
                await sink.close()
    for trace_ids, pairs in costs.items():
        writes = [bad.writes for _, bad in pairs]
        extra = [bad.requests - clean.requests for clean, bad in pairs]
        print(f"\npoison, 1 record of 100, {'with' if trace_ids else 'without'} trace ids, at 4 places:", end=" ")
        print(f"writes of contacts {min(writes)} to {max(writes)},", end=" ")
        print(
            f"requests in all {min(bad.requests for _, bad in pairs)} to {max(bad.requests for _, bad in pairs)}",
            end=" ",
        )
        print(f"({min(extra)} to {max(extra)} more than for 100 good ones)")
        assert max(writes) <= (4 if trace_ids else 16)


def make_sink(settings: HubspotSettings, *, trace_ids: bool) -> HubspotSink:
    """Return a sink as its settings make it, with or without trace ids."""
    context = make_context()
    token = settings.token.get_secret_value()
    client = HubSpotClient(
        base_url=settings.base_url,
        token=token,
        api_version=settings.api_version,
        now_ms=context.now_ms,
        jitter=context.jitter,
    )
    return HubspotSink(client, Objects(client, trace_ids=trace_ids), context, settings.options(), token=token)


async def cost_of(sink: HubspotSink, hubspot: FarSide, first: int, *, poison: int | None) -> Cost:
    """Deliver 100 new people, one of them with an address that HubSpot refuses; return what that took."""
    records = [normalise(PEOPLE.prospect(first + i), position=i, rules=Rules()) for i in range(100)]
    if poison is not None:
        records[poison] = replace(records[poison], business_email="nobody at example")
    batch = replace(make_batch(f"tsk_{first}", [], received_at_ms=RECEIVED_AT_MS + first), records=records)
    before = Counter((await hubspot.report())["by_path"])
    outcomes = await sink.deliver(batch)
    after = await hubspot.report()
    spent = Counter(after["by_path"]) - before
    refused = [one.position for one in outcomes if one.kind == "refused"]
    assert refused == ([] if poison is None else [poison])
    owed = {one.person_id for one in records if one.position not in refused}
    assert {one.person_id for one in records}.intersection(after["people"]) == owed
    assert after["duplicates"] == 0
    return Cost(spent.total(), sum(spent[f"POST /crm/objects/contacts/batch/{verb}"] for verb in ("upsert", "update")))
