"""What every status means, how long to wait, and what to do."""

import pytest
from yarl import URL

from stibgate.domain.task import OutcomeKind
from stibgate.errors import SinkHeld, SinkRejected, SinkUnavailable
from stibgate.sinks.webhook.answers import refusal, retry_after_s
from stibgate.testing import make_batch
from tests.sinks.webhook.world import far, http, opened, refused

NOW_MS = 784_111_777_000  # 1994-11-06T08:49:37Z
HELD = {401, 402, 403, 407}
LATER = {404, 405, 406, 408, 409, 411, 414, 415, 417, 421, 423, 424, 425, 426, 429, 431}
ASKED = URL("https://hooks.example.com/in/k3y-of-them?token=abc")


def error_of(status, **headers):
    return refusal(status, headers, words="", asked=ASKED, now_ms=NOW_MS)


def kind_of(status: int) -> type | None:
    if 200 <= status < 300:
        return None
    if status in HELD:
        return SinkHeld
    if status in LATER or not 300 <= status < 500:
        return SinkUnavailable
    return SinkRejected


@pytest.mark.parametrize("status", [100, 101, *range(200, 600), 600, 999])
def test_every_status(status):
    """Each status has one meaning, says itself, and a hint says what to do."""
    error = error_of(status)
    assert type(error) is (kind_of(status) or type(None))
    if error is not None:
        assert error.message == f"the receiver answered {status}"
        assert error.hint


@pytest.mark.parametrize("status", [200, 201, 202, 204, 208, 299])
async def test_two_hundred_means_written(status):
    """Any 2xx takes every record."""
    async with far(http(status)) as there, opened(there.url) as sink:
        outcomes = await sink.deliver(make_batch("t1", [0, 5]))
    assert [(outcome.position, outcome.kind) for outcome in outcomes] == [
        (0, OutcomeKind.WRITTEN),
        (5, OutcomeKind.WRITTEN),
    ]


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 418, 429, 500, 503])
async def test_over_the_wire(status):
    """What the table says is what the sink raises, with the receiver's words."""
    body = b'{"message":"not today"}'
    async with far(http(status, body, headers="retry-after: 120\r\n")) as there, opened(there.url) as sink:
        error = await refused(sink, make_batch("t1", [0]))
    assert type(error) is kind_of(status)
    assert error.message == f'the receiver answered {status}: {{"message":"not today"}}'
    assert getattr(error, "retry_after_s", 120) == 120
    assert len(there.requests) == 1


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86400", 86_400),
        ("999999999", 86_400),
        ("9" * 400, None),
        ("-1", None),
        ("1.5", None),
        ("१२", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
        ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
        ("Sun Nov  6 08:51:37 1994", 120),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("Sun, 06 Nov 2094 08:00:00 GMT", 86_400),
        ("Sun, 99 Nov 1994 08:00:00 GMT", None),
        ("Sun, 06 Nov 99999 08:00:00 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    """Seconds and HTTP dates are honoured, up to a day; anything else says nothing."""
    found = retry_after_s(value, now_ms=NOW_MS)
    assert found == pytest.approx(seconds) if seconds is not None else found is None


def test_a_hold_is_ten_minutes_unless_told():
    """A receiver that does not let us in is asked again after 10 min, or when it says, but never at once."""
    assert error_of(401).retry_after_s == 600
    assert error_of(403, **{"retry-after": "3600"}).retry_after_s == 3600
    assert error_of(403, **{"retry-after": "0"}).retry_after_s == 60
    assert error_of(503).retry_after_s is None


@pytest.mark.parametrize(
    "location, told",
    [
        ("https://new.example.com/in?token=s3cret", "https://new.example.com."),
        ("https://user:s3cret@new.example.com:8443/p", "https://new.example.com:8443."),
        ("//new.example.com/x", "https://new.example.com."),
        ("/elsewhere?token=s3cret", "another path of https://hooks.example.com."),
        ("http://hooks.example.com/in", "http://hooks.example.com."),
        ("file:///etc/s3cret", "Redirects are not followed"),
        ("http://[s3cret", "Redirects are not followed"),
        ("https://" + "a" * 5000, "Redirects are not followed"),
        ("https://s3\u202ecret\r\n/x", "Redirects are not followed"),
        ("", "Redirects are not followed"),
    ],
)
def test_a_redirect_names_the_host(location, told):
    """The hint says where the receiver moved to: the host, and neither path, query, user nor nonsense."""
    error = error_of(308, location=location)
    assert told in error.hint or told.rstrip(".") in error.hint
    assert "s3cret" not in error.hint
    assert "k3y-of-them" not in error.hint
    assert len(error.hint) < 500
    assert error.hint.isprintable()
