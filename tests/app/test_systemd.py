"""What a supervisor gives the service, and is told by it."""

import itertools
import os
import socket
from contextlib import ExitStack

import pytest

from stibgate.app.systemd import Notifier, Supervision, check_admin
from stibgate.config import Settings
from stibgate.errors import ConfigError

OURS = {"LISTEN_PID": str(os.getpid())}


def hears(address):
    """Return a datagram socket at *address*, as a supervisor has one."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(f"\0{address[1:]}" if address.startswith("@") else address)
    heard.settimeout(60)
    return heard


@pytest.fixture
def hand_over(monkeypatch):
    """Return a function that gives sockets as a supervisor does, though not from descriptor 3: that one is pytest's."""
    firsts = itertools.count(200, 10)
    with ExitStack() as stack:

        def give(*sockets, names=""):
            first = next(firsts)
            for number, one in enumerate(sockets, first):
                os.dup2(one.fileno(), number)
            monkeypatch.setattr("stibgate.app.systemd.FIRST_FD", first)
            environ = {**OURS, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
            try:
                found = Supervision.take(environ)
            except ConfigError:
                os.closerange(first, first + len(sockets))
                raise
            for one in found.sockets.values():
                stack.enter_context(one)
            return found

        yield give


@pytest.fixture
def listening():
    with ExitStack() as stack:

        def make(host="127.0.0.1", family=socket.AF_INET, path=None):
            made = stack.enter_context(socket.socket(family))
            made.bind(str(path) if path else (host, 0))
            made.listen()
            return made

        yield make


@pytest.mark.parametrize("place", ["a path", "the abstract namespace"])
def test_what_the_supervisor_is_told(tmp_path, place):
    """Each message is one datagram, wherever the socket is; a reload says when it began in the same one."""
    address = str(tmp_path / "notify") if place == "a path" else f"@stibgate-{os.getpid()}"
    with hears(address) as supervisor:
        supervision = Supervision.take(environ := {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        assert environ == {}, "a child would take them for its own"
        notifier = supervision.notifier
        assert (notifier.wanted, notifier.watchdog_s) == (True, 3.0)
        notifier.ready("receiving")
        notifier.reloading()
        notifier.alive()
        notifier.stopping()
        ready, reloading, alive, stopping = (supervisor.recv(1000).decode() for _ in range(4))
    assert ready == "READY=1\nSTATUS=receiving"
    first, second = reloading.split("\n")
    assert (first, alive) == ("RELOADING=1", "WATCHDOG=1")
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0
    assert stopping.startswith("STOPPING=1")


@pytest.mark.parametrize(("whose", "watchdog_s"), [("nobody's", 0.5), ("ours", 0.5), ("another's", None)])
def test_a_watchdog_that_is_meant_for_another_process(whose, watchdog_s):
    """Who was not meant does not feed it."""
    pid = {"nobody's": "", "ours": str(os.getpid()), "another's": "1"}[whose]
    supervision = Supervision.take({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": pid})
    assert supervision.notifier.watchdog_s == watchdog_s


def test_nobody_supervises():
    """Without a supervisor nothing is sent, and nothing fails."""
    notifier = Supervision.take({}).notifier
    assert not notifier.wanted
    notifier.ready("receiving")


def test_a_supervisor_that_is_gone(tmp_path, lines):
    """A supervisor that takes no messages costs one line of the log, and no delivery."""
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.ready("receiving")
    notifier.status("receiving")
    assert [line["event"] for line in lines.all] == ["service.notify_failed"]


@pytest.mark.parametrize("names", ["public:admin", "admin:public", "", "stibgate.socket:stibgate.socket"])
def test_sockets_are_taken_by_their_names_or_by_their_order(hand_over, listening, names):
    """`public` and `admin` in any order; other names, or none, mean the public one comes first."""
    one, two = listening(), listening()
    found = hand_over(one, two, names=names).sockets
    first, second = ("admin", "public") if names == "admin:public" else ("public", "admin")
    assert found[first].getsockname() == one.getsockname()
    assert found[second].getsockname() == two.getsockname()
    assert not found[first].get_inheritable()


def test_only_one_socket_is_given(hand_over, listening):
    """The other listener then has its own address."""
    assert set(hand_over(listening(), names="admin").sockets) == {"admin"}
    assert set(hand_over(listening()).sockets) == {"public"}


def test_a_unix_domain_socket_will_do(hand_over, listening, tmp_path):
    """A proxy on this machine needs no port."""
    given = listening(family=socket.AF_UNIX, path=tmp_path / "public.sock")
    assert hand_over(given).sockets["public"].family == socket.AF_UNIX


def test_sockets_that_are_meant_for_another_process():
    """They are not touched."""
    assert not Supervision.take({"LISTEN_PID": "1", "LISTEN_FDS": "2"}).sockets


@pytest.mark.parametrize(
    ("names", "count"), [("public:public", 2), ("public:metrics", 2), ("", 3), ("public:admin:x", 3), ("admin", 2)]
)
def test_sockets_that_do_not_fit(hand_over, listening, names, count):
    """Too many, twice the same, or one that nobody knows: nothing is guessed."""
    with pytest.raises(ConfigError) as refused:
        hand_over(*(listening() for _ in range(count)), names=names)
    assert "at most one named public and one named admin" in refused.value.problems[0].allowed
    assert "FileDescriptorName=" in refused.value.hint


@pytest.mark.parametrize("kind", ["a file", "datagrams", "not listening"])
def test_a_descriptor_that_is_no_listening_socket(hand_over, tmp_path, kind):
    """What cannot take connections is refused at the start, by its role and number."""
    with ExitStack() as stack:
        if kind == "a file":
            given = stack.enter_context((tmp_path / "file").open("wb"))
        else:
            given = stack.enter_context(
                socket.socket(type=socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM)
            )
        with pytest.raises(ConfigError) as refused:
            hand_over(given)
    assert (refused.value.problems[0].path, refused.value.exit_code) == ("public", 78)


def test_an_admin_socket_that_anybody_could_reach(listening):
    """Without tokens the admin listener stays on this machine, whoever opened its socket."""
    with pytest.raises(ConfigError) as refused:
        check_admin(listening("0.0.0.0"), Settings())
    assert "loopback" in refused.value.problems[0].allowed
    check_admin(listening(), Settings())
    tokens = [{"name": "ops", "role": "admin", "token": "a-token-that-nobody-else-has-at-all-1"}]
    check_admin(listening("0.0.0.0"), Settings.model_validate({"console": {"tokens": tokens}}))
