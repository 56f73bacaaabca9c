"""What `check` sees in a drop folder. Nothing is made, written or locked."""

from pathlib import Path

from stibgate.sinks import Finding
from stibgate.sinks.drops.disk import Disk

_ROOM_MIN_BYTES = 64 * 1024**2
_MIB = 1024**2


def look_at_folder(disk: Disk, folder: Path) -> list[Finding]:
    """Return whether *folder* can be written, or made, and whether its disk has room.

    Raises:
        OSError: It cannot even be looked at.
    """
    standing = next(path for path in (folder, *folder.parents) if disk.exists(path))
    if not disk.is_folder(standing):
        hint = f"Move away what stands at {standing}, or set another `dir`."
        return [Finding(f"{standing} is not a folder", ok=False, hint=hint)]
    will = f"{folder} is writable" if standing == folder else f"{folder} is not there yet and can be made"
    if not disk.is_writable(standing):
        hint = f"Make {standing} writable for the user that runs stibgate, and its disk read-write."
        return [Finding(f"{standing} is not writable", ok=False, hint=hint)]
    return [Finding(will), _room(disk, standing)]


def _room(disk: Disk, folder: Path) -> Finding:
    free_bytes, files_left = disk.room(folder)
    if not files_left:
        return Finding("the disk has no free inodes", ok=False, hint=f"Remove files from the disk that holds {folder}.")
    return Finding(
        f"{free_bytes // _MIB} MiB free",
        ok=free_bytes >= _ROOM_MIN_BYTES,
        hint="" if free_bytes >= _ROOM_MIN_BYTES else f"Free space on the disk that holds {folder}.",
    )
