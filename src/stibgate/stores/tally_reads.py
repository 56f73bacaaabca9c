"""Reading what was counted from the SQLite store. Never a write."""

from collections.abc import Sequence

from stibgate.domain.stats import Stats, span_of, stats_of
from stibgate.domain.tally import Counted, Key, Series
from stibgate.stores.reading import Reading


class TallyReads(Reading):
    """The numbers behind charts and totals."""

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
