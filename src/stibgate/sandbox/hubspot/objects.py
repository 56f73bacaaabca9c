"""Contacts and companies: batches, single records, lists, merge.

Source: contacts and companies guides, "Batch read, create, update, upsert"; recorded fixtures for what is not found.
"""

from typing import Any

from aiohttp import web

from stibgate.sandbox.dice import Random
from stibgate.sandbox.hubspot.answers import Answer, Call, batch, page
from stibgate.sandbox.hubspot.associations import Associations
from stibgate.sandbox.hubspot.bodies import (
    CreateInput,
    Creates,
    Link,
    Merge,
    Reads,
    Value,
    WriteInput,
    Writes,
    read,
    read_batch,
    refuse_duplicates,
)
from stibgate.sandbox.hubspot.border import Border
from stibgate.sandbox.hubspot.kinds import COMPANIES, CONTACTS, Kind
from stibgate.sandbox.hubspot.paths import BY_ID, OBJECTS
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.records import Record, Records
from stibgate.sandbox.hubspot.refusals import NOT_FOUND, VALIDATION, Refused, Trouble, invalid, whole
from stibgate.sandbox.hubspot.shapes import history, shown
from stibgate.sandbox.hubspot.values import NotValid
from stibgate.sandbox.hubspot.writes import Batch, Wanted, Writer

HISTORY_BATCH_MAX = 50
PAGE_MAX = 100


class Objects:
    """The records of one account, of both kinds."""

    def __init__(self, portal: Portal, records: dict[str, Records], associations: Associations, draw: Random) -> None:
        self._portal = portal
        self._records = records
        self._associations = associations
        self._draw = draw

    def routes(self, border: Border) -> list[web.RouteDef]:
        """Return the endpoints of this room."""
        may_read, may_write = "crm.objects.{kind}.read", "crm.objects.{kind}.write"
        one = OBJECTS + BY_ID
        return [
            web.post(OBJECTS + "/batch/upsert", border.door(self._upsert, may_write)),
            web.post(OBJECTS + "/batch/update", border.door(self._update, may_write)),
            web.post(OBJECTS + "/batch/create", border.door(self._create, may_write)),
            web.post(OBJECTS + "/batch/read", border.door(self._read, may_read)),
            web.post(OBJECTS + "/merge", border.door(self._merge, may_write)),
            web.get(OBJECTS, border.door(self._list, may_read), allow_head=False),
            web.get(one, border.door(self._get, may_read), allow_head=False),
            web.delete(one, border.door(self._archive, may_write)),
        ]

    def _upsert(self, call: Call) -> Answer:
        records = self._of(call)
        inputs = read_batch(call.body, Writes).inputs
        key = self._key(records, {each.idProperty for each in inputs})
        ids = [_as_kept(records, key, each.id) for each in inputs]
        refuse_duplicates(ids)
        found = [records.find(records.owner_of(key, value) or "") for value in ids]
        refuse_duplicates([record.id for record in found if record])
        wanted = [
            Wanted(record, each.properties if record else _with_key(key, each), each.objectWriteTraceId)
            for record, each in zip(found, inputs, strict=True)
        ]
        written = self._writer(records, call).write(wanted, conflicts_whole=True)
        return self._written(records, written, with_new=True)

    def _update(self, call: Call) -> Answer:
        records = self._of(call)
        inputs = read_batch(call.body, Writes).inputs
        for name in {each.idProperty for each in inputs} - {None}:
            raise self._non_unique(records.kind, str(name))
        refuse_duplicates([each.id for each in inputs])
        found = [records.find(each.id) for each in inputs]
        refuse_duplicates([record.id for record in found if record])
        wanted = [_update_of(records.kind, *pair) for pair in zip(found, inputs, strict=True)]
        return self._written(records, self._writer(records, call).write(wanted, conflicts_whole=True))

    def _create(self, call: Call) -> Answer:
        records = self._of(call)
        inputs = read_batch(call.body, Creates).inputs
        wanted = [
            Wanted(None, each.properties, each.objectWriteTraceId, self._link_trouble(records.kind, each))
            for each in inputs
        ]
        written = self._writer(records, call).write(wanted, conflicts_whole=False)
        for done in written.written:
            for link in inputs[done.position].associations:
                self._associations.link(records.kind, done.record.id, link.to.id)
        return self._written(records, written, status=201)

    def _read(self, call: Call) -> Answer:
        records = self._of(call)
        asked = read_batch(call.body, Reads)
        if asked.propertiesWithHistory and len(asked.inputs) > HISTORY_BATCH_MAX:
            raise Refused(
                400,
                "The maximum number of inputs supported in a batch request for property histories is "
                f"{HISTORY_BATCH_MAX}, got {len(asked.inputs)}",
            )
        ids = [each.id for each in asked.inputs]
        key = None if asked.idProperty in {None, "hs_object_id"} else self._key(records, {asked.idProperty})
        if key:
            ids = [_as_kept(records, key, value) for value in ids]
        refuse_duplicates(ids)
        results: list[dict[str, Any]] = []
        missing: list[str] = []
        for value in ids:
            record = records.find((records.owner_of(key, value) or "") if key else value, archived=call.archived)
            if record is None:
                missing.append(value)
            else:
                document = record.document(shown(records, record.properties, asked.properties))
                if asked.propertiesWithHistory:
                    document["propertiesWithHistory"] = history(record, asked.propertiesWithHistory)
                results.append(document)
        self._draw.shuffle(results)
        return batch(results, records.timestamp(), [_not_found(records.kind, missing)] if missing else None)

    def _list(self, call: Call) -> Answer:
        records = self._of(call)
        limit, after = min(call.number("limit", 10), PAGE_MAX), call.number("after", 0)
        if limit == 0:
            raise Refused(400, "limit must be a positive number")
        found: list[Record] = []
        for record in records.all_after(after, archived=call.archived):
            if len(found) == limit:
                return page([self._document(call, records, each) for each in found], found[-1].id)
            found.append(record)
        return page([self._document(call, records, each) for each in found], None)

    def _get(self, call: Call) -> Answer:
        records = self._of(call)
        return Answer(
            200, self._document(call, records, self._there(records, call.params["id"], archived=call.archived))
        )

    def _archive(self, call: Call) -> Answer:
        records = self._of(call)
        record = records.find(call.params["id"])
        if record is not None:
            records.archive(record, records.timestamp())
            self._associations.forget(records.kind, record.id)
        return Answer(204, None)

    def _merge(self, call: Call) -> Answer:
        records = self._of(call)
        asked = read(call.body, Merge)
        primary = self._there(records, asked.primaryObjectId)
        other = self._there(records, asked.objectIdToMerge)
        if primary is other:
            raise Refused(400, "A record cannot be merged into itself")
        merged = records.merge(primary, other)
        self._associations.move(records.kind, (primary.id, other.id), merged.id)
        return Answer(200, merged.document(dict(merged.properties)))

    def _of(self, call: Call) -> Records:
        return self._records[call.kind.plural]

    def _writer(self, records: Records, call: Call) -> Writer:
        return Writer(records, self._portal, call.version)

    def _key(self, records: Records, names: set[str | None]) -> str:
        """Return the one property that a batch is keyed by."""
        if len(names) > 1:
            raise Refused(400, "All inputs of a batch must have the same idProperty")
        (name,) = names
        if name is None:
            raise Refused(400, "Some required fields were not set: [idProperty]")
        if name not in records.definitions.unique:
            raise self._non_unique(records.kind, name)
        return name

    def _non_unique(self, kind: Kind, name: str) -> Refused:
        where = f"property {name} in portal ID {self._portal.portal_id}"
        return Refused(400, f"Unable to perform update/upsert by non-unique {kind.type_id} {where}")

    def _written(self, records: Records, done: Batch, *, with_new: bool = False, status: int = 200) -> Answer:
        results = []
        for each in done.written:
            result = each.record.document(each.echoed)
            if with_new:
                result["new"] = each.new
            if self._portal.trace_id_in_results and each.trace_id is not None:
                result["objectWriteTraceId"] = each.trace_id
            results.append(result)
        self._draw.shuffle(results)
        return batch(results, records.timestamp(), done.errors, status=status)

    def _link_trouble(self, kind: Kind, asked: CreateInput) -> Trouble | None:
        other = self._records[(COMPANIES if kind is CONTACTS else CONTACTS).plural]
        for link in asked.associations:
            if other.find(link.to.id) is None:
                return Trouble(NOT_FOUND, f"{other.kind.singular} {link.to.id} does not exist")
            if not _is_ours(kind, link):
                return Trouble(VALIDATION, f"One or more association types of {kind.plural} are not valid")
        return None

    def _there(self, records: Records, record_id: str, *, archived: bool = False) -> Record:
        record = records.find(record_id, archived=archived)
        if record is None:
            raise Refused(404, "Object not found.  objectId are usually numeric.", NOT_FOUND)
        return record

    def _document(self, call: Call, records: Records, record: Record) -> dict[str, Any]:
        names = [name for text in call.query.getall("properties", []) for name in text.split(",")]
        document = record.document(shown(records, record.properties, names))
        asked = [name for text in call.query.getall("associations", []) for name in text.split(",")]
        links = self._associations.shown(records.kind, record.id) if asked else {}
        return document | ({"associations": links} if links else {})


def _as_kept(records: Records, key: str, value: str) -> str:
    """Return *value* as the unique property *key* keeps it.

    Raises:
        Refused: 400 when the property does not take it. An e-mail need not be valid to be looked for.
    """
    if key == "email":
        return value.strip().lower()
    try:
        return records.definitions.live[key].check(value)
    except NotValid as error:
        raise whole([invalid(error.code, str(error), key)], "modern") from error


def _with_key(key: str, asked: WriteInput) -> dict[str, Value]:
    """Return the properties of a new record; its key is among them, sent or not."""
    return {**asked.properties, key: asked.properties.get(key) or asked.id}


def _update_of(kind: Kind, record: Record | None, asked: WriteInput) -> Wanted:
    trouble = None
    if record is None:
        document = _not_found(kind, [asked.id])
        trouble = Trouble(NOT_FOUND, document["message"], context=document["context"])
    return Wanted(record, asked.properties, asked.objectWriteTraceId, trouble)


def _is_ours(kind: Kind, link: Link) -> bool:
    allowed = {kind.to_other, kind.to_other_primary}
    return all(
        spec.associationCategory == "HUBSPOT_DEFINED" and spec.associationTypeId in allowed for spec in link.types
    )


def _not_found(kind: Kind, ids: list[str]) -> dict[str, Any]:
    message = (
        f"Could not get some {kind.singular.upper()} objects, they may be deleted or not exist. "
        "Check that ids are valid."
    )
    return {"status": "error", "category": NOT_FOUND, "message": message, "context": {"ids": ids}}
