"""One delivery: how it came, how it was proved, who is in it, and what became of every record of it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from stibgate.domain.access import Role
from stibgate.domain.delivery import StoredDelivery
from stibgate.domain.task import Attempt
from stibgate.errors import UsageError
from stibgate.stores import Ledger
from stibgate.views.deliveries import describe_delivery
from stibgate.views.story import ENDS, Line, story_of_delivery
from stibgate.web.console.masks import SHOWN, Person, person_of
from stibgate.web.console.page import ConsoleParts, Page, Visit, missing

PEOPLE = 25
"""Records on a page."""
REFUSED_MAX = 50
STORY_ENDS = 100
"""Of a longer story only so many lines of its beginning and of its end are told: a sender may come again all day."""
SEEN_MAX = 20
BODY_SHOWN_BYTES = 64 * 1024
INDENTED_CHARS_MAX = 8 * BODY_SHOWN_BYTES

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task with its attempts.

    Attributes:
        row: As the contract shows it: state, attempts, outcomes, refused.
        refused: The first of those that were refused.
    """

    row: Mapping[str, Any]
    attempts: Sequence[Attempt]
    refused: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """Everything that the page shows.

    Attributes:
        shape: As the contract shows it.
        story: What happened; without its middle when it is long.
        untold: How many lines that middle has.
        people: The records of this part of the page, masked unless they were revealed.
        body: The raw body, when it was revealed: as text, and whether that is all of it.
    """

    delivery: StoredDelivery
    shape: Mapping[str, Any]
    story: Sequence[Line]
    untold: int
    tasks: Sequence[TaskView]
    people: Sequence[Person]
    body: tuple[str, bool] | None = None
    revealed: frozenset[str] = field(default=frozenset())


class DeliveryPage:
    """The page `/deliveries/{id}`, and what is revealed on it."""

    def __init__(self, parts: ConsoleParts) -> None:
        self._parts = parts

    def pages(self) -> Sequence[Page]:
        """Return the page, its twin, and its two ways to see people."""
        path = "/deliveries/{id}"
        return [
            Page(path, self._show, "Delivery", query=frozenset({"records"})),
            Page(f"{path}/reveal", self._reveal, "Delivery", Role.OPERATOR, "POST", back=path),
            Page(f"{path}/body", self._body, "Delivery", Role.OPERATOR, "POST", back=path),
        ]

    async def _show(self, visit: Visit) -> web.Response:
        return await self._page(visit, visit.part("id"), _offset(visit.query.get("records", "0")), frozenset())

    async def _reveal(self, visit: Visit) -> web.Response:
        """Show what is masked, once it is on the audit who saw it."""
        what = visit.field("what")
        if what not in {"records", "body"}:
            raise UsageError("there is nothing of that name to reveal", hint="It is records or body.")
        name, offset = visit.part("id"), _offset(visit.field("records", "0"))
        await self._delivery(name)
        await self._parts.acts.reveal(visit.actor, name, what)
        return await self._page(visit, name, offset, frozenset({what}))

    async def _body(self, visit: Visit) -> web.Response:
        """Return the raw body as a file, byte for byte."""
        name, digest = visit.part("id"), _digest(visit.field("sha256", ""))
        await self._delivery(name)
        body = await self._parts.read(lambda ledger: ledger.body(name, digest))
        if body is None:
            raise missing(f"there is no such body of delivery {name}", "Its page lists all that came.")
        await self._parts.acts.reveal(visit.actor, name, "file")
        return web.Response(
            body=body,
            content_type="application/octet-stream",
            headers={"Content-Disposition": 'attachment; filename="delivery-body.bin"'},
        )

    async def _delivery(self, name: str) -> StoredDelivery:
        found = await self._parts.read(lambda ledger: ledger.delivery(name))
        if found is None:
            raise missing(f"there is no delivery {name}", "The list of deliveries can be searched by any id.")
        return found

    async def _page(self, visit: Visit, name: str, offset: int, revealed: frozenset[str]) -> web.Response:
        delivery = await self._delivery(name)
        view = await self._parts.read(partial(_look, delivery=delivery, offset=offset, revealed=revealed))
        return visit.show(
            "delivery.html",
            view=view,
            one=delivery,
            columns=SHOWN,
            story_ends=STORY_ENDS,
            seen_max=SEEN_MAX,
            ENDS=ENDS,
            offset=offset,
            step=PEOPLE,
            may_act=visit.may(Role.OPERATOR),
            curl=f'curl -H "Authorization: Bearer $TOKEN" {visit.origin}/api/v1/deliveries/{name}',
        )


def _look(ledger: Ledger, *, delivery: StoredDelivery, offset: int, revealed: frozenset[str]) -> DeliveryView:
    shape = describe_delivery(ledger, delivery)
    records = ledger.records(delivery.delivery_id, first=offset, limit=PEOPLE)
    story = story_of_delivery(ledger, delivery)
    untold = max(0, len(story) - 2 * STORY_ENDS)
    return DeliveryView(
        delivery,
        shape,
        [*story[:STORY_ENDS], *story[STORY_ENDS + untold :]],
        untold,
        [TaskView(row, ledger.attempts(row["task_id"]), row["refused"][:REFUSED_MAX]) for row in shape["tasks"]],
        [person_of(record, revealed="records" in revealed) for record in records],
        _text(ledger.body(delivery.delivery_id) or b"") if "body" in revealed else None,
        revealed,
    )


def _text(body: bytes) -> tuple[str, bool]:
    """Return *body* for people, and whether that is all of it; JSON is indented where it is JSON and short."""
    text = body[:BODY_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    if len(body) > BODY_SHOWN_BYTES:
        return text, False
    try:
        return _indented(json.loads(body)) or text, True
    except (ValueError, RecursionError):
        return text, True


def _indented(document: Any) -> str | None:
    """Return *document* over several lines; None where that is far longer, as each line begins with its depth."""
    parts, length = [], 0
    for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(document):
        length += len(part)
        if length > INDENTED_CHARS_MAX:
            return None
        parts.append(part)
    return "".join(parts)


def _digest(text: str) -> bytes | None:
    if text and _SHA256.fullmatch(text) is None:
        raise UsageError("sha256 is the hash of a body", hint="It has 64 hexadecimal digits.")
    return bytes.fromhex(text) or None


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise UsageError("records is the number of the first one to show", hint="Begin with 0.")
    return int(text)
