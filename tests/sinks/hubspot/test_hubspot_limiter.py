"""Turns to send, as callers see them."""

import asyncio
import contextlib

import pytest

from stibgate.errors import SinkHeld
from stibgate.sinks.hubspot.limiter import Gate, Limiter
from stibgate.sinks.hubspot.pace import Flights, Lane, shape
from tests import virtual
from tests.sinks.hubspot.test_hubspot_pace import fullest
from tests.sinks.hubspot.transport import in_virtual_time


def headers(**figures: int) -> dict[str, str]:
    return {f"X-HubSpot-RateLimit-{name.replace('_', '-')}": str(value) for name, value in figures.items()}


async def saturate(limiter: Limiter, seconds: float, lane: Lane = Lane.NORMAL, workers: int = 8) -> list[float]:
    """Send as much as the limiter lets in *seconds*; return when each went."""
    loop, moments = asyncio.get_running_loop(), []
    end = loop.time() + seconds

    async def work():
        while True:
            async with limiter.slot(lane) as slot:
                if loop.time() >= end:
                    return
                slot.sent = True
                moments.append(loop.time())

    await asyncio.gather(*(work() for _ in range(workers)))
    return moments


@in_virtual_time
async def test_saturated_within_the_limit():
    """A minute of waiting work gets the whole rate, and no ten seconds more than the limit."""
    limiter = Limiter(virtual.now_ms)
    limiter.learn(headers(Max=190))
    moments = await saturate(limiter, 60)
    assert len(moments) >= 0.98 * 60 * 17.5
    assert fullest(moments, 10.0) <= 190


async def test_saturated_over_real_timers():
    """Real timers are late and lose nothing: at least 98 % of the allowed rate."""
    limiter = Limiter(lambda: 0)
    limiter.learn(headers(Max=1_000))
    moments = await saturate(limiter, 0.0)
    rate = shape(1_000)[0]
    await saturate(limiter, 0.6)  # uses the burst up
    started = asyncio.get_running_loop().time()
    moments = await saturate(limiter, 2.0)
    assert len(moments) >= 0.98 * rate * (asyncio.get_running_loop().time() - started) - 1


@in_virtual_time
async def test_the_slow_lane_takes_a_fifth_and_starves_nobody():
    """With both waiting, the slow lane gets about its fifth and the others the rest."""
    limiter = Limiter(virtual.now_ms)
    limiter.learn(headers(Max=190))
    normal, low = await asyncio.gather(saturate(limiter, 60), saturate(limiter, 60, Lane.LOW))
    assert 0.1 < len(low) / (len(low) + len(normal)) <= 0.2
    assert len(low) + len(normal) >= 0.98 * 60 * 17.5
    assert fullest(sorted(low + normal), 10.0) <= 190


@in_virtual_time
async def test_flights_bound_what_is_under_way():
    """Eight are under way at first, the ninth waits for one to land."""
    limiter = Limiter(virtual.now_ms)
    limiter.learn(headers(Max=1_000))
    most = now = 0

    async def fly():
        nonlocal most, now
        async with limiter.slot(Lane.NORMAL) as slot:
            slot.sent = True
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1

    await asyncio.gather(*(fly() for _ in range(30)))
    assert most == 8


@in_virtual_time
async def test_a_caller_that_gives_up_leaves_its_turn_to_others():
    """A turn is lost neither by who gives up while waiting nor by who is given it at the same moment."""
    limiter = Limiter(virtual.now_ms)
    limiter.flights = Flights(start=1, most=1)

    async def take():
        async with limiter.slot(Lane.NORMAL) as slot:
            slot.sent = True

    async with limiter.slot(Lane.NORMAL) as slot:
        slot.sent = True
        waiting = [asyncio.ensure_future(take()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
    waiting[0].cancel()  # its turn was given to it just now
    async with asyncio.timeout(5):
        await waiting[2]
        await take()


@in_virtual_time
async def test_a_second_try_goes_first():
    """A request that was sent before gets its next turn before those that never were."""
    limiter, order = Limiter(virtual.now_ms), []
    limiter.flights = Flights(start=1, most=1)

    async def take(name, *, again):
        async with limiter.slot(Lane.NORMAL, again=again) as slot:
            slot.sent = True
            order.append(name)

    async with limiter.slot(Lane.NORMAL) as slot:
        slot.sent = True
        tasks = [asyncio.ensure_future(take(name, again=name == "second")) for name in ("one", "two", "second")]
        await asyncio.sleep(1)
    await asyncio.gather(*tasks)
    assert order == ["second", "one", "two"]


@in_virtual_time
async def test_a_turn_that_was_not_used_is_given_back():
    """Who finds nothing to send costs nobody a token."""
    limiter = Limiter(virtual.now_ms)
    for _ in range(100):
        async with limiter.slot(Lane.NORMAL):
            pass
    assert asyncio.get_running_loop().time() == 0


@in_virtual_time
async def test_a_used_up_quota_sends_away():
    """With only the reserve left nobody waits for hours: the sink is held."""
    limiter = Limiter(virtual.now_ms)
    async with limiter.slot(Lane.NORMAL) as slot:
        slot.sent = True
        limiter.learn(headers(Daily=1_000, Daily_Remaining=15))
    with pytest.raises(SinkHeld) as held:
        async with limiter.slot(Lane.NORMAL):
            pass
    assert held.value.retry_after_s == pytest.approx(900, abs=1)
    await asyncio.sleep(held.value.retry_after_s)
    async with limiter.slot(Lane.NORMAL):
        pass


@in_virtual_time
async def test_those_who_wait_are_sent_away_too():
    """Whoever already waits when the quota ends hears of it as well."""
    limiter = Limiter(virtual.now_ms)
    limiter.flights = Flights(start=1, most=1)
    async with limiter.slot(Lane.NORMAL) as slot:
        slot.sent = True
        waiting = [asyncio.ensure_future(saturate(limiter, 9, workers=1)) for _ in range(3)]
        await asyncio.sleep(1)
        limiter.learn(headers(Daily=1_000, Daily_Remaining=0))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [SinkHeld] * 3


@pytest.mark.parametrize("text", ["", "-5", "many", "1" * 40, "0", "1", "٣"])
async def test_nonsense_in_headers_changes_nothing(text):
    """A figure that is none is not learned."""
    limiter = Limiter(lambda: 0)
    before = limiter.pace.rate
    limiter.learn({f"X-HubSpot-RateLimit-{name}": text for name in ("Max", "Daily", "Daily-Remaining")})
    assert limiter.pace.rate == before


@in_virtual_time
async def test_a_gate_lets_in_as_many_as_it_says():
    """At most so many inside, in order, and who gives up leaves no gap."""
    gate, inside, seen = Gate(Flights(start=2, most=2)), 0, []

    async def visit(number):
        nonlocal inside
        async with gate:
            inside += 1
            assert inside <= gate.flights.allowed
            seen.append(number)
            await asyncio.sleep(1)
            inside -= 1

    tasks = [asyncio.ensure_future(visit(number)) for number in range(8)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == [0, 1, 2, 4, 5, 6, 7]
