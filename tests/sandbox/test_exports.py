"""Exports: the CSV twin of a push."""

import csv
import io
import json

import pytest

SEARCHES = "/v1/prospecting/sessions"
ENABLED = {"csv_export_enabled": True}


async def opened(world, url=None, key=ENABLED, **body):
    """Return the headers of a customer, and a search of theirs."""
    token = {"authorization": await world.embed(url, key=key)}
    return token, await world.call("POST", SEARCHES, {"q": "1200 CMOs", "limit": 40, **body}, **token)


async def exported(world, token, search, **body):
    """Return status, headers and body of an export."""
    path = f"{SEARCHES}/{search['search_id']}/export"
    async with world.client.post(path, json={"selection_mode": "page", **body}, headers=token) as response:
        return response.status, response.headers, await response.read()


async def test_headers(world):
    """An export has the documented headers, and its counts agree with its rows."""
    token, search = await opened(world)
    status, headers, body = await exported(world, token, search)
    assert status == 200
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["content-disposition"] == f'attachment; filename="prospecting-{search["search_id"]}.csv"'
    counts = ("x-exported-records", "x-net-new-billable-records", "x-already-purchased-records")
    assert [headers[name] for name in counts] == ["40", "40", "0"]
    rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert len(rows) == 41
    assert {len(row) for row in rows} == {19}
    assert [row[0] for row in rows[1:]] == [preview["prospect_id"] for preview in search["data"]]
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 40


async def test_same_people_as_a_push(world, receiver):
    """An export holds what a push of the same selection carries, cell by cell; nothing known is an empty cell."""
    token, search = await opened(world, receiver.url)
    path = f"{SEARCHES}/{search['search_id']}/push"
    answer = await world.call("POST", path, {"selection_mode": "all_results"}, **token)
    _, headers, body = await exported(world, token, search, selection_mode="all_results")
    assert (answer["net_new_billable_records"], headers["x-net-new-billable-records"]) == (1200, "0")
    assert headers["x-already-purchased-records"] == "1200"
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True))
    for row, record in zip(rows, json.loads(receiver.got[0].body)["data"], strict=True):
        company = record.pop("company")
        del record["reveal_state"], company["company_id"]
        flat = record | {f"company_{key}": value for key, value in company.items()}
        cells = {key: "" if value is None else str(value) for key, value in flat.items()}
        assert row == dict.fromkeys(row, "") | cells


async def test_selections(world):
    """An export takes the selections of a push, and refuses what a push refuses."""
    token, search = await opened(world)
    ids = [preview["prospect_id"] for preview in search["data"]]
    chosen = {"selection_mode": "selected", "prospect_ids": [ids[3], ids[1], ids[3]]}
    _, headers, body = await exported(world, token, search, **chosen)
    assert headers["x-exported-records"] == "2"
    assert [line.split(b",")[0].decode() for line in body.splitlines()[1:]] == [ids[3], ids[1]]
    idaho = {"selection_mode": "all_results", "applied_filters": {"company_state": "ID"}}
    _, headers, body = await exported(world, token, search, **idaho)
    assert 0 < int(headers["x-exported-records"]) < 100
    for wrong in ({"selection_mode": "everybody"}, {"selection_mode": "selected"}):
        assert (await exported(world, token, search, **wrong))[0] == 400


@pytest.mark.parametrize("key", [None, {"csv_export_enabled": False}])
async def test_only_where_it_is_enabled(world, key):
    """Without csv_export_enabled an export is a 403 with a JSON message, and bills nothing."""
    token, search = await opened(world, key=key)
    status, _, body = await exported(world, token, search)
    assert (status, list(json.loads(body))) == (403, ["message"])
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 0


async def test_whose_session(world):
    """Another customer's session, or one that is not there, is a 404; without a token it is a 401."""
    token, search = await opened(world)
    stranger = {"authorization": await world.embed(None, customer="another", key=ENABLED)}
    assert (await exported(world, stranger, search))[0] == 404
    assert (await exported(world, token, {"search_id": "search_0"}))[0] == 404
    assert (await exported(world, {}, search))[0] == 401
