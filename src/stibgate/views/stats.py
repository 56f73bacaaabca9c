"""Charts and totals as JSON; times are RFC 3339, durations milliseconds."""

from dataclasses import asdict
from typing import Any

from stibgate.domain.stats import Stats
from stibgate.domain.tally import NO_SOURCE
from stibgate.views.words import moment


def stats_document(stats: Stats) -> dict[str, Any]:
    """Return *stats* as JSON: totals, and the lines of the charts, which share `at`."""
    chart = asdict(stats.chart)
    at_ms = chart.pop("at_ms")
    return {
        "since": moment(stats.since_ms),
        "until": moment(stats.until_ms),
        "accepted": stats.accepted,
        "records": stats.records,
        "rejected": stats.rejected,
        "rejected_share": stats.rejected_share,
        "ack_ms": asdict(stats.ack_ms),
        "sources": {name: asdict(one) for name, one in stats.sources.items() if name != NO_SOURCE},
        "sinks": {name: asdict(one) for name, one in stats.sinks.items()},
        "chart": {"at": [moment(one) for one in at_ms], **chart},
    }
