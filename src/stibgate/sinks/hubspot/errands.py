"""What one kind of request carries, and which input each part of its answer is about.

HubSpot answers in an order of its own, with addresses in lower case and merged records under other ids. So a
result belongs to the input that it names: by trace id, else by key, else by record id, else because one input
and one result are left. Never by position.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from stibgate.sinks.hubspot.answers import Answer
from stibgate.sinks.hubspot.faults import Fault, parse_fault
from stibgate.sinks.hubspot.gather import Item, Result
from stibgate.sinks.hubspot.pace import Lane

Mark = tuple[str, ...]
"""A name by which an answer may call an input: a word for its kind, and the name itself."""

Index = Mapping[Mark, Sequence[int]]


def normal(text: str) -> str:
    """Return *text* as HubSpot may compare it: two inputs that are equal so never go into one request."""
    return text.strip().lower()


@dataclass(slots=True)
class Sorted(Generic[Result]):
    """An answer, taken apart; numbers are indices of the inputs that were sent.

    Attributes:
        done: Results.
        faults: Complaints.
        loose: Complaints about nobody knows which input.
        strangers: Results for nobody knows which input.
        silent: Inputs that nothing was said about.
    """

    done: dict[int, Result] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)
    loose: list[Fault] = field(default_factory=list)
    strangers: list[Mapping[str, Any]] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


class Errand(ABC, Generic[Item, Result]):
    """One operation on one type of object.

    Attributes:
        path: With `{version}`.
        lane: The clock that its first requests go by.
    """

    path: str
    lane: Lane = Lane.NORMAL

    @abstractmethod
    def body(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Return the document that is sent for *items*."""

    @abstractmethod
    def marks(self, position: int, item: Item) -> Iterable[Mark]:
        """Yield the names by which an answer may call *item*."""

    @abstractmethod
    def marks_of(self, result: Mapping[str, Any]) -> Iterable[Mark]:
        """Yield the names that *result* calls its input by, best first."""

    @abstractmethod
    def accept(self, result: Mapping[str, Any]) -> Result | None:
        """Return what *result* means for its input; None when it makes no sense."""

    @abstractmethod
    def refuse(self, fault: Fault) -> Result:
        """Return what *fault* means for an input that has it."""

    @abstractmethod
    def disable(self, fault: Fault, items: Sequence[Item]) -> bool:
        """Leave out what no record may send; return whether *items* are worth sending again because of it.

        Raises:
            SinkHeld: What is at fault cannot be left out.
        """

    @abstractmethod
    async def confirm(self, items: Sequence[Item], strangers: Sequence[Mapping[str, Any]]) -> Mapping[int, Result]:
        """Look up what became of *items* that nothing was said about; return those that are certain."""

    def about(self, fault: Fault, index: Index) -> Sequence[int]:
        """Return the inputs that *fault* names.

        Beside a trace id other ids are not its input's: those of a record that it collides with, for example.
        """
        traced = [position for trace in fault.traces for position in index.get(("trace", trace), ())]
        return traced or [position for name in fault.named for position in index.get(("id", normal(name)), ())]

    def index(self, items: Sequence[Item]) -> Index:
        """Return which inputs have which name."""
        index: dict[Mark, list[int]] = {}
        for position, item in enumerate(items):
            for mark in self.marks(position, item):
                index.setdefault(mark, []).append(position)
        return index

    def sort(self, items: Sequence[Item], answer: Answer) -> Sorted[Result]:
        """Return what *answer* says about each of *items*."""
        index = self.index(items)
        sorted_: Sorted[Result] = Sorted()
        for fault in _faults(answer):
            positions = self.about(fault, index)
            if not positions:
                sorted_.loose.append(fault)
            for position in positions:
                sorted_.faults[position] = fault
        for result in members(answer.document.get("results")):
            found = next((index[mark] for mark in self.marks_of(result) if mark in index), ())
            accepted = self.accept(result) if len(found) == 1 else None
            if accepted is None:
                sorted_.strangers.append(result)
            elif found[0] not in sorted_.faults:
                sorted_.done[found[0]] = accepted
        known = sorted_.done.keys() | sorted_.faults.keys()
        sorted_.silent = [position for position in range(len(items)) if position not in known]
        if len(sorted_.silent) == 1:
            self._eliminate(sorted_)
        return sorted_

    def _eliminate(self, sorted_: Sorted[Result]) -> None:
        """Give the one result or complaint that is left to the one input that is left."""
        (position,) = sorted_.silent
        if len(sorted_.strangers) == 1 and not sorted_.loose:
            accepted = self.accept(sorted_.strangers[0])
            if accepted is not None:
                sorted_.done[position] = accepted
                sorted_.silent, sorted_.strangers = [], []
        elif len(sorted_.loose) == 1 and not sorted_.strangers:
            sorted_.faults[position] = sorted_.loose[0]
            sorted_.silent, sorted_.loose = [], []


def record_id(result: Mapping[str, Any]) -> str | None:
    """Return the record id of an object in an answer."""
    value = result.get("id")
    text = str(value) if isinstance(value, (str, int)) else ""
    return text or None


def _faults(answer: Answer) -> Iterator[Fault]:
    """Yield the complaints in *answer*, also those that it only counts."""
    listed = members(answer.document.get("errors"))
    for error in listed:
        yield parse_fault(error, answer.correlation_id)
    count = answer.document.get("numErrors")
    if isinstance(count, int):
        yield from [Fault(correlation_id=answer.correlation_id)] * min(count - len(listed), 100)


def mapping(value: object) -> Mapping[str, Any]:
    """Return *value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def members(value: object) -> Sequence[Mapping[str, Any]]:
    """Return the JSON objects in *value*, if it is an array."""
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else ()
