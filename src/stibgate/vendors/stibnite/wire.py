"""One question to Stibnite, one typed answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from stibgate.vendors.answers import read_json, shaped
from stibgate.vendors.http import BODY_MAX_BYTES, Answer, Call, Http, Repeat
from stibgate.vendors.paths import segment, with_query
from stibgate.vendors.retry import Means, Patience, send
from stibgate.vendors.stibnite.proofs import Proof

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        route: The documented path, `/v1/persons/search/jobs/{job_id}`.
        ids: What stands for its names.
        query: Parameters; those that are None are left out.
        body: A POST's JSON; None makes it a GET, or a DELETE.
        repeat: When it may be sent again by itself.
        private: Personal values in it.
    """

    route: str
    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int | None] = field(default_factory=dict, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.FREELY
    private: tuple[str, ...] = field(default=(), repr=False)
    answer_max_bytes: int = BODY_MAX_BYTES
    deletes: bool = False

    def call(self, proof: Proof) -> Call:
        """Return it as it goes over the wire.

        Raises:
            UsageError: One of `ids` cannot be in a path.
        """
        path = self.route.format_map({name: segment(name, value) for name, value in self.ids.items()})
        method = "DELETE" if self.deletes else "GET" if self.body is None else "POST"
        return Call(
            method,
            self.route,
            with_query(path, self.query),
            headers={**proof.headers},
            body=None if self.body is None else json.dumps(self.body, separators=(",", ":"), allow_nan=False).encode(),
            private=(*proof.secrets, *self.private),
            hints=proof.hints,
            repeat=self.repeat,
            answer_max_bytes=self.answer_max_bytes,
        )


@dataclass(frozen=True, slots=True)
class Wire:
    """The connection to Stibnite, with what it takes to be patient."""

    http: Http
    means: Means
    patience: Patience

    async def whole(self, question: Question, proof: Proof) -> tuple[Call, Answer]:
        """Return the 2xx (for a DELETE also the 404 of what an earlier try deleted), and what was asked.

        Raises:
            VendorError: There was none.
        """
        call = question.call(proof)
        return call, await send(self.http, call, means=self.means, patience=self.patience)

    async def value(self, question: Question, proof: Proof) -> tuple[Call, Any]:
        """Return the answer's JSON value, and what was asked.

        Raises:
            VendorError: There was none.
        """
        call, answer = await self.whole(question, proof)
        return call, read_json(call, answer)

    async def typed(self, question: Question, proof: Proof, model: type[Model]) -> Model:
        """Return the answer as *model*.

        Raises:
            VendorError: There was none.
        """
        call, value = await self.value(question, proof)
        return shaped(call, value, model)
