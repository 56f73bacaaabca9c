"""Refused requests: what each reason means, why it came to that, and what to do next."""

from collections.abc import Iterable, Mapping
from typing import Any

from stibgate.domain.rejection import Evidence, Finding, Rejections
from stibgate.domain.tally import NO_SOURCE
from stibgate.signatures import Why
from stibgate.stores.glance import Seen
from stibgate.views.words import moment

_CAPTURE = "Capture one request and run `stibgate verify --source NAME --capture FILE --explain`."

MEANINGS: Mapping[str, tuple[str, str]] = {
    "mismatch": ("The signature is well-formed and no secret makes it.", _CAPTURE),
    "missing": (
        "A header that the signature needs did not come.",
        'Does the sender sign this URL, does a proxy drop the header? A URL that is not signed needs auth = "token".',
    ),
    "malformed": ("A signature came in a layout that the source does not take.", _CAPTURE),
    "repeated": ("A signature header came more than once.", "Stop the proxy from adding its own copy."),
    "stale": (
        "The signature is right and too old: a late retry, a replay, or a clock that is wrong.",
        'Compare the clocks; `stale = "accept_if_new"` under [sources.NAME] takes what was never seen.',
    ),
    "future": (
        "The signature is right and from the future: a clock is wrong.",
        "Compare this machine's clock (`timedatectl`) with the sender's.",
    ),
    "expired_secret": (
        "The signature was made with a secret whose not_after has passed.",
        "Finish the rotation at the sender, or move not_after under [sources.NAME].",
    ),
    "unknown_source": (
        "The path names no configured source: a mistyped URL, or a stranger who tries.",
        "`stibgate sources list` shows the names; strangers need nothing done.",
    ),
    "token_missing": ("The URL came without its token.", "Register the whole URL again: `stibgate register`."),
    "token_mismatch": (
        "The token in the URL is none of the source's.",
        "Compare the URL at the sender with sources.NAME.tokens; after a rotation both may be listed for a while.",
    ),
    "method": ("Neither GET, HEAD nor POST.", "A scanner; nothing needs to be done."),
    "content_type": ("The body is not declared as JSON.", "See which content type the sender or a proxy sets."),
    "content_encoding": (
        "The body is compressed, and a signature covers the bytes as they were sent.",
        "Turn compression of requests off at the proxy.",
    ),
    "too_large": ("The body is larger than server.max_body.", "Raise server.max_body, also at the proxy."),
    "uri_too_long": ("The URL is too long.", "A scanner, or a URL that was put together wrongly."),
    "body_timeout": (
        "The body did not arrive within server.body_timeout.",
        "Look at the network between proxy and service.",
    ),
    "body_framing": ("The body ended before it was complete.", "Look at the proxy's errors and time-outs."),
    "http_version": ("Not HTTP/1.0 or 1.1.", "Let the proxy speak HTTP/1.1 to the service."),
    "expect": ("An expectation other than 100-continue.", "See which client sends it."),
    "rate": (
        "More requests than server.limits.rate allows; the sender is asked to come again.",
        "Raise server.limits.rate if the sender is right to be so fast.",
    ),
    "concurrency": (
        "More requests at once than server.limits.concurrency; the sender is asked to come again.",
        "Look at the store's latency; then raise server.limits.concurrency.",
    ),
    "bytes_in_flight": (
        "More bytes at once than server.limits.bytes_in_flight; the sender is asked to come again.",
        "Raise server.limits.bytes_in_flight if there is memory for it.",
    ),
    "draining": ("The service was about to stop; the sender is asked to come again.", "Nothing needs to be done."),
}
"""Reason -> what it means, and what to do next."""

_UNKNOWN = ("Refused.", _CAPTURE)


def rejection_rows(groups: Iterable[Rejections], seen: Mapping[str, Seen]) -> list[dict[str, Any]]:
    """Return each group as it is shown; *seen* has the last delivery of each source that proved itself."""
    return [rejection_row(group, seen.get(group.source)) for group in groups]


def rejection_row(group: Rejections, seen: Seen | None = None) -> dict[str, Any]:
    """Return one group with its meaning, its explanation and the next step."""
    meaning, step = MEANINGS.get(group.reason, _UNKNOWN)
    finding = group.finding
    return {
        "source": None if group.source == NO_SOURCE else group.source,
        "reason": group.reason,
        "count": group.count,
        "first_at": moment(group.first_at_ms),
        "last_at": moment(group.last_at_ms),
        "meaning": meaning,
        "explanation": None if finding is None else _finding(finding, group, seen),
        "next": finding.hint if finding is not None and finding.hint else step.replace("NAME", group.source),
        "last": _evidence(group.last),
    }


def _finding(finding: Finding, group: Rejections, seen: Seen | None) -> dict[str, Any]:
    lines = list(finding.lines)
    if seen is not None and seen.at_ms < group.last_at_ms:
        lines.append(f"the last delivery that proved itself ({seen.authenticated_by}) came at {moment(seen.at_ms)}")
    return {
        "why": finding.why,
        "verdict": _verdict(finding, group, seen),
        "findings": lines,
        "at": moment(finding.at_ms),
    }


def _verdict(finding: Finding, group: Rejections, seen: Seen | None) -> str:
    if finding.why != Why.WRONG_SECRET or seen is None or seen.at_ms > group.first_at_ms:
        return finding.verdict
    scheme, _, key = seen.authenticated_by.rpartition("/")
    if not scheme:
        return finding.verdict
    return f"{finding.verdict} Most likely it was rotated: key {key} last matched at {moment(seen.at_ms)}."


def _evidence(last: Evidence) -> dict[str, Any]:
    return {
        "request_id": last.request_id,
        "http_status": last.http_status,
        "client_ip": last.client_ip,
        "user_agent": last.user_agent,
        "headers": list(last.headers),
        "schemes": list(last.schemes),
        "body_bytes": last.body_bytes,
        "body_sha256": last.body_sha256,
    }
