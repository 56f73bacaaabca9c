"""What a selection names: the deliveries and tasks of its ids or of its filter, page by page; never a write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.record import lookup_hash
from stibgate.domain.task import Task
from stibgate.errors import UsageError
from stibgate.stores import DeliveryFilter, Ledger, Selection, TaskFilter

NAMES_PEOPLE = re.compile(r"@|\d{7}", re.ASCII)
"""What an address has, and a phone number."""
NOT_OURS = "no id of ours"
"""Stands for what was given as an id and is none: it could be anything, a person's address too."""
_OURS = re.compile(r"(dlv|tsk)_[0-9a-z]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Met:
    """What one row of a list, or one id, names.

    Attributes:
        ends: The position behind it; see `stores.Page`.
        things: The deliveries or tasks that are meant.
        others: The states of those that are named and not meant.
        unknown: The id, when it names nothing.
    """

    ends: int
    things: Sequence[StoredDelivery | Task]
    others: Sequence[str] = ()
    unknown: str | None = None


def tasks_in(met: Sequence[Met]) -> Sequence[Task]:
    """Return the tasks of what was met."""
    return [thing for one in met for thing in one.things if isinstance(thing, Task)]


def fit_to_keep(ledger: Ledger, *, selection: Selection) -> Selection:
    """Return *selection* as it may be stored: people by their hashes, and no id that is none of ours.

    Raises:
        UsageError: It looks for an error in words that may name somebody.
    """
    if selection.where.error is not None and NAMES_PEOPLE.search(selection.where.error):
        raise UsageError(
            "the error to look for has an address or a long number in it, and would be kept",
            hint="Give a part of the error without it, or filter by `person`.",
        )
    ids = [one if _OURS.fullmatch(one) else NOT_OURS for one in selection.ids]
    return Selection(with_people(ledger, selection), ids, sink=selection.sink)


def by_id(ledger: Ledger, *, selection: Selection, start: int, limit: int, seen: set[str]) -> Sequence[Met]:
    """Return what a page of the ids names, each once; of tasks only those that the filter's state and sink hold for."""
    met = []
    for number, name in enumerate(selection.ids[start : start + limit], start=start + 1):
        named = () if name in seen else _named(ledger, name, selection)
        found = [one for one in named or () if _id_of(one) not in seen]
        seen.update([name, *map(_id_of, found)])
        meant = [one for one in found if _is_meant(one, selection)]
        others = [str(one.state) for one in found if not _is_meant(one, selection)]
        met.append(Met(number, meant, others, name if named is None else None))
    return met


def _named(ledger: Ledger, name: str, selection: Selection) -> Sequence[StoredDelivery | Task] | None:
    """Return what has that id; None when nothing has."""
    if (task := ledger.task(name)) is not None:
        return [task]
    if (delivery := ledger.delivery(name)) is None:
        return None
    if isinstance(selection.where, DeliveryFilter):
        return [delivery]
    return [task for _, task in ledger.tasks(TaskFilter(delivery_id=name), limit=None)]


def _id_of(one: StoredDelivery | Task) -> str:
    return one.task_id if isinstance(one, Task) else one.delivery_id


def _is_meant(one: StoredDelivery | Task, selection: Selection) -> bool:
    """Whether something that was named by its id also is in the state, and owed to the sink, that were asked for."""
    if isinstance(one, Task) and selection.sink not in {None, one.sink}:
        return False
    return selection.where.state in {None, one.state}


def with_people(ledger: Ledger, selection: Selection) -> DeliveryFilter | TaskFilter:
    """Return the filter with the selection's sink, and its people by their hashes."""
    where = selection.where if selection.sink is None else replace(selection.where, sink=selection.sink)
    if not selection.identifiers:
        return where
    return replace(where, person=[lookup_hash(ledger.hash_key, *pair) for pair in selection.identifiers])


def listed(ledger: Ledger, *, where: DeliveryFilter | TaskFilter, limit: int, before: int | None) -> Sequence[Met]:
    """Return the next page of what matches."""
    if isinstance(where, DeliveryFilter):
        return [Met(one.sequence, [one]) for one in ledger.deliveries(where, limit=limit, before=before)]
    return [Met(number, [task]) for number, task in ledger.tasks(where, limit=limit, before=before)]
