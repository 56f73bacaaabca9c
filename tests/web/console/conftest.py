"""The console's tests share one office."""

import pytest

from tests.web.console.office import make_office


@pytest.fixture
async def office(aiohttp_client):
    """Return a console with one dead and one delivered delivery."""
    return await make_office(aiohttp_client)
