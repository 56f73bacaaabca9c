"""W3C's traceparent."""

import pytest

from stibgate.domain.trace import TraceContext, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_span_that_somebody_names(flags, sampled):
    """Trace, span and the flag of sampling are read; other flags are no business of ours."""
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}") == TraceContext(TRACE, SPAN, sampled)


def test_there_and_back():
    """What is written can be read."""
    context = TraceContext(TRACE, SPAN, sampled=True)
    assert parse_traceparent(context.traceparent) == context


def test_a_later_version_may_have_more_at_its_end():
    """A version that is not known yet is read as far as this one goes."""
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-more") == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "canary",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"01-{TRACE}-{SPAN}-01-{'x' * 1000}",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
    ],
)
def test_what_names_no_span(text):
    """Anything else is nobody's span."""
    assert parse_traceparent(text) is None
