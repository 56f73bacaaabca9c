"""Drops in an object store: a real HTTP server on loopback that speaks what is needed of each store's protocol."""

import asyncio
import csv
import gzip
import io
import os
import re

import pytest

from stibgate.domain.record import Provenance
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.sinks import Batch
from stibgate.sinks.drops import DropSettings
from stibgate.testing import RECEIVED_AT_MS, make_batch, make_context, make_record
from tests.sinks.drops.bucket import ABOUT, Bucket

T1 = "drops/crm/2026/05/17/20260517T184210Z-dlv_t1.csv"
KEYS = {"region": "eu-north-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "fake-for-tests"}
STORAGE = {
    "s3": KEYS,
    "gs": {},  # the token comes from the environment
    "az": {"account_name": "account", "account_key": "ZmFrZS1mb3ItdGVzdHM="},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Take this machine's own settings of object stores away, and whom they would ask for credentials."""
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "fake-for-tests")
    return monkeypatch


@pytest.fixture
async def bucket(request):
    bucket = Bucket(style=getattr(request, "param", "s3"))
    await bucket.start()
    yield bucket
    await bucket.stop()


def make_sink(bucket, *, url=None, storage=None, **keys):
    endpoint = bucket.endpoint + ("/account" if bucket.style == "az" else "")
    options = {"endpoint": endpoint, **STORAGE[bucket.style], **(storage or {})}
    settings = {"kind": "csv", "url": url or f"{bucket.style}://people/drops/crm", "storage": options, **keys}
    return DropSettings.model_validate(settings).build(make_context())


def people(data: bytes) -> list[str]:
    return [row["person_id"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]


async def test_an_object(bucket):
    """A delivery is one object, typed, signed, under the path that it has on a disk, with metadata that names nobody."""
    await make_sink(bucket).deliver(make_batch("t1", [0, 1]))
    ((key, (data, headers)),) = bucket.objects.items()
    assert key == T1
    assert people(data) == ["person_0", "person_1"]
    assert headers["content-type"] == "text/csv; charset=utf-8; header=present"
    metadata = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
    assert metadata == {"x-amz-meta-delivery": "dlv_t1", "x-amz-meta-task": "t1", "x-amz-meta-records": "2"}


async def test_a_compressed_object(bucket):
    """A compressed object is a gzip file by name and type, and nobody is told to uncompress it on the way."""
    await make_sink(bucket, kind="ndjson", gzip=True).deliver(make_batch("t1", [0]))
    ((key, (data, headers)),) = bucket.objects.items()
    assert key.endswith("/20260517T184210Z-dlv_t1.ndjson.gz")
    assert gzip.decompress(data).startswith(b'{"prospect_id":"prs_0"')
    assert headers["content-type"] == "application/gzip"
    assert "content-encoding" not in headers


async def test_a_key_names_nobody(bucket):
    """A key holds a time and the delivery's escaped id, whatever stands in record and id."""
    provenance = Provenance("../a@b?#%2F é", "stibnite", "prospecting.records.pushed", "2026-05-17T18:42:10.004Z")
    await make_sink(bucket).deliver(Batch("t1", 1, RECEIVED_AT_MS, provenance, [make_record(0)]))
    (key,) = bucket.objects
    assert key == "drops/crm/2026/05/17/20260517T184210Z-%2E%2E%2Fa%40b%3F%23%252F%20%C3%A9.csv"


@pytest.mark.parametrize("fault", ["commit_and_cut", "cut"])
async def test_a_connection_that_is_cut(bucket, fault):
    """A cut is transient whatever the store kept, and the retry leaves one object with the same bytes."""
    sink = make_sink(bucket, gzip=True)
    bucket.faults.append(fault)
    with pytest.raises(SinkUnavailable, match="connection") as caught:
        await sink.deliver(make_batch("t1", [0, 1]))
    assert not isinstance(caught.value, SinkHeld)
    kept = {key: data for key, (data, _) in bucket.objects.items()}
    assert len(kept) == (fault == "commit_and_cut")
    await sink.deliver(make_batch("t1", [0, 1], attempt=2))
    ((key, (data, _)),) = bucket.objects.items()
    assert kept in ({}, {key: data})


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (503, "SlowDown", SinkUnavailable, "fewer requests"),
        (429, "TooManyRequests", SinkUnavailable, "fewer requests"),
        (500, "InternalError", SinkUnavailable, "answered 500 InternalError"),
        (502, "", SinkUnavailable, "answered 502"),
        (400, "RequestTimeout", SinkUnavailable, "answered 400 RequestTimeout"),
        (409, "OperationAborted", SinkUnavailable, "answered 409 OperationAborted"),
        (412, "PreconditionFailed", SinkUnavailable, "answered 412"),
        (501, "NotImplemented", SinkUnavailable, "answered 501"),
        (401, "Unauthorized", SinkHeld, "not accepted"),
        (403, "AccessDenied", SinkHeld, "not allowed"),
        (403, "InvalidAccessKeyId", SinkHeld, "not known"),
        (403, "SignatureDoesNotMatch", SinkHeld, "secret key"),
        (403, "RequestTimeTooSkewed", SinkHeld, "clock"),
        (400, "ExpiredToken", SinkHeld, "expired"),
        (400, "InvalidToken", SinkHeld, "session token"),
        (404, "NoSuchBucket", SinkHeld, "no such bucket"),
        (301, "PermanentRedirect", SinkHeld, "another region"),
        (400, "AuthorizationHeaderMalformed", SinkHeld, "another region"),
        (507, "InsufficientStorage", SinkHeld, "quota"),
        (413, "EntityTooLarge", SinkRejected, "too large"),
        (400, "EntityTooLarge", SinkRejected, "too large"),
    ],
)
async def test_a_refusal(bucket, status, code, kind, words):
    """Each answer is transient, holds the sink, or rejects the batch; it is asked once, quoted never, and passes."""
    sink = make_sink(bucket)
    bucket.faults.append((status, code))
    with pytest.raises(kind, match=words) as caught:
        await sink.deliver(make_batch("t1", [0]))
    assert type(caught.value) is kind
    assert len(bucket.seen) == 1, "when to try again is for the schedule to say"
    assert caught.value.hint
    said = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"
    assert not [word for word in (*ABOUT.split()[1:], "dlv_t1", "127.0.0.1") if word in said]
    await sink.deliver(make_batch("t1", [0], attempt=2))
    assert list(bucket.objects) == [T1]


@pytest.mark.parametrize("bucket", ["s3", "az", "gs"], indirect=True)
async def test_no_such_bucket(bucket):
    """A bucket that is not there holds the sink, at every store."""
    sink = make_sink(bucket, url=f"{bucket.style}://nobody/x")
    with pytest.raises(SinkHeld, match="no such"):
        await sink.deliver(make_batch("t1", [0]))
    (finding,) = await sink.check()
    assert not finding.ok


async def test_a_store_that_does_not_answer(bucket):
    """A store that hangs is given up in time, and asked again later."""
    sink = make_sink(bucket, storage={"timeout": "1s"})
    bucket.faults.append("slow")
    async with asyncio.timeout(60):
        with pytest.raises(SinkUnavailable, match="in time"):
            await sink.deliver(make_batch("t1", [0]))
    await sink.deliver(make_batch("t1", [0], attempt=2))
    assert list(bucket.objects) == [T1]


async def test_a_store_that_is_not_there(bucket):
    """A refused connection is transient, for batches and for `check`."""
    sink = make_sink(bucket, storage={"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(SinkUnavailable, match="cannot be reached") as caught:
        await sink.deliver(make_batch("t1", [0]))
    assert not isinstance(caught.value, SinkHeld)
    (finding,) = await sink.check()
    assert (finding.ok, "cannot be reached" in finding.what) == (False, True)


async def test_nobody_gave_credentials(bucket):
    """Without credentials anywhere the sink is held; those of the environment are enough."""
    sink = make_sink(bucket, storage={"access_key_id": None, "secret_access_key": None})
    with pytest.raises(SinkHeld, match="no credentials"):
        await sink.deliver(make_batch("t1", [0]))


async def test_credentials_of_the_environment(bucket, environment):
    """What [storage] leaves out comes from the store's usual environment variables."""
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "fake-for-tests")
    environment.setenv("AWS_REGION", "eu-north-1")
    await make_sink(bucket, storage=dict.fromkeys(KEYS)).deliver(make_batch("t1", [0]))
    assert list(bucket.objects) == [T1]


async def test_http_of_the_environment(bucket, environment):
    """An endpoint that only the environment names is not spoken to in the clear, unless `allow_http` says so."""
    environment.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    with pytest.raises(SinkHeld, match="not https"):
        await make_sink(bucket, storage={"endpoint": None}).deliver(make_batch("t1", [0]))
    assert bucket.seen == []
    await make_sink(bucket, storage={"endpoint": None, "allow_http": True}).deliver(make_batch("t1", [0]))
    assert list(bucket.objects) == [T1]


@pytest.mark.parametrize("bucket", ["az", "gs"], indirect=True)
async def test_the_other_stores(bucket):
    """Azure and Cloud Storage get the same object, with their own credentials, and `check` lists there."""
    sink = make_sink(bucket)
    await sink.deliver(make_batch("t1", [0]))
    ((key, (data, headers)),) = bucket.objects.items()
    assert key == T1
    assert people(data) == ["person_0"]
    proof, meta = {"az": ("SharedKey account:", "x-ms-meta-"), "gs": ("Bearer fake-for-tests", "x-goog-meta-")}[
        bucket.style
    ]
    assert headers["authorization"].startswith(proof)
    assert headers[f"{meta}delivery"] == "dlv_t1"
    (finding,) = await sink.check()
    assert finding.ok, finding


async def test_deliveries_go_up_at_once(bucket):
    """No delivery waits for another one."""
    sink = make_sink(bucket)
    bucket.gate.clear()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(sink.deliver(make_batch(f"t{number}", [number])))
        while bucket.writing < 6:
            await asyncio.sleep(0)
        bucket.gate.set()
    assert len(bucket.objects) == 6


def held(bucket) -> dict[str, list[str]]:
    return {re.sub(r".*dlv_", "", key): people(data) for key, (data, _) in sorted(bucket.objects.items())}


@pytest.mark.parametrize(
    ("first", "again", "left"),
    [
        ([0, 1], [0, 1], {"t1.csv": ["person_0", "person_1"]}),
        ([0, 1], [1], {"t1.csv": ["person_0", "person_1"]}),
        ([1], [0, 1], {"t1.csv": ["person_0", "person_1"]}),
        ([0, 1], [1, 2], {"t1.csv": ["person_0", "person_1"], "t1.2.csv": ["person_1", "person_2"]}),
    ],
)
async def test_a_resend_never_takes_a_row_away(bucket, first, again, left):
    """A resend replaces, adds nothing, or gets an object of its own: what lies there stays, twice is once."""
    sink = make_sink(bucket)
    await sink.deliver(make_batch("t1", first))
    for attempt in (2, 3):
        await sink.deliver(make_batch("t1", again, attempt=attempt, resend=2, forced=True))
        assert held(bucket) == left


async def test_a_resend_without_leave_to_read(bucket):
    """Who may write but not read puts a resend beside, never over something."""
    sink = make_sink(bucket)
    await sink.deliver(make_batch("t1", [0, 1]))
    bucket.faults.append((403, "AccessDenied"))
    await sink.deliver(make_batch("t1", [1], attempt=2, resend=1, forced=True))
    assert held(bucket) == {"t1.1.csv": ["person_1"], "t1.csv": ["person_0", "person_1"]}


@pytest.mark.parametrize("fault", [(403, "ExpiredToken"), (503, "SlowDown"), "cut"])
async def test_a_resend_that_cannot_look(bucket, fault):
    """A resend that fails to see what lies there writes nothing."""
    sink = make_sink(bucket)
    await sink.deliver(make_batch("t1", [0, 1]))
    bucket.faults.append(fault)
    with pytest.raises(SinkUnavailable):
        await sink.deliver(make_batch("t1", [1], attempt=2, resend=1, forced=True))
    assert held(bucket) == {"t1.csv": ["person_0", "person_1"]}


async def test_check_only_lists(bucket):
    """`check` lists the prefix and no more; a refusal is a finding with a hint."""
    sink = make_sink(bucket)
    (finding,) = await sink.check()
    assert finding.ok
    bucket.faults.append((403, "AccessDenied"))
    (denied,) = await sink.check()
    assert not denied.ok
    assert "only writing is granted" in denied.hint
    assert {method for method, _ in bucket.seen} == {"GET"}
    assert {key for _, key in bucket.seen} == {""}
