"""Where we remember: one file a backend, nine views of one store.

`Inbox` is all that intake can see, `Queue` all that the worker can see, `JobBook` what is bought and what it costs,
`Desk` what operators can do, `ReplayBook` what of it goes on by itself, `Office` what they leave behind, `Memories`
what sinks keep, `Tallies` what is counted, `Ledger` what people read. Every coroutine but those that only read returns
after what it did is durable: committed, and synced when `storage.durability` is `full`.
"""

from stibgate.stores.contracts.deliveries import Inbox, Queue
from stibgate.stores.contracts.jobs import JobBook
from stibgate.stores.contracts.ledger import Ledger
from stibgate.stores.contracts.operators import Desk, Memories, Note, Office, ReplayBook, Tallies
from stibgate.stores.filters import AuditFilter, DeliveryFilter, JobFilter, TaskFilter
from stibgate.stores.glance import DeadGroup, Seen
from stibgate.stores.replays import (
    ENDED,
    Bulk,
    BulkState,
    Page,
    Replay,
    ReplayNote,
    ReplayResult,
    Report,
    Selection,
    Step,
)
from stibgate.stores.values import (
    CHUNK_RECORDS,
    Accepted,
    Awaited,
    Bill,
    Call,
    CallState,
    Claim,
    KnownCall,
    NewTask,
    Owed,
    Processed,
    Settled,
    Spent,
    StoreStatus,
    UsageNote,
)

__all__ = [
    "CHUNK_RECORDS",
    "ENDED",
    "Accepted",
    "AuditFilter",
    "Awaited",
    "Bill",
    "Bulk",
    "BulkState",
    "Call",
    "CallState",
    "Claim",
    "DeadGroup",
    "DeliveryFilter",
    "Desk",
    "Inbox",
    "JobBook",
    "JobFilter",
    "KnownCall",
    "Ledger",
    "Memories",
    "NewTask",
    "Note",
    "Office",
    "Owed",
    "Page",
    "Processed",
    "Queue",
    "Replay",
    "ReplayBook",
    "ReplayNote",
    "ReplayResult",
    "Report",
    "Seen",
    "Selection",
    "Settled",
    "Spent",
    "Step",
    "StoreStatus",
    "Tallies",
    "TaskFilter",
    "UsageNote",
]
