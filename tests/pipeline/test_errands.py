"""The loop that asks the vendor sleeps until there is something to do, survives what happens, and ends in order."""

import asyncio

import pytest

from stibgate.errors import StoreError
from stibgate.pipeline.errands import LONGEST_S, RETRY_S, Errands
from stibgate.stores.memory import MemoryStore
from tests.pipeline.jobs_world import House, bought, budget, full
from tests.virtual import now_ms, run


class Errand:
    """Does what its script says; is due when `due_s` says so, on the loop's clock.

    Attributes:
        ran_s: When it ran.
    """

    def __init__(self, script=(), *, due_s=None) -> None:
        self.script = list(script)
        self.due_s = due_s
        self.began_ms = now_ms()
        self.ran_s: list[float] = []

    async def run_once(self) -> bool:
        self.ran_s.append((now_ms() - self.began_ms) / 1000)
        act = self.script.pop(0) if self.script else False
        if isinstance(act, BaseException):
            raise act
        return await act() if callable(act) else act

    async def next_due_ms(self) -> int | None:
        if isinstance(self.due_s, BaseException):
            raise self.due_s
        later = [due_s for due_s in self.due_s or () if self.began_ms + due_s * 1000 > now_ms()]
        return round(self.began_ms + later[0] * 1000) if later else None


async def after(seconds, *errands):
    """Return the loop over *errands* after so many seconds."""
    loop = Errands(errands, now_ms=now_ms)
    loop.start()
    await asyncio.sleep(seconds)
    return loop


def test_it_sleeps_until_something_is_due():
    """It looks at the start and whenever something is due, and now and then besides; else it sleeps."""

    async def main():
        one, other = Errand(due_s=[5, 40]), Errand(due_s=[30])
        loop = await after(39.9, one, other)
        assert one.ran_s == other.ran_s == [0, 5, 30]
        await asyncio.sleep(40 + LONGEST_S - 39.8)
        assert one.ran_s == [0, 5, 30, 40, 40 + LONGEST_S]
        await loop.stop(drain_timeout_s=1)

    run(main())


def test_it_is_woken():
    """Whoever has something to do for it wakes it, also while it is at work."""

    async def main():
        async def slow():
            await asyncio.sleep(3)
            return False

        errand = Errand([False, slow])
        loop = await after(10, errand)
        loop.wake()
        await asyncio.sleep(1)
        loop.wake()
        await asyncio.sleep(20)
        assert errand.ran_s == [0, 10, 13]
        await loop.stop(drain_timeout_s=1)

    run(main())


def test_it_goes_on_while_there_is_more():
    """While a round found something there is another one at once."""

    async def main():
        errand = Errand([True, True, True])
        loop = await after(1, errand)
        assert errand.ran_s == [0, 0, 0, 0]
        await loop.stop(drain_timeout_s=1)

    run(main())


def test_what_is_due_already_does_not_spin():
    """Something that stays due although nothing can be done costs a few looks a second, not the processor."""

    async def main():
        errand = Errand()
        errand.next_due_ms = due_now
        loop = await after(1, errand)
        assert len(errand.ran_s) <= 51
        await loop.stop(drain_timeout_s=1)

    async def due_now():
        return 0

    run(main())


@pytest.mark.parametrize("error", [StoreError("no disk"), ZeroDivisionError()], ids=["store", "bug"])
@pytest.mark.parametrize("where", ["round", "due"])
def test_it_survives(lines, error, where):
    """A failing store, or a bug, in a round or in a look at what is due, is logged and does not end it."""

    async def main():
        errand = Errand([error]) if where == "round" else Errand(due_s=error)
        other = Errand()
        loop = await after(RETRY_S * 3.5, errand, other)
        errand.due_s = None
        loop.wake()
        await asyncio.sleep(RETRY_S * 2)
        assert len(errand.ran_s) >= 2
        assert len(other.ran_s) >= 2
        await loop.stop(drain_timeout_s=1)

    run(main())
    kinds = {line["event"] for line in lines.all}
    assert kinds == {"store.error" if isinstance(error, StoreError) else "unhandled"}


def test_one_that_always_fails_does_not_keep_others_from_theirs():
    """Errands that come after one that fails have their turn all the same."""

    async def main():
        broken, other = Errand([ZeroDivisionError()] * 99), Errand(due_s=[2, 4, 6])
        loop = await after(7.5, broken, other)
        assert len(other.ran_s) >= 4
        await loop.stop(drain_timeout_s=1)

    run(main())


def test_it_stops():
    """After a stop nothing begins any more; one that never began stops too."""

    async def main():
        errand = Errand([True, False], due_s=[100])
        loop = await after(1, errand)
        await loop.stop(drain_timeout_s=5)
        assert (now_ms() - errand.began_ms) == 1000
        count = len(errand.ran_s)
        loop.wake()
        await asyncio.sleep(200)
        assert len(errand.ran_s) == count
        await Errands([errand], now_ms=now_ms).stop(drain_timeout_s=5)

    run(main())


@pytest.mark.parametrize(("answer_s", "states"), [
    (2, ["succeeded", "submitted"]),
    (20, ["succeeded", "doubtful"]),
], ids=["in time", "too late"])  # fmt: skip
def test_an_answer_on_its_way_is_noted(answer_s, states):
    """A stop lets a page that is being bought end and be noted; what takes too long is in doubt."""

    async def main():
        house = House(MemoryStore(), budgets={"ops": budget(1000)}, continue_pages=True, clock=now_ms)
        await bought(house, 50, max_records=100)
        await house.post(full(house.vendor.jobs[house.vendor.finish()]))
        await house.process()
        house.vendor.on_create = [lambda: asyncio.sleep(answer_s)]
        idle = Errand()
        loop = await after(1, house.reconciler, idle)
        await loop.stop(drain_timeout_s=5)
        assert [str(run.state) for run in house.runs()] == states
        assert idle.ran_s == [], "nothing is begun after a stop"
        assert await house.store.recover_runs(now_ms=now_ms()) == 0

    run(main())
