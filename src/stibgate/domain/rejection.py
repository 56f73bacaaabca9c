"""What was refused, in groups: how often, when, the latest one without its body, and why as far as that is known.

Nobody who is refused has proved anything, so nothing that only a sender could know is kept: no body, no token, no
header's value but a user agent's first characters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

AGENT_CHARS_MAX = 100
SHA256_CHARS = 12


@dataclass(frozen=True, slots=True)
class Evidence:
    """One refused request.

    Attributes:
        client_ip: As far as trusted proxies tell it.
        user_agent: Its first printable characters.
        headers: The names of those headers that came of the ones in which the source's signatures may stand.
        schemes: The names of the schemes that were tried.
        body_bytes: None when the body was not read.
        body_sha256: The first hex digits: whether the same came again.
    """

    request_id: str
    http_status: int
    client_ip: str
    user_agent: str | None = None
    headers: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    body_bytes: int | None = None
    body_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a signature did not verify, found out once for all that look like it.

    Attributes:
        at_ms: When.
        why: One of the words of `signatures.Why`.
        verdict: One sentence.
        hint: What to do next; may be empty.
        lines: The evidence, a line each: shapes, lengths and ages.
    """

    at_ms: int
    why: str
    verdict: str
    hint: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejections:
    """Requests to one source that were refused for one reason.

    Attributes:
        hour_ms: The hour's beginning; of several hours, the first.
        source: `-` for requests that named no source of ours.
        reason: As in the log.
        last: The latest one, or one of the second before it.
        finding: None when nobody looked, or there is nothing to find.
    """

    hour_ms: int
    source: str
    reason: str
    count: int
    first_at_ms: int
    last_at_ms: int
    last: Evidence
    finding: Finding | None = None

    def plus(self, other: "Rejections") -> "Rejections":
        """Return this group and *other*, of the same source and reason, as one."""
        newer, older = (self, other) if self.last_at_ms > other.last_at_ms else (other, self)
        return replace(
            newer,
            hour_ms=min(self.hour_ms, other.hour_ms),
            count=self.count + other.count,
            first_at_ms=min(self.first_at_ms, other.first_at_ms),
            finding=newer.finding or older.finding,
        )


def grouped(rejections: Iterable[Rejections]) -> Sequence[Rejections]:
    """Return one group for each source and reason, that of the latest request first."""
    groups: dict[tuple[str, str], Rejections] = {}
    for one in rejections:
        name = one.source, one.reason
        groups[name] = groups[name].plus(one) if name in groups else one
    return sorted(groups.values(), key=lambda group: (-group.last_at_ms, group.source, group.reason))


def agent_of(value: str | None) -> str | None:
    """Return what may be kept of a user agent."""
    if value is None:
        return None
    return "".join(char for char in value[: 4 * AGENT_CHARS_MAX] if " " <= char <= "~")[:AGENT_CHARS_MAX] or None
