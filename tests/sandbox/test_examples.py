"""Every example response of the vendor's document, `examples/`, against what the sandbox answers and describes."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

from stibgate.sandbox.stibnite.documents import export_csv
from stibgate.sandbox.stibnite.openapi import document

KEYS, SEARCHES = "/v1/prospecting/embed-keys", "/v1/prospecting/sessions"
COMPONENTS = {
    "job_created": "JobCreated",
    "job_succeeded": "Job",
    "taxonomy": "Taxonomy",
    "lookup": "LookupResult",
    "wallet": "WalletSummary",
    "embed_key": "EmbedKeyCreated",
    "embed_session": "EmbedSession",
    "pushed": "Pushed",
    "domains": "Domains",
    "company_people": "CompanyPeople",
    "webhook_endpoint": "EndpointCreated",
    "deleted": "Deleted",
    "usage": "Usage",
}
"""All but the credit grant, whose example leaves out most of the wallet that its table promises."""


def validated(component, answer):
    """Fail unless *answer* is what the OpenAPI description calls *component*."""
    schema = {"$ref": f"#/components/schemas/{component}", "components": document()["components"]}
    jsonschema_rs.validator_for(schema).validate(answer)


def covered(example, answer, where="answer"):
    """Fail unless *answer* has every key of *example*, with the same JSON type; a null or a cursor may be either."""
    if isinstance(example, dict):
        assert isinstance(answer, dict), where
        assert example.keys() <= answer.keys(), where
        for key, value in example.items():
            covered(value, answer[key], f"{where}.{key}")
    elif isinstance(example, list):
        assert isinstance(answer, list), where
        if example and answer:
            covered(example[0], answer[0], f"{where}[0]")
    elif example is not None and not where.endswith("next_cursor"):
        assert type(answer) is type(example), where


async def answered(world, receiver):
    """Call every endpoint once, as a partner would; return the answers by the names of the examples."""
    answers = {}
    q = {"q": "CMOs at SaaS companies"}
    answers["job_created"] = await world.call("POST", "/v1/persons/search/jobs", q)
    await world.sandbox.idle()
    job_id = answers["job_created"]["job_id"]
    answers["job_succeeded"] = job = await world.call("GET", f"/v1/persons/search/jobs/{job_id}")
    answers["taxonomy"] = await world.call("GET", "/v1/persons/search/taxonomy")
    full = next(person for person in job["data"] if "mobile_phone" in person)
    answers["lookup"] = await world.call("GET", f"/v1/persons/lookup?email={full['business_email']}")
    answers["domains"] = await world.call("GET", "/v1/domains?limit=1")
    answers["company_people"] = await world.call("GET", f"/v1/companies/{full['company']['domain']}/people?limit=1")
    asked = {"url": receiver.url, "description": "CRM enrichment workflow"}
    answers["webhook_endpoint"] = endpoint = await world.call("POST", "/v1/webhooks/endpoints", asked)
    answers["deleted"] = await world.call("DELETE", f"/v1/webhooks/endpoints/{endpoint['id']}")
    asked = {"allowed_origins": ["https://partner.example"], "result_delivery_url": receiver.url}
    answers["embed_key"] = key = await world.call("POST", KEYS, asked)
    asked = {"partner_key": key["public_key"], "customer_id": "partner-customer-123", "user_id": "user_123"}
    origin = {"origin": "https://partner.example"}
    answers["embed_session"] = session = await world.call("POST", "/v1/prospecting/embed-sessions", asked, **origin)
    token = {"authorization": f"Bearer {session['token']}"}
    search = await world.call("POST", SEARCHES, q, **token)
    chosen = {"selection_mode": "selected", "prospect_ids": [search["data"][0]["prospect_id"]]}
    answers["pushed"] = await world.call("POST", f"{SEARCHES}/{search['search_id']}/push", chosen, **token)
    answers["push_payload"] = json.loads(receiver.got[-1].body)
    answers["usage"] = await world.call("GET", "/v1/usage")
    return answers


async def test_every_answer_is_as_documented(world, receiver, example):
    """Each endpoint answers every key of its example, with the same JSON types, and nothing that is not described."""
    answers = await answered(world, receiver)
    for name, answer in answers.items():
        covered(example(name), answer, name)
        if name in COMPONENTS:
            validated(COMPONENTS[name], answer)
    assert answers.keys() | {"credits", "wallet"} == COMPONENTS.keys() | {"credits", "push_payload"}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_example_is_as_described(name, example):
    """The vendor's own examples are valid by the OpenAPI description."""
    validated(COMPONENTS[name], example(name))


async def test_wallet_as_documented(world, receiver, example):
    """The example's story (100 units, 4 searches, 21 records) gives the example's wallet, number by number."""
    wanted = example("wallet")
    key = {
        "credit_enforcement_mode": "enforced",
        "limits": wanted["wallet"]["limits"],
        "result_delivery_cta": "Add to HubSpot",
        "csv_export_enabled": True,
    }
    token = {"authorization": await world.embed(receiver.url, key=key)}
    customer_id = (await world.call("GET", "/v1/prospecting/wallet", **token))["partner_customer_id"]
    path = f"/v1/partner-customers/{customer_id}/wallet"
    await world.call("POST", f"{path}/credits", {"credit_units": 100})
    for _ in range(4):
        search = await world.call("POST", SEARCHES, {"q": "CMOs", "limit": 21}, **token)
    await world.call("POST", f"{SEARCHES}/{search['search_id']}/push", {"selection_mode": "page"}, **token)
    wanted["partner_customer_id"] = customer_id
    assert json.dumps(await world.call("GET", path)) == json.dumps(wanted)
    assert await world.call("GET", "/v1/prospecting/wallet", **token) == wanted
    granted = await world.call("POST", f"{path}/credits", {"credit_units": 50, "credit_type": "prepaid", "note": "x"})
    covered(example("credits"), granted)
    validated("CreditGranted", granted)
    same = example("credits")["wallet"]
    assert granted["wallet"] | same | {"limit_state": granted["wallet"]["limit_state"]} == granted["wallet"]
    assert granted["credit_grant"].keys() == example("credits")["credit_grant"].keys()
    assert granted["credit_grant"]["credit_units_granted"] == 50


def test_export_as_documented(example):
    """The document's record is exported as the document's CSV, byte for byte."""
    wanted = (Path(__file__).parent / "examples/export.csv").read_bytes()
    assert export_csv(example("push_payload")["data"]) == wanted


async def test_taxonomy_as_documented(world, example):
    """The taxonomy holds the example's words, and every key of its compatibility is one of its roles or industries."""
    paths = (await world.call("GET", "/v1/persons/search/taxonomy"))["fast_paths"]
    wanted = example("taxonomy")["fast_paths"]
    assert paths["indexed_dynamic"] == wanted["indexed_dynamic"]
    for key in ("description", "compatibility", "example_queries"):
        assert paths["taxonomy"][key] == wanted["taxonomy"][key]
    for key in ("roles", "industries"):
        assert [one for one in paths["taxonomy"][key] if one in wanted["taxonomy"][key]] == wanted["taxonomy"][key]
    known = {one["key"] for key in ("roles", "industries") for one in paths["taxonomy"][key]}
    named = paths["taxonomy"]["compatibility"]
    assert set(named) | {role for roles in named.values() for role in roles} <= known
