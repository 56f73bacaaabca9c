"""Alarms: what was paid for and did not arrive, more than was allowed, usage of others, budgets near their end."""

from decimal import Decimal

import pytest

from stibgate.domain.budget import Budget, Period, Unit, window
from stibgate.domain.delivery import DeliveryState
from stibgate.domain.job import JobState
from stibgate.pipeline.alarms import GRACE_MS, AlarmKind, BudgetState, BudgetUse, alarms
from stibgate.stores import Spent, UsageNote
from tests.pipeline.bills import CANARY, NOW_MS, of_job, of_push


def use(limit, *, reserved=0, settled=0) -> BudgetUse:
    budget = Budget("team", Unit.THEHOG_CREDIT, Decimal(limit), Period.MONTH)
    return BudgetUse(budget, window(Period.MONTH, NOW_MS), Spent(Decimal(reserved), Decimal(settled)))


def kinds(*bills) -> list[AlarmKind]:
    return [alarm.kind for alarm in alarms(bills, now_ms=NOW_MS)]


FINE = [
    of_job(),
    of_push(),
    of_push(billed=0, delivered=0),  # owned before: nothing was paid
    of_push(billed=None, delivered=0),
    of_push(delivered=2, waiting=3),
    of_push(delivered=0, state=DeliveryState.ACCEPTED),
    of_push(delivered=0, state=DeliveryState.PROCESSING),
    of_job(billed=3, received=3, delivered=3),
    of_job(billed=None, received=0, delivered=0, brought=False, state=JobState.SUBMITTED),
    of_job(billed=None, received=0, delivered=0, brought=False, state=JobState.FAILED),
    of_job(billed=None, received=0, delivered=0, brought=False, next_poll_at_ms=NOW_MS),
    of_job(asked=None, estimated=None, ceiling=None, billed=90, received=90, delivered=90),
]


@pytest.mark.parametrize("bill", FINE)
def test_nothing_to_look_at(bill):
    """What arrived, is on its way, was not billed or is still awaited is no alarm."""
    assert kinds(bill) == []


@pytest.mark.parametrize(
    ("bill", "stands", "hint"),
    [
        (of_push(delivered=3), "delivery dlv_1 is done", "`stibgate dead replay`"),
        (
            of_push(delivered=0, state=DeliveryState.IGNORED),
            "delivery dlv_1 is ignored",
            "`stibgate deliveries replay dlv_1`",
        ),
        (
            of_push(received=0, delivered=0, state=DeliveryState.QUARANTINED, reason="envelope"),
            "delivery dlv_1 is quarantined (envelope)",
            "`stibgate deliveries replay dlv_1`",
        ),
        (of_job(delivered=4), "delivery dlv_1 is done", "`stibgate explain dlv_1`"),
        (of_job(received=0, delivered=0, brought=False), "no delivery brought them", "`stibgate jobs reconcile`"),
    ],
)
def test_billed_and_not_delivered(bill, stands, hint):
    """Records that were paid for and are in no sink: how many, where they stand, and which command says more."""
    (alarm,) = alarms([bill], now_ms=NOW_MS)
    subject = "push dlv_1" if bill.job is None else "job job_1"
    assert alarm.kind is AlarmKind.NOT_DELIVERED
    assert alarm.message.startswith(f"{subject}: {bill.missing} missing of 5 billed (")
    assert stands in alarm.message
    assert hint in alarm.hint


def test_more_than_was_allowed():
    """A job that was billed above its ceiling, or brought more than its page or its search may have, is an alarm."""
    assert kinds(of_job(billed=6, received=5, ceiling=Decimal(5), delivered=6)) == [AlarmKind.OVER_CEILING]
    assert kinds(of_job(received=6, delivered=6)) == [AlarmKind.OVER_ASKED]
    assert kinds(of_job(left=4, delivered=5)) == [AlarmKind.OVER_ASKED]
    assert kinds(of_job(asked={"limit": 5, "max_records": 100}, left=100)) == []


def test_a_push_whose_counts_differ():
    """A push that brought fewer than it was billed for says so as well; a quarantined one was never counted."""
    assert kinds(of_push(received=3, delivered=3)) == [AlarmKind.NOT_DELIVERED, AlarmKind.COUNTS_DIFFER]
    assert kinds(of_push(received=0, delivered=0, state=DeliveryState.QUARANTINED)) == [AlarmKind.NOT_DELIVERED]


@pytest.mark.parametrize(
    ("bill", "kind", "said"),
    [
        (of_job(billed=None, received=0, delivered=0, brought=False, state=JobState.LOST), AlarmKind.JOB_LOST, "lost"),
        (of_job(billed=None), AlarmKind.BILL_UNKNOWN, "nobody said what was billed"),
    ],
)
def test_what_was_given_up(bill, kind, said):
    """A job that nobody asks for any more, though it may be billed, is an alarm until somebody sees to it."""
    (alarm,) = alarms([bill], now_ms=NOW_MS)
    assert (alarm.kind, alarm.key) == (kind, f"{kind}:job_1")
    assert said in alarm.message
    assert "5 stay set aside" in alarm.message
    assert "`stibgate jobs reconcile`" in alarm.hint
    flag = " --billed N" if kind is AlarmKind.BILL_UNKNOWN else ""
    assert f"`stibgate jobs resolve run_1{flag}`" in alarm.hint


def test_a_doubtful_run():
    """A run that nobody knows the end of, and that holds money, is an alarm that says how to end it."""
    bill = of_job(billed=None, received=0, delivered=0, brought=False, state=JobState.DOUBTFUL)
    (alarm,) = alarms([bill], now_ms=NOW_MS)
    assert (alarm.kind, "5 stay set aside" in alarm.message) == (AlarmKind.RUN_DOUBTFUL, True)
    assert "`stibgate jobs resolve run_1 --job JOB_ID`" in alarm.hint


def usage(vendor, known, *bills, age_ms=GRACE_MS):
    first = UsageNote(NOW_MS - 9 * GRACE_MS, 1_000, 70)
    latest = UsageNote(NOW_MS - age_ms, 1_000 + vendor, 70 + known)
    return alarms(bills, (), (first, latest), now_ms=NOW_MS)


def test_usage_of_others():
    """What the vendor billed above all that is known is an alarm, counted from the first note, after a grace."""
    (alarm,) = usage(10, 7)
    assert alarm.kind is AlarmKind.USAGE_UNEXPLAINED
    assert "billed 10 records" in alarm.message
    assert "; 3 of them belong to no job or push" in alarm.message
    assert usage(10, 7, age_ms=GRACE_MS - 1) == []
    assert usage(10, 10) == usage(10, 11) == []


@pytest.mark.parametrize(
    "bill",
    [
        of_job(billed=3, ended_at_ms=NOW_MS),
        of_job(billed=None, ceiling=Decimal(3), brought=False, state=JobState.SUBMITTED, ended_at_ms=None),
        of_job(billed=None, ceiling=Decimal(3), brought=False, state=JobState.LOST, ended_at_ms=1),
        of_push(billed=3),
    ],
)
def test_usage_that_is_on_its_way(bill):
    """What came after the note, or may still come, may be what the vendor counted."""
    unexplained = AlarmKind.USAGE_UNEXPLAINED
    assert unexplained not in {alarm.kind for alarm in usage(10, 7, bill)}
    assert unexplained in {alarm.kind for alarm in usage(11, 7, bill)}


def test_usage_that_was_known_is_not_taken_twice():
    """A bill that was known when the note was taken explains nothing more."""
    old = NOW_MS - 2 * GRACE_MS
    assert len(usage(10, 7, of_job(billed=3, ended_at_ms=old), of_push(billed=3, received_at_ms=old))) == 1


@pytest.mark.parametrize(
    ("budget", "state", "kind"),
    [
        (use(100, reserved=40, settled=39), BudgetState.OK, None),
        (use(100, reserved=40, settled=40), BudgetState.NEAR, AlarmKind.BUDGET_NEAR),
        (use(100, settled="99.9"), BudgetState.NEAR, AlarmKind.BUDGET_NEAR),
        (use(100, reserved=100), BudgetState.EXHAUSTED, AlarmKind.BUDGET_EXHAUSTED),
        (use(100, settled=120), BudgetState.EXHAUSTED, AlarmKind.BUDGET_EXHAUSTED),
        (use(0), BudgetState.EXHAUSTED, None),
    ],
)
def test_budgets(budget, state, kind):
    """A budget is an alarm from 80 % and at its end; one of 0 that nothing used is as it should be."""
    assert budget.state is state
    assert [alarm.kind for alarm in alarms([], [budget], now_ms=NOW_MS)] == ([] if kind is None else [kind])


def test_keys_are_stable_and_differ():
    """The same thing has the same key however far it has gone; two things, and two windows, have two."""
    assert key(of_push(delivered=1)) == key(of_push(delivered=3)) == "billed_not_delivered:dlv_1"
    assert key(of_job(delivered=1)) == "billed_not_delivered:job_1"
    found = alarms([of_job(billed=7, received=6, delivered=0)], [use(10, settled=9)], now_ms=NOW_MS)
    assert len({alarm.key for alarm in found}) == len(found) == 4
    assert found[-1].key == "budget_80:team:2026-05"
    assert usage(10, 7)[0].key == usage(9, 7)[0].key != usage(15, 7)[0].key


def key(bill) -> str:
    return alarms([bill], now_ms=NOW_MS)[0].key


def test_no_personal_data():
    """No alarm repeats what a sender or a search may name people with, and each is one line with a hint."""
    bills = [
        of_job(billed=9, received=9, delivered=0),
        of_job(received=0, delivered=0, brought=False, job_id=None),
        of_job(billed=None, received=0, delivered=0, brought=False, state=JobState.LOST),
        of_job(billed=None),
        of_push(received=3, delivered=0),
        of_push(received=0, delivered=0, state=DeliveryState.QUARANTINED, reason=CANARY),
    ]
    found = [*alarms(bills, [use(10, settled=9)], now_ms=NOW_MS), *usage(10, 7)]
    assert len(found) == 11
    for alarm in found:
        assert CANARY not in repr(alarm)
        assert alarm.hint
        assert "\n" not in alarm.message + alarm.hint
