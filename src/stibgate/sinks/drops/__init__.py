"""Drops: records as CSV or NDJSON files in a folder, for whatever picks files up from there.

    settings      the keys of `[sinks.NAME]` with `kind = "csv"` or `"ndjson"`
    sink          `DropSink`: one batch at a time, in a thread, failures told as `SinkUnavailable`
    per_delivery  one file a delivery, visible only when whole
    rolling       one file that grows until it is full or old, exactly once over crashes
    journal       what the rolling layout has promised, one synced line an append
    formats       records to bytes: RFC 4180, NDJSON, gzip
    guard         the apostrophe that keeps a spreadsheet from computing a cell
    disk          every step that touches the file system, and nothing else

Files are made with mode 0600 and folders with 0700: they hold personal data. A consumer runs as the same user,
or the operator grants the folder to it with a default ACL (`setfacl -d`).
"""

from stibgate.sinks.drops.settings import DropSettings
from stibgate.sinks.drops.sink import DropSink

__all__ = ["DropSettings", "DropSink"]
