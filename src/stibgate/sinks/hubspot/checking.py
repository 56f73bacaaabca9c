"""`stibgate sinks test`: would records get into this account? Reads only."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from stibgate.errors import SinkHeld, StibgateError
from stibgate.sinks import Finding
from stibgate.sinks.hubspot.answers import Refused
from stibgate.sinks.hubspot.client import HubSpotClient
from stibgate.sinks.hubspot.mapping import FieldMap
from stibgate.sinks.hubspot.portal import KINDS, Desk, Survey, described

_QUOTA_LOW = 0.02


async def look_around(
    client: HubSpotClient, desk: Desk, fields: FieldMap, owners: Mapping[str, str], token: str | None
) -> list[Finding]:
    """Return what was seen: token and version, scopes, properties, owners, quota; stops when the token is no good."""
    try:
        survey = await desk.survey()
    except StibgateError as error:
        return [Finding(error.message, ok=False, hint=error.hint)]
    findings = [Finding(f"HubSpot account {survey.account_id} answers, currency {survey.currency or 'unknown'}")]
    findings += await _guarded(lambda: _scopes(client, token, bool(survey.missing), bool(owners)))
    findings += _properties(survey, fields)
    if owners:
        findings += await _guarded(lambda: _owners(desk, owners))
    return findings + await _guarded(lambda: _quota(client))


async def _guarded(look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return what *look* finds, or that it could not look."""
    try:
        return await look()
    except StibgateError as error:
        return [Finding(error.message, ok=False, hint=error.hint)]


async def _asked(
    client: HubSpotClient, method: str, path: str, body: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Return what HubSpot tells, empty where this kind of token may not ask: that keeps no record out."""
    try:
        return (await client.request(method, path, body)).document
    except (Refused, SinkHeld):
        return {}


async def _scopes(client: HubSpotClient, token: str | None, makes: bool, owns: bool) -> list[Finding]:  # noqa: FBT001
    if token is None:
        return []
    document = await _asked(client, "POST", "oauth/v2/private-apps/get/access-token-info", {"tokenKey": token})
    granted = {str(scope) for scope in document.get("scopes") or ()}
    if not granted:
        return [Finding("HubSpot does not say which scopes this kind of token has")]
    needed = [f"crm.objects.{kind}.{right}" for kind in KINDS for right in ("read", "write")]
    needed += [f"crm.schemas.{kind}.write" for kind in KINDS] if makes else []
    needed += ["crm.objects.owners.read"] if owns else []
    lacking = [scope for scope in needed if scope not in granted]
    if lacking:
        return [Finding(f"the token lacks {', '.join(lacking)}", ok=False, hint="Give the service key these scopes.")]
    return [Finding("the token has the scopes that are needed")]


def _properties(survey: Survey, fields: FieldMap) -> list[Finding]:
    hint = "Change it in HubSpot (Settings > Properties), or name another one under `properties`."
    findings = [Finding(problem, ok=False, hint=hint) for problem in survey.problems]
    findings += [Finding(f"{described(row)} does not exist yet; it is made at start-up") for row in survey.missing]
    written = sum(len(fields.names(kind)) for kind in survey.there)
    good = written - len(findings)
    return [Finding(f"{good} of {written} properties are there and have the right type"), *findings]


async def _owners(desk: Desk, owners: Mapping[str, str]) -> list[Finding]:
    known = await desk.owner_ids()
    hint = "Their contacts go without an owner; correct `owners`, or add the user in HubSpot."
    unknown = [user for user in owners if user not in known]
    findings = [
        Finding(f"the owner for partner_user_id {user} is no user of the account", ok=False, hint=hint)
        for user in unknown
    ]
    return [Finding(f"{len(known)} of {len(owners)} owners are users of the account"), *findings]


async def _quota(client: HubSpotClient) -> list[Finding]:
    document = await _asked(client, "GET", "account-info/{version}/api-usage/daily/private-apps")
    rows: list[Mapping[str, Any]] = list(document.get("results") or ())
    usable = [row for row in rows if row.get("usageLimit")]
    if not usable:
        return [Finding("HubSpot does not say how much of the daily quota is used")]
    limit, used = int(usable[0]["usageLimit"]), int(usable[0].get("currentUsage") or 0)
    left = max(0, limit - used)
    hint = "Other apps of the account share it; it is full again at midnight in the account's time zone."
    return [Finding(f"{left:,} of {limit:,} requests are left today", ok=left > limit * _QUOTA_LOW, hint=hint)]
