"""Everything before the answer: who may come in, what is written, and what is said about it."""

import asyncio
import json

import pytest

from stibgate.domain.delivery import AdmissionStatus, DeliveryState
from stibgate.domain.event import JOB_FAILED, QuarantineReason
from stibgate.errors import AuthReason, DeliveryRefused, SignatureRefused, StoreTimeout, StoreUnavailable
from stibgate.pipeline.source import Auth, StalePolicy
from stibgate.signatures import PRESETS, Secret, candidates
from stibgate.stores import DeliveryFilter
from stibgate.stores.memory import MemoryStore
from tests.pipeline.world import (
    DAY_MS,
    NOW_MS,
    OLD_SECRET,
    SECRET,
    SHA256_HEX,
    TOKEN,
    Clock,
    admit,
    delivery,
    job,
    make_intake,
    make_source,
    receive,
    signed,
    to_sinks,
)
from tests.virtual import now_ms, run

EVERYTHING = DeliveryFilter()
GOOD, BAD, NONE = "good", "bad", "none"


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def clock():
    return Clock()


def stored(store: MemoryStore):
    return store.deliveries(EVERYTHING, limit=None)


def everything_of(store: MemoryStore) -> dict:
    """Return all that the store holds, to compare before and after."""
    return {name: dict(value) for name, value in vars(store).items() if isinstance(value, dict)}


# -- who may come in

_AUTH = {
    # auth, token, signature -> what happens
    (Auth.SIGNATURE, NONE, GOOD): "accepted",
    (Auth.SIGNATURE, NONE, BAD): AuthReason.MISMATCH,
    (Auth.SIGNATURE, NONE, NONE): AuthReason.MISSING,
    (Auth.SIGNATURE, BAD, GOOD): 404,
    (Auth.SIGNATURE, BAD, NONE): 404,
    (Auth.TOKEN, GOOD, GOOD): "accepted",
    (Auth.TOKEN, GOOD, BAD): "accepted",
    (Auth.TOKEN, GOOD, NONE): "accepted",
    (Auth.TOKEN, BAD, GOOD): 404,
    (Auth.TOKEN, BAD, NONE): 404,
    (Auth.TOKEN, NONE, GOOD): 404,
    (Auth.TOKEN, NONE, NONE): 404,
    (Auth.BOTH, GOOD, GOOD): "accepted",
    (Auth.BOTH, GOOD, BAD): AuthReason.MISMATCH,
    (Auth.BOTH, GOOD, NONE): AuthReason.MISSING,
    (Auth.BOTH, BAD, GOOD): 404,
    (Auth.BOTH, NONE, GOOD): 404,
    (Auth.BOTH, NONE, NONE): 404,
    (Auth.EITHER, GOOD, GOOD): "accepted",
    (Auth.EITHER, GOOD, BAD): "accepted",
    (Auth.EITHER, GOOD, NONE): "accepted",
    (Auth.EITHER, BAD, GOOD): 404,
    (Auth.EITHER, BAD, NONE): 404,
    (Auth.EITHER, NONE, GOOD): "accepted",
    (Auth.EITHER, NONE, BAD): AuthReason.MISMATCH,
    (Auth.EITHER, NONE, NONE): AuthReason.MISSING,
}


@pytest.mark.parametrize(("auth", "token", "signature"), _AUTH)
async def test_a_proof_is_what_the_source_asks_for(store, clock, auth, token, signature):
    """A delivery is stored when it brings the proofs that its source asks for, and else leaves nothing behind."""
    expected = _AUTH[auth, token, signature]
    tokens = () if auth is Auth.SIGNATURE else (TOKEN,)
    secrets = () if auth is Auth.TOKEN else (Secret(SECRET, "1"),)
    intake = make_intake(store, make_source(auth=auth, tokens=tokens, secrets=secrets), now_ms=clock)
    body = delivery().body
    headers = {GOOD: signed(body), BAD: signed(body, secret=OLD_SECRET), NONE: []}[signature]
    sent = {GOOD: TOKEN, BAD: TOKEN[:-1] + "x", NONE: None}[token]
    if expected == "accepted":
        assert (await receive(intake, body, headers, token=sent)).status is AdmissionStatus.ACCEPTED
        (held,) = stored(store)
        assert store.body(held.delivery_id) == body
        return
    with pytest.raises((SignatureRefused, DeliveryRefused)) as caught:
        await receive(intake, body, headers, token=sent)
    assert expected == (404 if isinstance(caught.value, DeliveryRefused) else caught.value.reason)
    assert everything_of(store) == everything_of(MemoryStore())


async def test_a_refused_source_keeps_no_request_alive(store, clock):
    """Every refusal of an unknown source is a new exception, so that no frame of an old request is kept."""
    intake = make_intake(store, now_ms=clock)
    caught = []
    for _ in range(2):
        with pytest.raises(DeliveryRefused) as refused:
            intake.find("nobody", None)
        caught.append(refused.value)
    assert caught[0] is not caught[1]
    assert caught[0].__traceback__.tb_next.tb_next is None


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET], ids=["newest", "older"])
async def test_any_live_secret_proves(store, clock, lines, secret):
    """During a rotation the newest and the older secret both prove, and the log says which one did."""
    secrets = [Secret(SECRET, "1"), Secret(OLD_SECRET, "2", NOW_MS / 1000 + 60)]
    intake = make_intake(store, make_source(secrets=secrets), now_ms=clock)
    body = delivery().body
    await receive(intake, body, signed(body, secret=secret))
    label = "1" if secret == SECRET else "2"
    assert [line["authenticated_by"] for line in lines.of("delivery.accepted")] == [f"t_v1/{label}"]


async def test_a_secret_ends_at_its_time(store, clock):
    """After its `not_after` a secret proves nothing more, and nothing is written."""
    secrets = [Secret(SECRET, "1"), Secret(OLD_SECRET, "2", NOW_MS / 1000 - 1)]
    intake = make_intake(store, make_source(secrets=secrets), now_ms=clock)
    body = delivery().body
    with pytest.raises(SignatureRefused) as caught:
        await receive(intake, body, signed(body, secret=OLD_SECRET))
    assert caught.value.reason is AuthReason.EXPIRED_SECRET
    assert not stored(store)


# -- pinning


def auto(**settings):
    return make_source(schemes=candidates("auto"), pinning=True, **settings)


async def test_the_first_proof_pins_its_scheme(store, clock, lines):
    """With `auto` the first delivery that verifies decides the scheme for good, and the log says so once."""
    intake = make_intake(store, auto(), now_ms=clock)
    first, second, third = (job(serial=n).body for n in range(3))
    await receive(intake, first, signed(first, scheme=SHA256_HEX))
    await receive(intake, second, signed(second, scheme=SHA256_HEX))
    with pytest.raises(SignatureRefused):
        await receive(intake, third, signed(third))
    assert len(stored(store)) == 2
    assert [line["scheme"] for line in lines.of("signature.pinned")] == ["sha256_hex"]


async def test_nothing_wrong_ever_pins(store, clock):
    """A delivery that fails, and one that a token admits, pin nothing."""
    intake = make_intake(store, auto(auth=Auth.EITHER, tokens=[TOKEN]), now_ms=clock)
    body = job().body
    with pytest.raises(SignatureRefused):
        await receive(intake, body, signed(body, secret=OLD_SECRET))
    await receive(intake, body, signed(body), token=TOKEN)
    assert await store.pins() == {}


async def test_a_pin_outlives_the_process(store, clock):
    """A scheme that was pinned before a restart is the only one accepted after it."""
    body = job().body
    await receive(make_intake(store, auto(), now_ms=clock), body, signed(body, scheme=SHA256_HEX))
    again = make_intake(store, auto(), now_ms=clock, pins=await store.pins())
    other = job(serial=2).body
    with pytest.raises(SignatureRefused):
        await receive(again, other, signed(other))
    assert (await receive(again, other, signed(other, scheme=SHA256_HEX))).status is AdmissionStatus.ACCEPTED


async def test_race_two_first_deliveries_two_schemes(clock, lines):
    """Of two first deliveries that come at once under different schemes exactly one pins, and the other is refused."""
    gate = asyncio.Event()

    class SlowPins(MemoryStore):
        async def pin(self, source, scheme):
            await gate.wait()
            return await super().pin(source, scheme)

    store = SlowPins()
    intake = make_intake(store, auto(), now_ms=clock)
    bodies = [job(serial=n).body for n in range(2)]
    coming = [
        asyncio.create_task(receive(intake, body, signed(body, scheme=scheme)))
        for body, scheme in zip(bodies, (PRESETS["t_v1"][0], SHA256_HEX), strict=True)
    ]
    await asyncio.sleep(0)
    gate.set()
    first, second = await asyncio.gather(*coming, return_exceptions=True)
    assert first.status is AdmissionStatus.ACCEPTED
    assert isinstance(second, SignatureRefused)
    assert len(stored(store)) == len(lines.of("signature.pinned")) == 1
    assert (await store.pins())["stib"]["name"] == "t_v1"


# -- time


async def test_a_stale_proof_is_refused(store, clock):
    """A valid signature older than the tolerance admits nothing by default."""
    intake = make_intake(store, now_ms=clock)
    body = job().body
    with pytest.raises(SignatureRefused) as caught:
        await receive(intake, body, signed(body, at_ms=NOW_MS - 301_000))
    assert caught.value.reason is AuthReason.STALE
    assert not stored(store)


async def test_a_stale_proof_of_something_new_may_be_taken(store, clock, lines):
    """With `accept_if_new` a valid but old signature admits a delivery whose key was never seen."""
    intake = make_intake(store, make_source(stale=StalePolicy.ACCEPT_IF_NEW), now_ms=clock)
    body = job().body
    receipt = await receive(intake, body, signed(body, at_ms=NOW_MS - DAY_MS))
    assert receipt.status is AdmissionStatus.ACCEPTED
    assert stored(store)[0].stale
    assert lines.of("delivery.accepted")[0]["stale"] is True


@pytest.mark.parametrize("change", [b"", b" "], ids=["same body", "conflict"])
async def test_a_stale_proof_of_something_known_leaves_no_trace(store, clock, change):
    """With `accept_if_new` an old signature on a known key is refused, and not even counted."""
    intake = make_intake(store, make_source(stale=StalePolicy.ACCEPT_IF_NEW), now_ms=clock)
    body = job().body
    await receive(intake, body, signed(body))
    before = everything_of(store)
    replayed = body + change
    with pytest.raises(SignatureRefused) as caught:
        await receive(intake, replayed, signed(replayed, at_ms=NOW_MS - DAY_MS))
    assert caught.value.reason is AuthReason.STALE
    assert everything_of(store) == before


async def test_a_stale_proof_never_profits_from_a_window(store, clock):
    """With `accept_if_new` a push that was seen is never new again to an old signature, not even after the window."""
    intake = make_intake(store, make_source(stale=StalePolicy.ACCEPT_IF_NEW), now_ms=clock)
    one = delivery()
    await admit(intake, one)
    before = everything_of(store)
    clock.advance(2 * 86_400)
    with pytest.raises(SignatureRefused):
        await admit(intake, one, at_ms=NOW_MS)
    assert everything_of(store) == before


async def test_the_future_is_refused(store, clock):
    """A signature from further ahead than the clocks may differ admits nothing, whatever `stale` says."""
    intake = make_intake(store, make_source(stale=StalePolicy.ACCEPT_IF_NEW), now_ms=clock)
    body = job().body
    with pytest.raises(SignatureRefused) as caught:
        await receive(intake, body, signed(body, at_ms=NOW_MS + 61_000))
    assert caught.value.reason is AuthReason.FUTURE
    assert not stored(store)


# -- once


async def test_twice_is_once(store, clock, lines):
    """The same job event again is answered as a duplicate of the first, kept once and logged as what it is."""
    intake = make_intake(store, now_ms=clock)
    one = job(records=3)
    first, second = await admit(intake, one), await admit(intake, one)
    assert (first.status, second.status) == (AdmissionStatus.ACCEPTED, AdmissionStatus.DUPLICATE)
    assert (second.delivery_id, second.records) == (first.delivery_id, 3)
    assert len(stored(store)) == 1
    assert [line["delivery_id"] for line in lines.of("delivery.duplicate")] == [first.delivery_id]


async def test_a_conflict_is_answered_as_a_duplicate_and_told_to_the_operator(store, clock, lines):
    """Another body under the same job is a duplicate to the sender and a warning to the operator."""
    intake = make_intake(store, now_ms=clock)
    one = job()
    first = await admit(intake, one)
    changed = one.body + b"\n"
    second = await receive(intake, changed, signed(changed))
    assert (second.status, second.delivery_id) == (AdmissionStatus.DUPLICATE, first.delivery_id)
    assert [line["level"] for line in lines.of("delivery.conflict")] == ["warning"]
    assert stored(store)[0].conflicts == 1


async def test_the_same_push_a_day_later_is_new(store, clock):
    """The same bytes after the window are a new delivery that names the earlier one."""
    intake = make_intake(store, now_ms=clock)
    one = delivery()
    first = await admit(intake, one, at_ms=clock())
    clock.advance(86_399)
    assert (await admit(intake, one, at_ms=clock())).status is AdmissionStatus.DUPLICATE
    clock.advance(1)
    last = await admit(intake, one, at_ms=clock())
    assert last.status is AdmissionStatus.ACCEPTED
    assert store.delivery(last.delivery_id).repeat_of == first.delivery_id


async def test_a_signed_id_wins(store, clock):
    """An id that the signature covers makes two deliveries the same, whatever their bodies say."""
    scheme = PRESETS["standard_webhooks"][0]
    source = make_source(schemes=candidates("standard_webhooks"))
    intake = make_intake(store, source, now_ms=clock)
    secret = Secret(SECRET, "1").value
    one, two = (job(serial=n).body for n in range(2))
    await receive(intake, one, signed(one, scheme=scheme, secret=secret, message_id="m1"))
    second = await receive(intake, two, signed(two, scheme=scheme, secret=secret, message_id="m1"))
    third = await receive(intake, two, signed(two, scheme=scheme, secret=secret, message_id="m2"))
    assert [second.status, third.status] == [AdmissionStatus.DUPLICATE, AdmissionStatus.ACCEPTED]


async def test_an_unsigned_id_is_evidence_only(store, clock):
    """An id that nothing proves is kept beside the delivery and decides nothing."""
    intake = make_intake(store, now_ms=clock)
    one, two = (job(serial=n) for n in range(2))
    for each in (one, two):
        receipt = await receive(intake, each.body, [*signed(each.body), ("Stibnite-Delivery-Id", "same")])
        assert receipt.status is AdmissionStatus.ACCEPTED
    assert [held.evidence for held in stored(store)] == [{"stibnite-delivery-id": "same"}] * 2


async def test_sources_share_no_keys(store, clock):
    """The same delivery from two sources is two deliveries."""
    sources = [make_source("stib"), make_source("other")]
    intake = make_intake(store, *sources, now_ms=clock)
    body = job().body
    receipts = [await receive(intake, body, signed(body), source=source.name) for source in sources]
    assert [receipt.status for receipt in receipts] == [AdmissionStatus.ACCEPTED] * 2


# -- what it is

_QUARANTINED = {
    b"": QuarantineReason.NOT_JSON_OBJECT,
    b"[1]": QuarantineReason.NOT_JSON_OBJECT,
    b'{"event": "\xff"}': QuarantineReason.NOT_JSON_OBJECT,
    b'{"a": ' * 64 + b"[]" + b"}" * 64: QuarantineReason.TOO_DEEP,
    b'{"event": "prospecting.records.pushed", "data": [{"x": NaN}]}': QuarantineReason.NOT_FINITE,
    b'{"event": "prospecting.records.pushed", "data": 7}': QuarantineReason.ENVELOPE,
    b'{"event": "person_search.job.succeeded", "job_id": "j1"}': QuarantineReason.RECORDS_MISSING,
}


@pytest.mark.parametrize(("body", "reason"), _QUARANTINED.items(), ids=range(len(_QUARANTINED)))
async def test_what_is_authentic_is_kept_whatever_its_shape(store, clock, body, reason):
    """An authentic body that is not understood is kept byte for byte, quarantined with its reason."""
    receipt = await receive(make_intake(store, now_ms=clock), body, signed(body))
    assert (receipt.status, receipt.reason) == (AdmissionStatus.QUARANTINED, reason)
    assert store.body(receipt.delivery_id) == body
    assert store.delivery(receipt.delivery_id).state is DeliveryState.QUARANTINED


@pytest.mark.parametrize(
    ("body", "routes", "reason"),
    [
        (b'{"event": "person_search.job.archived", "job_id": "j1"}', ["drop"], "event_type_unknown"),
        (delivery().body, [], "not_routed"),
    ],
)
async def test_what_nobody_wants_is_kept_and_ignored(store, clock, body, routes, reason):
    """An event of an unknown type, and records without a route, are kept as ignored, with the reason."""
    woken = []
    intake = make_intake(store, router=to_sinks(*routes), now_ms=clock, on_admitted=lambda: woken.append(1))
    receipt = await receive(intake, body, signed(body))
    assert (receipt.status, receipt.reason) == (AdmissionStatus.IGNORED, reason)
    assert store.body(receipt.delivery_id) == body
    assert not woken


async def test_a_failed_job_needs_no_route(store, clock):
    """A job that the vendor reports as failed is accepted although nothing will be forwarded."""
    intake = make_intake(store, router=to_sinks(), now_ms=clock)
    assert (await admit(intake, delivery(JOB_FAILED))).status is AdmissionStatus.ACCEPTED


@pytest.mark.parametrize(
    ("event_type", "logged"),
    [
        ("person_search.job.archived", "person_search.job.archived"),
        ("zoe@example.com", "other"),
        ("+12085550123", "other"),
        ("Zoe.Quist", "other"),
        ("zoequist", "other"),
        ("a." + "b" * 99, "other"),
    ],
)
async def test_an_event_type_is_logged_only_when_it_looks_like_one(store, clock, lines, event_type, logged):
    """The log repeats an unknown event type only when it is dotted lower-case words; the store keeps it as it came."""
    body = json.dumps({"event": event_type, "job_id": "j1"}).encode()
    intake = make_intake(store, now_ms=clock)
    receipt = await receive(intake, body, signed(body))
    await receive(intake, body, signed(body))
    assert [line["event_type"] for line in lines.all] == [logged, logged]
    assert store.delivery(receipt.delivery_id).event_type == event_type


# -- a store that hesitates


def test_no_answer_before_the_commit():
    """A receipt exists only once the store has the delivery."""

    async def main():
        commit = asyncio.Event()

        class Hesitating(MemoryStore):
            async def admit(self, delivery, *, only_if_new=False):
                await commit.wait()
                return await super().admit(delivery, only_if_new=only_if_new)

        store = Hesitating()
        coming = asyncio.create_task(admit(make_intake(store, now_ms=now_ms), job()))
        await asyncio.sleep(1)
        assert not coming.done()
        commit.set()
        assert store.body((await coming).delivery_id) == job().body

    run(main())


def test_a_commit_that_comes_too_late_is_still_worked_on():
    """When the store gives up waiting the sender is told to come again; what commits later is worked on all the same."""

    async def main():
        class Slow(MemoryStore):
            """Gives up after 5 s, and commits after 8 s all the same, as the writer's thread does."""

            async def admit(self, delivery, *, only_if_new=False):
                self.commit = asyncio.create_task(self._commit(delivery))
                await asyncio.sleep(5)
                raise StoreTimeout("the store did not confirm in time")

            async def _commit(self, delivery):
                await asyncio.sleep(8)
                return await super().admit(delivery)

            async def flush(self):
                await self.commit

        woken = asyncio.Event()
        store = Slow()
        intake = make_intake(store, now_ms=now_ms, on_admitted=woken.set)
        with pytest.raises(StoreTimeout):
            await admit(intake, job())
        assert now_ms() == NOW_MS + 5000
        assert not stored(store)
        await woken.wait()
        assert len(stored(store)) == 1

    run(main())


async def test_a_store_that_fails_admits_nothing(clock):
    """When the store refuses, so does intake, and nobody is woken."""

    class Broken(MemoryStore):
        async def admit(self, delivery, *, only_if_new=False):
            raise StoreUnavailable("the store failed")

    woken = []
    intake = make_intake(Broken(), now_ms=clock, on_admitted=lambda: woken.append(1))
    with pytest.raises(StoreUnavailable):
        await admit(intake, job())
    assert not woken
