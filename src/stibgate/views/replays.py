"""What was sent again or cancelled, and how far a replay in the background has come."""

from typing import Any

from stibgate.stores import Bulk, Report
from stibgate.views.words import moment


def report_row(report: Report) -> dict[str, Any]:
    """Return *report* as JSON."""
    return {
        "dry_run": report.dry_run,
        "records": report.records,
        "results": {name: count for name, count in report.results.items() if count},
        "sinks": {name: count for name, count in report.sinks.items() if name},
        "unknown": list(report.unknown),
    }


def bulk_row(bulk: Bulk) -> dict[str, Any]:
    """Return a replay in the background as JSON."""
    return {
        "replay_id": bulk.replay_id,
        "state": bulk.state,
        "total": bulk.total,
        "done": bulk.done,
        "by": bulk.actor.called,
        "started_at": moment(bulk.started_at_ms),
        "ended_at": moment(bulk.ended_at_ms),
        "error": bulk.error,
        **report_row(bulk.report),
    }
