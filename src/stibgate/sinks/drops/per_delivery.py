"""One file a delivery: `YYYY/MM/DD/<received, compact UTC>-<delivery_id>.csv`.

A visible file is whole: it is written under a hidden name, synced, and only then renamed. Its name and its bytes follow
from the batch alone, so a retry of the same task writes the same file again and a crash never doubles a row.
"""

import hashlib
import re
from pathlib import Path

from stibgate.domain.instant import to_compact
from stibgate.sinks import Batch
from stibgate.sinks.drops.disk import Disk
from stibgate.sinks.drops.formats import Encoder

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ID_MAX = 120


class PerDelivery:
    """Writes each batch into a file of its own.

    Args:
        folder: Under it are the folders of the years.
    """

    def __init__(self, disk: Disk, folder: Path, encoder: Encoder) -> None:
        self._disk = disk
        self._folder = folder
        self._encoder = encoder

    def open(self) -> None:
        """Make the folder."""
        self._disk.ensure_folder(self._folder, self._folder)

    def write(self, batch: Batch) -> None:
        """Write the file of *batch*, durably."""
        path = self._folder / relative_path(batch, self._encoder.suffix)
        self._disk.ensure_folder(path.parent, self._folder)
        self._disk.write_whole(path, self._encoder.encode(batch, first=True))

    def tick(self) -> float | None:
        """Return None: nothing is ever left open."""
        return None

    def close(self) -> None:
        """Do nothing: every file was finished when it was written."""


def relative_path(batch: Batch, suffix: str) -> Path:
    """Return where the file of *batch* lies below the drop folder."""
    received = to_compact(batch.received_at_ms)
    name = f"{received}-{path_part(batch.provenance.delivery_id)}{suffix}"
    return Path(received[:4], received[4:6], received[6:8], name)


def path_part(text: str) -> str:
    """Return *text* as a part of a file name: ASCII letters, digits, `_`, `-`; every other byte as `%XX`.

    Different texts stay different; what is too long ends in a digest of the whole.
    """
    raw = text.encode("utf-8", "surrogatepass")
    escaped = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")
    if len(escaped) <= _ID_MAX:
        return escaped
    return f"{escaped[: _ID_MAX - 34]}--{hashlib.sha256(raw).hexdigest()[:32]}"
