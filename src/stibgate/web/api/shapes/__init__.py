"""What the calls answer, for the OpenAPI document. The answers are made in `views`; a test holds the two together."""

from stibgate.web.api.shapes.base import Document, Problem
from stibgate.web.api.shapes.money import Alarms, Bills, Budgets, Job, Jobs, Purchase, Reconciled, Resolved
from stibgate.web.api.shapes.system import Audit, Rejections, Stats
from stibgate.web.api.shapes.work import (
    Bulk,
    Changed,
    Deliveries,
    DeliveryDetail,
    Records,
    Replays,
    Report,
    Sink,
    Sinks,
    Sources,
    TaskDetail,
    TaskList,
    Tasks,
    Tested,
    Timeline,
)

__all__ = [
    "Alarms",
    "Audit",
    "Bills",
    "Budgets",
    "Bulk",
    "Changed",
    "Deliveries",
    "DeliveryDetail",
    "Document",
    "Job",
    "Jobs",
    "Problem",
    "Purchase",
    "Reconciled",
    "Records",
    "Rejections",
    "Replays",
    "Report",
    "Resolved",
    "Sink",
    "Sinks",
    "Sources",
    "Stats",
    "TaskDetail",
    "TaskList",
    "Tasks",
    "Tested",
    "Timeline",
]
