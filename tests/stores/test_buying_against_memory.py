"""Whatever is bought, in whatever order its news come, both stores say the same and break no law."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from stibgate.domain.budget import Budget, Period
from stibgate.domain.delivery import DeliveryState, IdempotencyKey
from stibgate.domain.event import JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.domain.job import ZERO, JobResult, JobState
from stibgate.domain.task import Outcome, OutcomeKind, Signal
from stibgate.stores import JobFilter, NewTask, Replay
from tests.stores.base import replay_delivery, replay_task
from tests.stores.machine import TTL_MS, USUAL, Stores
from tests.stores.world import (
    CREDITS,
    EVERY_JOB,
    EVERYTHING,
    PATIENT,
    make_delivery,
    make_processed,
    make_run,
    make_settlement,
)

BUDGETS = [
    Budget("team", CREDITS, Decimal("2.5"), Period.MONTH, confirm_above=Decimal("0.7")),
    Budget("all", CREDITS, Decimal(4), Period.TOTAL),
    None,
]
JOBS = ["j1", "j2", "j3"]
NUMBERS = st.integers(0, 99)
REASONS = ["records_missing", "readback_failed", "envelope"]
SINKS = ("crm", "drop")


class Buying(Stores):
    """Runs, events, read-backs and polls of a few jobs, each at the wrong time."""

    def pick(self, choice, among):
        """Return one of *among*, or a name that nobody has."""
        names = [*among, "nobody"]
        return names[choice % len(names)]

    def runs(self):
        return [job.run_id for job in self.plain.jobs(EVERY_JOB, limit=6)]

    def deliveries(self):
        return [one.delivery_id for one in self.plain.deliveries(EVERYTHING, limit=6)]

    # -- runs

    @rule(
        ceiling=st.sampled_from(["0.1", "0.300000000001", "0.8", "2"]),
        budget=st.sampled_from(BUDGETS),
        token=st.sampled_from(["t", "t", None]),
        user=st.sampled_from([None, "u"]),
        parent=NUMBERS,
        confirmed=st.booleans(),
        left=st.sampled_from([None, 1, 5]),
    )
    def reserve(self, ceiling, budget, token, user, parent, confirmed, left):
        self.count += 1
        fields = {"token": token, "user": user} if token else {}
        over = [job.run_id for job in self.plain.jobs(JobFilter(state=JobState.SUCCEEDED), limit=None) if job.asked]
        parent = ([*over, None])[parent % (len(over) + 1)]
        run = make_run(self.count, ceiling, at_ms=self.now_ms, left=left, parent_run_id=parent, **fields)
        before = None if budget is None else self.spent(budget)
        said = self.both(lambda store: store.reserve(run, budget, confirmed=confirmed))
        if budget is not None and said.decision is not None:
            allowed = said.decision.verdict == "allow"
            assert self.spent(budget) == before + (run.ceiling if allowed else 0)
            assert not allowed or self.spent(budget) <= budget.limit, "overdrawn"

    def spent(self, budget):
        """Return what the budget's runs have gone to, by what is said of each."""
        return sum(
            (job.reserved + job.settled for job in self.plain.jobs(JobFilter(budget=budget.name), limit=None)), ZERO
        )

    @rule(run=NUMBERS, job=st.sampled_from(JOBS), twice=st.booleans())
    def submitted(self, run, job, twice):
        run_id = self.pick(run, self.runs())
        for _ in range(1 + twice):
            self.both(lambda store: store.submitted(run_id, job, now_ms=self.now_ms, poll_at_ms=self.now_ms + 5))

    @rule(run=NUMBERS, state=st.sampled_from([JobState.REFUSED, JobState.DOUBTFUL]))
    def unsubmitted(self, run, state):
        run_id = self.pick(run, self.runs())
        self.both(lambda store: store.unsubmitted(run_id, state, "why", now_ms=self.now_ms))

    @rule(run=NUMBERS)
    def withdraw(self, run):
        run_id = self.pick(run, self.runs())
        self.both(lambda store: store.withdraw(run_id))

    @rule()
    def recover(self):
        self.both(lambda store: store.recover_runs(now_ms=self.now_ms))

    @rule(run=NUMBERS, due_in_ms=st.sampled_from([None, 3]))
    def polled(self, run, due_in_ms):
        run_id = self.pick(run, self.runs())
        due_ms = None if due_in_ms is None else self.now_ms + due_in_ms
        reason = "said nothing" if due_ms is None else None
        self.both(lambda store: store.polled(run_id, next_poll_at_ms=due_ms, reason=reason))

    @rule(run=NUMBERS)
    def lose(self, run):
        run_id = self.pick(run, self.runs())
        self.both(lambda store: store.lose(run_id, "too late", now_ms=self.now_ms))

    @rule(job=st.sampled_from(JOBS), billed=st.integers(0, 2), cursor=st.sampled_from([None, "a"]))
    def amend(self, job, billed, cursor):
        self.both(lambda store: store.amend(job, billed=billed, next_cursor=cursor))

    @rule(run=NUMBERS, go_on=st.booleans())
    def stop(self, run, go_on):
        run_id = self.pick(run, self.runs())
        self.both(lambda store: store.unstop() if go_on else store.stop(run_id, "empty_pages"))

    @rule(run=NUMBERS)
    def confirm(self, run):
        run_id = self.pick(run, self.runs())
        self.both(lambda store: store.confirm(run_id, Decimal("0.8")))

    @rule(records=st.integers(0, 9))
    def note(self, records):
        self.both(lambda store: store.note_usage(records, at_ms=self.now_ms))
        self.both(lambda store: store.raise_alarm(f"alarm {records}", at_ms=self.now_ms))

    # -- deliveries

    @rule(
        keys=st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()),
        job=st.sampled_from([*JOBS, None]),
        known_job=st.booleans(),
        via=st.sampled_from(["http", "poll"]),
        records=st.integers(0, 2),
        billed=st.sampled_from([None, 0, 1, 3]),
        only_if_new=st.sampled_from([False, False, True]),
    )
    def admit(self, keys, job, known_job, via, records, billed, only_if_new):
        self.count += 1
        signed, of_job, both_keys = keys
        other_keys = (IdempotencyKey(b"key %d" % of_job, self.now_ms + 2 * TTL_MS),) if both_keys else ()
        delivery = make_delivery(
            self.count, key=b"signed %d" % signed if both_keys else b"key %d" % of_job, other_keys=other_keys,
            ttl_ms=TTL_MS, received_at_ms=self.now_ms, job_id=job, known_job=known_job and job is not None, via=via,
            event_type=JOB_SUCCEEDED if job else RECORDS_PUSHED, records=records, billed=billed,
        )  # fmt: skip
        self.both(lambda store: store.admit(delivery, only_if_new=only_if_new))

    @rule(
        succeeded=st.sampled_from([True, True, False]),
        billed=st.sampled_from([None, 0, 1, 3]),
        cursor=st.sampled_from([None, "c"]),
        state=st.sampled_from(["", "", "done", "quarantined"]),
        reason=st.sampled_from(REASONS),
        count=st.integers(0, 2),
        routed=st.integers(1, 3),
    )
    def process(self, succeeded, billed, cursor, state, reason, count, routed):
        for one in self.both(lambda store: store.accepted(limit=2)):
            delivery = one.delivery
            count = 0 if state == "quarantined" else delivery.records if one.result is None else count
            job = None
            if delivery.job_id is not None and state != "quarantined":
                job = JobResult(delivery.job_id, succeeded, count, billed, cursor, None if succeeded else "it broke")
            positions = tuple(p for p in range(count) if routed >> p & 1)
            sinks = () if state or not positions else SINKS[:routed]
            number = int(delivery.delivery_id[1:])
            tasks = [NewTask(f"d{number}/{sink}", sink, positions) for sink in sinks]
            fields = {"state": DeliveryState(state)} if state else {}
            processed = make_processed(
                number, sinks, records=count, at_ms=self.now_ms, tasks=tasks, job=job,
                reason=reason if state == "quarantined" else None, **fields,
            )  # fmt: skip
            self.both(lambda store, processed=processed: store.process(processed))

    @rule(choice=NUMBERS, put_off=st.booleans())
    def await_result(self, choice, put_off):
        name = self.pick(choice, self.deliveries())
        self.both(lambda store: store.await_result(name, now_ms=self.now_ms))
        if put_off:
            self.both(lambda store: store.postpone_result(name, next_try_at_ms=self.now_ms + 4))

    @rule(choice=NUMBERS, abandon=st.booleans())
    def fetched(self, choice, abandon):
        name = self.pick(choice, self.deliveries())
        if abandon:
            self.both(lambda store: store.abandon_result(name, "readback_failed", at_ms=self.now_ms))
        else:
            self.both(lambda store: store.fetched(name, b"%d" % choice, at_ms=self.now_ms))

    @rule(choice=NUMBERS)
    def replay(self, choice):
        name = self.pick(choice, self.deliveries())
        self.both(lambda store: replay_delivery(store, name, Replay(self.now_ms, "me")))

    # -- forwarding, for the bills

    @rule(
        sink=st.sampled_from(SINKS),
        kinds=st.lists(st.sampled_from(OutcomeKind), min_size=2, max_size=2),
        dead=st.booleans(),
    )
    def forward(self, sink, kinds, dead):
        for task in self.both(lambda store: store.claim(sink, PATIENT, now_ms=self.now_ms, limit=2)).tasks:
            owed = self.runner.run(self.memory.owed(task))
            answers = [Outcome(r.position, kind) for r, kind in zip(owed.records, kinds, strict=False)]
            refused = owed.refused + sum(answer.kind is OutcomeKind.REFUSED for answer in answers)
            signal = Signal.EXHAUSTED if dead else Signal.SPLIT if refused else Signal.TAKEN
            end = make_settlement(task, signal, ended_at_ms=self.now_ms, outcomes=answers[: 1 if dead else None])
            self.both(lambda store, end=end: store.settle(end, PATIENT.circuit))

    @precondition(lambda self: self.tasks())
    @rule(choice=NUMBERS, forced=st.booleans())
    def send_again(self, choice, forced):
        task = self.tasks()[choice % len(self.tasks())]
        self.both(lambda store: replay_task(store, task.task_id, Replay(self.now_ms, "me", forced)))

    # -- what must hold

    @invariant()
    def what_is_next_is_the_same(self):
        if not hasattr(self, "ledger"):
            return
        now_ms = self.now_ms
        self.both(lambda store: store.accepted(limit=3))
        self.both(lambda store: store.awaiting(now_ms=now_ms, limit=3))
        self.both(lambda store: store.next_result_due_ms())
        self.both(lambda store: store.open_polls(now_ms=now_ms, limit=3))
        self.both(lambda store: store.open_polls(now_ms=now_ms, limit=9, given_up=True))
        self.both(lambda store: store.next_poll_ms())
        more = self.both(lambda store: store.continuable(limit=99))
        jobs = self.ledger.jobs(EVERY_JOB, limit=None)
        assert list(more) == [job for job in reversed(jobs) if job.more]
        for budget in BUDGETS[:2]:
            for window in {job.window for job in jobs if job.budget == budget.name}:
                mine = [job for job in jobs if (job.budget, job.window) == (budget.name, window)]
                spent = self.ledger.spent(budget.name, window)
                assert spent.reserved == sum((job.reserved for job in mine), ZERO)
                assert spent.settled == sum((job.settled for job in mine), ZERO)

    @invariant()
    def no_law_is_broken(self):
        if not hasattr(self, "ledger"):
            return
        assert list(self.ledger.check()) == []
        whole = list(self.ledger.bills(limit=None))
        assert list(self.ledger.bills(limit=None, short=True)) == [bill for bill in whole if bill.missing]
        if len(whole) > 1:
            assert list(self.ledger.bills(limit=2, before=whole[0].sequence)) == whole[1:3]


class TestBuying(Buying.TestCase):
    """Over any sequence of news both stores agree, and no money is lost or found."""

    settings = settings(USUAL, max_examples=15)
