"""What a running service leaves behind for charts and for people who were refused."""

import time
from contextlib import closing

import pytest

from stibgate.domain.stats import WINDOWS
from stibgate.stores.ledger import open_ledger
from tests.e2e.gateway import SECRET, Gateway, configure, push_body

pytestmark = pytest.mark.e2e

SIGNED = f"""
[sources.signed]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
scheme = "t_v1"
routes = ["drop"]
"""


def test_what_was_counted_is_there_after_the_stop(tmp_path):
    """Deliveries, records, attempts and refusals of the last seconds are in the store once the service has stopped."""
    canary = b'{"email": "canary@example.com"}'
    with Gateway(configure(tmp_path, sources=SIGNED)) as gateway:
        assert gateway.push(push_body(3, serial=1)).status == 202
        assert gateway.push(push_body(3, serial=1)).status == 202
        wrong = {"stibnite-signature": f"t={int(time.time())},v1={'ab' * 32}", "user-agent": "agent/1"}
        assert gateway.post("/hooks/signed", canary, wrong).status == 401
        assert gateway.post("/hooks/nobody", canary).status == 404
        gateway.settled()
        assert gateway.stop() == 0
    now_ms = round(time.time() * 1000)
    back_ms, step_ms = WINDOWS["1h"]
    with closing(open_ledger(tmp_path / "data" / "stibgate.db")) as ledger:
        stats = ledger.stats(since_ms=now_ms - back_ms, until_ms=now_ms + 1, step_ms=step_ms)
        groups = {(group.source, group.reason): group for group in ledger.rejections(now_ms - back_ms)}
    assert (stats.accepted, stats.records, stats.rejected) == (1, 3, 2)
    assert (stats.sinks["drop"].ok, stats.sinks["drop"].attempts) == (3, {"taken": 1})
    assert stats.ack_ms.p50 > 0
    assert set(groups) == {("signed", "mismatch"), ("-", "unknown_source")}
    assert groups["signed", "mismatch"].finding.why == "wrong_secret"
    assert groups["signed", "mismatch"].last.user_agent == "agent/1"
    assert b"canary" not in b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
