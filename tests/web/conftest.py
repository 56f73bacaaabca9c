"""Every test here logs into its own lines."""

import pytest


@pytest.fixture(autouse=True)
def _own_log(lines):
    """Keep the terminal clean: what is logged can be asked for as `lines`."""
