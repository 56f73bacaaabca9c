"""What is counted: each fact becomes steps of the tables, and every label one of a closed set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stibgate.app.metrics.tables import Counter, Histogram
from stibgate.domain.circuit import CircuitState
from stibgate.domain.event import QuarantineReason
from stibgate.domain.fact import (
    Answer,
    Answered,
    Attempted,
    Called,
    CircuitMoved,
    Committed,
    Fact,
    GaveUp,
    Looked,
    Normalised,
    QuotaLearned,
    Replayed,
    StoreTrouble,
    Throttled,
)
from stibgate.domain.task import OutcomeKind, Signal
from stibgate.events import READERS
from stibgate.pipeline.drafts import NOT_ROUTED, UNKNOWN_EVENT
from stibgate.signatures.presets import PRESETS
from stibgate.views.rejections import MEANINGS

OTHER = "other"
REASONS = frozenset({"", OTHER, "store", NOT_ROUTED, UNKNOWN_EVENT, *MEANINGS, *QuarantineReason})
"""Why a request was not accepted, as the log says it."""
SCHEMES = frozenset({*PRESETS, "custom"})
EVENT_TYPES = frozenset(READERS)

ATTEMPTED = (
    Signal.TAKEN,
    Signal.SPLIT,
    Signal.UNAVAILABLE,
    Signal.REJECTED,
    Signal.EXHAUSTED,
    Signal.HELD,
)
_STATUSES = frozenset(HTTPStatus)
_GIVEN_UP = frozenset({Signal.REJECTED, Signal.EXHAUSTED})
_DELIVERED = frozenset({Signal.TAKEN, Signal.SPLIT})


@dataclass(frozen=True, slots=True)
class Names:
    """What the configuration names, which labels may be."""

    sources: frozenset[str] = frozenset()
    sinks: frozenset[str] = frozenset()


class Tally:
    """Counts facts; never more series than configured names and closed words allow.

    Args:
        names: What the configuration names.
        now_s: The clock, in seconds since the epoch.
    """

    def __init__(self, names: Names, *, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.served = Histogram("http_server_request_duration_seconds")
        self.requests = Counter("stibgate_receive_requests_total")
        self.conflicts = Counter("stibgate_receive_conflicts_total")
        self.body_bytes = Histogram("stibgate_receive_body_bytes")
        self.records = Counter("stibgate_receive_records_total")
        self.skew = Histogram("stibgate_receive_clock_skew_seconds")
        self.verified = Counter("stibgate_signature_verifications_total")
        self.normalised = Counter("stibgate_normalise_records_total")
        self.issues = Counter("stibgate_normalise_field_issues_total")
        self.billed = Counter("stibgate_records_billed_total")
        self.attempts = Counter("stibgate_task_attempts_total")
        self.attempt_s = Histogram("stibgate_task_attempt_seconds")
        self.end_to_end = Histogram("stibgate_task_end_to_end_seconds")
        self.dead = Counter("stibgate_tasks_dead_total")
        self.replayed = Counter("stibgate_tasks_replayed_total")
        self.outcomes = Counter("stibgate_sink_records_total")
        self.circuits = Counter("stibgate_circuit_transitions_total")
        self.throttled = Counter("stibgate_sink_throttled_total")
        self.called = Histogram("http_client_request_duration_seconds")
        self.upstream = Counter("stibgate_upstream_requests_total")
        self.commit_s = Histogram("stibgate_store_commit_seconds")
        self.commit_rows = Histogram("stibgate_store_commit_rows")
        self.store_errors = Counter("stibgate_store_errors_total")
        self.last_accepted: dict[tuple[str, ...], float] = {}
        self.quotas: dict[tuple[str, ...], float] = {}
        self.rate_left: dict[tuple[str, ...], float] = {}
        self._of: Mapping[type, Callable[[Any], None]] = {
            Answered: self._answered,
            Looked: self._looked,
            Normalised: self._normalised,
            Attempted: self._attempted,
            GaveUp: self._gave_up,
            CircuitMoved: self._circuit_moved,
            Replayed: self._replayed,
            Committed: self._committed,
            Called: self._called,
            QuotaLearned: self._quota_learned,
            Throttled: lambda fact: self.throttled.add(fact.sink, fact.reason),
        }
        self.configure(names)

    @property
    def tables(self) -> tuple[Counter | Histogram, ...]:
        """Everything that is counted."""
        return tuple(table for table in vars(self).values() if isinstance(table, Counter | Histogram))

    def configure(self, names: Names) -> None:
        """Have a row for everything that *names* may bring, so that a first step is seen; rows of old names stay."""
        self._names = names
        for source in names.sources:
            self._begin_source(source)
        for sink in names.sinks:
            self._begin_sink(sink)
        self.commit_s.begin()
        self.commit_rows.begin()
        for trouble in StoreTrouble:
            self.store_errors.begin(trouble)

    def observe(self, fact: Fact) -> None:
        """Count *fact*."""
        count = self._of.get(type(fact))
        if count is not None:
            count(fact)

    def _begin_source(self, source: str) -> None:
        for outcome in (Answer.ACCEPTED, Answer.DUPLICATE):
            self.requests.begin(source, outcome, "")
        self.requests.begin(source, Answer.FAILED, "store")
        self.conflicts.begin(source)
        self.body_bytes.begin(source)
        self.billed.begin(source)
        self.last_accepted.setdefault((source,), self._now_s())
        for result in ("clean", "flagged"):
            self.normalised.begin(source, result)

    def _begin_sink(self, sink: str) -> None:
        for result in ATTEMPTED:
            self.attempts.begin(sink, result)
        for reason in _GIVEN_UP:
            self.dead.begin(sink, reason)
        for outcome in OutcomeKind:
            self.outcomes.begin(sink, outcome)
        for state in CircuitState:
            self.circuits.begin(sink, state)
        self.replayed.begin(sink)
        self.attempt_s.begin(sink)
        self.end_to_end.begin(sink)

    def _source(self, name: str | None) -> str:
        return name if name is not None and name in self._names.sources else ""

    def _answered(self, fact: Answered) -> None:
        source = self._source(fact.source)
        reason = fact.reason or ""
        self.served.observe(fact.duration_s, fact.method, fact.route, str(fact.http_status))
        self.requests.add(source, fact.outcome, reason if reason in REASONS else OTHER)
        if fact.event_type is None:
            return
        self.body_bytes.observe(fact.body_bytes, source)
        if fact.outcome is Answer.ACCEPTED:
            event_type = fact.event_type if fact.event_type in EVENT_TYPES else OTHER
            self.records.add(source, event_type, amount=fact.records)
            self.last_accepted[(source,)] = self._now_s()
        elif fact.conflict:
            self.conflicts.add(source)
        if fact.proof is not None:
            scheme = fact.proof.scheme if fact.proof.scheme in SCHEMES else OTHER
            self.verified.add(source, scheme, fact.proof.key_slot)
            if fact.proof.skew_s is not None:
                self.skew.observe(abs(fact.proof.skew_s), source)

    def _looked(self, fact: Looked) -> None:
        self.served.observe(fact.duration_s, fact.method, fact.route, str(fact.http_status))

    def _normalised(self, fact: Normalised) -> None:
        source = self._source(fact.source)
        self.normalised.add(source, "clean", amount=fact.records - fact.flagged)
        self.normalised.add(source, "flagged", amount=fact.flagged)
        self.billed.add(source, amount=fact.billed or 0)
        for issue, count in fact.issues.items():
            field, _, reason = issue.partition(".")
            self.issues.add(source, field, reason, amount=count)

    def _attempted(self, fact: Attempted) -> None:
        self.attempts.add(fact.sink, fact.signal)
        self.attempt_s.observe(fact.duration_s, fact.sink)
        for outcome, count in fact.outcomes.items():
            self.outcomes.add(fact.sink, outcome, amount=count)
        if fact.signal in _DELIVERED:
            self.end_to_end.observe(fact.end_to_end_s, fact.sink)
        elif fact.signal in _GIVEN_UP:
            self.dead.add(fact.sink, fact.signal)

    def _gave_up(self, fact: GaveUp) -> None:
        self.dead.add(fact.sink, Signal.EXHAUSTED)

    def _circuit_moved(self, fact: CircuitMoved) -> None:
        self.circuits.add(fact.sink, fact.state)

    def _replayed(self, fact: Replayed) -> None:
        self.replayed.add(fact.sink or "")

    def _committed(self, fact: Committed) -> None:
        if fact.rows:
            self.commit_s.observe(fact.duration_s)
            self.commit_rows.observe(fact.rows)
        for trouble in fact.trouble:
            self.store_errors.add(trouble)

    def _called(self, fact: Called) -> None:
        status = str(fact.http_status) if fact.http_status in _STATUSES else ""
        self.called.observe(fact.duration_s, fact.method, fact.server, status, fact.error)
        if not fact.operation:
            return
        self.upstream.add(fact.operation, fact.error or (f"{status[0]}xx" if status else OTHER))
        if fact.remaining is not None:
            self.rate_left[()] = fact.remaining

    def _quota_learned(self, fact: QuotaLearned) -> None:
        self.quotas[(fact.sink, fact.policy)] = fact.remaining
