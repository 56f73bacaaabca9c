import io
import json

import pytest
import structlog

from stibgate.log import configure


class Leaky(io.BytesIO):
    """A stream whose reader may be away."""

    broken = False

    def write(self, data) -> int:
        if self.broken:
            raise BrokenPipeError
        return super().write(data)


@pytest.fixture(autouse=True)
def restore():
    yield
    structlog.reset_defaults()


def test_a_broken_log_costs_only_lines():
    """A line that cannot be written raises nothing, and the next that can be is preceded by how many were lost."""
    stream = Leaky()
    configure(stream=stream, format="json", cache=False)
    log = structlog.get_logger()
    log.info("service.started")
    stream.broken = True
    log.info("delivery.accepted")
    log.info("delivery.accepted")
    stream.broken = False
    log.info("service.stopped")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["service.started", "log.lost", "service.stopped"]
    assert lines[1]["records"] == 2
