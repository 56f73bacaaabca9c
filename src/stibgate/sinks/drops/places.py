"""Where a batch goes, on a disk or in an object store: `YYYY/MM/DD/<received, compact UTC>-<delivery_id>.csv`.

The name follows from the delivery alone, the bytes from the batch alone. So a batch that comes again after a crash or a
time-out replaces what it wrote with the same bytes: it is whole every time, because a drop answers for all of its
records or for none.

A resend is different: an operator may have asked for some of the records only. What lies there already never loses a
row by it:

- all rows that lie there are in the batch, as with a whole resend: it replaces them;
- all rows of the batch lie there: nothing is written;
- neither: the batch gets a file of its own, `<received>-<delivery_id>.<N>.csv` for the Nth resend.
"""

import hashlib
import re
from collections import Counter
from pathlib import PurePosixPath

from stibgate.domain.instant import to_compact
from stibgate.sinks import Batch
from stibgate.sinks.drops.formats import Encoder

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ID_MAX = 120


def usual(batch: Batch, encoder: Encoder) -> PurePosixPath:
    """Return where the file of the delivery of *batch* lies, below the drop."""
    return _path(batch, encoder.suffix)


def beside(batch: Batch, encoder: Encoder) -> PurePosixPath:
    """Return where *batch*, a resend, lies when it may not replace the file of its delivery."""
    return _path(batch, f".{batch.resend}{encoder.suffix}")


def place_of_resend(batch: Batch, there: bytes, data: bytes, encoder: Encoder) -> PurePosixPath | None:
    """Return where *data* of the resend *batch* belongs, None when its rows lie in *there* already.

    Args:
        batch: The resend.
        there: What the usual place holds.
        data: The bytes of *batch*.
        encoder: Made both.
    """
    if there == data:
        return usual(batch, encoder)
    old, new = encoder.rows(there), encoder.rows(data)
    if old is None or new is None:  # somebody else's bytes: not ours to replace
        return beside(batch, encoder)
    old_rows, new_rows = Counter(old), Counter(new)
    if old_rows <= new_rows:
        return usual(batch, encoder)
    return None if new_rows <= old_rows else beside(batch, encoder)


def path_part(text: str) -> str:
    """Return *text* as a part of a file name: ASCII letters, digits, `_`, `-`; every other byte as `%XX`.

    Different texts stay different; what is too long ends in a digest of the whole.
    """
    raw = text.encode("utf-8", "surrogatepass")
    escaped = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")
    if len(escaped) <= _ID_MAX:
        return escaped
    return f"{escaped[: _ID_MAX - 34]}--{hashlib.sha256(raw).hexdigest()[:32]}"


def _path(batch: Batch, end: str) -> PurePosixPath:
    received = to_compact(batch.received_at_ms)
    name = f"{received}-{path_part(batch.provenance.delivery_id)}{end}"
    return PurePosixPath(received[:4], received[4:6], received[6:8], name)
