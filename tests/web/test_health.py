"""Health pages of the admin listener."""

import pytest

from stibgate.web.health import health_application


@pytest.mark.parametrize(("alive", "status", "word"), [(True, 200, "ok"), (False, 503, "failed")])
async def test_livez(aiohttp_client, alive, status, word):
    """The process is alive as long as its writer is, and says nothing else."""
    client = await aiohttp_client(health_application(alive=lambda: alive, ready=dict))
    answer = await client.get("/livez")
    assert (answer.status, await answer.json()) == (status, {"status": word})


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        ({"store": "ok", "draining": "ok"}, 200, "ready"),
        ({"store": "ok", "draining": "draining"}, 503, "not ready"),
        ({"store": "cannot write", "draining": "ok"}, 503, "not ready"),
    ],
)
async def test_readyz(aiohttp_client, path, checks, status, word):
    """The process is ready when every check says ok; the answer names each of them."""
    client = await aiohttp_client(health_application(alive=lambda: True, ready=lambda: checks))
    answer = await client.get(path)
    assert (answer.status, await answer.json()) == (status, {"status": word, "checks": checks})
