"""What makes two deliveries the same, and for how long."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.delivery import idempotency_key, join_key
from stibgate.domain.event import JOB_FAILED, JOB_SUCCEEDED, RECORDS_PUSHED, Event

PARTS = st.lists(st.text(st.characters(), max_size=8) | st.binary(max_size=8), max_size=5)
NOW_MS = 1_779_043_330_004
KEYS_MS, WINDOW_MS = 400 * 86_400_000, 86_400_000
SHA = hashlib.sha256(b"one").digest()
OTHER_SHA = hashlib.sha256(b"two").digest()


def key(source="a", event=None, sha=SHA, *, signed_id=None, at_ms=NOW_MS):
    return idempotency_key(
        source,
        event,
        sha,
        signed_id=signed_id,
        received_at_ms=at_ms,
        dedupe_keys_ms=KEYS_MS,
        dedupe_window_ms=WINDOW_MS,
    )


def job(event_type=JOB_SUCCEEDED, job_id="job_1"):
    return Event(event_type, known=True, job_id=job_id)


def as_bytes(part):
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part


@given(PARTS, PARTS)
def test_join_key(one, two):
    """Two lists of parts make the same key only when they are the same parts."""
    assert (join_key(*one) == join_key(*two)) == (list(map(as_bytes, one)) == list(map(as_bytes, two)))


@given(PARTS)
def test_join_key_can_be_read_back(parts):
    """A joined key can be taken apart again, so no two lists can share one."""
    rest, found = join_key(*parts), []
    while rest:
        length, _, rest = rest.partition(b":")
        found.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert found == list(map(as_bytes, parts))


@given(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_sources_never_share(source, other, job_id, other_id):
    """Two sources, or two jobs, never have one key, wherever the border between the names is."""
    same = (source, job_id) == (other, other_id)
    assert (key(source, job(job_id=job_id)).value == key(other, job(job_id=other_id)).value) == same
    assert (key(source, signed_id=job_id).value == key(other, signed_id=other_id).value) == same


def test_a_signed_id_wins():
    """An id that the scheme signs is the key, whatever the event and the bytes are."""
    signed = {key(event=event, sha=sha, signed_id="wh_1") for event in (None, job()) for sha in (SHA, OTHER_SHA)}
    assert len(signed) == 1
    (only,) = signed
    assert only.expires_at_ms == NOW_MS + KEYS_MS
    assert only != key(signed_id="wh_2")
    assert only.value not in {key().value, key(event=job()).value, key(event=job(job_id="wh_1")).value}


def test_an_empty_signed_id_is_an_id():
    """Only a missing id gives way to the other rules."""
    assert key(signed_id="") != key(signed_id=None)


def test_job_events():
    """A job event is the same when type and job are, whatever the bytes; it is remembered for the long time."""
    one = key(event=job(), sha=SHA)
    assert one == key(event=job(), sha=OTHER_SHA)
    assert one.expires_at_ms == NOW_MS + KEYS_MS
    assert one.value != key(event=job(JOB_FAILED)).value
    assert one.value != key(event=job(job_id="job_2")).value
    assert one.value != key("b", job()).value


def test_pushes():
    """A push is the same when its bytes are, within the window; a job id in it changes nothing."""
    one = key(event=Event(RECORDS_PUSHED, known=True, search_id="s"))
    assert one == key(event=Event(RECORDS_PUSHED, known=True, job_id="job_1"))
    assert one.expires_at_ms == NOW_MS + WINDOW_MS
    assert one.value != key(event=Event(RECORDS_PUSHED, known=True, search_id="s"), sha=OTHER_SHA).value


def test_what_was_not_understood():
    """What has no event or no job is the same when its bytes are, within the window."""
    assert key() == key(event=job(job_id=None)) == key(event=Event(RECORDS_PUSHED, known=True))
    assert key(at_ms=NOW_MS + 5).expires_at_ms == NOW_MS + 5 + WINDOW_MS
    assert key().value != key(sha=OTHER_SHA).value
