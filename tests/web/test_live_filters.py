"""What can be asked of the live tail, and which lines are then shown."""

import pytest

from stibgate.errors import UsageError
from stibgate.web.live.filters import NAMES, read_filter
from tests.web.tail import KNOWN

DEAD = {"level": "error", "event": "task.dead", "sink": "crm", "delivery_id": "dlv_1", "outcomes": {"refused": 2}}
LET_IN = {"level": "info", "event": "delivery.accepted", "source": "push", "delivery_id": "dlv_1", "search_id": "s,1"}
HEARD = {"level": "warning", "event": "library.logged"}
LINES = {"dead": DEAD, "in": LET_IN, "heard": HEARD}


def shown(*pairs):
    wanted = read_filter(pairs, KNOWN)
    return {name for name, line in LINES.items() if wanted.lets(line)}


@pytest.mark.parametrize(
    "pairs, expected",
    [
        ([], {"dead", "in", "heard"}),
        ([("source", "push")], {"in"}),
        ([("source", "jobs")], set()),
        ([("source", "push,jobs")], {"in"}),
        ([("sink", "crm"), ("sink", "drop")], {"dead"}),
        ([("event", "task.*")], {"dead"}),
        ([("event", "task.dead,delivery.accepted")], {"dead", "in"}),
        ([("event", "*.*e*d")], {"dead", "in", "heard"}),
        ([("event", "task.de")], set()),
        ([("event", "task")], set()),
        ([("level", "info")], {"dead", "in", "heard"}),
        ([("level", "warning")], {"dead", "heard"}),
        ([("level", "critical")], set()),
        ([("delivery_id", "dlv_1")], {"dead", "in"}),
        ([("delivery_id", "dlv_1"), ("level", "error")], {"dead"}),
        ([("delivery_id", "dlv_2")], set()),
        ([("state", "dead")], {"dead"}),
        ([("state", "accepted,dead")], {"dead", "in"}),
        ([("state", "accepted"), ("event", "task.*")], set()),
        ([("outcome", "refused")], {"dead"}),
        ([("outcome", "created,refused")], {"dead"}),
        ([("outcome", "created")], set()),
    ],
)
def test_which_lines_are_shown(pairs, expected):
    """Each filter must hold; of several values of one any will do; a level means it and all above."""
    assert shown(*pairs) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_filter_is_looked_at(name):
    """A filter that no line fits shows nothing: none is taken and then forgotten."""
    nothing = {"level": "critical", "state": "partial", "outcome": "skipped", "source": "jobs", "sink": "drop"}
    assert shown((name, nothing.get(name, "nobody.here"))) == set()


@pytest.mark.parametrize(
    "pairs",
    [
        [("sources", "push")],
        [("", "x")],
        [("source", "")],
        [("source", " , ")],
        [("source", "pusch")],
        [("sink", "Drop")],
        [("state", "processing")],
        [("state", "done")],
        [("outcome", "dead")],
        [("level", "loud")],
        [("level", "info,error")],
        [("event", "task.dead|.*")],
        [("event", "(a+)+$")],
        [("reason", "x" * 201)],
        [("reason", ",".join(map(str, range(101))))],
    ],
)
def test_what_cannot_be_asked_is_refused(pairs):
    """A filter that could not be applied is an error with a hint, never an unfiltered tail."""
    with pytest.raises(UsageError) as error:
        read_filter(pairs, KNOWN)
    assert error.value.hint


def test_the_same_wishes_are_the_same_filter():
    """Order and spelling of a query do not matter: those who want the same share the work."""
    one = read_filter([("event", "task.*"), ("source", "jobs,push"), ("state", "dead")])
    two = read_filter([("state", "dead"), ("source", "push"), ("source", " jobs "), ("event", "task.*")])
    assert one == two
    assert len({one, two}) == 1


def test_a_pattern_with_many_stars_is_no_trap():
    """The longest pattern that is taken is matched in no time."""
    wanted = read_filter([("event", "*a" * 100)])
    assert not wanted.lets({"level": "info", "event": "a" * 60})
