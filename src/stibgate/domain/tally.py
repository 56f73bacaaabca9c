"""What is counted of what happened, per minute: names from closed sets and from the configuration, and nothing else.

Times are counted in buckets that are a fifth wide or less, so that a percentile of any stretch of time can be told
from the sums of its minutes.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from stibgate.domain.fact import Answer, Answered, Attempted, Fact, GaveUp
from stibgate.domain.task import TaskState, transition

MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS
SPANS_MS = (MINUTE_MS, QUARTER_MS)
"""What is added up: minutes to look closely, quarters of an hour to look far back."""

NO_SOURCE = "-"
"""The source of a request that named none of ours; no configured name looks like it."""

_STEPS = (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2)
BOUNDS_MS = (*(round(step * scale, 3) for scale in (0.1, 1, 10, 100, 1_000, 10_000) for step in _STEPS), 100_000.0)
"""The upper bounds of the buckets; what took longer than the last is counted there."""

_BUCKETS = tuple(f"{bound:g}" for bound in BOUNDS_MS)
_BOUND_OF = dict(zip(_BUCKETS, BOUNDS_MS, strict=True))
_BELOW = {_BUCKETS[0]: 0.0, **{_BUCKETS[at]: low for at, (low, _) in enumerate(pairwise(BOUNDS_MS), start=1)}}
_ANSWERED_FOR_GOOD = frozenset({Answer.ACCEPTED, Answer.DUPLICATE, Answer.IGNORED, Answer.QUARANTINED})


class Series(StrEnum):
    """What is counted; for each the subject and the word."""

    __hash__ = str.__hash__

    ANSWERS = "answers"  # source, outcome
    RECORDS = "records"  # source, none: the records of accepted deliveries
    ACK_MS = "ack_ms"  # source, bucket: of what was acknowledged
    REJECTED = "rejected"  # source, reason
    PROVED = "proved"  # source, `scheme/key_slot`: of what was acknowledged and signed
    ATTEMPTS = "attempts"  # sink, signal
    ATTEMPT_MS = "attempt_ms"  # sink, bucket
    OUTCOMES = "outcomes"  # sink, kind: records
    DEAD = "dead"  # sink, none: tasks


class Key(NamedTuple):
    """What one number counts."""

    series: Series
    subject: str
    word: str = ""


class Counted(NamedTuple):
    """One number of one period.

    Attributes:
        at_ms: When the period began.
    """

    at_ms: int
    key: Key
    value: int


def counts_of(fact: Fact) -> Iterator[tuple[Key, int]]:
    """Yield what *fact* adds to which numbers."""
    match fact:
        case Answered():
            yield from _of_answer(fact)
        case Attempted():
            yield Key(Series.ATTEMPTS, fact.sink, fact.signal), 1
            yield Key(Series.ATTEMPT_MS, fact.sink, bucket(fact.duration_s * 1000)), 1
            for kind, count in fact.outcomes.items():
                yield Key(Series.OUTCOMES, fact.sink, kind), count
            if transition(TaskState.LEASED, fact.signal) is TaskState.DEAD:
                yield Key(Series.DEAD, fact.sink), 1
        case GaveUp():
            yield Key(Series.DEAD, fact.sink), 1
        case _:
            return


def _of_answer(fact: Answered) -> Iterator[tuple[Key, int]]:
    source = fact.source or NO_SOURCE
    yield Key(Series.ANSWERS, source, fact.outcome), 1
    if fact.outcome in _ANSWERED_FOR_GOOD:
        yield Key(Series.ACK_MS, source, bucket(fact.duration_s * 1000)), 1
        if fact.proof is not None:
            yield Key(Series.PROVED, source, f"{fact.proof.scheme}/{fact.proof.key_slot}"), 1
        if fact.records and fact.outcome is Answer.ACCEPTED:
            yield Key(Series.RECORDS, source), fact.records
    elif fact.outcome is Answer.REJECTED and fact.reason is not None:
        yield Key(Series.REJECTED, source, fact.reason), 1


def bucket(duration_ms: float) -> str:
    """Return the bucket that *duration_ms* falls into."""
    return _BUCKETS[min(bisect_left(BOUNDS_MS, duration_ms), len(_BUCKETS) - 1)]


def quantiles(buckets: Mapping[str, int], shares: Sequence[float]) -> tuple[float | None, ...]:
    """Return for each of *shares* (0 to 1) the duration in ms that so many did not exceed; None of nothing.

    Within a bucket the durations are taken to be spread evenly.
    """
    total = sum(buckets.values())
    if not total:
        return (None,) * len(shares)
    ordered = sorted(buckets, key=_BOUND_OF.__getitem__)
    return tuple(_quantile(buckets, ordered, share * total) for share in shares)


def _quantile(buckets: Mapping[str, int], ordered: Sequence[str], rank: float) -> float:
    below = 0
    for name in ordered:
        count = buckets[name]
        if count and below + count >= rank:
            low, high = _BELOW[name], _BOUND_OF[name]
            return round(low + (high - low) * max(rank - below, 0.0) / count, 3)
        below += count
    return _BOUND_OF[ordered[-1]]
