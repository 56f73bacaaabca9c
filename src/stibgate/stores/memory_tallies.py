"""What was counted, in the store in memory."""

from collections import Counter
from collections.abc import Sequence

from stibgate.domain.rejection import Rejections, grouped
from stibgate.domain.stats import HOUR_MS, Stats, span_of, stats_of
from stibgate.domain.tally import Counted, Key


class MemoryTallies:
    """Tallies over dictionaries; what is counted is kept as it came."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, Key]] = Counter()
        self._counted_last = ""
        self._rejections: dict[tuple[int, str, str], Rejections] = {}

    async def add_counts(self, batch_id: str, counts: Sequence[Counted], rejections: Sequence[Rejections] = ()) -> None:
        """Add to what was counted; see `stores.Tallies.add_counts`."""
        if batch_id == self._counted_last:
            return
        self._counted_last = batch_id
        for at_ms, key, value in counts:
            self._counts[at_ms, key] += value
        for group in rejections:
            place = group.hour_ms, group.source, group.reason
            self._rejections[place] = self._rejections[place].plus(group) if place in self._rejections else group

    async def forget_counts(self, before_ms: int, *, rejections_before_ms: int) -> bool:
        """Remove what is old, all at once; see `stores.Tallies.forget_counts`."""
        self._counts = Counter({place: value for place, value in self._counts.items() if place[0] >= before_ms})
        keep_from_ms = rejections_before_ms - HOUR_MS
        self._rejections = {place: group for place, group in self._rejections.items() if place[0] >= keep_from_ms}
        return False

    def counts(self, *, since_ms: int, until_ms: int, step_ms: int) -> Sequence[Counted]:
        """Return what was counted, by periods; see `stores.Ledger.counts`."""
        span_ms = span_of(step_ms)
        sums: Counter[tuple[int, Key]] = Counter()
        for (at_ms, key), value in self._counts.items():
            if since_ms - since_ms % step_ms <= at_ms - at_ms % span_ms < until_ms:
                sums[at_ms - at_ms % step_ms, key] += value
        return [Counted(at_ms, key, value) for (at_ms, key), value in sorted(sums.items())]

    def stats(self, *, since_ms: int, until_ms: int, step_ms: int) -> Stats:
        """Return the numbers behind charts and totals; see `stores.Ledger.stats`."""
        counted = self.counts(since_ms=since_ms, until_ms=until_ms, step_ms=step_ms)
        return stats_of(counted, since_ms=since_ms, until_ms=until_ms, step_ms=step_ms)

    def rejections(self, since_ms: int) -> Sequence[Rejections]:
        """Return what was refused, in groups; see `stores.Ledger.rejections`."""
        return grouped(group for place, group in self._rejections.items() if place[0] >= since_ms - since_ms % HOUR_MS)
