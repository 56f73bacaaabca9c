"""Which secret of a source verifies what comes, and whether an older one may go."""

from collections.abc import Sequence
from typing import Any

from stibgate.config import SourceSettings
from stibgate.domain.stats import DAY_MS, HOUR_MS
from stibgate.domain.tally import MINUTE_MS, QUARTER_MS, Counted, Series
from stibgate.views.words import moment

OVERLAP = (
    "Still in use. While both are registered each event comes twice, once with either secret;"
    " `stibgate endpoints rotate --finish` ends that."
)


def counting_from(*, now_ms: int, configured_ms: int) -> tuple[int, int]:
    """Return since when to count, and in which steps: a day, and never what came under an earlier configuration.

    The secrets of an earlier one may have had other numbers.
    """
    since_ms = max(now_ms - DAY_MS, configured_ms)
    step_ms = MINUTE_MS if now_ms - since_ms <= 2 * HOUR_MS else QUARTER_MS
    return -(-since_ms // step_ms) * step_ms, step_ms


def key_slots(
    name: str, source: SourceSettings, counted: Sequence[Counted], *, since_ms: int, now_ms: int
) -> list[dict[str, Any]]:
    """Return every secret of a source, newest first, by its number; never the secret.

    Args:
        name: The source's.
        source: Its settings.
        counted: What was counted since *since_ms*, of any source.
        since_ms: Where the counting began.
        now_ms: The present.
    """
    used: dict[str, int] = {}
    last_ms: dict[str, int] = {}
    for at_ms, key, value in counted:
        if key.series is Series.PROVED and key.subject == name:
            label = key.word.rpartition("/")[2]
            used[label] = used.get(label, 0) + value
            last_ms[label] = max(at_ms, last_ms.get(label, 0))
    slots = []
    for number, secret in enumerate(source.secrets, start=1):
        label = str(number)
        not_after_ms = None if secret.not_after is None else round(secret.not_after.timestamp() * 1000)
        expired = not_after_ms is not None and not_after_ms <= now_ms
        slots.append(
            {
                "slot": number,
                "verified": used.get(label, 0),
                "last_at": moment(last_ms.get(label)),
                "not_after": moment(not_after_ms),
                "expired": expired,
                "may_go": expired or (number > 1 and label not in used and "1" in used),
                "advice": _advice(number, used, len(source.secrets), expired=expired),
                "since": moment(since_ms),
            }
        )
    return slots


def _advice(number: int, used: dict[str, int], count: int, *, expired: bool) -> str:
    """Return what the numbers mean for one secret."""
    label = str(number)
    if expired:
        return "It is past its not_after and verifies nothing: remove it."
    if number == 1:
        if label in used:
            return "The newest one, and in use."
        return "Not used yet." if count == 1 else "The newest one, and not used yet: keep the older ones."
    if label in used:
        return OVERLAP
    if "1" in used:
        return "Not used while the newest one was: it may go."
    return "Nothing says yet that the newest one works: keep it."
