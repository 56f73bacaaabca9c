"""The weather of `stibgate demo --chaos`: every fault that the sandboxes know, and an operator who mends what stops.

What stops by itself starts by itself. What needs a person (a refused token, a quota that is used up, dead letters)
gets what a person would do: `sinks resume`, `dead replay`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stibgate.cli.stage import Stage
from stibgate.domain.task import TaskState
from stibgate.sandbox.hubspot import FAULTS
from stibgate.stores import Selection, TaskFilter

DELIVERY = """
[delivery]
schedule = ["0s", "100ms", "200ms", "500ms", "1s", "2s"]   # impatient: this is a demonstration

[delivery.circuit]
open_for = "300ms"
"""
STORM_S = 8.0
TICK_S = 0.25
PLACES = ("/contacts/batch/read", "/contacts/batch/upsert", "/companies/", "/contacts/")
"""Where each fault hits once: one request that met them all would be sent again with longer and longer waits."""
LIGHT = ("423", "500", "502", "503", "504", "cut_before", "cut_after", "truncated", "short", "empty_2xx", "html")
"""Faults that come at random, beside each fault once."""
RATE = 0.03
VENDOR = ("tamper", "stale", "duplicate", "delay")
"""What happens to Stibnite's deliveries, one after the other."""

Tell = Callable[[str], None]


async def storm(on: Stage) -> None:
    """Let every fault of both sandboxes loose, until it is cancelled."""
    for number, fault in enumerate(FAULTS):
        on.hubspot.fail_next(fault, path=PLACES[number % len(PLACES)], retry_after_s=1, seconds=1.0)
    for fault in LIGHT:
        on.hubspot.set_fault_rate(fault, RATE)
    try:
        while True:
            for name in VENDOR:
                on.sandbox.faults = frozenset({name})
                await asyncio.sleep(TICK_S)
    finally:
        calm(on)


def calm(on: Stage) -> None:
    """End every fault."""
    on.sandbox.faults = frozenset()
    for fault in LIGHT:
        on.hubspot.set_fault_rate(fault, 0.0)


async def mend(on: Stage, tell: Tell, *, until: asyncio.Event) -> None:
    """Do what an operator does, until *until* is set and nothing is left: look at what stopped, and mend it."""
    idle = asyncio.create_task(on.gateway.idle())
    while True:
        done, _ = await asyncio.wait({idle}, timeout=TICK_S)
        await _resume_held(on, tell)
        if dead := await _dead(on):
            selection = Selection(TaskFilter(), dead)
            report = await on.gateway.operations.replay(selection, forced=False, by="the demo", dry_run=False)
            tell(f"{len(dead)} dead letters, {report.records} records: stibgate dead replay")
            idle = asyncio.create_task(on.gateway.idle()) if idle in done else idle
        elif idle in done and until.is_set():
            return
        elif idle in done:
            await asyncio.sleep(TICK_S)
            idle = asyncio.create_task(on.gateway.idle())


async def _resume_held(on: Stage, tell: Tell) -> None:
    sinks: dict[str, Any] = dict(await on.gateway.operations.read(lambda ledger: ledger.sinks()))
    for name, state in sinks.items():
        if state.circuit.held_since_ms is not None:
            tell(f"{name} takes nothing: {state.circuit.reason}; mended, stibgate sinks resume {name}")
            await on.gateway.operations.resume(name)


async def _dead(on: Stage) -> Sequence[str]:
    where = TaskFilter(state=TaskState.DEAD)
    found = await on.gateway.operations.read(lambda ledger: ledger.tasks(where, limit=None))
    return [task.task_id for _, task in found]
