"""Lookups, the domain inventory, company people, and the synchronous search."""

from urllib.parse import quote

import pytest

LOOKUP, DOMAINS = "/v1/persons/lookup", "/v1/domains"


async def billed(world):
    return (await world.call("GET", "/v1/usage"))["billable_records"]


async def somebody(world):
    """Return somebody of whom everything is known."""
    people = (await world.search("60 CMOs"))["data"]
    return next(person for person in people if "mobile_phone" in person and "city" in person["company"])


async def pages(world, path):
    """Return all pages of a list."""
    found, cursor = [], ""
    while cursor is not None:
        found.append(await world.call("GET", path + cursor))
        following = found[-1]["pagination"]["next_cursor"]
        cursor = None if following is None else f"&cursor={following}"
    return found


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: f"email={p['business_email'].upper()}",
        lambda p: f"linkedin_url={p['linkedin_url']}",
        lambda p: f"linkedin_url={p['linkedin_url'].replace('https://www.', 'http://')}/?trk=x".replace("?", "%3F"),
        lambda p: f"phone={quote(p['mobile_phone'])}&email={p['business_email']}",
        lambda p: f"company_domain=https://www.{p['company']['domain']}/about&linkedin_url={p['linkedin_url']}",
    ],
)
async def test_lookup(world, ask):
    """Each exact identifier finds the person again, however it is spelled, and bills who is returned."""
    person = await somebody(world)
    before = await billed(world)
    answer = await world.call("GET", f"{LOOKUP}?{ask(person)}")
    assert answer == {"data": [person], "billable_records": 1}
    assert await billed(world) == before + 1


async def test_lookup_by_phone_alone(world):
    """A number finds whom it belongs to; fictional lines are few, so a line has more than one owner."""
    person = await somebody(world)
    written = f"({person['mobile_phone'][2:5]}) {person['mobile_phone'][5:8]}-{person['mobile_phone'][8:]}"
    answer = await world.call("GET", f"{LOOKUP}?phone={quote(written)}")
    assert person in answer["data"]
    assert {one["mobile_phone"] for one in answer["data"]} == {person["mobile_phone"]}


async def test_lookup_by_company(world):
    """A company's domain finds its people, a hundred at most."""
    domains = (await world.call("GET", f"{DOMAINS}?min_contacts=600&limit=1"))["data"]
    answer = await world.call("GET", f"{LOOKUP}?company_domain={domains[0]['domain']}")
    assert len(answer["data"]) == answer["billable_records"] == 100
    assert {person["company"]["domain"] for person in answer["data"]} == {domains[0]["domain"]}


@pytest.mark.parametrize(
    "query",
    ["email=nobody@example.com", "phone=none", "linkedin_url=https://example.com/in/x", "company_domain=example.org"],
)
async def test_lookup_nobody(world, query):
    """An identifier that nobody has finds nobody and bills nothing, alone and beside one that somebody has."""
    sparse = next(p for p in (await world.search("60 CMOs"))["data"] if "mobile_phone" not in p)
    for more in ("", f"&email={sparse['business_email']}" if "email" not in query else ""):
        assert await world.call("GET", f"{LOOKUP}?{query}{more}") == {"data": [], "billable_records": 0}


@pytest.mark.parametrize("query", ["", "?name=Dana", "?email=", "?email=%20&phone="])
async def test_lookup_needs_a_field(world, query):
    """A lookup without an identifier is a 400, and bills nothing."""
    assert list(await world.call("GET", LOOKUP + query, status=400)) == ["message"]
    assert await billed(world) == 0


async def test_domains(world):
    """The inventory lists each company once over its pages, with at least five contacts, and bills nothing."""
    found = await pages(world, f"{DOMAINS}?industry=software&limit=50")
    everything = [domain for page in found for domain in page["data"]]
    assert [len(page["data"]) for page in found[:-1]] == [50] * (len(found) - 1)
    assert len(found) > 2
    assert len({domain["domain"] for domain in everything}) == len(everything)
    assert min(domain["contact_count"] for domain in everything) == 5
    assert {domain["industry"] for domain in everything} == {"Software"}
    assert await billed(world) == 0


@pytest.mark.parametrize("state", ["ID", "id", "Idaho", "idaho"])
async def test_domains_of_a_state(world, state):
    """The state filter takes a code or a full name; contacts and industries are filters too."""
    found = (await world.call("GET", f"{DOMAINS}?location_state={state}&min_contacts=20"))["data"]
    assert {domain["location"]["state"] for domain in found} == {"ID"}
    assert min(domain["contact_count"] for domain in found) >= 20
    assert (await world.call("GET", f"{DOMAINS}?location_state=Atlantis"))["data"] == []


@pytest.mark.parametrize(
    "changed", ["min_contacts=6", "industry=law", "location_state=ID", "min_contacts=5&industry=x"]
)
async def test_domain_cursor_is_tied_to_its_filters(world, changed):
    """A cursor under other filters is a 400; under another limit it goes on."""
    cursor = (await world.call("GET", f"{DOMAINS}?limit=10"))["pagination"]["next_cursor"]
    await world.call("GET", f"{DOMAINS}?{changed}&cursor={cursor}", status=400)
    assert len((await world.call("GET", f"{DOMAINS}?limit=20&cursor={cursor}"))["data"]) == 20


@pytest.mark.parametrize("c", ["", "x", "%C3%A9", "AAAA", "!{}", "{}!", "{}AAAA"])
@pytest.mark.parametrize("path", [DOMAINS, "/v1/companies/{domain}/people", "/v1/persons/search"])
async def test_cursors_are_checked(world, path, c):
    """Whatever is not a cursor of ours, to the letter, is a 400."""
    domain = await world.call("GET", f"{DOMAINS}?min_contacts=600&limit=1")
    path = path.format(domain=domain["data"][0]["domain"]) + "?q=CMOs&limit=1&cursor="
    real = (await world.call("GET", path.removesuffix("&cursor=")))["pagination"]["next_cursor"]
    await world.call("GET", path + real)
    answer = await world.call("GET", path + c.format(real), status=400)
    assert "cursor" in answer["message"]


@pytest.mark.parametrize(
    ("path", "size"),
    [(DOMAINS, 100), ("/v1/companies/{domain}/people", 500), ("/v1/persons/search", 100)],
)
async def test_caps(world, path, size):
    """A limit above the documented cap is the cap; the default is 100; 0, negative or no number is a 400."""
    domain = (await world.call("GET", f"{DOMAINS}?min_contacts=600&limit=1"))["data"][0]["domain"]
    path = path.format(domain=domain) + "?q=700+CMOs"
    assert len((await world.call("GET", path))["data"]) == 100
    for limit, count in ((1, 1), (99, 99), (size, size), (size + 1, size), (10**30, size)):
        assert len((await world.call("GET", f"{path}&limit={limit}"))["data"]) == count
    for wrong in ("0", "-1", "ten", "", "1.5", "+5", "1e2", "%D9%A3", "9" * 5_000):
        assert (await world.call("GET", f"{path}&limit={wrong}", status=400))["message"].startswith("limit: ")
    for name in ("min_contacts",) if path.startswith(DOMAINS) else ("max_records",):
        for wrong in ("0", "-1", "x"):
            assert (await world.call("GET", f"{path}&{name}={wrong}", status=400))["message"].startswith(f"{name}: ")


async def test_company_people(world):
    """A company's people come page by page, each once, as many as the inventory says, and are billed as returned."""
    domain = (await world.call("GET", f"{DOMAINS}?min_contacts=600&limit=1"))["data"][0]
    path = f"/v1/companies/{domain['domain']}/people?limit=500"
    found = await pages(world, path)
    people = [person for page in found for person in page["data"]]
    assert [page["billable_records"] for page in found] == [500, domain["contact_count"] - 500]
    assert len({person["person_id"] for person in people}) == domain["contact_count"] == await billed(world)
    assert len({person["business_email"] for person in people}) == len(people)
    assert {person["company"]["domain"] for person in people} == {domain["domain"]}
    assert found[0]["pagination"].keys() == {"limit", "next_cursor"}
    last = people[-1]
    answer = await world.call("GET", f"{LOOKUP}?email={last['business_email']}")
    assert answer["data"] == [last]


async def test_company_people_capped(world):
    """max_records caps the pages together, and is in the pagination when it was sent; a cursor is the company's own."""
    first, second = (await world.call("GET", f"{DOMAINS}?min_contacts=600&limit=2"))["data"]
    path = f"/v1/companies/https%3A%2F%2Fwww.{first['domain'].upper()}%2F/people?limit=100&max_records=130"
    found = await pages(world, path)
    assert [len(page["data"]) for page in found] == [100, 30]
    assert found[0]["pagination"]["max_records"] == 130
    cursor = found[0]["pagination"]["next_cursor"]
    await world.call("GET", f"/v1/companies/{second['domain']}/people?cursor={cursor}", status=400)


async def test_company_nobody_knows(world):
    """A domain without known people has an empty page."""
    answer = await world.call("GET", "/v1/companies/example.org/people")
    assert answer == {"data": [], "pagination": {"limit": 100, "next_cursor": None}, "billable_records": 0}


async def test_colleagues_are_people_who_are_found(world):
    """Whom a search finds is among the people of their company."""
    person = await somebody(world)
    people = (await world.call("GET", f"/v1/companies/{person['company']['domain']}/people"))["data"]
    assert person in people


async def test_search_at_once(world):
    """The synchronous search answers what a job's result holds, bills it, and honours its dedupe token."""
    job = await world.search("CMOs at SaaS companies", location_state="ID")
    path = "/v1/persons/search?q=CMOs+at+SaaS+companies&location_state=Idaho&dedupe_token=t"
    answer = await world.call("GET", path)
    assert list(answer) == [key for key in job if key not in {"job_id", "status"}]
    assert len(answer["data"]) == 100
    again = await world.call("GET", path)
    assert not {p["person_id"] for p in answer["data"]} & {p["person_id"] for p in again["data"]}
    assert await billed(world) == 300
    await world.call("GET", "/v1/persons/search?q=searches+that+fail", status=400)
    await world.call("GET", "/v1/persons/search", status=400)


@pytest.mark.parametrize("q", ["12", "???", "  7 - 8"])
async def test_unsupported(world, q):
    """A search that names nobody is a 400, for each way to search."""
    token = await world.embed(None)
    await world.call("GET", f"/v1/persons/search?q={quote(q)}", status=400)
    await world.call("POST", "/v1/persons/search/jobs", {"q": q}, status=400)
    await world.call("POST", "/v1/prospecting/sessions", {"q": q}, status=400, authorization=token)


async def test_dedupe_is_of_the_interpreted_criteria(world):
    """Under one token, searches that are understood as the same do not deliver anybody twice."""
    everybody = [
        p["person_id"] for p in (await world.call("GET", "/v1/persons/search?q=CMOs+at+SaaS+companies"))["data"]
    ]
    first = await world.search("30 CMOs at SaaS companies", dedupe_token="t")
    second = await world.search("cmos at saas companies", dedupe_token="t", limit=50)
    assert [p["person_id"] for p in first["data"]] == everybody[:30]
    assert [p["person_id"] for p in second["data"]] == everybody[30:80]
