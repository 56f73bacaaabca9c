"""Who listens to the log hears what it may say, and nothing else, whatever becomes of it on stdout."""

import json

import pytest
import structlog

from stibgate.log import add_listener
from stibgate.log.rendering import as_json


class Ear:
    """A listener."""

    def __init__(self, *, keen):
        self.keen = keen
        self.heard = []

    def hear(self, line):
        self.heard.append(line)

    @property
    def events(self):
        return [line["event"] for line in self.heard]


@pytest.fixture
def listen():
    """Return a function that makes a listener, until the end of the test."""
    ends = []

    def begin(*, keen=True):
        ear = Ear(keen=keen)
        ends.append(add_listener(ear))
        return ear

    yield begin
    for end in ends:
        end()


def log_all():
    log = structlog.get_logger().bind(sink="crm")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(f"test.{level}")
    try:
        int("zoe@example.com")
    except ValueError:
        log.exception("test.exception")


@pytest.mark.parametrize("form", ["json", "console", "ecs"])
def test_a_listener_hears_the_line_as_it_is(configure_log, listen, form):
    """In every form of the log a listener gets the same line: allowed fields, what was dropped, no exception's words."""
    configure_log(format=form)
    ear = listen(keen=False)
    structlog.get_logger().info("test.line", sink="crm", first_name="Zoe", records=2, reason=None)
    log_all()
    line = ear.heard[0]
    assert {**line, "timestamp": None} == {
        "timestamp": None,
        "level": "info",
        "event": "test.line",
        "service": "stibgate",
        "sink": "crm",
        "records": 2,
        "dropped": ["first_name"],
    }
    assert "zoe" not in str(ear.heard)
    assert ear.heard[-1]["exception"][0] == "ValueError"


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_a_keen_listener_hears_what_is_not_written(configure_log, listen, level):
    """While somebody looks on, lines from `info` on are heard below the level too, and still not written."""
    lines = configure_log(level=level)
    written = {
        "info": ["test.info", "test.warning", "test.error", "test.exception"],
        "warning": ["test.warning", "test.error", "test.exception"],
        "error": ["test.error", "test.exception"],
    }[level]
    keen, idle = listen(), listen(keen=False)
    log_all()
    assert [line["event"] for line in lines.all] == written
    assert keen.events == ["test.info", "test.warning", "test.error", "test.exception"]
    keen.keen = False
    log_all()
    assert keen.events[4:] == written
    assert {line["sink"] for line in keen.heard + idle.heard} == {"crm"}


def test_debug_lines_are_heard_only_when_they_are_written(configure_log, listen):
    """The live tail is no way to see more than `info` when the configuration says so."""
    configure_log(level="debug")
    ear = listen()
    log_all()
    assert ear.events[0] == "test.debug"


def test_who_stops_listening_hears_nothing_more(configure_log):
    """The end of listening is the end."""
    configure_log()
    ear = Ear(keen=True)
    end = add_listener(ear)
    log_all()
    end()
    count = len(ear.heard)
    log_all()
    assert len(ear.heard) == count


def test_what_is_heard_is_one_json_object(configure_log, listen):
    """A line can be written as JSON later, with the words that the log has; nothing of it was changed meanwhile."""
    lines = configure_log(format="json")
    ear = listen()
    structlog.get_logger().info("test.line", error="a\nb\x1b[2J", outcomes={"created": 1}, position=2**70)
    structlog.get_logger().info("test.line", error="\ud800")
    assert [json.loads(as_json(line)) for line in ear.heard] == lines.all
    assert b"\n" not in as_json(ear.heard[0])
    assert as_json(ear.heard[1]).isascii()
