"""What is mortal in a process, and the far side that outlives it."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from stibgate.domain.record import Record
from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.errors import SinkUnavailable
from stibgate.sinks import Batch, Finding
from stibgate.stores.memory import MemoryStore
from stibgate.vendors.stibnite import NewJob, StibniteClient
from tests.simulation.world import MortalStore, Process, outside

_PLAIN = frozenset({"alive", "hash_key", "check_disk"})


@dataclass
class FatedProcess(Process):
    """A process that dies at a step by name: ("submitted", 2) before its second such call, ("submitted done", 2) after."""

    fate: tuple[str, int] | None = None
    _reached: Counter[str] = field(default_factory=Counter)

    def reach(self, name: str) -> None:
        if not self.died.is_set():
            self._reached[name] += 1
            if (name, self._reached[name]) == self.fate:
                self.died.set()
        self.step()


class MortalJobs(MortalStore):
    """A store as one process sees it: every call is two steps."""

    _process: FatedProcess

    def __getattr__(self, name: str) -> Any:
        if name == "read" and isinstance(self._store, MemoryStore):
            return self._mortal(self._read)
        found = getattr(self._store, name)
        return found if name in _PLAIN else self._mortal(found)

    def _mortal(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: object, **arguments: object) -> Any:
            self._process.reach(method.__name__)
            result = await outside(method(*args, **arguments))
            self._process.reach(f"{method.__name__} done")
            return result

        return call

    async def _read(self, query: Callable[[MemoryStore], Any]) -> Any:
        return query(self._store)


@dataclass(frozen=True)
class MortalApi:
    """The vendor's API as one process sees it: a step before the question, a step before its answer is known."""

    client: StibniteClient
    process: FatedProcess

    async def create_job(self, job: NewJob) -> Any:
        return await self._step(self.client.create_job(job))

    async def read_job(self, job_id: str) -> Any:
        return await self._step(self.client.read_job(job_id))

    async def usage(self) -> Any:
        return await self._step(self.client.usage())

    async def _step(self, question: Coroutine[Any, Any, Any]) -> Any:
        with contextlib.closing(question):
            self.process.reach(question.__name__)
            answer = await question
        self.process.reach(f"{question.__name__} done")
        return answer


@dataclass
class Crm:
    """A far side that knows a record of a task when it comes again; refuses some people, and is away now and then."""

    seed: int
    held: dict[tuple[str, int], str] = field(default_factory=dict)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def check(self) -> Sequence[Finding]:
        return ()

    async def close(self) -> None:
        """Nothing to let go."""

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        away = random.Random(f"{self.seed} {batch.records[0].person_id} {batch.attempt}").random() < 0.3
        if away and batch.attempt < 4:
            raise SinkUnavailable("not now")
        return [self._take(batch.task_id, record) for record in batch.records]

    def _take(self, task_id: str, record: Record) -> Outcome:
        if random.Random(f"{self.seed} {record.person_id}").random() < 0.1:
            return Outcome(record.position, OutcomeKind.REFUSED)
        self.held[task_id, record.position] = str(record.person_id)
        return Outcome(record.position, OutcomeKind.CREATED)
