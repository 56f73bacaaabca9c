"""A clock that a test moves, and a folder that is not there yet."""

import pytest

from tests.sinks.drops.world import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "drop"
