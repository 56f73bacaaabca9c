"""Groups what was refused, and finds out why, for people. Never for the sender, and never at the cost of an answer.

Counting is a look into a dictionary. A signature that did not verify is looked into on a thread of its own, one at
a time and so seldom that it takes a hundredth of a processor: it means hundreds of MACs over the body. Of the
body nothing but its size and the beginning of its hash is kept.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import structlog

from stibgate.domain.rejection import SHA256_CHARS, Evidence, Finding, Rejections
from stibgate.domain.stats import HOUR_MS
from stibgate.domain.tally import NO_SOURCE
from stibgate.pipeline.source import Source
from stibgate.signatures import Scheme, explain

log = structlog.get_logger("stibgate.refusals")

LOOK_S = 1.0
"""How old the evidence of a group may get before a new request's is taken."""
EXPLAIN_S = 10.0
EXPLAIN_SHARE = 0.01
EXPLAINED_BYTES_MAX = 1 << 20
GROUPS_MAX = 1_000
LINES_MAX, LINE_CHARS_MAX = 20, 200


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A request whose signature did not verify, whole; held only until somebody looked into it.

    Attributes:
        schemes: Those that were tried.
        headers: Name and value of every header.
    """

    source: Source
    schemes: Sequence[Scheme]
    headers: Sequence[tuple[str, str]]
    body: bytes


class Refusals:
    """Counts refusals by the hour, source and reason.

    Args:
        now_ms: The clock.
    """

    def __init__(self, *, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._groups: dict[tuple[int, str, str], Rejections] = {}
        self._looked_ms: dict[tuple[str, str], int] = {}
        self._explain_ms: dict[str, int] = {}
        self._explaining: asyncio.Future[Finding] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stibgate-explain")

    def note(
        self, source: str | None, reason: str, look: Callable[[], Evidence], doubtful: Doubtful | None = None
    ) -> None:
        """Count one refusal.

        Args:
            source: None when it named none of ours.
            reason: As in the log.
            look: Makes the evidence; called at most once a second for each group.
            doubtful: What a signature's failure is found out from.
        """
        now_ms = self._now_ms()
        name = source or NO_SOURCE, reason
        place = now_ms - now_ms % HOUR_MS, *name
        group = self._groups.get(place)
        if group is None:
            if len(self._groups) >= GROUPS_MAX:
                return
            group = Rejections(*place, 0, now_ms, now_ms, look())
            self._looked_ms[name] = now_ms
        elif now_ms - self._looked_ms[name] >= LOOK_S * 1000:
            group = replace(group, last=look())
            self._looked_ms[name] = now_ms
        self._groups[place] = replace(group, count=group.count + 1, last_at_ms=now_ms)
        if doubtful is not None:
            self._find_out(place, doubtful, now_ms)

    def take(self) -> Sequence[Rejections]:
        """Return what was noted since the last time."""
        groups, self._groups = self._groups, {}
        return list(groups.values())

    async def close(self) -> None:
        """Wait for what is being found out."""
        if self._explaining is not None:
            await asyncio.wait([self._explaining])
        self._thread.shutdown()

    def _find_out(self, place: tuple[int, str, str], doubtful: Doubtful, now_ms: int) -> None:
        name = doubtful.source.name
        if (
            self._explaining is not None
            or now_ms < self._explain_ms.get(name, 0)
            or len(doubtful.body) > EXPLAINED_BYTES_MAX
        ):
            return
        evidence, started_s = self._groups[place].last, asyncio.get_running_loop().time()
        self._explaining = asyncio.get_running_loop().run_in_executor(self._thread, _explained, doubtful, now_ms)

        def told(finding: asyncio.Future[Finding]) -> None:
            self._explaining = None
            took_s = asyncio.get_running_loop().time() - started_s
            self._explain_ms[name] = now_ms + round(max(EXPLAIN_S, took_s / EXPLAIN_SHARE) * 1000)
            if (error := finding.exception()) is not None:
                log.error("unhandled", exc_info=error)
                return
            # What was counted meanwhile may be in the store already; what was found is added to it.
            group = self._groups.get(place) or Rejections(*place, 0, now_ms, now_ms, evidence)
            self._groups[place] = replace(group, finding=finding.result())

        self._explaining.add_done_callback(told)


def _explained(doubtful: Doubtful, now_ms: int) -> Finding:
    source = doubtful.source
    told = explain(
        doubtful.headers,
        doubtful.body,
        schemes=doubtful.schemes,
        secrets=source.secrets,
        now_unix_s=now_ms / 1000,
        tolerance_s=source.tolerance_s,
        future_s=source.future_tolerance_s,
    )
    hint = told.hint.replace("NAME", source.name)
    if source.pinning and told.scheme in source.schemes and told.scheme not in doubtful.schemes:
        hint = (
            f"`stibgate sources unpin {source.name}` forgets the scheme that was pinned; the next delivery pins anew."
        )
    lines = tuple(line[:LINE_CHARS_MAX] for line in told.findings[:LINES_MAX])
    return Finding(now_ms, told.why, told.verdict, hint, lines)


def body_evidence(body: bytes) -> tuple[int, str]:
    """Return the size of *body* and the beginning of its SHA-256."""
    return len(body), hashlib.sha256(body).hexdigest()[:SHA256_CHARS]
