"""The console's tests share one office."""

import pytest

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
