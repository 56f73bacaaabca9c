"""What every test may ask for: the log's lines, as an operator would read them."""

import io
import json
import logging
from functools import partial

import pytest
import structlog
from hypothesis import settings

from stibgate.log import configure

# How long an example takes says how busy the machine is, and nothing about the law.
settings.register_profile("stibgate", deadline=None)
settings.load_profile("stibgate")


@pytest.fixture(scope="session", autouse=True)
def _no_logger_is_kept():
    """Let commands that run in this process log as they like, and no other test as they did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stibgate.log.configure", partial(configure, cache=False))
        yield


class Lines:
    """What was logged since the start of the test."""

    def __init__(self) -> None:
        self.stream = io.BytesIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue().decode()

    @property
    def all(self) -> list[dict]:
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, event: str) -> list[dict]:
        return [line for line in self.all if line["event"] == event]


@pytest.fixture
def configure_log():
    """Return a function that sends the log of this test into a `Lines`; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def begin(**settings) -> Lines:
        lines = Lines()
        configure(**{"level": "debug", "format": "json", "stream": lines.stream, "cache": False, **settings})
        return lines

    yield begin
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def lines(configure_log):
    """Return the lines of this test's log, one JSON object each."""
    return configure_log()
