"""What operators see at a glance, beside the nouns of `domain`."""

import re
from dataclasses import dataclass

_QUOTED = re.compile(r"""(["'`])(?:(?!\1).){1,200}\1""")
_ID = re.compile(r"\b(?=[\w-]*\d)[\w-]{12,}\b")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*\b")
ERROR_CHARS_MAX = 120
DEAD_GROUPED_MAX = 2_000
"""How many dead tasks are grouped, the newest ones."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The last delivery of a source that proved itself.

    Attributes:
        authenticated_by: `token`, or the scheme and the secret's label, `t_v1/1`.
    """

    delivery_id: str
    at_ms: int
    authenticated_by: str


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead tasks of a sink that died of the same.

    Attributes:
        error: What their errors have in common; see `alike`.
        example: The newest one's whole error.
        task_id: The newest one.
        since_ms: Since when the first of them owes its records.
    """

    sink: str
    error: str
    count: int
    example: str
    task_id: str
    since_ms: int


def alike(error: str | None) -> str:
    """Return what *error* has in common with others of its kind: without ids, quoted values and most numbers.

    A number of three digits stays, since it is mostly an HTTP status.
    """
    text = (error or "")[: 2 * ERROR_CHARS_MAX].strip()
    text = _QUOTED.sub("…", text)
    text = _ID.sub("…", text)
    text = _NUMBER.sub(lambda found: found[0] if len(found[0]) == 3 else "…", text)
    return text[:ERROR_CHARS_MAX] or "no error"
