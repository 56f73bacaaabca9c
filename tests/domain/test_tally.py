"""What is counted of what happened."""

import itertools
import random

import pytest

from stibgate.domain.circuit import CircuitState
from stibgate.domain.fact import Answer, Answered, Attempted, CircuitMoved, GaveUp, Proof
from stibgate.domain.tally import BOUNDS_MS, bucket, counts_of, quantiles
from stibgate.domain.task import OutcomeKind, Signal


def counted(fact):
    """Return what *fact* adds, as text."""
    return {f"{key.series} {key.subject} {key.word}".strip(): value for key, value in counts_of(fact)}


def test_answers():
    """An answer counts by source and outcome; records once, when they are new; waits and signatures when we took it."""
    assert counted(Answered("push", Answer.ACCEPTED, 202, 0.0047, records=20)) == {
        "answers push accepted": 1,
        "records push": 20,
        "ack_ms push 4.7": 1,
    }
    duplicate = Answered("push", Answer.DUPLICATE, 202, 0.001, records=20)
    assert counted(duplicate) == {"answers push duplicate": 1, "ack_ms push 1": 1}
    signed = Answered("jobs", Answer.DUPLICATE, 202, 0.001, proof=Proof("t_v1", "2", 0.1))
    assert counted(signed)["proved jobs t_v1/2"] == 1
    refused = Answered(None, Answer.REJECTED, 404, 9.0, "unknown_source")
    assert counted(refused) == {"answers - rejected": 1, "rejected - unknown_source": 1}
    assert counted(Answered("push", Answer.FAILED, 503, 9.0, "store")) == {"answers push failed": 1}


def test_attempts():
    """An attempt counts by how it ended, how long it took, and what became of records; a task dies once."""
    split = Attempted("crm", Signal.SPLIT, 0.25, 1.0, {OutcomeKind.CREATED: 3, OutcomeKind.REFUSED: 1})
    assert counted(split) == {
        "attempts crm split": 1,
        "attempt_ms crm 270": 1,
        "outcomes crm created": 3,
        "outcomes crm refused": 1,
    }
    assert counted(Attempted("crm", Signal.REJECTED, 1e9, 1.0))["dead crm"] == 1
    assert counted(Attempted("crm", Signal.REJECTED, 1e9, 1.0))["attempt_ms crm 100000"] == 1
    assert "dead crm" not in counted(Attempted("crm", Signal.UNAVAILABLE, 1, 1))
    assert counted(GaveUp("crm")) == {"dead crm": 1}
    assert counted(CircuitMoved("crm", CircuitState.OPEN)) == {}


def test_percentiles_are_close():
    """A percentile that is told from buckets is off by less than the fifth that a bucket is wide."""
    dice = random.Random(7)
    times = sorted(dice.lognormvariate(2, 1) for _ in range(5_000))
    buckets: dict[str, int] = {}
    for duration_ms in times:
        name = bucket(duration_ms)
        buckets[name] = buckets.get(name, 0) + 1
    for share, told in zip((0.5, 0.95, 0.99), quantiles(buckets, (0.5, 0.95, 0.99)), strict=True):
        assert told == pytest.approx(times[int(share * len(times))], rel=0.1)
    assert quantiles({}, (0.5,)) == (None,)
    assert quantiles({"1": 4}, (0.0, 0.5, 1.0)) == (0.82, 0.91, 1.0)


def test_buckets():
    """Every duration has its bucket, whose bound it does not exceed while there is one."""
    assert list(BOUNDS_MS) == sorted(BOUNDS_MS)
    assert all(after / before < 1.26 for before, after in itertools.pairwise(BOUNDS_MS))
    assert {bucket(bound) for bound in BOUNDS_MS} == {f"{bound:g}" for bound in BOUNDS_MS}
    assert (bucket(0), bucket(0.1001), bucket(1e12)) == ("0.1", "0.12", "100000")
