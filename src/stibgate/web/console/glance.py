"""How it goes: what was counted lately, and each sink in a row of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from stibgate.config import Settings
from stibgate.domain.circuit import CircuitState, SinkState
from stibgate.domain.stats import WINDOWS, SinkStats, Stats
from stibgate.domain.task import FINAL, TaskState
from stibgate.stores import Ledger
from stibgate.views.sinks import destination, routes_to


def stats_within(ledger: Ledger, window: str, now_ms: int) -> Stats:
    """Return what was counted in that window until now."""
    length_ms, step_ms = WINDOWS[window]
    return ledger.stats(since_ms=now_ms - length_ms, until_ms=now_ms, step_ms=step_ms)


@dataclass(frozen=True, slots=True)
class SinkRow:
    """One sink at a glance.

    Attributes:
        kind: None for one that is no longer configured.
        where: Where it leads, without secrets.
        counts: Its tasks by state.
        owing_ms: Since when the longest waiting one owes its records.
        stats: What it did lately.
    """

    name: str
    kind: str | None
    where: str | None
    routes: Sequence[str]
    state: SinkState
    counts: Mapping[str, int]
    owing_ms: int | None
    stats: SinkStats

    @property
    def word(self) -> str:
        """Its state, in one word."""
        if self.kind is None:
            return "gone"
        if self.state.paused:
            return "paused"
        return "ok" if self.state.circuit.closed else str(self.state.circuit.state)

    @property
    def waiting(self) -> int:
        """How many tasks are open."""
        return sum(count for state, count in self.counts.items() if state not in FINAL)

    @property
    def dead(self) -> int:
        """How many tasks will not be tried again by themselves."""
        return self.counts.get(TaskState.DEAD, 0)

    @property
    def path(self) -> str:
        """Its page."""
        return f"/sinks/{quote(self.name, safe='')}"

    @property
    def reason(self) -> str | None:
        """Why it takes nothing now, in a few words."""
        return f"by {self.state.paused_by}" if self.word == "paused" else self.state.circuit.reason

    @property
    def meaning(self) -> str:
        """Its state, in a sentence without times."""
        circuit = self.state.circuit
        if self.kind is None:
            return "It is no longer configured: what it is owed waits until it is again, or is cancelled."
        if self.state.paused:
            return f"By {self.state.paused_by}. Its tasks wait, and nothing is lost."
        if circuit.closed:
            failures = circuit.failures
            lately = "attempt" if failures == 1 else f"{failures} attempts"
            return f"Its breaker is closed, but the last {lately} failed." if failures else "It takes records."
        if circuit.held_since_ms is not None:
            return f"It says itself that it takes nothing now: {circuit.reason}."
        if circuit.state is CircuitState.HALF_OPEN:
            return f"It failed {circuit.failures} times in a row and is being tried: {circuit.reason}."
        return f"It failed {circuit.failures} times in a row and is left alone for a while: {circuit.reason}."


def glance(ledger: Ledger, settings: Settings, stats: Stats) -> list[SinkRow]:
    """Return every configured sink, and those that are gone while tasks name them."""
    counts, states, owing = ledger.task_counts(), ledger.sinks(), ledger.owing_since()
    gone = {name: None for name in counts if name not in settings.sinks}
    return [
        SinkRow(
            name,
            None if sink is None else sink.kind,
            None if sink is None else destination(sink),
            routes_to(name, settings),
            states.get(name, SinkState(name)),
            counts.get(name, {}),
            owing.get(name),
            stats.sinks.get(name, SinkStats()),
        )
        for name, sink in {**settings.sinks, **gone}.items()
    ]
