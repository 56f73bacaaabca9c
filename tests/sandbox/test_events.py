"""Job events: what they carry, how they are signed, and how they are tried again."""

import asyncio
import base64
import hashlib
import hmac
import json

import pytest

from stibgate.sandbox.stibnite import FAULTS, Pace, StibniteSandbox
from stibgate.signatures import PRESETS

NOW = "1779043330"


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def proven(preset: str, secret: str, got) -> bool:
    """Whether *got* is signed in *preset*: written by hand from the senders' documents, not with our code."""
    sent = got.header("stibnite-signature")
    whole = secret.encode()
    if preset == "t_v1":
        stamp, digest = (part.partition("=")[2] for part in sent.split(","))
        return digest == mac(whole, stamp.encode(), b".", got.body).hex() and sent.startswith("t=")
    if preset == "sha256_hex":
        return sent == mac(whole, got.body).hex()
    if preset == "sha256_base64":
        return sent == base64.b64encode(mac(whole, got.body)).decode()
    if preset == "v0_timestamp":
        stamp = got.header("stibnite-timestamp").encode()
        return sent == "v0=" + mac(whole, b"v0:", stamp, b":", got.body).hex()
    assert preset == "standard_webhooks"
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = f"{got.header('stibnite-id')}.{got.header('stibnite-timestamp')}.".encode()
    return sent == "v1," + base64.b64encode(mac(key, signed, got.body)).decode()


@pytest.mark.parametrize("preset", PRESETS)
async def test_signed(make_world, receiver, preset):
    """Every job event is signed over the bytes that are sent, in the preset that was chosen."""
    world = await make_world(scheme=preset)
    endpoint = await world.listen(receiver)
    await world.search("150 CMOs")
    (got,) = receiver.got
    assert not got.body.isascii()
    assert proven(preset, endpoint["signing_secret"], got)
    assert not proven(preset, "whsec_" + "A" * 32, got)


@pytest.mark.parametrize(
    ("q", "event_type"),
    [("CMOs", "person_search.job.succeeded"), ("fail", "person_search.job.failed")],
)
async def test_full(world, receiver, q, event_type):
    """A full event is flat: its name, then exactly what GET answers for the job."""
    await world.listen(receiver)
    job = await world.search(q)
    (got,) = receiver.got
    assert json.loads(got.body) == {"event": event_type, **job}
    assert got.header("content-type") == "application/json"
    assert got.header("stibnite-event-type") == event_type


async def test_thin(make_world, receiver):
    """A thin event names the job and carries nobody."""
    world = await make_world(thin=True)
    await world.listen(receiver)
    job = await world.search("CMOs")
    assert json.loads(receiver.got[0].body) == {
        "event": "person_search.job.succeeded",
        "job_id": job["job_id"],
        "status": "succeeded",
        "created_at": "2026-05-17T18:42:10.000Z",
    }


async def test_same_seed_same_bodies(make_world, receiver):
    """The same seed and clock give the same keys, secrets and bodies; another seed gives others."""
    bodies = []
    for seed in (7, 7, 8):
        world = await make_world(seed=seed)
        endpoint = await world.listen(receiver)
        await world.search("CMOs")
        await world.search("40 owners", location_state="ID")
        bodies.append((world.sandbox.api_key, endpoint, [got.body for got in receiver.got]))
        receiver.got.clear()
    assert bodies[0] == bodies[1]
    assert bodies[0][2] != bodies[2][2]


async def test_retried(make_world, receiver, clock):
    """An event that is not taken is sent again: same body and id, fresh signature, longer and longer waits."""

    async def pause(seconds):
        clock.now_s += seconds
        await clock.pause(seconds)

    world = await make_world(scheme="standard_webhooks", pace=Pace(retry_delay_s=4.0), pause=pause)
    endpoint = await world.listen(receiver)
    receiver.statuses = [500, 404]
    job = await world.search("CMOs")
    assert [len({f(got) for got in receiver.got}) for f in (lambda g: g.body, lambda g: g.header("stibnite-id"))] == [
        1,
        1,
    ]
    assert len({got.header("stibnite-signature") for got in receiver.got}) == 3
    assert all(proven("standard_webhooks", endpoint["signing_secret"], got) for got in receiver.got)
    assert clock.pauses[-2:] == [4.0, 8.0]
    (sent,) = world.sandbox.sent
    assert (sent.kind, sent.subject_id, sent.status, sent.attempts) == ("job_event", job["job_id"], 202, 3)
    assert sent.body_sha256 == hashlib.sha256(receiver.got[0].body).hexdigest()


async def test_given_up(make_world, receiver):
    """After its retries an event is given up, with the last status on record; a redirect is not followed."""
    world = await make_world(pace=Pace(retries=2))
    await world.listen(receiver)
    receiver.statuses = [503, 503, 307]
    await world.search("CMOs")
    assert [got.path for got in receiver.got] == ["/hooks/jobs"] * 3
    assert (world.sandbox.sent[0].status, world.sandbox.sent[0].attempts) == (307, 3)


async def test_deleting_stops_retries(make_world, receiver, clock):
    """Deleting an endpoint stops the retries that were still to come."""
    pending = {}

    async def pause(seconds):
        if receiver.got and pending:
            await world.call("DELETE", f"/v1/webhooks/endpoints/{pending.pop('id')}")
        await clock.pause(seconds)

    world = await make_world(pause=pause)
    pending["id"] = (await world.listen(receiver))["id"]
    receiver.statuses = [500] * 9
    await world.search("CMOs")
    assert len(receiver.got) == 1


async def test_no_answer(world, unused_tcp_port):
    """A receiver that is not there is status 0, not an error of the sandbox."""
    await world.call("POST", "/v1/webhooks/endpoints", {"url": f"http://127.0.0.1:{unused_tcp_port}/"})
    await world.search("CMOs")
    assert (world.sandbox.sent[0].status, world.sandbox.sent[0].attempts) == (0, 4)


async def test_receiver_that_hangs(make_world, receiver):
    """A receiver that does not answer in time is status 0, and tried again."""
    receiver.release = asyncio.Event()
    world = await make_world(pace=Pace(timeout_s=0.3, retries=1))
    await world.listen(receiver)
    await world.search("CMOs")
    assert (world.sandbox.sent[0].status, world.sandbox.sent[0].attempts, len(receiver.got)) == (0, 2, 2)
    receiver.release.set()


async def test_resend(world, receiver, clock):
    """A resent delivery has the same bytes under a fresh timestamp, and is counted as a duplicate."""
    endpoint = await world.listen(receiver)
    await world.search("CMOs")
    clock.now_s += 60
    assert await world.sandbox.resend(0) == 202
    first, second = receiver.got
    assert first.body == second.body
    assert first.header("stibnite-signature") != second.header("stibnite-signature")
    assert all(proven("t_v1", endpoint["signing_secret"], got) for got in receiver.got)
    assert (world.sandbox.sent[0].duplicates, len(world.sandbox.sent)) == (1, 1)
    with pytest.raises(IndexError):
        await world.sandbox.resend(1)


async def test_fault_duplicate(make_world, receiver):
    """`duplicate` sends what was taken once more."""
    world = await make_world(faults=frozenset({"duplicate"}))
    await world.listen(receiver)
    await world.search("CMOs")
    assert receiver.got[0].body == receiver.got[1].body
    assert world.sandbox.sent[0].duplicates == 1


async def test_fault_tamper(make_world, receiver):
    """`tamper` changes the body after it was signed, and leaves it a JSON object."""
    world = await make_world(faults=frozenset({"tamper"}))
    endpoint = await world.listen(receiver)
    job = await world.search("CMOs")
    (got,) = receiver.got
    assert not proven("t_v1", endpoint["signing_secret"], got)
    assert json.loads(got.body)["job_id"] == job["job_id"]


async def test_fault_stale(make_world, receiver):
    """`stale` signs truly, but for a time that is long gone."""
    world = await make_world(faults=frozenset({"stale"}))
    endpoint = await world.listen(receiver)
    await world.search("CMOs")
    (got,) = receiver.got
    assert proven("t_v1", endpoint["signing_secret"], got)
    assert got.header("stibnite-signature").startswith(f"t={int(NOW) - 3600},")


async def test_fault_delay(make_world, receiver, clock):
    """`delay` holds a delivery back."""
    world = await make_world(faults=frozenset({"delay"}), pace=Pace(fault_delay_s=9.0))
    await world.listen(receiver)
    await world.search("CMOs")
    assert clock.pauses == [0.05, 0.05, 9.0]
    assert len(receiver.got) == 1


@pytest.mark.parametrize("wrong", [{"scheme": "rot13"}, {"faults": frozenset({"gremlins"})}])
def test_unknown_names(wrong, clock):
    """An unknown preset or fault is refused at once, with the names that there are."""
    with pytest.raises(ValueError, match="use"):
        StibniteSandbox(seed=7, now=clock.now, **wrong)
    assert {"duplicate", "delay", "tamper", "stale"} <= FAULTS


async def test_close_stops_everything(make_world, receiver):
    """Closing ends what is running, and may be done twice."""
    world = await make_world(pause=_for_ever)
    await world.listen(receiver)
    await world.call("POST", "/v1/persons/search/jobs", {"q": "CMOs"})
    await world.sandbox.close()
    await world.sandbox.close()
    await world.sandbox.idle()
    assert receiver.got == []


async def _for_ever(_seconds):
    await asyncio.Event().wait()
