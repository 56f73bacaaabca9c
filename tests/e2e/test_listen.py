"""`stibgate listen` beside a real service: everything that happens, nobody who is in it, and an end that is told."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.e2e.gateway import (
    PUSHED,
    Gateway,
    configure,
    environment,
    free_port,
    push_body,
    stibgate,
    until,
    whole_lines,
)

pytestmark = pytest.mark.e2e

DELIVERIES = 20


class Listener:
    """`stibgate listen` as a process of its own."""

    def __init__(self, gateway, folder, *words):
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stibgate", "listen", "--config", str(gateway.config), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(),
                # Whoever runs the tests in the background of a shell has SIGINT ignored, and so would the child.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (takes no lock)
            )

    @property
    def lines(self):
        return whole_lines(self.out)

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]

    def says(self, text, *, times=1):
        until(f"listen says {text!r}", lambda: self.err.read_text().count(text) >= times)


@contextmanager
def listening(gateway, folder, *words):
    listener = Listener(gateway, folder, *words)
    try:
        listener.says("Ready.")
        yield listener
    finally:
        if listener.process.poll() is None:
            listener.process.kill()
        listener.process.wait(60)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A running service that nobody stops."""
    with Gateway(configure(tmp_path_factory.mktemp("listen"))) as gateway:
        yield gateway


def test_it_shows_what_happens_until_it_cannot(tmp_path):
    """Beside `trigger --rate` every delivery is seen once; a restart is told, and gone on after; a death is the end."""
    words = ("--event", "delivery.accepted", "--json", "--source", "push", "--retry-for", "60s")
    with (
        Gateway(configure(tmp_path / "gate")) as gateway,
        listening(gateway, tmp_path, *words) as listener,
    ):
        sent = gateway.run("trigger", PUSHED, "--rate", "100/s", "--count", DELIVERIES, "--json")
        assert sent.code == 0, sent
        assert sent.err.startswith(f"{DELIVERIES} sent, 0 refused, in ")
        until("all were seen", lambda: len(listener.lines) >= DELIVERIES)
        assert gateway.stop() == 0
        listener.says("the service stops")
        gateway.start()
        listener.says("missed an unknown number of lines: the service was restarted")
        assert gateway.push(push_body(1, serial=1)).status == 202
        until("the new one was seen", lambda: len(listener.lines) > DELIVERIES)
        seen = [line["delivery_id"] for line in listener.objects]
        assert len(seen) == len(set(seen)) == DELIVERIES + 1
        assert set(seen[:DELIVERIES]) == {one["delivery_id"] for one in sent.objects}
        assert listener.objects == gateway.events("delivery.accepted")
        listener.process.send_signal(signal.SIGINT)
        assert listener.process.wait(60) == 0
        assert "Traceback" not in listener.err.read_text()
        _ends_with_the_service(gateway, tmp_path)


def _ends_with_the_service(gateway, folder):
    """When it cannot be live for longer than it was told to wait, it ends with 69 and says so."""
    with listening(gateway, folder, "--retry-for", "300ms") as listener:
        gateway.stop(signal.SIGKILL)
        assert listener.process.wait(60) == 69
        text = listener.err.read_text()
        assert "connection lost" in text
        assert "error: no gateway answers" in text.splitlines()[-2]


def test_what_was_is_shown_without_anybody_in_it(gateway):
    """The last lines tell how a delivery went, and hold nothing of the people in it."""
    body = push_body(5, serial=7)
    answer = gateway.push(body)
    assert answer.status == 202
    gateway.settled()
    of_it = ("--last", "1000", "--count", "3", "--delivery-id", answer.json["delivery_id"])
    ran = gateway.run("listen", *of_it)
    assert ran.code == 0, ran
    assert ran.err.endswith("Ready. (^C to quit)\n")
    assert [row.split("  ")[1].split()[0] for row in ran.lines] == ["-->", "<--", "---", "==>"]
    assert "5 written" in ran.lines[-1]
    everything = ran.out + gateway.run("listen", *of_it, "--json").out
    for person in json.loads(body)["data"]:
        values = {value for value in _leaves(person) if isinstance(value, str) and len(value) > 3}
        values = {value for value in values if not value.isdigit()}  # four digits stand in an id by chance
        assert len(values) > 5
        assert not {value for value in values if value in everything}


def test_the_same_filters_as_the_service(gateway):
    """What cannot be asked for is said by the service: exit 2, never an unfiltered tail."""
    assert "there is no source 'pusch'" in gateway.run("listen", "--source", "pusch").complaint(2)
    assert "no event is called" in gateway.run("listen", "--event", "(").complaint(2)
    assert "there is no state" in gateway.run("listen", "--state", "done").complaint(2)
    gateway.push(push_body(1, serial=3))
    gateway.push(b"{")
    gateway.settled()
    ran = gateway.run("listen", "--last", "1", "--level", "warning", "--count", "1", "--json")
    assert [line["event"] for line in ran.objects] == ["delivery.quarantined"]
    ran = gateway.run("listen", "--last", "9", "--outcome", "written", "--source", "push", "--count", "1", "--json")
    assert [line["event"] for line in ran.objects] == ["task.delivered"]


def test_who_cannot_listen_is_told_why(gateway, tmp_path):
    """Nobody there is 69, a token that is refused 77, and so is none; each with a hint."""
    wrong = tmp_path / "token"
    wrong.write_text("x" * 40)
    assert "refuses the token" in gateway.run("listen", "--token-file", wrong).complaint(77)
    assert "no gateway answers" in gateway.run("listen", "--admin", f"http://127.0.0.1:{free_port()}").complaint(69)
    assert "has no live tail" in gateway.run("listen", "--admin", gateway.url).complaint(69)
    right = gateway.folder / "data/stibgate.db.admin-token"
    token = right.read_bytes()
    ran = stibgate("listen", "--admin", gateway.admin, "--token-file", right, "--last", "1", "--count", "1")
    assert ran.code == 0, ran
    right.unlink()
    try:
        assert "no admin token" in gateway.run("listen").complaint(77)
    finally:
        right.write_bytes(token)


def _leaves(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value
