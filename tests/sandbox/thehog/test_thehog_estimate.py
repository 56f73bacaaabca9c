"""What an estimate says: the documented fields, charged by the documented model."""

from decimal import Decimal

import pytest

from stibgate.sandbox.thehog import Prices

SEED_EXAMPLE = {
    "query": "VP Engineering at hiring B2B SaaS companies in SF",
    "limit": 25,
    "includeSignals": False,
    "includeContacts": False,
    "contactFields": ["email"],
    "maxCredits": 2500,
    "filters": {
        "titles": ["<string>"],
        "locations": ["<string>"],
        "industries": ["<string>"],
        "employeeCount": {"min": 1, "max": 1},
        "signals": ["<string>"],
        "company": {
            "names": ["<string>"],
            "domains": ["<string>"],
            "linkedinUrls": ["<string>"],
            "industries": ["<string>"],
            "employeeCount": {"min": 1, "max": 1},
            "signals": ["<string>"],
        },
    },
}
"""The request of the vendor's page, whole."""


async def test_the_documents_request(desk):
    """The page's own request is answered with every documented field, in its documented type."""
    body = await desk.ask(**SEED_EXAMPLE)
    description = body["assumptions"].pop("description")
    assert "25 people" in description
    assert body == {
        "estimatedCredits": 5,
        "likelySyncOrAsync": "async",
        "withinPlanLimits": True,
        "breakdown": {
            "baseSearchCredits": 5,
            "contactEnrichment": {
                "includeContacts": False,
                "fields": [],
                "maxPeople": 25,
                "contactAttemptsPerFieldPerPerson": 1,
                "estimatedCredits": 0,
            },
        },
        "assumptions": {"mode": "conservative_preflight_ceiling"},
        "expectedLatencyRange": "30s-5m",
    }


async def test_the_documents_curl(desk):
    """Ten people with e-mails: one page, ten e-mails."""
    body = await desk.ask(limit=10, includeContacts=True, contactFields=["email"])
    assert body["estimatedCredits"] == 5 + 10
    assert body["breakdown"]["contactEnrichment"]["fields"] == ["email"]


@pytest.mark.parametrize(("limit", "pages"), [(1, 1), (25, 1), (26, 2), (50, 2), (51, 3), (75, 3), (76, 4), (100, 4)])
async def test_one_discovery_charge_for_each_page(desk, limit, pages):
    """A page is up to 25 people, with contacts or without."""
    without = await desk.ask(limit=limit)
    assert without["estimatedCredits"] == without["breakdown"]["baseSearchCredits"] == pages * 5
    with_phones = await desk.ask(limit=limit, includeContacts=True, contactFields=["phone"])
    assert with_phones["breakdown"]["baseSearchCredits"] == pages * 5
    assert with_phones["breakdown"]["contactEnrichment"]["estimatedCredits"] == limit * 6


async def test_no_limit_is_25(desk):
    """The default is the documented one."""
    assert (await desk.ask())["breakdown"]["contactEnrichment"]["maxPeople"] == 25


async def test_omitted_fields_mean_both(desk):
    """Contacts without `contactFields` are charged for e-mail and phone."""
    omitted = await desk.ask(includeContacts=True)
    assert omitted == await desk.ask(includeContacts=True, contactFields=["email", "phone"])
    assert omitted["estimatedCredits"] == 5 + 25 * (1 + 6)


async def test_fields_without_contacts_cost_nothing(desk):
    """Only `includeContacts` is charged for."""
    assert await desk.ask(contactFields=["phone"]) == await desk.ask()


@pytest.mark.parametrize("more", [{"maxCredits": 0}, {"includeSignals": True}, {"confirm": True}, {"query": "x" * 500}])
async def test_what_costs_nothing(desk, more):
    """What the document gives no price changes no price."""
    assert await desk.ask(**more) == await desk.ask()


async def test_prices_attempts_and_decimals(make_desk):
    """Prices are the sandbox's to choose; fractions are written as JSON numbers, and attempts multiply contacts."""
    desk = await make_desk(prices=Prices(Decimal("0.1"), Decimal("0.065"), Decimal("0.39"), attempts=3))
    body = await desk.ask(limit=100, includeContacts=True)
    assert body["breakdown"]["baseSearchCredits"] == 0.4
    assert body["breakdown"]["contactEnrichment"]["contactAttemptsPerFieldPerPerson"] == 3
    assert body["breakdown"]["contactEnrichment"]["estimatedCredits"] == 136.5
    assert body["estimatedCredits"] == 136.9


@pytest.mark.parametrize(
    ("available", "plan", "within"),
    [("5", None, True), ("4.99", None, False), ("99", "4", False), ("1", "99", False), (None, None, True), (None, "5", True)],
)  # fmt: skip
async def test_within_plan_limits(desk, available, plan, within):
    """False when the plan or what is left does not cover the estimate."""
    desk.sandbox.credits_available = available and Decimal(available)
    desk.sandbox.plan_limit = plan and Decimal(plan)
    assert (await desk.ask())["withinPlanLimits"] is within


async def test_the_older_generation(desk):
    """The same estimate, under `data`, with that generation's member and latency."""
    new = await desk.ask()
    desk.sandbox.wrapped = True
    old = await desk.ask()
    assert set(old) == {"data"}
    assert old["data"] | {"expectedLatencyRange": "30s-5m"} == new | {"providersLikelyUsed": ["people_search"]}
    assert old["data"]["expectedLatencyRange"] == "2\u20138s"


async def test_it_is_free_and_repeatable(desk):
    """The same request gives the same answer, and takes no credits."""
    before = desk.sandbox.credits_available
    assert await desk.ask(limit=100, includeContacts=True) == await desk.ask(limit=100, includeContacts=True)
    assert desk.sandbox.credits_available == before


async def test_one_seed_is_one_world(make_desk):
    """Keys and request ids follow from the seed; both keys have the vendor's shape and say what they are."""
    first, again, other = [await make_desk(seed=seed) for seed in (1, 1, 2)]
    assert first.sandbox.secret_key == again.sandbox.secret_key != other.sandbox.secret_key
    assert first.sandbox.access_key.startswith("ak_sandbox")
    assert first.sandbox.secret_key.startswith("sk_sandbox")
    ids = [(await each.send(b"{}")).headers["X-Request-Id"] for each in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
