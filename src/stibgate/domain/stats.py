"""Charts and totals: what was counted over a stretch of time, period by period."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stibgate.domain.fact import Answer
from stibgate.domain.tally import MINUTE_MS, QUARTER_MS, SPANS_MS, Counted, Key, Series, quantiles
from stibgate.domain.task import OutcomeKind, Signal

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WINDOWS: Mapping[str, tuple[int, int]] = {
    "1h": (HOUR_MS, MINUTE_MS),
    "24h": (DAY_MS, QUARTER_MS),
    "7d": (7 * DAY_MS, 2 * HOUR_MS),
}
"""What the charts show: how far back, and in which steps; both in milliseconds."""

PERIODS_MAX = 2_000
_SHARES = (0.5, 0.95, 0.99)
_FAILED = frozenset({Signal.UNAVAILABLE, Signal.REJECTED, Signal.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Durations in milliseconds that half, 95 and 99 of a hundred did not exceed; None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What a source sent.

    Attributes:
        answers: Outcome -> how often; see `domain.fact.Answer`.
        records: The records of accepted deliveries.
        reasons: Why it was refused -> how often.
        ack_ms: How long acknowledgements took.
    """

    answers: Mapping[str, int] = field(default_factory=dict)
    records: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    ack_ms: Quantiles = Quantiles()

    @property
    def accepted(self) -> int:
        """How many deliveries were new."""
        return self.answers.get(Answer.ACCEPTED, 0)

    @property
    def rejected(self) -> int:
        """How many requests were refused."""
        return self.answers.get(Answer.REJECTED, 0)


@dataclass(frozen=True, slots=True)
class SinkStats:
    """What became of attempts and records at a sink.

    Attributes:
        attempts: How an attempt ended -> how often; see `domain.task.Signal`.
        outcomes: What became of a record -> how many.
        dead: Tasks that were given up.
        attempt_ms: How long attempts took.
    """

    attempts: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    dead: int = 0
    attempt_ms: Quantiles = Quantiles()

    @property
    def ok(self) -> int:
        """How many records the sink took."""
        return sum(count for kind, count in self.outcomes.items() if OutcomeKind(kind).done)

    @property
    def refused(self) -> int:
        """How many records it refused for good."""
        return self.outcomes.get(OutcomeKind.REFUSED, 0)

    @property
    def failed(self) -> int:
        """How many attempts failed."""
        return sum(count for signal, count in self.attempts.items() if signal in _FAILED)


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same periods; every line has a number for each period, zero where nothing happened.

    Attributes:
        at_ms: When each period began, oldest first; the last one is the last with data.
        accepted: Source -> new deliveries.
        rejected: Source -> refused requests; `-` for those that named no source.
        delivered: Sink -> records that it took.
        refused: Sink -> records that it refused.
        failed: Sink -> attempts that failed.
        ack_p50_ms: None in a period without acknowledgements: there is no duration of nothing.
    """

    at_ms: Sequence[int]
    step_ms: int
    accepted: Mapping[str, Sequence[int]]
    rejected: Mapping[str, Sequence[int]]
    delivered: Mapping[str, Sequence[int]]
    refused: Mapping[str, Sequence[int]]
    failed: Mapping[str, Sequence[int]]
    ack_p50_ms: Sequence[float | None]
    ack_p99_ms: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Stats:
    """What was counted from *since_ms* to *until_ms*: the sums, and the lines of the charts.

    Attributes:
        since_ms: The beginning of the first period that was added up, which may lie before what was asked for.
        sources: By name, and under `-` what named no source.
        ack_ms: How long acknowledgements of all sources took.
    """

    since_ms: int
    until_ms: int
    sources: Mapping[str, SourceStats]
    sinks: Mapping[str, SinkStats]
    ack_ms: Quantiles
    chart: Chart

    @property
    def accepted(self) -> int:
        """How many deliveries were new."""
        return sum(source.accepted for source in self.sources.values())

    @property
    def records(self) -> int:
        """How many records they had."""
        return sum(source.records for source in self.sources.values())

    @property
    def rejected(self) -> int:
        """How many requests were refused."""
        return sum(source.rejected for source in self.sources.values())

    @property
    def rejected_share(self) -> float:
        """The refused part of all requests, 0 to 1."""
        return self.rejected / max(sum(sum(source.answers.values()) for source in self.sources.values()), 1)


def span_of(step_ms: int) -> int:
    """Return the longest span of `SPANS_MS` that periods of *step_ms* are made of.

    Raises:
        ValueError: *step_ms* is no whole number of minutes.
    """
    if step_ms <= 0 or step_ms % MINUTE_MS:
        raise ValueError(f"a step of {step_ms} ms is no whole number of minutes")
    return max(span for span in SPANS_MS if step_ms % span == 0)


def stats_of(counted: Sequence[Counted], *, since_ms: int, until_ms: int, step_ms: int) -> Stats:
    """Return the statistics of *counted*: the numbers of every period of *step_ms* from *since_ms* on.

    Raises:
        ValueError: There would be more than `PERIODS_MAX` periods.
    """
    first_ms = since_ms - since_ms % step_ms
    if (until_ms - first_ms) // step_ms > PERIODS_MAX:
        raise ValueError(f"more than {PERIODS_MAX} periods; take longer steps")
    sums: dict[_Of, Counter[str]] = defaultdict(Counter)
    for _, key, value in counted:
        sums[key.series, key.subject][key.word] += value
    sources = _subjects(sums, Series.ANSWERS)
    return Stats(
        first_ms,
        until_ms,
        {name: _source(sums, name) for name in sources},
        {name: _sink(sums, name) for name in _subjects(sums, Series.ATTEMPTS, Series.OUTCOMES, Series.DEAD)},
        _quantiles(sum((sums[Series.ACK_MS, name] for name in sources), Counter())),
        _chart(counted, first_ms=first_ms, step_ms=step_ms),
    )


_Of = tuple[Series, str]


def _subjects(sums: Mapping[_Of, object], *series: Series) -> Sequence[str]:
    return sorted({subject for one, subject in sums if one in series})


def _source(sums: Mapping[_Of, Counter[str]], name: str) -> SourceStats:
    # Plain dicts: `asdict` would make counts of a Counter's pairs.
    return SourceStats(
        dict(sums[Series.ANSWERS, name]),
        sums[Series.RECORDS, name].total(),
        dict(sums[Series.REJECTED, name]),
        _quantiles(sums[Series.ACK_MS, name]),
    )


def _sink(sums: Mapping[_Of, Counter[str]], name: str) -> SinkStats:
    return SinkStats(
        dict(sums[Series.ATTEMPTS, name]),
        dict(sums[Series.OUTCOMES, name]),
        sums[Series.DEAD, name].total(),
        _quantiles(sums[Series.ATTEMPT_MS, name]),
    )


def _quantiles(buckets: Mapping[str, int]) -> Quantiles:
    return Quantiles(*quantiles(buckets, _SHARES))


def _chart(counted: Sequence[Counted], *, first_ms: int, step_ms: int) -> Chart:
    last_ms = max((number.at_ms for number in counted), default=first_ms - step_ms)
    at_ms = range(first_ms, last_ms + 1, step_ms)
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0] * len(at_ms)))
    acknowledged: list[Counter[str]] = [Counter() for _ in at_ms]
    for number_at_ms, key, value in counted:
        period = (number_at_ms - first_ms) // step_ms
        if key.series is Series.ACK_MS:
            acknowledged[period][key.word] += value
        elif (line := _line_of(key)) is not None:
            lines[line][key.subject][period] += value
    waits = [quantiles(buckets, (0.5, 0.99)) for buckets in acknowledged]
    return Chart(
        at_ms=at_ms,
        step_ms=step_ms,
        **{line: {name: lines[line][name] for name in sorted(lines[line])} for line in _LINES},
        ack_p50_ms=[middle for middle, _ in waits],
        ack_p99_ms=[slow for _, slow in waits],
    )


_LINES = ("accepted", "rejected", "delivered", "refused", "failed")


def _line_of(key: Key) -> str | None:
    """Return the line that *key* belongs to."""
    match key.series:
        case Series.ANSWERS:
            return key.word if key.word in {Answer.ACCEPTED, Answer.REJECTED} else None
        case Series.OUTCOMES:
            kind = OutcomeKind(key.word)
            return "delivered" if kind.done else "refused" if kind is OutcomeKind.REFUSED else None
        case Series.ATTEMPTS:
            return "failed" if key.word in _FAILED else None
        case _:
            return None
