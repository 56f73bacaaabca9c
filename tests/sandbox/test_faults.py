"""Faults on demand: what each hits, how often, and that chance is repeatable."""

import asyncio

import aiohttp
import pytest

from stibgate.sandbox.stibnite import FAULTS, Pace, StibniteSandbox

USAGE = "/v1/usage"


async def statuses(world, count):
    """Return the status of *count* calls, 0 for one whose connection was cut."""
    found = []
    for _ in range(count):
        try:
            async with world.client.get(USAGE, headers={"x-api-key": world.sandbox.api_key}) as response:
                found.append(response.status)
        except aiohttp.ClientError:
            found.append(0)
    return found


@pytest.mark.parametrize(("fault", "status"), [("http429", 429), ("http500", 500)])
async def test_instead_of_work(make_world, fault, status):
    """`http429` and `http500` answer instead of the work, as the document says they look; nothing was done."""
    world = await make_world(faults=frozenset({fault}))
    async with world.client.get(USAGE, headers={"x-api-key": world.sandbox.api_key}) as response:
        assert response.status == status
        assert list(await response.json()) == ["message"]
        limits = {k.lower(): v for k, v in response.headers.items() if k.lower().startswith("x-ratelimit")}
    if fault == "http429":
        assert limits == {
            "x-ratelimit-limit": "6000",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1779043331",
        }
    world.sandbox.faults = frozenset()
    assert (await world.call("GET", USAGE))["requests"] == 0


async def test_slow(make_world, clock):
    """`slow` answers rightly, but late."""
    world = await make_world(faults=frozenset({"slow"}), pace=Pace(slow_s=7.0))
    assert (await world.call("GET", USAGE))["requests"] == 0
    assert clock.pauses == [7.0]


async def test_cut_answer(make_world):
    """`cut` does and bills what was asked, and breaks the connection before the answer."""
    world = await make_world(faults=frozenset({"cut"}))
    with pytest.raises(aiohttp.ClientError):
        await world.call("GET", "/v1/persons/search?q=7+owners")
    world.sandbox.faults = frozenset()
    assert await world.call("GET", USAGE) == {"requests": 1, "billable_records": 7}


async def test_openapi_is_spared(make_world):
    """No fault hits the description of the API."""
    world = await make_world(faults=frozenset({"http500", "http429", "cut", "slow"}))
    assert (await world.call("GET", "/openapi.json"))["openapi"] == "3.1.0"


async def test_rates_are_repeatable(make_world):
    """A rate hits about that share, the same calls for the same seed, and others for another."""
    seen = []
    for seed in (7, 7, 8):
        world = await make_world(seed=seed, faults={"http500": 0.3, "http429": 0.1, "slow": 0.0})
        assert world.sandbox.faults == {"http500": 0.3, "http429": 0.1, "slow": 0.0}
        seen.append(await statuses(world, 200))
    assert seen[0] == seen[1] != seen[2]
    assert 35 < seen[0].count(500) < 75
    assert 8 < seen[0].count(429) < 35


async def test_one_more_fault_changes_no_other(make_world):
    """Each fault has its own dice: what `http500` hits does not change with `slow`."""
    first = await statuses(await make_world(faults={"http500": 0.5}), 50)
    assert first == await statuses(await make_world(faults={"http500": 0.5, "slow": 0.5}), 50)


async def test_drop(make_world, receiver):
    """`drop` loses a delivery for good: it is never sent, and a push says that it was not delivered."""
    world = await make_world(faults=frozenset({"drop"}))
    await world.listen(receiver)
    job = await world.search("CMOs")
    assert job["status"] == "succeeded"
    token = {"authorization": await world.embed(receiver.url)}
    search = await world.call("POST", "/v1/prospecting/sessions", {"q": "CMOs"}, **token)
    path = f"/v1/prospecting/sessions/{search['search_id']}/push"
    answer = await world.call("POST", path, {"selection_mode": "page"}, **token)
    assert (answer["delivered"], answer["delivery_status"], answer["pushed_records"]) == (False, 0, 100)
    assert receiver.got == []
    assert [(sent.status, sent.attempts) for sent in world.sandbox.sent] == [(0, 0), (0, 0)]


async def test_reorder(make_world, receiver, clock):
    """`reorder` swaps job events: the second overtakes the first, the fourth the third."""
    delay_s = Pace().fault_delay_s

    async def pause(seconds):
        if seconds == delay_s:
            await asyncio.Event().wait()
        await clock.pause(seconds)

    world = await make_world(faults=frozenset({"reorder"}), pause=pause)
    await world.listen(receiver)
    ids = []
    for round_ in range(2):
        for _ in range(2):
            ids.append((await world.call("POST", "/v1/persons/search/jobs", {"q": "5 CMOs"}))["job_id"])
            while len(world.sandbox.sent) < len(ids):
                await asyncio.sleep(0)
        await world.sandbox.idle()
        assert len(receiver.got) == 2 * round_ + 2
    came = [job_id for got in receiver.got for job_id in ids if job_id.encode() in got.body]
    assert came == [ids[1], ids[0], ids[3], ids[2]]


async def test_reorder_does_not_wait_for_ever(make_world, receiver, clock):
    """With nobody to overtake it, a job event goes out after the delay."""
    world = await make_world(faults=frozenset({"reorder"}), pace=Pace(fault_delay_s=9.0))
    await world.listen(receiver)
    await world.search("CMOs")
    assert len(receiver.got) == 1
    assert 9.0 in clock.pauses


async def test_cut_delivery(make_world, receiver):
    """`cut` breaks a delivery in the middle of its body; a job event is tried again, and comes whole in the end."""

    async def pause(seconds):
        world.sandbox.faults = frozenset({"cut"} if seconds == Pace().job_step_s else ())

    world = await make_world(pause=pause)
    await world.listen(receiver)
    job = await world.call("POST", "/v1/persons/search/jobs", {"q": "CMOs"})
    await world.sandbox.idle()
    (sent,) = world.sandbox.sent
    assert (sent.subject_id, sent.status, sent.attempts) == (job["job_id"], 202, 2)
    whole = [got for got in receiver.got if len(got.body) == int(got.header("content-length"))]
    assert len(whole) == 1


async def test_duplicate_at_a_rate(make_world, receiver):
    """A delivery fault takes a rate too."""
    world = await make_world(faults={"duplicate": 0.5})
    await world.listen(receiver)
    for _ in range(40):
        await world.search("1 CMO")
    assert 50 < len(receiver.got) < 70
    assert len(receiver.got) == 40 + sum(sent.duplicates for sent in world.sandbox.sent)


@pytest.mark.parametrize("wrong", [{"gremlins"}, {"cut": 1.5}, {"cut": -0.1}, {"cut": float("nan")}, {"gremlins": 0.0}])
def test_refused(wrong, clock):
    """An unknown fault, or a rate that is no share, is refused at once, at the start and later."""
    with pytest.raises(ValueError, match="use"):
        StibniteSandbox(seed=7, now=clock.now, faults=wrong)
    sandbox = StibniteSandbox(seed=7, now=clock.now)
    with pytest.raises(ValueError, match="use"):
        sandbox.faults = wrong
    assert sandbox.faults == {}


def test_all_faults_are_there():
    """There are the faults that the contract names, and no others."""
    named = "duplicate, delay, reorder, drop, tamper, stale, http429, http500, slow, cut"
    assert set(named.split(", ")) == FAULTS
