"""Sample deliveries."""

import json
from random import Random

import pytest

from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED
from stibgate.errors import UsageError
from stibgate.sandbox.samples import sample


@pytest.mark.parametrize("event_type", [JOB_SUCCEEDED, JOB_FAILED, RECORDS_PUSHED])
def test_same_dice_same_sample(event_type):
    """Equal dice give equal bytes."""
    first, second = (sample(event_type, records=5, rng=Random(3), serial=1) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("records", [0, 1, 100, 2_000])
def test_push(records):
    """A push sample has the documented headers, and its counts agree with its data."""
    made = sample(RECORDS_PUSHED, records=records, rng=Random(3), serial=1)
    body = json.loads(made.body)
    assert made.headers == [
        ("content-type", "application/json"),
        ("user-agent", "stibnite-prospecting/1.0"),
        ("stibnite-event-type", "prospecting.records.pushed"),
        ("stibnite-search-id", body["search_id"]),
    ]
    counts = (body["pushed_records"], body["selection"]["total_records"], body["net_new_billable_records"])
    assert counts == (records,) * 3
    assert [record["prospect_id"] for record in body["data"]] == body["selection"]["prospect_ids"]


async def test_like_the_server(world, receiver, shape):
    """Samples have the same keys as what the sandbox's server sends."""
    await world.listen(receiver)
    await world.search("7 owners of law firms")
    await world.search("CMOs of firms that fail")
    token = await world.embed(receiver.url, user_id="u")
    search = await world.call("POST", "/v1/prospecting/sessions", {"q": "7 owners"}, authorization=token)
    path = f"/v1/prospecting/sessions/{search['search_id']}/push"
    await world.call(
        "POST",
        path,
        {"selection_mode": "selected", "prospect_ids": [search["data"][0]["prospect_id"]]},
        authorization=token,
    )
    for got, event_type in zip(receiver.got, (JOB_SUCCEEDED, JOB_FAILED, RECORDS_PUSHED), strict=True):
        sent, made = json.loads(got.body), json.loads(sample(event_type, records=7, rng=Random(3), serial=1).body)
        sent["data"] = made["data"] = None
        assert json.dumps(shape(sent)) == json.dumps(shape(made))


def test_serials_never_meet():
    """No two serials share a job, a session or a person, whatever the dice."""
    ids, people = set(), set()
    for serial in range(20):
        for event_type in (JOB_SUCCEEDED, JOB_FAILED, RECORDS_PUSHED):
            body = json.loads(sample(event_type, records=10, rng=Random(3), serial=serial).body)
            ids.add(body.get("job_id") or body["search_id"])
            people.update((event_type, person["person_id"]) for person in body.get("data", ()))
    assert (len(ids), len(people)) == (60, 400)


@pytest.mark.parametrize("wrong", [{"event_type": "x.y"}, {"records": -1}, {"records": 10_001}, {"serial": -1}])
def test_refused(wrong):
    """An unknown event type or a number out of range is a usage error."""
    asked = {"event_type": RECORDS_PUSHED, "records": 1, "serial": 1} | wrong
    with pytest.raises(UsageError):
        sample(asked.pop("event_type"), rng=Random(3), **asked)
