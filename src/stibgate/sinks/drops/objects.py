"""The sink on an object store: one object a delivery, under the same path as on a disk.

An object is visible when it is whole, since a store takes a PUT whole or not at all; and a retry puts the same bytes
under the same key, so nothing is doubled. Deliveries share nothing and go up at once. Keys hold a time and the
delivery's id, never a person.

Nothing can grow in an object store; so there is no rolling layout here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stibgate.domain.task import Outcome, OutcomeKind
from stibgate.sinks import Batch, Finding
from stibgate.sinks.drops import places
from stibgate.sinks.drops.formats import Encoder
from stibgate.sinks.drops.refusals import failures, is_denied, is_missing, refusal

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ObjectSink:
    """Puts batches as objects below a prefix.

    Args:
        store: Its prefix is the prefix.
        url: Named in findings and hints.
        timeout_s: For one delivery, all of its requests and the fetching of credentials.
    """

    def __init__(self, store: "ObjectStore", encoder: Encoder, *, url: str, timeout_s: float) -> None:
        self._store = store
        self._encoder = encoder
        self._url = url
        self._timeout_s = timeout_s

    async def open(self) -> None:
        """Do nothing: the first batch shows whether the store answers."""

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Put *batch* and return `written` for each record, in order.

        Raises:
            SinkUnavailable: The store did not answer, failed, or asks for fewer requests.
            SinkHeld: The store takes nothing from us: credentials, permissions, no such bucket.
            SinkRejected: The object is too large for the store.
        """
        if not batch.records:
            return ()
        data = self._encoder.encode(batch, first=True)
        try:
            async with asyncio.timeout(self._timeout_s):
                place = await self._place(batch, data)
                if place is not None:
                    await self._put(place, data, self._attributes(batch))
        except failures() as error:
            raise refusal(error, self._url) from None  # its text quotes keys and answers
        return [Outcome(record.position, OutcomeKind.WRITTEN) for record in batch.records]

    async def check(self) -> Sequence[Finding]:
        """Return whether the store answers, by listing what lies below the prefix."""
        import obstore  # noqa: PLC0415  (an extra)

        try:
            async with asyncio.timeout(self._timeout_s):
                await anext(obstore.list(self._store, chunk_size=1), None)
        except failures() as error:
            failure = refusal(error, self._url)
            hint = failure.hint
            if is_denied(error):
                hint += " This check lists the prefix; where only writing is granted, the first delivery tells."
            return [Finding(f"{self._url}: {failure.message}", ok=False, hint=hint)]
        return [Finding(f"{self._url} answers and can be listed")]

    async def close(self) -> None:
        """Do nothing: every object was whole when it was put."""

    async def _place(self, batch: Batch, data: bytes) -> str | None:
        """Return the key for *data*, None when a resend's rows are there already."""
        place = places.usual(batch, self._encoder)
        if not batch.resend:
            return str(place)
        try:
            there = await self._get(str(place))
        except failures() as error:
            if is_missing(error):
                return str(place)
            if is_denied(error):  # may write, but not read: then never over something
                return str(places.beside(batch, self._encoder))
            raise
        chosen = places.place_of_resend(batch, there, data, self._encoder)
        return None if chosen is None else str(chosen)

    async def _get(self, key: str) -> bytes:
        import obstore  # noqa: PLC0415  (an extra)

        answer = await obstore.get_async(self._store, key)
        return bytes(await answer.bytes_async())

    async def _put(self, key: str, data: bytes, attributes: Mapping[str, str]) -> None:
        import obstore  # noqa: PLC0415  (an extra)

        # One request: parts of a cut multipart upload would lie about unseen and be billed.
        await obstore.put_async(self._store, key, data, attributes=dict(attributes), use_multipart=False)

    def _attributes(self, batch: Batch) -> Mapping[str, str]:
        """Return the object's type and metadata; single words, for Azure takes no `-` and proxies drop `_`."""
        return {
            "Content-Type": self._encoder.content_type,
            "delivery": places.path_part(batch.provenance.delivery_id),
            "task": places.path_part(batch.key),
            "records": str(len(batch.records)),
        }
