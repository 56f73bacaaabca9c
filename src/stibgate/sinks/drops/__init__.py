"""Drops: records as CSV or NDJSON, in a folder or an object store, for whatever picks files up from there.

    settings      the keys of `[sinks.NAME]` with `kind = "csv"` or `"ndjson"`
    storage       the keys of `[sinks.NAME.storage]`, and the object store that they make
    formats       records to bytes: RFC 4180, NDJSON, gzip
    guard         the apostrophe that keeps a spreadsheet from computing a cell
    places        which path a delivery has, and what a resend may replace

On a disk:

    sink          `DropSink`: batches in threads, failures told as `SinkUnavailable`
    per_delivery  one file a delivery, visible only when whole
    rolling       one file that grows until it is full or old, exactly once over crashes
    journal       what the rolling layout has promised, one synced line an append
    look          what `check` sees in a folder
    disk          every step that touches the file system, and nothing else

In an object store:

    objects       `ObjectSink`: one object a delivery
    refusals      what a store's failure means

Files are made with mode 0600 and folders with 0700: they hold personal data. A consumer runs as the same user,
or the operator grants the folder to it with a default ACL (`setfacl -d`).
"""

from stibgate.sinks.drops.objects import ObjectSink
from stibgate.sinks.drops.settings import DropSettings
from stibgate.sinks.drops.sink import DropSink

__all__ = ["DropSettings", "DropSink", "ObjectSink"]
