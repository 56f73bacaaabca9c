"""A sink that appends JSON lines to a file, each record once: an example of a sink in a package of its own."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.errors import SinkUnavailable
from stibgate.sinks import Batch, Finding, Sink, SinkContext
from stibgate.sinks.settings import SinkSettings

T = TypeVar("T")


class JsonLogSettings(SinkSettings):
    """Records as lines of JSON.

    Attributes:
        kind: Always `jsonlog`.
        path: The file; its folder must be there. A relative one is taken from the folder of the configuration.
    """

    kind: Literal["jsonlog"]
    path: Path

    def build(self, context: SinkContext) -> Sink:
        """Return the sink; nothing is touched before its `open`."""
        return JsonLog(self.path)


class JsonLog:
    """Appends each record of a batch once, synced, under the batch's key and the record's position.

    The file itself says which records it holds. So a batch that comes again, whole or in part, adds only what is not
    there yet, and a line that a crash tore is cut off and written again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: set[tuple[str, int]] | None = None

    async def open(self) -> None:
        """Read what the file holds.

        Raises:
            SinkUnavailable: It cannot be read; the first batch tries again.
        """
        await self._in_thread(self._load)

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Append what is not there yet and return `written` for each record, in order.

        Raises:
            SinkUnavailable: The disk refused.
        """
        if batch.records:
            await self._in_thread(lambda: self._append(batch))
        return [Outcome(record.position, OutcomeKind.WRITTEN) for record in batch.records]

    async def check(self) -> Sequence[Finding]:
        """Look whether the file can be written; needs no `open`."""
        folder = self._path.parent
        if not await asyncio.to_thread(os.access, folder, os.W_OK | os.X_OK):
            return [Finding(f"{folder} is not a folder to write in", ok=False, hint="Make it, or change `path`.")]
        return [Finding(f"{folder} can be written")]

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Who gives up leaves a thread behind that writes on; the lock keeps the next one waiting until it has.
        def alone() -> T:
            with self._lock:
                try:
                    return work()
                except OSError:
                    self._held = None  # a part may be written: the next one looks again
                    raise

        try:
            return await asyncio.to_thread(alone)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SinkUnavailable(
                f"{self._path}: {reason}", hint="Check its folder, its owner and its disk."
            ) from error

    def _load(self) -> set[tuple[str, int]]:
        data = self._path.read_bytes() if self._path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        lines: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        self._held = {(line["key"], line["position"]) for line in lines}
        return self._held

    def _append(self, batch: Batch) -> None:
        held = self._load() if self._held is None else self._held
        new = [record for record in batch.records if (batch.key, record.position) not in held]
        text = "".join(json.dumps({"key": batch.key, **record.to_document()}) + "\n" for record in new)
        # Only for its owner: these are personal data.
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        held.update((batch.key, record.position) for record in new)
