"""Callers share requests: what waits when a turn to send comes goes together, like a database's group commit.

A call's items queue up; for each full or begun request's worth of them one trip waits for its turn, and takes
what is there when the turn has come. Nobody waits for company beyond that. An item whose key is under way
already waits until that one is back. A caller that gives up takes its waiting items with it and nothing else.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from stibgate.errors import SinkUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

REQUEST_MAX = 100
"""Inputs of one request. Source: HubSpot, object batch endpoints."""


class NothingToSend(Exception):
    """The turn has come and nobody needs it any more: those who waited have gone."""


class _Call(Generic[Result]):
    """One caller's items: done when the last of them is."""

    def __init__(self, count: int) -> None:
        self.results: list[Result | None] = [None] * count
        self.error: BaseException | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = count

    @property
    def given_up(self) -> bool:
        return self.error is not None or self.done.done()

    def finish(self, position: int, result: Result | None, error: BaseException | None) -> None:
        self.results[position] = result
        self.error = self.error or error
        self._left -= 1
        if self._left == 0 and not self.done.done():
            if self.error is None:
                self.done.set_result(None)
            else:  # of its own: one error may go to several callers, each adds its traceback
                self.done.set_exception(copy.copy(self.error))


class _Entry(Generic[Item, Result]):
    __slots__ = ("call", "item", "key", "position")

    def __init__(self, call: _Call[Result], position: int, item: Item, key: str) -> None:
        self.call, self.position, self.item, self.key = call, position, item, key


class Load(Generic[Item, Result]):
    """What one trip carries; empty until `take`.

    Attributes:
        items: In the order of the queue, no two with one key.
    """

    def __init__(self, take: Callable[[], list[_Entry[Item, Result]]]) -> None:
        self.items: Sequence[Item] = ()
        self.taken = False
        self._take = take
        self._open: dict[int, _Entry[Item, Result]] = {}
        self._landed: Callable[[str], None] = lambda _: None

    def on_landed(self, landed: Callable[[str], None]) -> None:
        """Call *landed* with the key of each item that is done."""
        self._landed = landed

    def take(self) -> Sequence[Item]:
        """Take what waits, up to one request's worth, and return it.

        Raises:
            NothingToSend: Nothing does.
        """
        self.taken = True
        entries = self._take()
        self.items = [entry.item for entry in entries]
        self._open = dict(enumerate(entries))
        if not entries:
            raise NothingToSend
        return self.items

    def settle(self, index: int, result: Result) -> None:
        """Say what became of `items[index]`."""
        self._close(index, result, None)

    def fail(self, error: BaseException) -> None:
        """Say that what is not settled yet failed with *error*."""
        for index in list(self._open):
            self._close(index, None, error)

    def _close(self, index: int, result: Result | None, error: BaseException | None) -> None:
        entry = self._open.pop(index, None)
        if entry is not None:
            entry.call.finish(entry.position, result, error)
            self._landed(entry.key)


class Gather(Generic[Item, Result]):
    """One operation's shared requests.

    Args:
        carry: Sends one load: calls `Load.take` when its turn has come, and settles every item or raises.
        spawn: Runs a coroutine beside the callers.
        key: What no two items under way may have in common.
    """

    def __init__(
        self,
        carry: Callable[[Load[Item, Result]], Awaitable[None]],
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        key: Callable[[Item], str],
    ) -> None:
        self._carry = carry
        self._spawn = spawn
        self._key = key
        self._queue: deque[_Entry[Item, Result]] = deque()
        self._away: dict[str, deque[_Entry[Item, Result]]] = {}
        self._trips_waiting = 0

    async def call(self, items: Sequence[Item]) -> list[Result]:
        """Return the result of each of *items*, in order.

        Raises:
            SinkUnavailable: A request with some of them failed; the others that were under way are done.
        """
        if not items:
            return []
        call: _Call[Result] = _Call(len(items))
        self._queue.extend(_Entry(call, position, item, self._key(item)) for position, item in enumerate(items))
        self._send_trips()
        await call.done
        return call.results  # type: ignore[return-value]  # every item is done, so none is None by default

    def _send_trips(self) -> None:
        while self._trips_waiting * REQUEST_MAX < len(self._queue):
            self._trips_waiting += 1
            self._spawn(self._trip())

    async def _trip(self) -> None:
        load: Load[Item, Result] = Load(self._take)
        load.on_landed(self._land)
        try:
            await self._carry(load)
            load.fail(SinkUnavailable("HubSpot's answer left some records open"))
        except NothingToSend:
            pass
        except asyncio.CancelledError:
            self._abandon(load, SinkUnavailable("the sink is being closed"))
            raise
        except Exception as error:  # noqa: BLE001  (a caller waits for it, whatever it is)
            self._abandon(load, error)
        finally:
            self._send_trips()

    def _abandon(self, load: Load[Item, Result], error: BaseException) -> None:
        """Fail what *load* carries, or would have carried had its turn come."""
        if not load.taken:
            try:
                load.take()
            except NothingToSend:
                return
        load.fail(error)

    def _take(self) -> list[_Entry[Item, Result]]:
        self._trips_waiting -= 1
        taken: list[_Entry[Item, Result]] = []
        while self._queue and len(taken) < REQUEST_MAX:
            entry = self._queue.popleft()
            if entry.call.given_up:
                entry.call.finish(entry.position, None, None)
            elif entry.key in self._away:
                self._away[entry.key].append(entry)
            else:
                self._away[entry.key] = deque()
                taken.append(entry)
        return taken

    def _land(self, key: str) -> None:
        """Let those go on that waited for *key*, before all who came later."""
        waited = self._away.pop(key)
        if waited:
            self._queue.extendleft(reversed(waited))
            self._send_trips()
