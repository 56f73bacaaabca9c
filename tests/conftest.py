"""What every test may ask for: the log's lines, as an operator would read them."""

import io
import json
import logging
import os
from functools import partial

import pytest
import structlog
from hypothesis import HealthCheck, settings

from stibgate.log import configure
from stibgate.stores.sqlite import SqliteStore
from tests.ports import free_port

# How long an example takes says how busy the machine is, and nothing about the law. A change is held against the same
# examples each time, so that who lands it answers for what it broke; STIBGATE_EXPLORE=1 looks for others.
settings.register_profile(
    "stibgate",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not os.environ.get("STIBGATE_EXPLORE"),
)
settings.load_profile("stibgate")


@pytest.fixture(scope="session", autouse=True)
def _no_logger_is_kept():
    """Let commands that run in this process log as they like, and no other test as they did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stibgate.log.configure", partial(configure, cache=False))
        yield


@pytest.fixture
def unused_tcp_port():
    """Return a port that no client of another test is given meanwhile, as one of the system's own choice may be."""
    return free_port()


@pytest.fixture
def unused_tcp_port_factory():
    """Return a function that returns such ports."""
    return free_port


PATIENCE_S = 60.0
IMPATIENT = (
    "stibgate.app.metrics.state.PATIENCE_S",
    "stibgate.app.outlets.CLOSED_S",
    "stibgate.app.outlets.READY_S",
    "stibgate.web.console.alarms.PATIENCE_S",
)
"""After a second or two the service goes on without what it waits for: sooner than a busy disk answers."""


@pytest.fixture(scope="session", autouse=True)
def _no_machine_is_too_slow():
    """Let everything take as long as a busy machine needs; a test of such a limit sets its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SqliteStore.browse.__kwdefaults__, "limit_s", PATIENCE_S)
        for name in IMPATIENT:
            patch.setattr(name, PATIENCE_S)
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
