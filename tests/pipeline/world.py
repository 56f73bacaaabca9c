"""A small world for the pipeline: a clock that is moved by hand, ids in order, deliveries, and sinks that follow a script."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from stibgate.domain.backoff import Policy
from stibgate.domain.event import JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.domain.routing import Condition, Route, Router
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.normalise import Rules
from stibgate.pipeline.dispatch import Dispatcher, Outlet
from stibgate.pipeline.drafts import AdmissionPolicy, Drafts
from stibgate.pipeline.fanout import Fanout
from stibgate.pipeline.intake import Incoming, Intake, Receipt
from stibgate.pipeline.source import Auth, Source
from stibgate.pipeline.worker import Worker
from stibgate.sandbox.samples import Sample, sample
from stibgate.signatures import PRESETS, Scheme, Secret, candidates, header_lookup, sign
from stibgate.sinks import Batch, Finding
from stibgate.stores import Inbox, Queue

NOW_MS = 1_779_043_330_004  # 2026-05-17T18:42:10.004Z
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_b2xkLXNlY3JldC1vZi10aGUtdGVzdHM1"
TOKEN = "tok_kX8v2Qm4Zr7Lw1Nc9Tb3"
HASH_KEY = b"k" * 32
_POLICY = ("readback", "adopt_unknown")
DAY_MS = 86_400_000
POLICY = Policy(schedule_s=(0, 5, 60), max_age_s=3600, timeout_s=10, concurrency=2, lease_s=30)

T_V1 = PRESETS["t_v1"][0]
SHA256_HEX = PRESETS["sha256_hex"][0]


@dataclass
class Clock:
    """Milliseconds since the epoch; moved by hand."""

    ms: int = NOW_MS

    def __call__(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def ids(prefix: str) -> Callable[[], str]:
    """Return a maker of ids in order: `dlv_1`, `dlv_2`, ..."""
    numbers = count(1)
    return lambda: f"{prefix}_{next(numbers)}"


def delivery(event_type: str = RECORDS_PUSHED, *, records: int = 2, serial: int = 1) -> Sample:
    """Return an invented delivery; two serials share nothing."""
    return sample(event_type, records=records, rng=random.Random(serial), serial=serial)


def job(*, records: int = 2, serial: int = 1) -> Sample:
    """Return an invented job event."""
    return delivery(JOB_SUCCEEDED, records=records, serial=serial)


def make_source(name: str = "stib", **settings) -> Source:
    """Return a source that signs as `t_v1` and goes to one sink, unless told otherwise."""
    usual = {
        "auth": Auth.SIGNATURE,
        "secrets": [Secret(SECRET, "1")],
        "schemes": candidates("t_v1"),
        "id_headers": ["stibnite-delivery-id"],
    }
    return Source(name, **{**usual, **settings})


def to_sinks(*sinks: str) -> Router:
    """Return a router that sends every record to each of *sinks*."""
    return Router([Route("all", Condition(), sinks)] if sinks else [])


def make_intake(inbox: Inbox, *sources: Source, now_ms: Callable[[], int], **settings) -> Intake:
    """Return an intake over *inbox*, for one usual source unless others are given."""
    policy = AdmissionPolicy(400 * DAY_MS, DAY_MS, **{key: settings.pop(key) for key in _POLICY if key in settings})
    router, new_id = settings.pop("router", to_sinks("drop")), settings.pop("new_id", ids("dlv"))
    drafts = Drafts(policy, router, new_id, settings.pop("job_sources", ()))
    usual = {"pins": {}, "drafts": drafts, "on_admitted": lambda: None}
    named = {source.name: source for source in sources or (make_source(),)}
    return Intake(named, inbox, now_ms=now_ms, **{**usual, **settings})


def signed(
    body: bytes, *, scheme: Scheme = T_V1, secret: str = SECRET, at_ms: int = NOW_MS, message_id: str = "msg_1"
) -> list[tuple[str, str]]:
    """Return the header pairs with which a sender proves *body*."""
    return sign(scheme, secret, body, unix_s=at_ms // 1000, message_id=message_id)


async def receive(
    intake: Intake,
    body: bytes,
    headers: Sequence[tuple[str, str]] = (),
    *,
    source: str = "stib",
    token: str | None = None,
) -> Receipt:
    """Send one delivery through *intake*, as the receiver does."""
    found, token_valid = intake.find(source, token)
    incoming = Incoming("req_1", header_lookup(headers), body, "192.0.2.1", token_valid, 0.0)
    return await intake.receive(found, incoming)


async def admit(intake: Intake, one: Sample, *, at_ms: int = NOW_MS) -> Receipt:
    """Send *one* signed as the usual source signs."""
    return await receive(intake, one.body, [*one.headers, *signed(one.body, at_ms=at_ms)])


def outcomes(batch: Batch, kind: OutcomeKind = OutcomeKind.WRITTEN) -> list[Outcome]:
    """Return *kind* for each record of *batch*."""
    return [Outcome(record.position, kind) for record in batch.records]


Act = Callable[[Batch], Awaitable[Sequence[Outcome]]]


@dataclass
class ScriptedSink:
    """A sink that remembers every batch and holds each task once; it does what its script says, then behaves.

    Attributes:
        script: What the next deliveries do: an exception is raised, a list returned, a function called.
        batches: Every batch that came, in order.
        held: What the far side has, by task id: the idempotency key at the sink.
    """

    script: list[BaseException | Sequence[Outcome] | Act] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    held: dict[str, list[str | None]] = field(default_factory=dict)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        self.batches.append(batch)
        act = self.script.pop(0) if self.script else None
        if isinstance(act, BaseException):
            raise act
        if callable(act):
            return await act(batch)
        if act is not None:
            return act
        self.held[batch.task_id] = [record.prospect_id or record.person_id for record in batch.records]
        return outcomes(batch)

    async def check(self) -> Sequence[Finding]:
        return ()

    async def close(self) -> None:
        """Nothing to let go."""


def make_fanout(queue: Queue, sinks: Sequence[str], *, now_ms: Callable[[], int]) -> Fanout:
    """Return a fan-out to *sinks* with the usual rules."""
    return Fanout(queue, to_sinks(*sinks), Rules(), now_ms=now_ms, new_id=ids("tsk"))


def make_dispatcher(
    queue: Queue, outlets: Mapping[str, Outlet], *, now_ms: Callable[[], int], **settings
) -> Dispatcher:
    """Return a dispatcher whose jitter is always in the middle."""
    return Dispatcher(queue, outlets, now_ms=now_ms, jitter=lambda: 0.5, hash_key=HASH_KEY, **settings)


def make_worker(queue: Queue, outlets: Mapping[str, Outlet], *, now_ms: Callable[[], int], **settings) -> Worker:
    """Return a worker that forwards everything from `stib` to every outlet."""
    fanout = make_fanout(queue, list(outlets), now_ms=now_ms)
    return Worker(queue, fanout, make_dispatcher(queue, outlets, now_ms=now_ms), now_ms=now_ms, **settings)
