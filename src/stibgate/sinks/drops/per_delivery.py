"""One file a delivery, in the folder of its day; `places` says which.

A visible file is whole: it is written under a hidden name, synced, and only then renamed. A retry writes the same file
again, so a crash never doubles a row. Different deliveries share nothing but folders, so they may be written at once:
the file system then syncs several files for the price of one.
"""

from collections.abc import Sequence
from pathlib import Path

from stibgate.sinks import Batch, Finding
from stibgate.sinks.drops import places
from stibgate.sinks.drops.disk import Disk
from stibgate.sinks.drops.formats import Encoder
from stibgate.sinks.drops.look import look_at_folder


class PerDelivery:
    """Writes each batch into a file of its own.

    Args:
        folder: Under it are the folders of the years.
    """

    def __init__(self, disk: Disk, folder: Path, encoder: Encoder) -> None:
        self._disk = disk
        self._folder = folder
        self._encoder = encoder

    def lane(self, batch: Batch) -> str:
        """Return the delivery: only what writes the same file must wait."""
        return batch.provenance.delivery_id

    def open(self) -> None:
        """Make the folder."""
        self._disk.ensure_folder(self._folder, self._folder)

    def write(self, batch: Batch) -> None:
        """Write the file of *batch*, durably."""
        path = self._folder / places.usual(batch, self._encoder)
        data = self._encoder.encode(batch, first=True)
        self._disk.ensure_folder(path.parent, self._folder)
        if batch.resend and self._disk.exists(path):
            place = places.place_of_resend(batch, self._disk.read(path), data, self._encoder)
            if place is None:
                self._disk.sync_folder(path.parent)  # a killed process may have left the name unsynced
                return
            path = self._folder / place
        self._disk.write_whole(path, data)

    def tick(self) -> float | None:
        """Return None: nothing is ever left open."""
        return None

    def look(self) -> Sequence[Finding]:
        """Return what can be said of the folder without writing."""
        return look_at_folder(self._disk, self._folder)

    def reopen(self) -> None:
        """Do nothing: no file is open between batches."""

    def close(self) -> None:
        """Do nothing: every file was finished when it was written."""
