"""Point 15: what the sandbox counted and kept."""

UPSERT = "/crm/objects/{v}/contacts/batch/upsert"


async def test_counts_of_requests_answers_and_inputs(make_desk, person):
    """By path without version or id, by status, 429s and errors as shares, refused inputs."""
    desk = await make_desk()
    await desk.batch("contacts", "upsert", [person("p1", "0"), person("p2", "1", email="nope")], status=207)
    await desk.batch("contacts", "upsert", [person("p3", email="nope"), person("p4")], status=400)
    desk.sandbox.fail_next("429_daily")
    await desk.get("/account-info/{v}/details", status=429)
    await desk.get("/nowhere", status=404)
    counters = desk.sandbox.counters
    assert counters.requests == 6
    assert counters.by_path == {
        "POST /crm/properties/contacts": 1,
        "POST /crm/properties/companies": 1,
        "POST /crm/objects/contacts/batch/upsert": 2,
        "GET /account-info/details": 1,
        "GET elsewhere": 1,
    }
    assert counters.statuses == {201: 2, 207: 1, 400: 1, 429: 1, 404: 1}
    assert (counters.inputs, counters.refused_inputs) == (4, 3)
    assert (counters.too_many, counters.errors) == (1, 3)
    assert (counters.too_many_share, counters.error_share) == (1 / 6, 0.5)
    assert counters.requests_per_100(len(desk.sandbox.contacts())) == 600


async def test_duplicates_and_losses(make_desk, person):
    """Two live records with one of our keys, or one e-mail, would show; what is not there does."""
    desk = await make_desk(keys=False)
    await desk.property("contacts", "stibnite_person_id")
    same = [{"properties": {"firstname": "Jo", "stibnite_person_id": "p1"}}] * 2
    await desk.batch("contacts", "create", same, status=201)
    assert desk.sandbox.duplicates() == {"stibnite_person_id": {"p1": 2}, "email": {}, "stibnite_company_id": {}}
    assert desk.sandbox.missing("contacts", "stibnite_person_id", ["p1", "p2"]) == {"p2"}


async def test_requests_are_kept_in_order_while_recording(make_desk, person):
    """Method, path, body and status; nothing while it is off."""
    desk = await make_desk()
    desk.sandbox.recording = False
    await desk.person("p1")
    desk.sandbox.recording = True
    await desk.person("p2")
    await desk.get("/account-info/{v}/details?x=1")
    kept = [(each.method, each.path, each.status) for each in desk.sandbox.requests[-2:]]
    assert kept == [("POST", UPSERT.format(v="2026-03"), 200), ("GET", "/account-info/2026-03/details", 200)]
    assert desk.sandbox.requests[-2].body == {"inputs": [person("p2")]}
    assert len(desk.sandbox.requests) == 4


async def test_one_seed_is_one_world(make_desk, person):
    """The same requests give the same answers, ids, orders and all."""

    async def run() -> list:
        desk = await make_desk(seed=3)
        return [
            await desk.batch("contacts", "upsert", [person(f"p{i}", str(i)) for i in range(10)]),
            await desk.batch("contacts", "upsert", [person("p1", email="nope")], status=400),
        ]

    assert await run() == await run()
