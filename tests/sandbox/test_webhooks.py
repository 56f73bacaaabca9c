"""Webhook endpoints."""

import pytest

CREATED = {
    "id": "endpoint_123",
    "url": "https://customer.example/webhooks/stibnite",
    "description": "CRM enrichment workflow",
    "events": ["person_search.job.succeeded", "person_search.job.failed"],
    "status": "active",
    "created_at": "2026-05-17T18:42:10.000Z",
    "signing_secret": "whsec_returned_once",
}
"""The document's example."""
PATH = "/v1/webhooks/endpoints"


async def test_created_as_documented(world, shape):
    """Creating an endpoint answers the documented fields, with both events unless told otherwise."""
    asked = {"url": CREATED["url"], "description": CREATED["description"]}
    answer = await world.call("POST", PATH, asked)
    assert shape(answer) == shape(CREATED)
    assert list(answer) == list(CREATED)
    fixed = ("url", "description", "events", "status", "created_at")
    assert {key: answer[key] for key in fixed} == {key: CREATED[key] for key in fixed}
    assert answer["signing_secret"].startswith("whsec_")


async def test_secret_is_returned_once(world):
    """The signing secret is in the creation's answer and in no other."""
    answer = await world.call("POST", PATH, {"url": CREATED["url"]})
    secret = answer.pop("signing_secret")
    listed = await world.call("GET", PATH)
    assert listed == {"data": [answer]}
    assert secret not in str(listed)


async def test_deleted(world):
    """A deleted endpoint answers as documented, is listed no more, and is not there to be deleted again."""
    answer = await world.call("POST", PATH, {"url": CREATED["url"]})
    assert await world.call("DELETE", f"{PATH}/{answer['id']}") == {"deleted": True}
    assert await world.call("GET", PATH) == {"data": []}
    assert "message" in await world.call("DELETE", f"{PATH}/{answer['id']}", status=404)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url is required"),
        ({"url": "http://customer.example/"}, "url: must be https"),
        ({"url": "ftp://customer.example/"}, "url: must be an https URL"),
        ({"url": "not a url"}, "url: must be an https URL"),
        ({"url": 7}, "url: "),
        ({"url": "https://a.example/", "events": ["person_search.job.paused"]}, "events.0: "),
        ({"url": "https://a.example/", "events": []}, "events: "),
        ([], "body: "),
    ],
)
async def test_refused(world, body, named):
    """A wrong endpoint is a 400 whose JSON message names the field."""
    answer = await world.call("POST", PATH, body, status=400)
    assert answer["message"].startswith(named)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:1", "[::1]:8080"])
async def test_loopback_may_be_http(world, host):
    """Plain http is taken for this machine, and only for it."""
    await world.call("POST", PATH, {"url": f"http://{host}/hooks/jobs"})


async def test_only_what_was_subscribed(world, receiver):
    """An endpoint gets the events it subscribed to, and a deleted one none."""
    await world.listen(receiver, events=["person_search.job.failed"])
    gone = await world.listen(receiver)
    await world.call("DELETE", f"{PATH}/{gone['id']}")
    await world.search("CMOs")
    assert receiver.got == []
    await world.search("searches that fail")
    assert len(receiver.got) == 1
