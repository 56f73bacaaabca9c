"""Every test here logs into its own lines."""

import pytest

from stibgate.stores.memory import MemoryStore
from tests.pipeline.jobs_world import House, opened


@pytest.fixture(autouse=True)
def _own_log(lines):
    """Keep the terminal clean: what is logged can be asked for as `lines`."""


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, tmp_path):
    """Return a function that builds a house over an empty store, in turn one in memory and one on disk."""
    async with opened(request.param, tmp_path) as store:
        yield lambda **settings: House(store, **settings)


@pytest.fixture
def light():
    """Return the same over a store in memory, for laws in which the store has no part."""
    return lambda **settings: House(MemoryStore(), **settings)
