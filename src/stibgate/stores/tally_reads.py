"""Reading what was counted from the SQLite store. Never a write."""

from collections.abc import Mapping, Sequence

from stibgate.domain.rejection import HOUR_MS, Rejections, grouped
from stibgate.domain.stats import Stats, span_of, stats_of
from stibgate.domain.tally import Counted, Key, Series
from stibgate.domain.task import FINAL, TaskState
from stibgate.stores.glance import DeadGroup, Seen, alike
from stibgate.stores.reading import Reading
from stibgate.stores.rows import rejections_of

OPEN_SQL = ", ".join(f"'{state}'" for state in sorted(set(TaskState) - FINAL))
_DEAD = """
SELECT sink, error, count(*), max(sequence), min(owed_at) FROM tasks WHERE state = 'dead' GROUP BY sink, error
"""


class TallyReads(Reading):
    """The numbers behind charts and totals, and what operators see at a glance."""

    def counts(self, *, since_ms: int, until_ms: int, step_ms: int) -> Sequence[Counted]:
        """Return what was counted, by periods; see `stores.Ledger.counts`."""
        rows = self._rows(
            "SELECT at - at % ?1 AS period, series, subject, word, sum(value) FROM counts"
            " WHERE span = ?2 AND at >= ?3 AND at < ?4 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            [step_ms, span_of(step_ms), since_ms - since_ms % step_ms, until_ms],
        )
        return [
            Counted(at_ms, Key(Series(series), subject, word), value) for at_ms, series, subject, word, value in rows
        ]

    def stats(self, *, since_ms: int, until_ms: int, step_ms: int) -> Stats:
        """Return the numbers behind charts and totals; see `stores.Ledger.stats`."""
        counted = self.counts(since_ms=since_ms, until_ms=until_ms, step_ms=step_ms)
        return stats_of(counted, since_ms=since_ms, until_ms=until_ms, step_ms=step_ms)

    def last_accepted(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """Return the last delivery of each source; see `stores.Ledger.last_accepted`."""
        found = {}
        for source in sources:
            row = self._one(
                "SELECT delivery_id, received_at, authenticated_by FROM deliveries"
                " WHERE source = ? AND via = 'http' ORDER BY sequence DESC LIMIT 1",
                source,
            )
            if row is not None:
                found[source] = Seen(*row)
        return found

    def owing_since(self) -> Mapping[str, int]:
        """Return since when each sink owes; see `stores.Ledger.owing_since`."""
        rows = self._rows(f"SELECT sink, min(owed_at) FROM tasks WHERE state IN ({OPEN_SQL}) GROUP BY sink", [])
        return dict(rows)

    def dead_groups(self) -> Sequence[DeadGroup]:
        """Return what tasks died of; see `stores.Ledger.dead_groups`."""
        groups: dict[tuple[str, str], tuple[int, int, int, str]] = {}
        for sink, error, count, newest, since_ms in self._rows(_DEAD, []):
            name = sink, alike(error)
            known = groups.get(name, (0, 0, since_ms, ""))
            groups[name] = (
                known[0] + count,
                max(known[1], newest),
                min(known[2], since_ms),
                (error or "") if newest > known[1] else known[3],
            )
        largest = sorted(groups.items(), key=lambda item: (-item[1][0], item[0]))
        return [
            DeadGroup(
                sink,
                error,
                count,
                example,
                self._one("SELECT task_id FROM tasks WHERE sequence = ?", newest)[0],
                since_ms,
            )
            for (sink, error), (count, newest, since_ms, example) in largest
        ]

    def rejections(self, since_ms: int) -> Sequence[Rejections]:
        """Return what was refused, in groups; see `stores.Ledger.rejections`."""
        rows = self._rows(
            "SELECT hour, source, reason, count, first_at, last_at, last, finding FROM rejections WHERE hour >= ?",
            [since_ms - since_ms % HOUR_MS],
        )
        return grouped(map(rejections_of, rows))
