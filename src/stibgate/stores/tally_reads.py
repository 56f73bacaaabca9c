"""Reading what was counted from the SQLite store. Never a write."""

from collections.abc import Mapping, Sequence

from stibgate.domain.rejection import Rejections, grouped
from stibgate.domain.stats import HOUR_MS, Stats, span_of, stats_of
from stibgate.domain.tally import Counted, Key, Series
from stibgate.stores.glance import DEAD_GROUPED_MAX, DeadGroup, Seen, alike
from stibgate.stores.listing import OPEN_SQL, last_posted_query
from stibgate.stores.reading import Reading
from stibgate.stores.rows import rejections_of

_DEAD = "SELECT sink, error, task_id, owed_at FROM tasks WHERE state = 'dead' ORDER BY sequence DESC LIMIT ?"


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
            for row in self._rows(*last_posted_query(self._db, "delivery_id, received_at, authenticated_by", source)):
                found[source] = Seen(*row)
        return found

    def owing_since(self) -> Mapping[str, int]:
        """Return since when each sink owes; see `stores.Ledger.owing_since`."""
        rows = self._rows(f"SELECT sink, min(owed_at) FROM tasks WHERE state IN ({OPEN_SQL}) GROUP BY sink", [])
        return dict(rows)

    def dead_groups(self) -> Sequence[DeadGroup]:
        """Return what tasks died of; see `stores.Ledger.dead_groups`."""
        groups: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
        for sink, error, task_id, since_ms in self._rows(_DEAD, [DEAD_GROUPED_MAX]):
            groups.setdefault((sink, alike(error)), []).append((error or "", task_id, since_ms))
        found = [
            DeadGroup(*name, len(tasks), *tasks[0][:2], min(since_ms for *_, since_ms in tasks))
            for name, tasks in groups.items()
        ]
        return sorted(found, key=lambda group: (-group.count, group.sink, group.error))

    def rejections(self, since_ms: int) -> Sequence[Rejections]:
        """Return what was refused, in groups; see `stores.Ledger.rejections`."""
        rows = self._rows(
            "SELECT hour, source, reason, count, first_at, last_at, last, finding FROM rejections WHERE hour >= ?",
            [since_ms - since_ms % HOUR_MS],
        )
        return grouped(map(rejections_of, rows))
