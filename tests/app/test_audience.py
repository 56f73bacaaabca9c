"""Who is told what happened."""

import asyncio
from contextvars import ContextVar

from stibgate.app.audience import Audience
from stibgate.domain.fact import GaveUp

TASK = ContextVar("task", default="another")


async def test_everybody_is_told_whatever_the_others_do():
    """An observer that fails neither stops the work that it watches nor the other observers."""

    def broken(_fact):
        raise RuntimeError("canary")

    first, last, present = [], [], []
    audience = Audience()
    for observe in (first.append, broken, last.append):
        audience.add(observe)
    for observe in (broken, present.append):
        audience.add(observe, at_once=True)
    audience.tell(GaveUp("drop"))
    assert present == [GaveUp("drop")]
    await asyncio.sleep(0)
    assert first == last == [GaveUp("drop")]


async def test_whoever_must_be_there_is_told_in_the_task_itself():
    """A fact reaches a present observer before the work goes on, in its context; the others once, in order, a turn later."""
    seen, counted = [], []
    audience = Audience()
    audience.add(lambda fact: seen.append((TASK.get(), fact.sink)), at_once=True)
    audience.add(lambda fact: counted.append(fact.sink))

    async def work(name):
        TASK.set(name)
        audience.tell(GaveUp(name))
        assert seen[-1] == (name, name)

    await asyncio.gather(work("a"), work("b"))
    await asyncio.sleep(0)
    assert counted == ["a", "b"]
