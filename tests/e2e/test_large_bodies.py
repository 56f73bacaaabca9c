"""Pushes as large as they come, and larger."""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import FROM_NOTHING, PATIENCE_S, TOKEN, Gateway, configure, dropped, people_of, push_body

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
GROWTH_MAX_BYTES = 80 * MIB


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    # A fork would begin with what tests before it took and gave back: a body that fits in there is no growth.
    with Gateway(configure(tmp_path_factory.mktemp("large")), launcher=FROM_NOTHING) as started:
        yield started


def memory(gateway, name):
    """Return a line of /proc/PID/status in bytes."""
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024


def chunks(total):
    """Yield so many bytes in parts, as `Transfer-Encoding: chunked` sends them."""
    part = b" " * 65_536
    for _ in range(total // len(part)):
        yield part


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused_and_costs_no_memory(gateway, framing):
    """33 MiB are 413 whichever way they are framed, and the process grows by less than 80 MiB."""
    try:
        Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5")  # VmHWM begins anew
    except OSError as error:
        print(f"the peak counts from the start of the process: {error}")
    before, held = memory(gateway, "VmRSS"), gateway.rows("deliveries", "list")
    body = chunks(33 * MIB) if framing == "chunked" else b" " * (33 * MIB)
    status = _status(f"{gateway.url}/hooks/push/{TOKEN}", body)
    grown = memory(gateway, "VmHWM") - before
    print(f"{framing}: 413 with {grown / MIB:.1f} MiB more at the peak")
    assert status == 413
    assert grown < GROWTH_MAX_BYTES
    assert gateway.rows("deliveries", "list") == held


def _status(url, body):
    """Return the status, also when it comes before the whole body was sent."""
    host, port = url.split("/")[2].split(":")
    framing = "transfer-encoding: chunked" if isinstance(body, Iterator) else f"content-length: {len(body)}"
    head = f"POST /hooks/push/{TOKEN} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in [body] if isinstance(body, bytes) else body:
                connection.sendall(part if isinstance(body, bytes) else b"%x\r\n%b\r\n" % (len(part), part))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.close()
        return answer.status


def test_a_push_of_2000_records_is_accepted_and_dropped(gateway):
    """About 1.1 MB in one delivery is 202, and every person of it is in the drop once."""
    body = push_body(2000, serial=1)
    print(f"2,000 records: {len(body) / 1e6:.2f} MB")
    _take(gateway, body, 2000)


def test_a_push_of_30_mib_is_accepted_and_dropped(gateway):
    """A delivery just under the limit is 202, and every person of it is in the drop once."""
    document = json.loads(push_body(4_000, serial=2))
    size = len(json.dumps(document))
    padding = "x" * ((30 * MIB - size) // len(document["data"]) - len(', "notes": ""'))
    document["data"] = [{**record, "notes": padding} for record in document["data"]]
    body = json.dumps(document).encode()
    assert 29 * MIB < len(body) <= 30 * MIB
    _take(gateway, body, 4_000)
    print(f"30 MiB: peak {memory(gateway, 'VmHWM') / MIB:.0f} MiB")


def _take(gateway, body, count):
    before = os.times().elapsed
    answer = gateway.push(body)
    answered = os.times().elapsed
    assert (answer.status, answer.json["records"]) == (202, count)
    gateway.settled()
    print(f"answered in {answered - before:.2f} s, dropped in {os.times().elapsed - before:.2f} s")
    shown = gateway.rows("deliveries", "show", answer.json["delivery_id"])[0]
    assert (shown["state"], shown["tasks"][0]["outcomes"]) == ("done", {"written": count})
    path = next((gateway.folder / "drops").rglob(f"*{answer.json['delivery_id']}.csv"))
    rows = dropped(path.parent)
    people = people_of(body)
    assert len(people) == len(set(people)) == count
    assert all(rows[person] == 1 for person in people)
