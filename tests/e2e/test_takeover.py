"""A task that was under way when its process died, and sinks that hang.

The disk that hangs is a FIFO in the place of a journal: opening it for reading waits for a writer that never comes,
as a dead network file system does. It is put there while the folder's lock is held by this test, so that the
gateway meets it with the first batch and not at the start.
"""

import fcntl
import os
import signal

import pytest

from tests.e2e.gateway import FROM_NOTHING, Gateway, configure, dropped, people_of, push_body, until

pytestmark = pytest.mark.e2e

SINKS = """
[sinks.roll]
kind = "csv"
dir = "./roll"
layout = "rolling"

[delivery]
schedule = ["0s", "1s", "1s", "1s"]
"""
HANGS = ".20200101T000000Z-0001.csv.journal"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "roll").mkdir()
    return tmp_path / "roll"


@pytest.fixture
def lock(folder):
    """Hold the folder's lock, so that the sink cannot read what is in it until the test lets go."""
    with (folder / ".rolling.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


def under_way(gateway, folder, lock, body):
    """Push *body*; return its task, which hangs in the sink."""
    os.mkfifo(folder / HANGS)
    lock.close()
    gateway.push(body)
    (task,) = until("the task is leased", lambda: gateway.rows("tasks", "list", "--state", "leased"))
    return task


def test_a_task_that_died_with_its_process_is_taken_over(tmp_path, folder, lock):
    """After kill -9 while a task is leased, the next process takes it over at once and delivers it exactly once."""
    body = push_body(5, serial=1)
    gateway = Gateway(configure(tmp_path, sinks=SINKS, routes=("roll",)), launcher=FROM_NOTHING)
    with gateway:
        task = under_way(gateway, folder, lock, body)
        assert task["attempts"] == 1
        assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    (folder / HANGS).unlink()
    with gateway:
        assert gateway.events("service.started")[-1]["recovered_tasks"] == 1
        gateway.settled()
        (after,) = gateway.rows("tasks", "list")
        assert (after["task_id"], after["state"], after["attempts"]) == (task["task_id"], "delivered", 2)
        assert dropped(folder) == dict.fromkeys(people_of(body), 1)
        gateway.checked()
        assert gateway.stop() == 0


def test_a_sink_that_hangs_does_not_keep_the_process_from_ending(tmp_path, folder, lock):
    """SIGTERM with a task that hangs ends with 0 within drain_timeout and a little; the task is given back."""
    config = configure(tmp_path, sinks=SINKS, routes=("roll",))
    gateway = Gateway(config, env={"STIBGATE_SERVER__DRAIN_TIMEOUT": "500ms"}, launcher=FROM_NOTHING)
    body = push_body(5, serial=1)
    with gateway:
        under_way(gateway, folder, lock, body)
        assert gateway.stop() == 0
        assert gateway.events("service.stopped")[-1]["exit_code"] == 0
        (task,) = gateway.rows("tasks", "list")
        assert task["state"] in {"queued", "waiting"}
    (folder / HANGS).unlink()
    with gateway:
        gateway.settled()
        assert dropped(folder) == dict.fromkeys(people_of(body), 1)


def test_a_sink_that_hangs_does_not_keep_the_gateway_from_starting(tmp_path, folder):
    """Ready whatever the sinks do: one that hangs at the start is a warning, and deliveries are taken."""
    os.mkfifo(folder / HANGS)
    config = configure(tmp_path, sinks=SINKS, routes=("roll",))
    with Gateway(config, env={"STIBGATE_SERVER__DRAIN_TIMEOUT": "500ms"}, launcher=FROM_NOTHING) as gateway:
        assert gateway.events("sink.unavailable")[0]["sink"] == "roll"
        assert gateway.push(push_body(1, serial=1)).status == 202
        assert gateway.stop() == 0
