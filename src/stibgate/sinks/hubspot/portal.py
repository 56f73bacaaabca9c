"""The account as the sink found it: its currency, its properties, its users; looked at once an hour.

Fail closed: while a key property is not unique, or a property that is written to is missing or of another type, no
record goes out, and the error says exactly what is to be done. "Made by hand, the key has no schema scope" is as
good as "made by us".
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stibgate.errors import SinkHeld, SinkUnavailable
from stibgate.sinks import Memory
from stibgate.sinks.hubspot.answers import Refused
from stibgate.sinks.hubspot.choices import Choices
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.mapping import KEYS, OURS, OWNER, FieldMap, Kind, Row, Terms
from stibgate.sinks.hubspot.state import State

FRESH_MS = 3_600_000
LOOK_AGAIN_MS = 60_000
HELD_S = 300.0
OWNER_PAGES_MAX = 100
GROUP = "stibnite"
KINDS: tuple[Kind, ...] = ("contacts", "companies")

_NUMBERS = frozenset({"number", "string", "enumeration"})
_TEXTS = frozenset({"string", "enumeration", "phone_number"})


@dataclass(frozen=True, slots=True)
class Portal:
    """What start-up found.

    Attributes:
        account_id: HubSpot's number of the account.
        terms: What it says about values.
        unknown_owners: The users of `owners` whom the account does not have.
        state: What is remembered about this account.
        complete: Of which kinds what is not remembered cannot be there under our key.
    """

    account_id: str
    terms: Terms
    unknown_owners: tuple[str, ...]
    state: State
    complete: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Survey:
    """What reading alone shows.

    Attributes:
        account_id: HubSpot's number of the account.
        currency: ISO 4217.
        there: By kind, the definitions of the properties that are written to.
        problems: What keeps records from being taken, in words.
        missing: Those of our own properties that could be made.
    """

    account_id: str
    currency: str
    there: Mapping[Kind, Mapping[str, Mapping[str, Any]]]
    problems: tuple[str, ...] = ()
    missing: tuple[Row, ...] = field(default=())


class Desk:
    """Looks at the account, makes what is missing, and knows when to look again.

    Args:
        client: HubSpot.
        fields: The mapping.
        owners: `partner_user_id` to e-mail address.
        memory: The sink's.
        create: Whether missing properties may be made.
        now_ms: The clock.
        companies: Whether companies are written at all.
    """

    def __init__(
        self,
        client: HubSpotClient,
        fields: FieldMap,
        owners: Mapping[str, str],
        memory: Memory,
        *,
        create: bool,
        now_ms: Callable[[], int],
        companies: bool,
    ) -> None:
        self._client = client
        self._fields = fields
        self._owners = owners
        self._memory = memory
        self._create = create
        self._now_ms = now_ms
        self._kinds = KINDS if companies else KINDS[:1]
        self._lock = asyncio.Lock()
        self._portal: Portal | None = None
        self._fresh_until_ms = 0
        self._contradicted_ms: int | None = None

    async def ready(self) -> Portal:
        """Return the account, looked at within the last hour.

        Raises:
            SinkHeld: Something about the account or the token must be changed by a person first.
            SinkUnavailable: HubSpot does not answer now.
        """
        portal = self._portal
        if portal is not None and self._now_ms() < self._fresh_until_ms:
            return portal
        async with self._lock:
            if self._portal is None:
                self._portal = await self._look()
            elif self._now_ms() >= self._fresh_until_ms:
                self._portal = await self._look_or(self._portal)
            return self._portal

    async def changed_since(self, portal: Portal) -> Portal | None:
        """Return the account after another look because HubSpot contradicted *portal*; None when that was just now."""
        async with self._lock:
            now_ms = self._now_ms()
            if self._portal is portal:
                if self._contradicted_ms is not None and now_ms - self._contradicted_ms < LOOK_AGAIN_MS:
                    return None
                self._contradicted_ms = now_ms
                self._portal = None
            if self._portal is None:
                self._portal = await self._look()
            return self._portal

    async def survey(self) -> Survey:
        """Return what reading the account shows; nothing is written."""
        details = (await self._client.request("GET", "account-info/{version}/details")).document
        self._client.set_account(str(details.get("timeZone") or "UTC"), str(details.get("utcOffset") or "") or None)
        there = {kind: await self._definitions(kind) for kind in self._kinds}
        missing = [row for kind in self._kinds for row in self._fields.of_kind(kind) if row.property not in there[kind]]
        makeable = tuple(row for row in missing if row.property.startswith(OURS))
        problems = [f"{described(row)} does not exist" for row in missing if row not in makeable]
        problems += [
            problem
            for kind in self._kinds
            for row in self._fields.of_kind(kind)
            if row.property in there[kind] and (problem := _problem(row, there[kind][row.property]))
        ]
        account_id, currency = str(details.get("portalId") or ""), str(details.get("companyCurrency") or "")
        if not account_id:
            raise SinkUnavailable("HubSpot's account details name no account")
        return Survey(account_id, currency, there, tuple(problems), makeable)

    async def owner_ids(self) -> dict[str, str]:
        """Return the owner ids of those users of `owners` that the account has, by `partner_user_id`."""
        if not self._owners:
            return {}
        wanted = set(self._owners.values())
        ids: dict[str, str] = {}
        path = "crm/owners/{version}?limit=100"
        after = ""
        for _ in range(OWNER_PAGES_MAX):
            page = (await self._client.request("GET", path + (f"&after={after}" if after else ""))).document
            for owner in page.get("results") or ():
                email = str(owner.get("email") or "").lower()
                if email in wanted and not owner.get("archived"):
                    ids.setdefault(email, str(owner["id"]))
            after = str(((page.get("paging") or {}).get("next") or {}).get("after") or "")
            if not after or wanted <= ids.keys():
                break
        return {user: ids[email] for user, email in self._owners.items() if email in ids}

    async def _look_or(self, portal: Portal) -> Portal:
        """Return the account after another look; as it was, for some more time, when HubSpot does not answer."""
        try:
            return await self._look()
        except SinkHeld:
            raise
        except SinkUnavailable:
            self._fresh_until_ms = self._now_ms() + LOOK_AGAIN_MS
            return portal

    async def _look(self) -> Portal:
        try:
            return await self._prepare()
        except Refused as error:
            # About the account, so no record is to blame for it.
            raise SinkHeld(error.message, hint=error.hint, retry_after_s=HELD_S) from error

    async def _prepare(self) -> Portal:
        survey = await self.survey()
        made: Mapping[Kind, str] = {}
        if survey.missing and not survey.problems:
            made = await self._make(survey.missing)
            survey = await self.survey()
        problems = [*survey.problems, *(f"{described(row)} does not exist" for row in survey.missing)]
        if problems:
            raise _held(problems)
        state = State(self._memory, survey.account_id)
        await state.set_complete(made)  # what we made just now was in nobody's contact before
        owners = await self.owner_ids()
        complete = await state.complete(
            {row.kind: row.property for kind in self._kinds for row in self._fields.of_kind(kind) if row.field in KEYS}
        )
        self._fresh_until_ms = self._now_ms() + FRESH_MS
        return Portal(
            account_id=survey.account_id,
            terms=Terms(survey.currency, _choices(survey), owners),
            unknown_owners=tuple(user for user in self._owners if user not in owners),
            state=state,
            complete=complete,
        )

    async def _definitions(self, kind: Kind) -> dict[str, Mapping[str, Any]]:
        results = await self._defined(kind, self._fields.names(kind), archived=False)
        return {str(row["name"]): row for row in results if not row.get("archived")}

    async def _defined(self, kind: Kind, names: Sequence[str], *, archived: bool) -> Sequence[Mapping[str, Any]]:
        inputs = [{"name": name} for name in names]
        body = {"archived": archived, "dataSensitivity": "non_sensitive", "inputs": inputs}
        answer = await self._client.request("POST", f"crm/properties/{{version}}/{kind}/batch/read", body)
        return answer.document.get("results") or ()

    async def _make(self, rows: Sequence[Row]) -> dict[Kind, str]:
        """Make the properties of *rows*; return, by kind, the key properties that nothing can have a value in yet."""
        wanted = ", ".join(described(row) for row in rows)
        by_hand = f"Or make them by hand: {wanted}; as single-line text, the id with unique values. {_SWITCH_OFF}"
        if not self._create:
            raise SinkHeld(f"HubSpot lacks properties: {wanted}", hint=by_hand, retry_after_s=HELD_S)
        try:
            for kind in dict.fromkeys(row.kind for row in rows):
                await self._post(f"{kind}/groups", {"name": GROUP, "label": "Stibnite"})
            made = {}
            for row in rows:
                empty = row.field in KEYS and await self._is_unheard_of(row)
                if await self._post(row.kind, _definition(row)) and empty:
                    made[row.kind] = row.property
        except SinkHeld as error:
            hint = f"{error.hint} {by_hand}"
            raise SinkHeld(error.message, hint=hint, retry_after_s=error.retry_after_s) from error
        return made

    async def _is_unheard_of(self, row: Row) -> bool:
        """Return whether there was never such a property: HubSpot brings a deleted one back with what was in it."""
        try:
            return not await self._defined(row.kind, [row.property], archived=True)
        except Refused:
            return False

    async def _post(self, path: str, body: Mapping[str, Any]) -> bool:
        """Make a property or a group; return False for one that is there already, it is looked at like every other."""
        try:
            await self._client.request("POST", f"crm/properties/{{version}}/{path}", body)
        except Refused as error:
            if error.status != 409:
                hint = f"{error.hint} Make it by hand, or switch the field off."
                raise SinkHeld(f"HubSpot does not make {body['name']}: {error.message}", hint=hint) from error
            return False
        return True


_SWITCH_OFF = 'Fields that you do not want are switched off with `properties = {record_field = ""}`.'


def _held(problems: Sequence[str]) -> SinkHeld:
    return SinkHeld(
        f"HubSpot's properties are not ready: {'; '.join(problems)}",
        hint=f"Change them in HubSpot (Settings > Properties), or name others under `properties`. {_SWITCH_OFF}",
        retry_after_s=HELD_S,
    )


def described(row: Row) -> str:
    """Return the property of *row* in words, and what it is for."""
    return f"{row.kind} property {row.property} (for {row.field})"


def _problem(row: Row, definition: Mapping[str, Any]) -> str | None:
    """Return why *row* cannot be written to a property of that definition."""
    type_ = str(definition.get("type"))
    if row.field in KEYS:
        if type_ != "string":
            return f"{described(row)} has the type {type_}, not string"
        return None if definition.get("hasUniqueValue") else f"{described(row)} does not require unique values"
    if (definition.get("modificationMetadata") or {}).get("readOnlyValue") or definition.get("calculated"):
        return f"{described(row)} is read-only"
    if row.field == OWNER:
        return None
    allowed = _TEXTS if row.shape == "text" else _NUMBERS
    return (
        None
        if type_ in allowed
        else f"{described(row)} has the type {type_}, not {'string' if row.shape == 'text' else 'number'}"
    )


def _definition(row: Row) -> dict[str, Any]:
    label = row.property.removeprefix(OURS).replace("_", " ")
    definition = {
        "groupName": GROUP,
        "name": row.property,
        "label": f"Stibnite {label}",
        "type": "string",
        "fieldType": "text",
    }
    return {**definition, "hasUniqueValue": True} if row.field in KEYS else definition


def _choices(survey: Survey) -> dict[tuple[Kind, str], Choices]:
    """Return what every enumeration takes; hidden options too. Owners are resolved otherwise."""
    return {
        (kind, name): Choices.of(
            [(str(option["value"]), str(option.get("label") or "")) for option in definition.get("options") or ()]
        )
        for kind, definitions in survey.there.items()
        for name, definition in definitions.items()
        if definition.get("type") == "enumeration" and not definition.get("externalOptions")
    }
