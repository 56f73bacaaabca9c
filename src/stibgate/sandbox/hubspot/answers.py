"""What a room gives back, before it is written out, and what it is asked with."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from multidict import MultiMapping

from stibgate.sandbox.hubspot.kinds import KINDS, Kind
from stibgate.sandbox.hubspot.refusals import Refused

_NUMBER = re.compile("[0-9]{1,18}")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in.

    Attributes:
        version: `2026-03` or `2026-09`.
        params: The variable parts of the path.
        query: The query.
        body: The JSON body; None where the method has none.
    """

    version: str
    params: Mapping[str, str]
    query: MultiMapping[str]
    body: Any

    @property
    def kind(self) -> Kind:
        """Which kind of record the path names."""
        return KINDS[self.params["kind"]]

    @property
    def archived(self) -> bool:
        """Whether the query asks for what is archived.

        Raises:
            Refused: 400, when it says neither true nor false.
        """
        said = self.query.get("archived", "false")
        if said not in _TRUTH:
            raise Refused(400, f"archived must be true or false, got {said}")
        return _TRUTH[said]

    def number(self, name: str, default: int) -> int:
        """Return the whole number of that name in the query.

        Raises:
            Refused: 400, when it is none.
        """
        return whole_number(name, self.query.get(name, str(default)))


@dataclass(slots=True)
class Answer:
    """Status, JSON body (None for none at all) and headers of one answer; *page* is sent instead of JSON."""

    status: int
    body: dict[str, Any] | None
    headers: dict[str, str] = field(default_factory=dict)
    page: str | None = None


Handler = Callable[[Call], Answer]


def batch(results: list[Any], at: str, errors: list[Any] | None = None, *, status: int = 200) -> Answer:
    """Return the answer of a batch: *status* when all went well, 207 with `errors` else."""
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
    if errors:
        return Answer(207, body | {"numErrors": len(errors), "errors": errors})
    return Answer(status, body)


def page(results: list[Any], after: str | None) -> Answer:
    """Return one page; *after* leads to the next one."""
    return Answer(200, {"results": results} | ({"paging": {"next": {"after": after}}} if after else {}))


def whole_number(name: str, text: str) -> int:
    """Return the number that *text* is: up to 18 digits, as ids and cursors have.

    Raises:
        Refused: 400, when it is none.
    """
    if _NUMBER.fullmatch(text) is None:
        raise Refused(400, f"{name} must be a whole number, got {text}")
    return int(text)
