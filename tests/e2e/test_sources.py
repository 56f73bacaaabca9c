"""What `auto` pinned, and starting over with it."""

import signal

import pytest

from stibgate.stores import AuditFilter
from stibgate.stores.ledger import open_ledger
from tests.e2e.gateway import SECRET, Gateway, configure, until

pytestmark = pytest.mark.e2e

JOB = "person_search.job.succeeded"
AUTO = f"""
[sources.found]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
routes = ["drop"]
"""


def test_unpin(tmp_path):
    """A pinned scheme holds over restarts until it is unpinned, which needs the store to itself."""
    gateway = Gateway(configure(tmp_path, sources=AUTO))

    def pinned():
        return next(row["pinned"] for row in gateway.rows("sources", "list") if row["source"] == "found")

    def trigger(scheme):
        return gateway.run("trigger", JOB, "--source", "found", "--scheme", scheme).code

    assert pinned() is None
    with gateway:
        assert trigger("t_v1") == 0
        gateway.run("sources", "unpin", "found").complaint(75)
        assert gateway.stop() == 0
    assert pinned() == "t_v1"
    with gateway:
        assert trigger("sha256_hex") == 1
        assert gateway.stop() == 0
    assert gateway.run("sources", "unpin", "found").code == 0
    assert pinned() is None
    ledger = open_ledger(tmp_path / "data/stibgate.db")
    (line,) = ledger.audit(AuditFilter(), limit=None)
    ledger.close()
    assert (line.entry.action, line.entry.target, line.entry.detail) == ("unpin", "found", {"changed": True})
    with gateway:
        assert trigger("sha256_hex") == 0
        assert gateway.stop() == 0
    assert pinned() == "sha256_hex"


def test_hang_up(tmp_path):
    """SIGHUP ends nothing: the service goes on, and reads its configuration again, also when nothing changed."""
    with Gateway(configure(tmp_path)) as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        until("it says so", lambda: gateway.events("config.reloaded"))
        assert gateway.run("health").code == 0
        assert gateway.stop() == 0
