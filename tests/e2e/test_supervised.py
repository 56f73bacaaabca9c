"""A real service under a supervisor: what it is told and when, and sockets that outlive the process."""

import contextlib
import http.client
import select
import signal
import socket
import sqlite3
import sys
import threading
import time

import pytest

from tests.e2e.gateway import PATIENCE_S, SECRET, TOKEN, Gateway, configure, dropped, people_of, push_body, until

pytestmark = pytest.mark.e2e

LAUNCH = """
import os, sys
inherited, names = [int(one) for one in sys.argv[1].split(",")], sys.argv[2]
for number, one in enumerate(inherited, 100):
    os.dup2(one, number)
for number in range(len(inherited)):
    os.dup2(100 + number, 3 + number, inheritable=True)
    os.close(100 + number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(inherited)), "LISTEN_FDNAMES": names}
os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], *sys.argv[4:]])
"""
PATIENT = """
from stibgate.app import listeners
from stibgate.cli import main
listeners.HANDED_BACK_S = 60  # whoever is silent until the very end may be slow besides
main()
"""


class Supervisor:
    """Hears what the service says."""

    def __init__(self, folder):
        self.address = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)

    def hear(self, within_s=PATIENCE_S):
        """Return the next message, None when there is none in time."""
        ready, _, _ = select.select([self.socket], [], [], within_s)
        return self.socket.recv(1000).decode().split("\n") if ready else None

    def hear_until(self, word, within_s=PATIENCE_S):
        """Return what was said until a message began with *word*, that one included."""
        heard = []
        until(word, lambda: heard.append(self.hear() or [""]) or heard[-1][0] == word, within_s=within_s)
        return heard


@pytest.fixture
def supervisor(tmp_path):
    found = Supervisor(tmp_path)
    with found.socket:
        yield found


def test_what_the_supervisor_hears(tmp_path, supervisor):
    """Ready once deliveries are taken, a sign of life while the writer commits, and the end before it comes."""
    env = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "1000000"}
    with Gateway(configure(tmp_path), env=env) as gateway:
        assert supervisor.hear() == ["READY=1", "STATUS=receiving"]
        assert gateway.push(push_body(1, serial=1)).status == 202
        assert supervisor.hear() == ["WATCHDOG=1"]
        with contextlib.closing(sqlite3.connect(tmp_path / "data/stibgate.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the writer waits for this, as for a disk that hangs
            until("it is known", lambda: gateway.events("service.stuck"))
            while supervisor.hear(0):
                pass
            assert supervisor.hear(1.2) is None, "a service whose writer is stuck gives no sign of life"
            other.execute("ROLLBACK")
        assert supervisor.hear_until("WATCHDOG=1")
        gateway.process.send_signal(signal.SIGTERM)
        *_, last = supervisor.hear_until("STOPPING=1")
        assert gateway.process.wait(PATIENCE_S) == 0
        assert last == ["STOPPING=1", "STATUS=draining"]
        while heard := supervisor.hear(0):
            assert heard == ["WATCHDOG=1"]


def listening(address):
    made = socket.socket(socket.AF_UNIX if "/" in address else socket.AF_INET)
    if "/" in address:
        made.bind(address)
    else:
        host, port = address.split(":")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
    made.listen(1024)
    return made


def activated(config, *sockets, names):
    numbers = ",".join(str(one.fileno()) for one in sockets)
    return Gateway(config, launcher=(sys.executable, "-S", "-c", LAUNCH, numbers, names, PATIENT), sockets=sockets)


def posted(body):
    """Return a push with *body* as it goes over the wire, from behind a proxy."""
    head = (
        f"POST /hooks/push/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-Forwarded-For: 203.0.113.7\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class Sender(threading.Thread):
    """Pushes one delivery after the other, each over a connection of its own, until it is told to end."""

    def __init__(self, gateway, number):
        super().__init__()
        self.gateway, self.number, self.ended = gateway, number, threading.Event()
        self.answers, self.errors, self.people = [], [], []

    def run(self):
        while not self.ended.is_set():
            body = push_body(1, serial=1000 * self.number + len(self.answers))
            try:
                self.answers.append(self.gateway.push(body).status)
                self.people += people_of(body)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
            time.sleep(0.005)  # leave the processor to the gateway


def test_a_restart_behind_an_open_socket(tmp_path):
    """With sockets of its supervisor the service is restarted and no sender notices: nobody is refused or cut off."""
    config = configure(tmp_path)
    lines = [line.split('"')[1] for line in config.read_text().splitlines() if "bind =" in line]
    with listening(lines[0]) as public, listening(lines[1]) as admin:
        gateway = activated(config, public, admin, names="public:admin")
        senders = [Sender(gateway, number) for number in range(4)]
        with gateway:
            for sender in senders:
                sender.start()
            until("deliveries come", lambda: all(len(sender.answers) > 5 for sender in senders))
            with socket.create_connection(public.getsockname()) as late:  # accepted, and silent until the very end
                gateway.process.send_signal(signal.SIGTERM)
                until("it drains", lambda: gateway.events("service.draining"))
                late.sendall(posted(push_body(1, serial=999_999)))
                assert late.recv(1000).startswith(b"HTTP/1.1 202 ")
            assert gateway.process.wait(PATIENCE_S) == 0
            before = [len(sender.answers) for sender in senders]
            gateway.start()
            until("they go on", lambda: all(len(one.answers) > n + 5 for one, n in zip(senders, before, strict=True)))
            for sender in senders:
                sender.ended.set()
                sender.join()
            assert [error for sender in senders for error in sender.errors] == []
            assert {status for sender in senders for status in sender.answers} == {202}
            gateway.settled()
            people = [*people_of(push_body(1, serial=999_999)), *(one for sender in senders for one in sender.people)]
            assert dropped(tmp_path) == dict.fromkeys(people, 1)
            assert gateway.stop() == 0
        assert not gateway.events("unhandled")


def test_behind_a_unix_domain_socket(tmp_path):
    """A proxy on the same machine may come through a Unix-domain socket; it is believed as 127.0.0.1 is."""
    config = configure(tmp_path)
    with listening(str(tmp_path / "public.sock")) as public, activated(config, public, names="public") as gateway:
        body = push_body(1, serial=1)
        with socket.socket(socket.AF_UNIX) as proxy:
            proxy.connect(str(tmp_path / "public.sock"))
            proxy.sendall(posted(body))
            assert proxy.recv(1000).startswith(b"HTTP/1.1 202 ")
        (line,) = until("it is logged", lambda: gateway.events("delivery.accepted"))
        assert line["client_ip"] == "203.0.113.7"
        (started,) = gateway.events("service.started")
        assert started["url"] == f"unix:{tmp_path / 'public.sock'}"
        assert gateway.stop() == 0


def test_sockets_that_do_not_fit_are_a_matter_of_configuration(tmp_path):
    """What is given and cannot be used stops the start with 78, and says what to write."""
    config = configure(tmp_path)
    with listening("127.0.0.1:0") as one, listening("127.0.0.1:0") as two:
        gateway = activated(config, one, two, names="public:metrics")
        with pytest.raises(AssertionError, match="ended with 78"):
            gateway.start()
    assert "at most one named public and one named admin" in gateway.err.read_text()


def test_a_drain_that_is_too_short(tmp_path):
    """A delivery that could not be answered within drain_timeout makes the end temporary (75); its sender comes again."""
    with Gateway(configure(tmp_path), env={"STIBGATE_SERVER__DRAIN_TIMEOUT": "200ms"}) as gateway:
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                f"POST /hooks/push/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert slow.recv(100).startswith(b"HTTP/1.1 100 ")  # it is in flight
            assert gateway.stop() == 75
        (stopped,) = gateway.events("service.stopped")
        assert (stopped["exit_code"], stopped["inflight_requests"]) == (75, 1)


ROLL = """
[sinks.roll]
kind = "csv"
dir = "./roll"
layout = "rolling"
"""


def test_signals(tmp_path, supervisor):
    """SIGHUP is told to the supervisor from beginning to end, a mistake costs nothing; SIGUSR1 completes open files."""
    config = configure(tmp_path, sinks=ROLL, routes=("roll",))
    with Gateway(config, env={"NOTIFY_SOCKET": supervisor.address}) as gateway:
        assert supervisor.hear()[0] == "READY=1"
        assert gateway.push(push_body(1, serial=1)).status == 202
        gateway.settled()
        text = config.read_text()
        for secret, event in (("whsec_short", "config.reload_failed"), ("whsec_" + "QUJD" * 12, "config.reloaded")):
            config.write_text(text.replace(SECRET, secret))
            gateway.process.send_signal(signal.SIGHUP)
            reloading = supervisor.hear()
            assert (reloading[0], reloading[1].partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
            assert supervisor.hear()[0] == "READY=1"
            until(event, lambda event=event: gateway.events(event))
            assert gateway.push(push_body(1, serial=len(secret))).status == 202
        (line,) = gateway.events("config.reloaded")
        assert line["changed"] == ["sources.jobs.secrets"]
        gateway.settled()
        assert not list((tmp_path / "roll").glob("*.sha256"))
        gateway.process.send_signal(signal.SIGUSR1)
        until("the files are reopened", lambda: gateway.events("service.files_reopened"))
        assert len(list((tmp_path / "roll").glob("*.sha256"))) == 1
        assert gateway.stop() == 0
