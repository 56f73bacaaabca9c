"""One record that HubSpot does not take must not keep the ninety-nine others out of its request.

With trace ids HubSpot says itself whose fault it is. Where it refuses a request whole: a property that no record
may send is left out and the rest sent once more; inputs that the refusal names go alone; else the request is
halved, and halved again. What looks for the culprit goes in the slow lane and is never more than a fifth of the
rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic

from stibgate.errors import SinkUnavailable
from stibgate.sinks.hubspot.answers import Refused
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.errands import Errand, Sorted
from stibgate.sinks.hubspot.faults import Fault
from stibgate.sinks.hubspot.gather import Item, Load, Result
from stibgate.sinks.hubspot.pace import Lane

_ROUNDS = 3
_BISECT_DEPTH = 3
"""From here on, where more than half the halves fail, one by one is cheaper."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What is still to be done after a request.

    Attributes:
        bad: The inputs among which there is a culprit.
        fault: What HubSpot said about them.
        clean: Whether every input was taken.
    """

    bad: Sequence[int] = ()
    fault: Fault = Fault()  # noqa: RUF009  (frozen)
    clean: bool = True


class Isolation(Generic[Item, Result]):
    """Brings one load to HubSpot, down to single inputs where it must."""

    def __init__(self, client: HubSpotClient, errand: Errand[Item, Result], load: Load[Item, Result]) -> None:
        self._client = client
        self._errand = errand
        self._load = load
        self._unclear = 0

    async def run(self) -> None:
        """Settle every input of the load.

        Raises:
            SinkUnavailable: Some are open; what is settled stays so.
        """
        sent = await self._send(None, self._errand.lane)
        if sent.bad:
            await self._isolate(sent.bad, sent.fault)
        if self._unclear:
            raise SinkUnavailable(f"HubSpot's answer says nothing certain about {self._unclear} records")

    async def _isolate(self, group: Sequence[int], fault: Fault) -> None:
        items = self._items(group)
        named = {group[index] for index in self._errand.about(fault, self._errand.index(items))}
        if 0 < len(named) < len(group):
            sent = await self._send([position for position in group if position not in named], Lane.LOW)
            await self._one_by_one([position for position in group if position in named])
            group, fault = sent.bad, sent.fault
        if group:
            await self._bisect(group, fault)

    async def _bisect(self, group: Sequence[int], fault: Fault) -> None:
        bad = [(group, fault)]
        for depth in count(1):
            failing: list[tuple[Sequence[int], Fault]] = []
            halves = 0
            for group, fault in bad:  # noqa: PLR1704  (the whole is the first of the parts)
                if len(group) == 1:
                    self._load.settle(group[0], self._errand.refuse(fault))
                    continue
                halves += 2
                failing += await self._halve(group, fault)
            if depth >= _BISECT_DEPTH and len(failing) * 2 > halves:
                await self._one_by_one([position for group, _ in failing for position in group])
                return
            if not failing:
                return
            bad = failing

    async def _halve(self, group: Sequence[int], fault: Fault) -> list[tuple[Sequence[int], Fault]]:
        """Send the halves of *group* and return those with a culprit."""
        left, right = group[: (len(group) + 1) // 2], group[(len(group) + 1) // 2 :]
        failing = []
        sent = await self._send(left, Lane.LOW)
        if sent.bad:
            failing.append((sent.bad, sent.fault))
        if sent.clean and len(right) > 1:
            return [(right, fault)]  # where else; only a record that was alone in its request is ever refused
        sent = await self._send(right, Lane.LOW)
        if sent.bad:
            failing.append((sent.bad, sent.fault))
        return failing

    async def _one_by_one(self, group: Sequence[int]) -> None:
        for position in group:
            sent = await self._send([position], Lane.LOW)
            if sent.bad:
                self._load.settle(position, self._errand.refuse(sent.fault))

    async def _send(self, group: Sequence[int] | None, lane: Lane) -> _Sent:
        """Send *group*, None for what the load takes when its turn has come, and settle what the answer settles."""
        clean, fault = True, Fault()
        for _ in range(_ROUNDS):
            chosen = group

            def body(chosen: Sequence[int] | None = chosen) -> Mapping[str, Any]:
                return self._errand.body(self._load.take() if chosen is None else self._items(chosen))

            try:
                answer = await self._client.request("POST", self._errand.path, body, lane=lane)
            except Refused as refused:
                group = range(len(self._load.items)) if group is None else group
                fault = refused.fault
                if self._errand.disable(fault, self._items(group)):
                    continue
                return _Sent(group, fault, clean=False)
            group = range(len(self._load.items)) if group is None else group
            sorted_ = self._errand.sort(self._items(group), answer)
            again = self._settle(group, sorted_)
            clean = clean and not sorted_.silent and len(again) == len(sorted_.faults)
            silent = [group[index] for index in sorted_.silent]
            if sorted_.loose and silent:
                return _Sent([*silent, *again], sorted_.loose[0], clean=False)
            if silent:
                await self._look_up(silent, sorted_)
            if not again:
                return _Sent(clean=clean)
            group, fault = again, next(iter(sorted_.faults.values()))
        return _Sent(group or (), fault, clean=False)

    def _settle(self, group: Sequence[int], sorted_: Sorted[Result]) -> list[int]:
        """Settle what is certain; return what goes again, now without a property that HubSpot does not take."""
        for index, result in sorted_.done.items():
            self._load.settle(group[index], result)
        again = []
        for index, fault in sorted_.faults.items():
            position = group[index]
            if fault.transient:
                self._unclear += 1
            elif self._errand.disable(fault, self._items([position])):
                again.append(position)
            else:
                self._load.settle(position, self._errand.refuse(fault))
        return again

    async def _look_up(self, silent: Sequence[int], sorted_: Sorted[Result]) -> None:
        """Settle inputs that the answer was silent about, by looking; never by assuming."""
        confirmed = await self._errand.confirm(self._items(silent), sorted_.strangers)
        for index, result in confirmed.items():
            self._load.settle(silent[index], result)
        rest = [position for index, position in enumerate(silent) if index not in confirmed]
        if sorted_.strangers and len(silent) > 1:
            await self._one_by_one(rest)  # alone, each has an answer that can only be its own
        else:
            self._unclear += len(rest)

    def _items(self, group: Sequence[int]) -> Sequence[Item]:
        return [self._load.items[position] for position in group]
