"""The tests of the admin API share one office."""

import pytest

from tests.web.api.office import make_office


@pytest.fixture
async def office(aiohttp_client):
    """Return an API with one dead and one delivered delivery."""
    return await make_office(aiohttp_client)
