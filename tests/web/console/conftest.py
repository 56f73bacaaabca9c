"""The console's tests share one office."""

import pytest

from tests.pipeline.world import delivery
from tests.web.console.annex import make_annex
from tests.web.console.office import make_office


@pytest.fixture
async def office(aiohttp_client):
    """Return a console with one dead and one delivered delivery."""
    return await make_office(aiohttp_client)


@pytest.fixture
async def annex(aiohttp_client):
    """Return a console with sources, sinks and a budget, and an empty store."""
    return await make_annex(aiohttp_client)


@pytest.fixture
async def empty_office(aiohttp_client):
    """Return a console with nothing in its store."""
    return await make_office(aiohttp_client, deliveries=())


@pytest.fixture
async def crowd(aiohttp_client):
    """Return a console with more deliveries than a page holds."""
    return await make_office(aiohttp_client, deliveries=[delivery(records=1, serial=serial) for serial in range(120)])
