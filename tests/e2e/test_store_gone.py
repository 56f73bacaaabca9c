"""The database goes away under a running service."""

import shutil

import pytest

from tests.e2e.gateway import Gateway, configure, push_body, until

pytestmark = pytest.mark.e2e


def vanish(folder):
    for path in folder.glob("stibgate.db*"):
        path.unlink()


def lose_the_log(folder):
    (folder / "stibgate.db-wal").unlink()


@pytest.mark.parametrize("harm", [vanish, lose_the_log, shutil.rmtree])
def test_nothing_is_acknowledged_into_a_deleted_file(tmp_path, harm):
    """Once its database is deleted, the service acknowledges nothing more, says so, and ends with 75."""
    gateway = Gateway(configure(tmp_path))
    with gateway:
        assert gateway.push(push_body(1, serial=1)).status == 202
        gateway.settled()  # else what goes on in the background may notice it before the next request does
        harm(tmp_path / "data")
        assert gateway.push(push_body(1, serial=2)).status == 503
        until("it has ended", lambda: gateway.process.poll() is not None)
        assert gateway.process.returncode == 75
        assert any("deleted or replaced" in line["error"] for line in gateway.events("store.error"))


def test_a_wrong_token_is_named_in_the_log_only(tmp_path):
    """The log tells a wrong token from a missing one and from a stranger; the sender cannot."""
    with Gateway(configure(tmp_path)) as gateway:
        paths = ("/hooks/push/wrongwrongwrongwrong", "/hooks/push", "/hooks/nobody")
        bodies = {gateway.post(path, b"{}").json["title"] for path in paths}
        assert bodies == {"Not Found"}
        assert gateway.stop() == 0
        told = [(line.get("source"), line["reason"]) for line in gateway.events("delivery.rejected")]
        assert told == [("push", "token_mismatch"), ("push", "token_missing"), (None, "unknown_source")]
