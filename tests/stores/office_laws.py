"""What operators leave behind: an audit that is only added to, and the answers of keyed calls."""

import asyncio
from dataclasses import replace

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import BEGINNING, Action, AuditEntry, broken_in, chained
from stibgate.domain.circuit import CircuitState
from stibgate.domain.task import Signal
from stibgate.stores import AuditFilter, Call, CallState, KnownCall, ReplayResult, Step
from tests.stores.base import StoreLaws, replay
from tests.stores.world import HOUR_MS, NOW_MS, PATIENT, snapshot

ENTRY = AuditEntry(NOW_MS, "dana", Role.OPERATOR, Action.REPLAY, "d1", {"records": 2, "dry_run": False}, "127.0.0.1")
ASKED = Call("dana", "key-1", b"a" * 32)
EVERYTHING = AuditFilter()
STEP = Step("d2", ReplayResult.REPLAYED, task_id="d2/crm")
ACTS = {
    "pause": lambda store, note: store.pause("crm", now_ms=NOW_MS + 200, by="dana", note=note),
    "resume": lambda store, note: store.resume("drop", now_ms=NOW_MS + 200, note=note),
    "reset": lambda store, note: store.reset("crm", now_ms=NOW_MS + 200, note=note),
    "cancel": lambda store, note: store.cancel(["d1/drop", "d2/crm", "d9"], now_ms=NOW_MS + 200, by="dana", note=note),
    "replay": lambda store, note: store.replay([STEP], replay(), note),
}
"""What operators do, each with its line in the audit."""


class OfficeLaws(StoreLaws):
    """Laws of `stibgate.stores.Office`."""

    async def test_audit(self, store):
        """Lines are numbered from 1, kept over a restart, listed newest first by page and filter, and chained."""
        entries = [replace(ENTRY, at_ms=NOW_MS + n, action=action) for n, action in enumerate(Action)]
        for entry in entries[:3]:
            await store.append_audit(entry)
        store = await self.reopen()
        numbers = await asyncio.gather(*(store.append_audit(entry) for entry in entries[3:]))
        assert numbers == list(range(4, len(entries) + 1))
        lines = self.ledger.audit(EVERYTHING, limit=None)
        assert [line.entry for line in reversed(lines)] == entries
        assert broken_in(reversed(lines)) is None
        assert lines[-1].chain == chained(1, entries[0], BEGINNING)
        assert [line.sequence for line in self.ledger.audit(EVERYTHING, limit=2, before=4)] == [3, 2]
        (found,) = self.ledger.audit(AuditFilter(action=Action.PAUSE, actor="dana"), limit=None)
        assert found.entry.action == Action.PAUSE
        assert not self.ledger.audit(AuditFilter(actor="bob"), limit=None)
        within = AuditFilter(since_ms=NOW_MS + 1, until_ms=NOW_MS + 3)
        assert [line.entry.at_ms - NOW_MS for line in self.ledger.audit(within, limit=None)] == [2, 1]

    async def test_a_keyed_call_is_made_once(self, store):
        """One of two at the same moment is new; the other hears that it runs, later ones its answer, for a day."""
        both = await asyncio.gather(*(store.begin_call(ASKED, now_ms=NOW_MS) for _ in range(2)))
        assert [known.state for known in both] == [CallState.NEW, CallState.RUNNING]
        await store.end_call(ASKED, 200, '{"records":2}')
        store = await self.reopen()
        answered = KnownCall(CallState.ANSWERED, 200, '{"records":2}')
        assert await store.begin_call(ASKED, now_ms=NOW_MS + 24 * HOUR_MS - 1) == answered
        other = replace(ASKED, fingerprint=b"b" * 32)
        assert (await store.begin_call(other, now_ms=NOW_MS + 1)).state is CallState.ANOTHER
        assert (await store.begin_call(replace(other, actor="bob"), now_ms=NOW_MS + 1)).state is CallState.NEW
        assert (await store.begin_call(ASKED, now_ms=NOW_MS + 24 * HOUR_MS)).state is CallState.NEW

    async def test_a_call_that_did_nothing_is_forgotten(self, store):
        """A call that failed, or whose process went away, may be made again; an answer is never forgotten so."""
        await store.begin_call(ASKED, now_ms=NOW_MS)
        await store.forget_call(ASKED)
        assert (await store.begin_call(ASKED, now_ms=NOW_MS)).state is CallState.NEW
        await store.forget_running_calls()
        assert (await store.begin_call(ASKED, now_ms=NOW_MS)).state is CallState.NEW
        await store.end_call(ASKED, 200, "{}")
        await store.forget_call(ASKED)
        await store.forget_running_calls()
        assert (await store.begin_call(ASKED, now_ms=NOW_MS)).state is CallState.ANSWERED

    @pytest.mark.parametrize("act", ACTS)
    async def test_an_act_and_its_line_are_one(self, store, act):
        """With an act comes the line that says what it came to, after a restart too; without its line nothing is done."""
        wanted = await self.before_acts(store)

        def broken(_):
            raise ValueError("no line")

        before = snapshot(self.ledger)
        with pytest.raises(ValueError, match="no line"):
            await ACTS[act](store, broken)
        assert snapshot(self.ledger) == before
        assert not self.ledger.audit(EVERYTHING, limit=None)
        came_to = await ACTS[act](store, lambda result: replace(ENTRY, detail={"result": repr(result)}))
        store = await self.reopen()
        assert snapshot(self.ledger) != before
        (line,) = self.ledger.audit(EVERYTHING, limit=None)
        assert came_to == wanted.get(act, True)
        assert line.entry.detail == {"result": repr(came_to)}

    async def before_acts(self, store):
        """Leave `crm` with a dead task and an open breaker and `drop` paused; return what the acts come to, but for true."""
        await self.add(store, 1, sinks=("drop",))
        await store.pause("drop", now_ms=NOW_MS, by="dana")
        task = await self.leased(store, 2)
        impatient = replace(PATIENT, circuit=replace(PATIENT.circuit, failures=1))
        await self.settle(store, task, Signal.EXHAUSTED, outcomes=[], policy=impatient)
        return {"replay": [ReplayResult.REPLAYED], "cancel": ["d1/drop", "d2/crm"]}

    async def test_reset(self, store):
        """A reset closes the breaker and leaves a pause as it is; of a closed one nothing changes."""
        assert not await store.reset("crm", now_ms=NOW_MS)
        task = await self.leased(store)
        circuit = replace(PATIENT, circuit=replace(PATIENT.circuit, failures=1))
        await self.settle(store, task, Signal.UNAVAILABLE, outcomes=[], policy=circuit)
        await store.pause("crm", now_ms=NOW_MS + 200, by="dana")
        assert self.ledger.sinks()["crm"].circuit.state is CircuitState.OPEN
        assert await store.reset("crm", now_ms=NOW_MS + 300)
        assert not await store.reset("crm", now_ms=NOW_MS + 300)
        state = self.ledger.sinks()["crm"]
        assert (state.circuit.closed, state.paused_by) == (True, "dana")
        assert self.states() == {"d1/crm": "paused"}
