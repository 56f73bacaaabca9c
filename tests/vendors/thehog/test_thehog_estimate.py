"""Estimates at the sandbox: what is asked is what is priced, and bad days are waited out, within bounds."""

from decimal import Decimal

import pytest
from pydantic import SecretStr

from stibgate.domain.budget import Budget, Period, Quote, Unit, Verdict, decide
from stibgate.domain.preflight import cheaper, suggest
from stibgate.errors import VendorMisbehaved, VendorRefused, VendorUnauthorized, VendorUnavailable
from stibgate.sandbox.thehog import Prices
from stibgate.vendors.thehog import PeopleSearch, TheHogClient
from tests.vendors.thehog.world import SEARCH, at_sandbox


async def test_an_estimate():
    """Every documented field comes back, typed."""
    async with at_sandbox() as desk:
        got = await desk.client.estimate(PeopleSearch("x", limit=26, include_contacts=True, contact_fields=["email"]))
    assert (got.estimated_credits, got.within_plan_limits, got.likely_sync_or_async) == (36, True, "async")
    assert got.breakdown.base_search_credits == 10
    contacts = got.breakdown.contact_enrichment
    assert (contacts.include_contacts, contacts.fields_, contacts.max_people) == (True, ["email"], 26)
    assert (contacts.contact_attempts_per_field_per_person, contacts.estimated_credits) == (1, 26)
    assert got.assumptions.mode == "conservative_preflight_ceiling"
    assert got.assumptions.description
    assert (got.expected_latency_range, got.warnings, got.model_extra) == ("30s-5m", (), {})
    assert got.quote == Quote(Unit.THEHOG_CREDIT, Decimal(36))


async def test_exact_decimals():
    """Fractions are decimals from the wire on: ten times 0.1 is one."""
    async with at_sandbox(prices=Prices(Decimal("0.3"), Decimal("0.1"), Decimal("0.7"))) as desk:
        got = await desk.client.estimate(PeopleSearch("x", limit=10, include_contacts=True, contact_fields=["email"]))
    assert (got.estimated_credits, got.warnings) == (Decimal("1.3"), ())
    assert got.to_document()["estimatedCredits"] == "1.3"


async def test_the_older_generation():
    """The same estimate under `data` is the same estimate, with what is more in it kept."""
    async with at_sandbox() as desk:
        new = await desk.client.estimate(SEARCH)
        desk.sandbox.wrapped = True
        old = await desk.client.estimate(SEARCH)
    assert old.model_extra == {"providersLikelyUsed": ["people_search"]}
    assert old.expected_latency_range == "2\u20138s"
    assert old.to_document() | {"expectedLatencyRange": "30s-5m"} == new.to_document() | old.model_extra


async def test_outside_of_the_plan():
    """What the plan does not cover is an estimate, and a quote that no budget allows."""
    async with at_sandbox(plan_limit=Decimal(4)) as desk:
        got = await desk.client.estimate(SEARCH)
    assert got.quote == Quote(Unit.THEHOG_CREDIT, Decimal(5), within_plan=False)


@pytest.mark.parametrize("fault", ["500", "502", "503", "504", "429", "html", "cut"])
async def test_a_bad_day_is_waited_out(fault):
    """An estimate is asked for again after every failure that may pass; the request stays the same."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next(fault, count=3)
        assert (await desk.client.estimate(SEARCH)).estimated_credits == 5
        assert len({request.body for request in desk.sandbox.requests}) == 1
        assert len(desk.sandbox.requests) == 4
        assert len(desk.clock.pauses) == 3


@pytest.mark.parametrize("fault", ["500", "429", "cut", "html"])
async def test_and_given_up(fault):
    """Four tries are enough; then it is unavailable, and nothing was done that money could be lost by."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next(fault, count=9)
        with pytest.raises(VendorUnavailable) as caught:
            await desk.client.estimate(SEARCH)
        assert len(desk.sandbox.requests) == 4
        assert sum(desk.clock.pauses) < 30
    assert caught.value.hint
    assert not caught.value.maybe_done


@pytest.mark.parametrize(
    ("retry_after", "least_s"),
    [("7", 7), ("Sun, 17 May 2026 18:42:20 GMT", 10), ("Sunday, 17-May-26 18:42:20 GMT", 10),
     ("Sun May 17 18:42:20 2026", 10), ("2026-05-17T18:42:20Z", 10), ("soon", 0), ("-5", 0), ("0", 0)],
)  # fmt: skip
@pytest.mark.parametrize("fault", ["429", "503"])
async def test_retry_after(fault, retry_after, least_s):
    """A wait that is asked for is kept, whatever its form; what is no time is not waited for long."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next(fault, retry_after=retry_after)
        await desk.client.estimate(SEARCH)
        (pause_s,) = desk.clock.pauses
    assert least_s <= pause_s <= least_s + 2


async def test_a_wait_that_is_too_long():
    """Patience ends before an hour does: the caller is told how long."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next("429", retry_after="250")
        with pytest.raises(VendorUnavailable) as caught:
            await desk.client.estimate(SEARCH)
        assert (caught.value.retry_after_s, desk.clock.pauses) == (250, [])


async def test_the_rate_is_waited_out():
    """Beyond the documented rate the sandbox's own 429 tells how long to wait, and that is enough."""
    async with at_sandbox() as desk:
        desk.sandbox.rate_per_minute = 1
        await desk.client.estimate(SEARCH)
        desk.clock.now_s += 30
        await desk.client.estimate(SEARCH)
        assert 30 <= desk.clock.pauses[0] <= 31


@pytest.mark.parametrize(
    ("fault", "kind"), [("402", VendorRefused), ("422", VendorRefused), ("401", VendorUnauthorized), ("403", VendorUnauthorized)]
)  # fmt: skip
async def test_no_means_no(fault, kind):
    """A refusal is not argued with."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next(fault)
        with pytest.raises(kind) as caught:
            await desk.client.estimate(SEARCH)
        assert len(desk.sandbox.requests) == 1
    assert (caught.value.status, caught.value.maybe_done) == (int(fault), False)


async def test_a_wrong_key():
    """The error says which settings to look at, and shows neither."""
    async with at_sandbox() as desk:
        keys = SecretStr("ak_canary-0001"), SecretStr("sk_canary-0001")
        async with TheHogClient(desk.url, *keys, means=desk.clock.means) as client:
            with pytest.raises(VendorUnauthorized) as caught:
                await client.estimate(SEARCH)
    assert "secret_key" in caught.value.hint
    assert "canary" not in f"{caught.value!r}{caught.value.hint}{client!r}{vars(client)!r}"


@pytest.mark.parametrize("fault", ["html_200", "truncated"])
async def test_a_200_that_is_none(fault):
    """A web page or half a document is no estimate."""
    async with at_sandbox() as desk:
        desk.sandbox.fail_next(fault)
        with pytest.raises(VendorMisbehaved) as caught:
            await desk.client.estimate(SEARCH)
    assert (len(desk.sandbox.requests), caught.value.maybe_done) == (1, False)


async def test_suggestions_hold():
    """What the documented model prices is what the vendor asks, and the rest is asked for: a whole preflight."""
    search = PeopleSearch("x", limit=100, include_contacts=True)
    budget = Budget("team-a", Unit.THEHOG_CREDIT, Decimal(100), Period.MONTH)
    nothing = {"reserved": Decimal(0), "settled": Decimal(0)}
    async with at_sandbox() as desk:
        first = await desk.client.estimate(search)
        priced = first.priced(search.size)
        tried = []
        for size in cheaper(search.size):
            asked = (await desk.client.estimate(search.resized(size))).quote
            assert priced.quote(size) in {asked, None}
            tried.append((size, asked))
    decision = suggest(budget, decide(budget, first.quote, **nothing), search.size, tried, **nothing)
    assert (decision.verdict, decision.message) == (Verdict.DENY, "estimate 720 > remaining 100")
    assert [(each.change, each.ceiling) for each in decision.suggestions] == [
        ({"includeContacts": False}, 20),
        ({"limit": 75, "contactFields": ["email"]}, 90),
    ]
