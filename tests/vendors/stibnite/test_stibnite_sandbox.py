"""Every endpoint against the real sandbox."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr

from stibgate.errors import VendorRefused, VendorUnauthorized, VendorUnavailable
from stibgate.sandbox.stibnite import Pace, StibniteSandbox
from stibgate.vendors.stibnite import (
    DomainFilters,
    Lookup,
    NewCredits,
    NewEmbedKey,
    NewEmbedSession,
    NewEndpoint,
    NewJob,
    Selection,
    StibniteClient,
)
from tests.vendors.stibnite.world import NOW_S, Clock

ORIGIN = "https://partner.example"


class World:
    def __init__(self, sandbox: StibniteSandbox, url: str, clock: Clock) -> None:
        self.sandbox = sandbox
        self.url = url
        self.clock = clock

    def client(self, key: str | None = None, **options) -> StibniteClient:
        return StibniteClient(self.url, SecretStr(key or self.sandbox.api_key), means=self.clock.means, **options)


@pytest.fixture
async def make_world(aiohttp_server):
    async def make(**options) -> World:
        clock = Clock()

        async def pause(_seconds: float) -> None:
            await asyncio.sleep(0)

        sandbox = StibniteSandbox(seed=7, now=lambda: clock.now_s, pause=pause, **options)
        server = await aiohttp_server(sandbox.app())
        return World(sandbox, str(server.make_url("/")), clock)

    return make


@pytest.fixture
async def world(make_world):
    return await make_world()


@pytest.fixture
async def stibnite(world):
    async with world.client() as client:
        yield client


@pytest.fixture
async def delivery_url(aiohttp_server):
    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=202)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{path:.*}", take)
    server = await aiohttp_server(app)
    return str(server.make_url("/in/push/acme/token"))


async def embed(stibnite: StibniteClient, delivery_url: str | None = None, **options) -> tuple[SecretStr, str]:
    """Return an embed token and the id of its customer."""
    key = await stibnite.create_embed_key(
        NewEmbedKey([f"{ORIGIN}/page"], result_delivery_url=delivery_url, csv_export_enabled=True, **options)
    )
    session = NewEmbedSession(key.public_key.get_secret_value(), "acme-1", ORIGIN, customer_name="Acme", user_id="u1")
    opened = await stibnite.open_embed_session(session)
    assert opened.external_customer_id == "acme-1"
    return opened.token, opened.partner_customer_id


async def prospects(world: World, token: SecretStr, q: str = "7 owners of law firms") -> tuple[str, list[str]]:
    """Search as the widget does, which has no documented endpoint; return the session and whom it shows."""
    headers = {"authorization": f"Bearer {token.get_secret_value()}"}
    async with (
        ClientSession() as session,
        session.post(f"{world.url}v1/prospecting/sessions", json={"q": q}, headers=headers) as response,
    ):
        answer = await response.json()
        return answer["search_id"], [prospect["prospect_id"] for prospect in answer["data"]]


async def test_a_job_is_created_read_and_waited_for(world, stibnite):
    """A job is queued, and read with its people once it has ended."""
    created = await stibnite.create_job(NewJob("5 CMOs at SaaS companies", max_records=5))
    assert (created.status, created.ended, created.rows) == ("queued", False, [])
    assert created.interpretation
    job = await stibnite.wait_for_job(created.job_id)
    assert (job.status, job.billable_records, len(job.rows)) == ("succeeded", 5, 5)
    assert all(person.person_id and person.company and person.company.domain for person in job.rows)
    assert await stibnite.get_job(created.job_id) == job


async def test_a_search_of_several_pages(stibnite):
    """The pages of a search hold each person once, and no more than `max_records` are found and billed."""
    jobs = [job async for job in stibnite.search(NewJob("250 owners of law firms", limit=100), max_records=230)]
    people = [person.person_id for job in jobs for person in job.rows]
    assert [len(job.rows) for job in jobs] == [100, 100, 30]
    assert len(set(people)) == 230
    assert (await stibnite.usage()).billable_records == 230


async def test_a_search_that_fails_ends(stibnite):
    """A failed job is the last page."""
    (job,) = [job async for job in stibnite.search(NewJob("fail please"), max_records=50)]
    assert job.status == "failed"
    assert job.error


async def test_taxonomy(stibnite):
    """The taxonomy names roles, industries and filters."""
    taxonomy = await stibnite.taxonomy()
    assert taxonomy.fast_paths.taxonomy
    assert {role.key for role in taxonomy.fast_paths.taxonomy.roles} >= {"owner", "partner"}
    assert "location_city" in taxonomy.native_geo_parameters


async def test_lookup_finds_a_person_again(stibnite):
    """Whoever was found by a search is found by each of the identifiers."""
    (job,) = [job async for job in stibnite.search(NewJob("1 CMO at SaaS companies"), max_records=1)]
    (person,) = job.rows
    found = await stibnite.lookup(Lookup(email=person.business_email))
    assert [row.person_id for row in found.rows] == [person.person_id]
    assert found.billable_records == 1


async def test_domains_and_the_people_there(stibnite):
    """Domains are paged and free; a company's people are paged, capped and billed."""
    domains = [row async for row in stibnite.domains(DomainFilters(min_contacts=5), max_records=23, limit=10)]
    assert len({row.domain for row in domains}) == 23
    assert (await stibnite.usage()).billable_records == 0
    domain = max(domains, key=lambda row: row.contact_count or 0)
    assert domain.domain
    assert domain.contact_count
    cap = domain.contact_count - 1
    people = [row async for row in stibnite.company_people(domain.domain, max_records=cap, limit=2)]
    assert len({row.person_id for row in people}) == cap
    assert (await stibnite.usage()).billable_records == cap


async def test_wallets_and_credits(stibnite):
    """Credits granted by the partner are what both wallets show."""
    token, customer_id = await embed(stibnite)
    before = await stibnite.customer_wallet(customer_id)
    assert before.partner_customer_id == customer_id
    expires = datetime.fromtimestamp(NOW_S, UTC) + timedelta(days=30)
    granted = await stibnite.grant_credits(customer_id, NewCredits(50, expires_at=expires, note="a gift"))
    assert granted.credit_grant.credit_units_granted == 50
    for wallet in (granted, await stibnite.customer_wallet(customer_id), await stibnite.embed_wallet(token)):
        assert wallet.wallet.available_credit_units == 50
        assert wallet.wallet.limit_state
        assert wallet.wallet.limit_state.can_reveal is True


async def test_push(world, stibnite, delivery_url):
    """A push is bought once and delivered as often as it is asked for."""
    token, customer_id = await embed(stibnite, delivery_url)
    search_id, ids = await prospects(world, token)
    pushed = await stibnite.push(token, search_id, Selection("selected", ids[:2]))
    assert (pushed.delivered, pushed.delivery_status, pushed.partner_customer_id) == (True, 202, customer_id)
    assert (pushed.pushed_records, pushed.net_new_billable_records) == (2, 2)
    again = await stibnite.push(token, search_id, Selection("all_results"), repeatable=True)
    assert (again.pushed_records, again.net_new_billable_records, again.already_purchased_records) == (7, 5, 2)


async def test_export(world, stibnite):
    """An export is CSV with the documented columns, as many rows as its headers say."""
    token, _ = await embed(stibnite)
    search_id, ids = await prospects(world, token)
    export = await stibnite.export(token, search_id, Selection("page", ids[:3]))
    rows = export.rows()
    assert (export.exported_records, len(rows), export.net_new_billable_records) == (3, 3, 3)
    assert export.filename == f"prospecting-{search_id}.csv"
    assert {row["prospect_id"] for row in rows} == set(ids[:3])
    assert rows[0]["business_email"].encode() in export.csv
    assert "@" not in repr(export)


async def test_webhook_endpoints(stibnite):
    """An endpoint is created with a secret, listed without it, and gone once deleted."""
    created = await stibnite.create_endpoint(NewEndpoint("https://hooks.example/in", description="CRM"))
    assert created.signing_secret.get_secret_value().startswith("whsec_")
    (listed,) = await stibnite.list_endpoints()
    assert (listed.id, listed.url, listed.events) == (created.id, created.url, created.events)
    assert (await stibnite.delete_endpoint(created.id)).deleted is True
    assert await stibnite.list_endpoints() == []
    with pytest.raises(VendorRefused, match="404"):
        await stibnite.delete_endpoint(created.id)


async def test_a_wrong_key_says_what_to_do(world):
    """A key that is not known is `VendorUnauthorized`, with a hint, and is not in the error."""
    async with world.client("stib_live_canary") as stibnite:
        with pytest.raises(VendorUnauthorized) as caught:
            await stibnite.usage()
    assert caught.value.status == 401
    assert "api_key" in caught.value.hint
    assert "canary" not in f"{caught.value!r} {caught.value.hint}"


async def test_what_belongs_to_another_account_is_refused(stibnite):
    """An id of another account is a 404 that says so."""
    for ask in (stibnite.get_job("018f4f8f-1f42-7a8c-8cf2-8a4c2b0d3a4e"), stibnite.customer_wallet("customer_123")):
        with pytest.raises(VendorRefused) as caught:
            await ask
        assert caught.value.status == 404
        assert "another account" in caught.value.hint


async def test_an_expired_token_and_a_wrong_origin(world, stibnite):
    """An embed token that has expired and an origin that is not allowed are unauthorized, each with its own hint."""
    token, _ = await embed(stibnite)
    world.clock.now_s += 7_200
    with pytest.raises(VendorUnauthorized) as caught:
        await stibnite.embed_wallet(token)
    assert "new embed session" in caught.value.hint
    key = await stibnite.create_embed_key(NewEmbedKey([ORIGIN]))
    session = NewEmbedSession(key.public_key.get_secret_value(), "acme-1", "https://other.example")
    with pytest.raises(VendorUnauthorized) as caught:
        await stibnite.open_embed_session(session)
    assert "allowed_origins" in caught.value.hint


async def test_a_refused_wallet_is_a_refusal(world, stibnite):
    """What an enforced limit stops is a 402 that is not asked again."""
    token, _ = await embed(stibnite, credit_enforcement_mode="enforced", limits={"monthly_record_reveals": 1})
    search_id, ids = await prospects(world, token)
    with pytest.raises(VendorRefused) as caught:
        await stibnite.export(token, search_id, Selection("selected", ids[:2]))
    assert caught.value.status == 402
    assert world.clock.pauses == []


async def test_the_rate_limit_is_waited_for(make_world):
    """A GET beyond the rate limit waits until the vendor's reset and succeeds then."""
    world = await make_world(pace=Pace(requests_a_minute=2))
    async with world.client() as stibnite:
        for _ in range(3):
            await stibnite.usage()
    assert world.clock.pauses == [pytest.approx(60 - NOW_S % 60, abs=1)]


async def test_a_post_beyond_the_rate_limit_is_left_to_its_caller(make_world):
    """A POST that may not be repeated ends with how long to wait, and was not done."""
    world = await make_world(faults={"http429"})
    async with world.client() as stibnite:
        with pytest.raises(VendorUnavailable) as caught:
            await stibnite.create_job(NewJob("ceos"))
    assert caught.value.retry_after_s
    assert caught.value.maybe_done is False
    assert world.clock.pauses == []


async def test_a_cut_connection(make_world):
    """A POST whose answer was lost may have been done, and is not sent again; a free GET is."""
    world = await make_world(faults={"cut"})
    async with world.client() as stibnite:
        with pytest.raises(VendorUnavailable) as caught:
            await stibnite.create_job(NewJob("ceos"))
        assert caught.value.maybe_done is True
        with pytest.raises(VendorUnavailable) as caught:
            await stibnite.usage()
        assert caught.value.maybe_done is False
    assert len(world.clock.pauses) == 3


async def test_an_endpoint_deleted_by_a_lost_try_is_deleted(make_world):
    """A DELETE whose first answer was lost finds nothing the second time: it is gone."""
    world = await make_world()
    async with world.client() as stibnite:
        created = await stibnite.create_endpoint(NewEndpoint("https://hooks.example/in"))
        world.sandbox.faults = {"cut"}

        async def mend(_seconds: float) -> None:
            world.sandbox.faults = set()

        world.clock.sleep = mend
        async with world.client() as patient:
            assert (await patient.delete_endpoint(created.id)).deleted is True
        assert await stibnite.list_endpoints() == []


async def test_a_failing_vendor_is_asked_again_with_full_jitter(make_world):
    """A free GET is tried four times, its pauses doubling up to their share of jitter."""
    world = await make_world(faults={"http500"})
    world.clock.jitter = 0.5
    async with world.client() as stibnite:
        with pytest.raises(VendorUnavailable, match="500"):
            await stibnite.usage()
    assert world.clock.pauses == [0.25, 0.5, 1.0]
