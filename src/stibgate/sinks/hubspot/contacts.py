"""Contacts: whose an e-mail address is, and what happens when it is somebody else's."""

from collections.abc import Sequence

from stibgate.sinks.hubspot.mapping import FieldMap, is_weak
from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.shapes import Found, Refusal
from stibgate.sinks.hubspot.writing import Run, Work

NAMING = ("email", "firstname", "lastname")
"""HubSpot creates a contact only with one of them. Source: contacts guide."""

_CONFLICTS = frozenset({"CONFLICT", "OBJECT_ALREADY_EXISTS", "CONTACT_EXISTS"})
_NAMELESS = "business_email belongs to another contact in HubSpot, and without it the record has no name"
_TAKEN = "business_email belongs to another contact in HubSpot; it went without"


class ContactHabits:
    """Adoption by e-mail address, and conflicts about it.

    An address names one contact in HubSpot, be it as a further one. Found, the contact is taken over when it has no
    key of ours or only a stand-in for one; a contact of another person keeps its address, and ours goes without.

    Args:
        objects: HubSpot.
        fields: The mapping.
    """

    def __init__(self, objects: Objects, fields: FieldMap) -> None:
        self._objects = objects
        self._key = fields.person_key
        self._email = fields.property_of("business_email")
        self._names = list(dict.fromkeys([self._key, *fields.names("contacts")]))

    async def find(self, works: Sequence[Work], run: Run) -> None:
        """Look for contacts with the address of these *works*, and take those that may be theirs."""
        hinted = [(work, work.hint) for work in works if work.hint is not None]
        if hinted:
            found = await self._read(list(dict.fromkeys(hint for _, hint in hinted)), id_property=None)
            for work, hint in hinted:
                work.hint = None
                if hint in found:
                    self._offer(work, found[hint])
        addressed = {work.lookup: work for work in works if work.lookup and work.record_id is None and work.open}
        if addressed and run.adopt:
            found = await self._read(list(addressed), id_property="email")
            for address, work in addressed.items():
                if address in found:
                    self._offer(work, found[address])

    def refused(self, work: Work, refusal: Refusal, run: Run) -> None:
        """Take over the contact that has the address already, or go without it; anything else is final."""
        if refusal.code == "CONFLICTING_UNIQUE_VALUE" and work.claim:
            # Our key is on another contact than the one with this address: that one is ours, this one is not.
            work.lose()
            work.lookup = None
        elif not _CONFLICTS.intersection({refusal.category, refusal.code}) or not self._has_email(work):
            work.refuse(refusal)
        elif work.record_id is not None:
            self._go_without(work, refusal)
        elif refusal.existing_id is not None and run.adopt:
            work.hint = refusal.existing_id
        else:
            work.refuse(refusal)

    async def _read(self, ids: Sequence[str], *, id_property: str | None) -> dict[str, Found]:
        return dict(await self._objects.read("contacts", ids, id_property=id_property, properties=self._names))

    def _offer(self, work: Work, found: Found) -> None:
        owner = found.properties.get(self._key)
        if not owner or owner == work.key:
            work.take(found, claim=not owner)
        elif is_weak(owner) or is_weak(work.key):
            work.take(found, claim=not is_weak(work.key))
        else:
            why = Refusal("CONFLICT", "OWNED_BY_OTHER_PERSON", self._email, message=_NAMELESS)
            self._go_without(work, why)

    def _has_email(self, work: Work) -> bool:
        return self._email is not None and self._email in work.wants

    def _go_without(self, work: Work, refusal: Refusal) -> None:
        """Drop the address; a contact that would have no name then is refused."""
        work.wants.pop(self._email or "", None)
        work.lookup = None
        if work.record_id is None and not any(name in work.wants for name in NAMING):
            work.refuse(refusal)
        elif _TAKEN not in work.notes:
            work.notes.append(_TAKEN)
