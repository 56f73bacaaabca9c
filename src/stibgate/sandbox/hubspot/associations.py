"""Associations between contacts and companies.

Each associated pair has the unlabelled type; a contact's first company is its primary one as well. Pairs that cannot
be associated are errors in a 200, as the published document declares them.

Source: associations guide and changelog (limits); `public_default_association` of the official Python client.
"""

from typing import Any

from aiohttp import web

from stibgate.sandbox.hubspot.answers import Answer, Call, batch
from stibgate.sandbox.hubspot.bodies import ASSOCIATION_READ_MAX, AssociationReads, Pairs, read_batch
from stibgate.sandbox.hubspot.border import Border
from stibgate.sandbox.hubspot.kinds import COMPANIES, CONTACTS, KINDS, Kind
from stibgate.sandbox.hubspot.paths import ASSOCIATIONS
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.records import Records
from stibgate.sandbox.hubspot.refusals import NOT_FOUND, VALIDATION, Refused

_BOTH = ("crm.objects.contacts.{}", "crm.objects.companies.{}")


class Associations:
    """Which contact works at which company.

    Attributes:
        pairs: Contact id and company id.
    """

    def __init__(self, portal: Portal, records: dict[str, Records]) -> None:
        self._portal = portal
        self._records = records
        self._companies: dict[str, dict[str, None]] = {}
        self._contacts: dict[str, dict[str, None]] = {}

    def routes(self, border: Border) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        # One note says that a write needs both scopes, the document that either will do; a client that holds both
        # is right in either case.
        may_write = [scope.format("write") for scope in _BOTH]
        may_read = "|".join(scope.format("read") for scope in _BOTH)
        return [
            web.post(ASSOCIATIONS + "/batch/associate/default", border.door(self._associate, *may_write)),
            web.post(ASSOCIATIONS + "/batch/read", border.door(self._read, may_read)),
        ]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """All pairs of contact id and company id."""
        return {(contact, company) for contact, companies in self._companies.items() for company in companies}

    def link(self, kind: Kind, record_id: str, other_id: str) -> None:
        """Associate a record of *kind* with one of the other kind; an associated pair stays as it is."""
        contact, company = (record_id, other_id) if kind is CONTACTS else (other_id, record_id)
        self._companies.setdefault(contact, {})[company] = None
        self._contacts.setdefault(company, {})[contact] = None

    def forget(self, kind: Kind, record_id: str) -> None:
        """Remove every association of the record."""
        near, far = self._sides(kind)
        for other in near.pop(record_id, {}):
            far[other].pop(record_id, None)

    def move(self, kind: Kind, old_ids: tuple[str, ...], new_id: str) -> None:
        """Give the associations of *old_ids* to *new_id*."""
        for old_id in old_ids:
            others = list(self._sides(kind)[0].get(old_id, ()))
            self.forget(kind, old_id)
            for other in others:
                self.link(kind, new_id, other)

    def shown(self, kind: Kind, record_id: str) -> dict[str, Any]:
        """Return the `associations` member of a record; empty without any."""
        near, _ = self._sides(kind)
        other = COMPANIES if kind is CONTACTS else CONTACTS
        name = f"{kind.singular.lower()}_to_{other.singular.lower()}"
        results = []
        for other_id in near.get(record_id, ()):
            results.append({"id": other_id, "type": f"{name}_unlabeled"})
            if self._is_primary(kind, record_id, other_id):
                results.append({"id": other_id, "type": name})
        return {other.plural: {"results": results}} if results else {}

    def _associate(self, call: Call) -> Answer:
        kind, other = _ends(call)
        pairs = read_batch(call.body, Pairs, self._portal.association_inputs).inputs
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for pair in pairs:
            near = self._records[kind.plural].find(pair.from_.id)
            far = self._records[other.plural].find(pair.to.id)
            if near is None or far is None:
                message = f"{kind.singular} {pair.from_.id} or {other.singular} {pair.to.id} does not exist"
                errors.append(_error(NOT_FOUND, message, pair.from_.id, pair.to.id))
            elif self._is_full(kind, near.id, far.id):
                message = f"Contact has its {self._portal.companies_per_contact} companies already"
                error = _error(VALIDATION, message, pair.from_.id, pair.to.id)
                errors.append(error | {"subCategory": "crm.associations.ASSOCIATION_LIMIT_EXCEEDED"})
            else:
                self.link(kind, near.id, far.id)
                results += [_result(kind, near.id, far.id), _result(other, far.id, near.id)]
        answer = batch(results, self._records[kind.plural].timestamp(), errors)
        answer.status = 200
        return answer

    def _read(self, call: Call) -> Answer:
        kind, other = _ends(call)
        asked = read_batch(call.body, AssociationReads, ASSOCIATION_READ_MAX).inputs
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for each in asked:
            record = self._records[kind.plural].find(each.id)
            others = self._sides(kind)[0].get(record.id, {}) if record else {}
            if record is None or not others:
                message = f"No {other.singular.lower()} is associated with {kind.singular.lower()} {each.id}."
                context = {"fromObjectId": [each.id], "fromObjectType": [kind.singular.lower()]}
                error = {"status": "error", "category": NOT_FOUND, "message": message, "context": context}
                errors.append(error | {"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"})
            else:
                to = [{"toObjectId": id_, "associationTypes": self._types(kind, record.id, id_)} for id_ in others]
                results.append({"from": {"id": record.id}, "to": to})
        return batch(results, self._records[kind.plural].timestamp(), errors)

    def _types(self, kind: Kind, record_id: str, other_id: str) -> list[dict[str, Any]]:
        primary = self._is_primary(kind, record_id, other_id)
        labels = [(kind.to_other_primary, "Primary")] * primary + [(kind.to_other, None)]
        return [{"category": "HUBSPOT_DEFINED", "typeId": number, "label": label} for number, label in labels]

    def _is_primary(self, kind: Kind, record_id: str, other_id: str) -> bool:
        contact, company = (record_id, other_id) if kind is CONTACTS else (other_id, record_id)
        return next(iter(self._companies[contact])) == company

    def _is_full(self, kind: Kind, record_id: str, other_id: str) -> bool:
        contact, company = (record_id, other_id) if kind is CONTACTS else (other_id, record_id)
        companies = self._companies.get(contact, {})
        most = self._portal.companies_per_contact
        return most is not None and company not in companies and len(companies) >= most

    def _sides(self, kind: Kind) -> tuple[dict[str, dict[str, None]], dict[str, dict[str, None]]]:
        both = (self._companies, self._contacts)
        return both if kind is CONTACTS else (both[1], both[0])


def _ends(call: Call) -> tuple[Kind, Kind]:
    kind, other = call.kind, KINDS[call.params["to"]]
    if kind is other:
        raise Refused(400, f"{kind.plural} are not associated with {other.plural} here")
    return kind, other


def _result(kind: Kind, near: str, far: str) -> dict[str, Any]:
    spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind.to_other}
    return {"from": {"id": near}, "to": {"id": far}, "associationSpec": spec}


def _error(category: str, message: str, near: str, far: str) -> dict[str, Any]:
    context = {"fromObjectId": [near], "toObjectId": [far]}
    return {"status": "error", "category": category, "message": message, "context": context}
