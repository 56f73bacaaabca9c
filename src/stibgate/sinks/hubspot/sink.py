"""The sink itself: a batch becomes a plan, the plan goes to HubSpot in slices, every record gets its outcome."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stibgate.domain.task import Outcome
from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks import Batch, Finding, SinkContext
from stibgate.sinks.hubspot.checking import look_around
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.companies import Companies
from stibgate.sinks.hubspot.contacts import ContactHabits
from stibgate.sinks.hubspot.delivering import Delivery
from stibgate.sinks.hubspot.locks import Locks
from stibgate.sinks.hubspot.mapping import FieldMap, Kind
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.people import Person, Plan, plan
from stibgate.sinks.hubspot.portal import Desk, Portal
from stibgate.sinks.hubspot.writing import Run, Writing

SLICE = 100
"""People that are settled together: what fits into one request of HubSpot."""
SLICES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Options:
    """What the settings say, without the token.

    Attributes:
        fields: The mapping.
        owners: `partner_user_id` to e-mail address.
        skip_unchanged_ms: For how long an acknowledged content is not sent again.
        create_properties: Whether missing properties may be made.
        adopt: Whether records that are not ours are taken over.
        companies: Whether companies are written.
    """

    fields: FieldMap
    owners: Mapping[str, str]
    skip_unchanged_ms: int
    create_properties: bool = True
    adopt: bool = True
    companies: bool = True


class HubspotSink:
    """Takes batches of records to one HubSpot account.

    Args:
        client: HubSpot.
        objects: HubSpot's batches, on the same client.
        context: The clock and the memory.
        options: What the settings say.
        token: What `check` asks HubSpot about; None leaves that question out.
    """

    def __init__(
        self,
        client: HubSpotClient,
        objects: Objects,
        context: SinkContext,
        options: Options,
        *,
        token: str | None = None,
    ) -> None:
        self._client = client
        self._context = context
        self._options = options
        self._token = token
        fields = options.fields
        self._desk = Desk(
            client,
            fields,
            options.owners,
            context.memory,
            create=options.create_properties,
            now_ms=context.now_ms,
            companies=options.companies,
        )
        contacts = Writing(
            objects,
            "contacts",
            key_property=fields.person_key,
            names=fields.names("contacts"),
            habits=ContactHabits(objects, fields),
        )
        self._delivery = Delivery(objects, fields, contacts, Companies(objects, fields, Locks()))

    async def open(self) -> None:
        """Look at the account and make the properties that are missing.

        Raises:
            SinkUnavailable: HubSpot does not answer, or something must be changed there first; the first batch looks
                again.
        """
        await self._client.start()
        await self._desk.ready()

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Return what became of each record, in order, once all of them are in HubSpot or refused for good.

        Raises:
            SinkUnavailable: Some are not settled; its `outcomes` are those of the others.
            SinkHeld: HubSpot takes nothing for now, or something must be changed there first.
        """
        if not batch.records:
            return ()
        portal = await self._desk.ready()
        planned = self._plan(batch, portal)
        outcomes = {outcome.position: outcome for outcome in planned.refused}
        gate = asyncio.Semaphore(SLICES_AT_ONCE)

        async def settle(people: Sequence[Person]) -> None:
            async with gate:
                await self._settle(batch, portal, planned, people, outcomes)

        slices = [planned.people[i : i + SLICE] for i in range(0, len(planned.people), SLICE)]
        ended = await asyncio.gather(*map(settle, slices), return_exceptions=True)
        errors = [error for error in ended if error is not None]
        if errors:
            raise _worst(errors, list(outcomes.values()))
        return [outcomes[record.position] for record in batch.records]

    async def check(self) -> Sequence[Finding]:
        """Return what reading the account shows; nothing is written there."""
        await self._client.start()
        return await look_around(self._client, self._desk, self._options.fields, self._options.owners, self._token)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    def _plan(self, batch: Batch, portal: Portal) -> Plan:
        planned = plan(batch, self._options.fields, portal.terms, companies=self._options.companies)
        if batch.provenance.partner_user_id in portal.unknown_owners:
            for person in planned.people:
                person.notes.append("the owner that is configured for partner_user_id is not a user of this account")
        return planned

    async def _settle(
        self, batch: Batch, portal: Portal, planned: Plan, people: Sequence[Person], outcomes: dict[int, Outcome]
    ) -> None:
        """Settle *people*; once more with a new look at HubSpot for those whose answers contradicted the last one."""
        run = self._run(batch, portal)
        before = self._left_out()
        again = await self._delivery.take(people, planned.employers, run, outcomes, last=False)
        if self._left_out() - before:
            # HubSpot does not know a property that we saw: when it cannot be made again, nothing more goes out.
            await self._desk.changed_since(portal)
        if not again.people:
            return
        if again.contradicted:
            portal = await self._desk.changed_since(portal) or portal
            planned = self._plan(batch, portal)
        positions = {person.position for person in again.people}
        rest = [person for person in planned.people if person.position in positions]
        outcomes |= {outcome.position: outcome for outcome in planned.refused if outcome.position in positions}
        run = replace(self._run(batch, portal), forced=True)
        await self._delivery.take(rest, planned.employers, run, outcomes, last=True)

    def _run(self, batch: Batch, portal: Portal) -> Run:
        return Run(
            state=portal.state,
            batch=batch.key,
            received_at_ms=batch.received_at_ms,
            now_ms=self._context.now_ms(),
            skip_ms=self._options.skip_unchanged_ms,
            forced=batch.forced,
            complete=portal.complete,
            adopt=self._options.adopt,
            replay=batch.forced,
            left_out=self._client.disabled_properties,
        )

    def _left_out(self) -> set[tuple[Kind, str]]:
        kinds: tuple[Kind, ...] = ("contacts", "companies")
        return {(kind, name) for kind in kinds for name in self._client.disabled_properties(kind)}


def _worst(errors: Sequence[BaseException], outcomes: Sequence[Outcome]) -> BaseException:
    """Return the error that decides: what is no sink's error first, then what holds the queue, then the others."""
    transient = [error for error in errors if isinstance(error, SinkUnavailable)]
    if len(transient) < len(errors):
        return next(error for error in errors if not isinstance(error, SinkUnavailable))
    first = next((error for error in transient if isinstance(error, SinkHeld)), transient[0])
    waits = [error.retry_after_s for error in transient if error.retry_after_s is not None]
    kind = SinkHeld if isinstance(first, SinkHeld) else SinkUnavailable
    return kind(first.message, hint=first.hint, retry_after_s=max(waits, default=None), outcomes=outcomes)
