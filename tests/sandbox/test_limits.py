"""The rate limit."""

import pytest

from stibgate.sandbox.stibnite import Pace

USAGE = "/v1/usage"


@pytest.fixture
async def world(make_world):
    return await make_world(pace=Pace(requests_a_minute=5))


async def refused(world, path=USAGE, **headers):
    """Call once more; return the headers of the refusal."""
    headers = {"x-api-key": world.sandbox.api_key, **headers}
    async with world.client.get(path, headers=headers) as response:
        assert response.status == 429
        assert list(await response.json()) == ["message"]
        return {k.lower(): v for k, v in response.headers.items() if k.lower().startswith("x-ratelimit")}


async def test_beyond_the_limit(world, clock):
    """Beyond the limit the answer is 429 with the three documented headers, until the reset that they name."""
    for _ in range(5):
        await world.call("GET", USAGE)
    headers = await refused(world)
    assert headers == {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1779043380"}
    clock.now_s = int(headers["x-ratelimit-reset"]) - 0.1
    await refused(world)
    clock.now_s = int(headers["x-ratelimit-reset"])
    assert (await world.call("GET", USAGE))["requests"] == 5


async def test_what_counts(world):
    """Wrong requests count, those without the key do not; embed tokens spend the same account's limit."""
    token = await world.embed(None)
    for _ in range(9):
        await world.call("GET", USAGE, status=401, x_api_key="")
    await world.call("POST", "/v1/persons/search/jobs", {}, status=400)
    await world.call("GET", "/v1/prospecting/wallet", authorization=token)
    await world.call("GET", USAGE)
    await refused(world)
    await refused(world, "/v1/prospecting/wallet", authorization=token)
    await world.call("GET", "/openapi.json")
