"""Looking whether sinks could take records now, without writing anything anywhere."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stibgate.app.clock import now_ms
from stibgate.config import AnySink
from stibgate.errors import StibgateError
from stibgate.sinks import Finding, SinkContext

ANSWER_MAX_S = 30.0
"""How long a far side may take before it counts as one that does not answer."""


class _Blank:
    """A memory that knows nothing and keeps nothing: looking must not change what a sink remembers."""

    async def recall(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return nothing."""
        del keys
        return {}

    async def remember(self, documents: Mapping[str, Any]) -> None:
        """Keep nothing."""


async def look(chosen: Mapping[str, AnySink]) -> list[Sequence[Finding]]:
    """Return what each sink finds in its way; nothing is written."""
    return await asyncio.gather(*(look_at(name, sink) for name, sink in chosen.items()))


async def look_at(name: str, settings: AnySink) -> Sequence[Finding]:
    """Return what the sink's `check` saw; that it failed or did not answer is a finding too."""
    try:
        sink = settings.build(SinkContext(name, now_ms, lambda: 0.5, _Blank()))
        try:
            async with asyncio.timeout(ANSWER_MAX_S):
                return await sink.check()
        finally:
            await sink.close()
    except StibgateError as error:
        return [Finding(error.message, ok=False, hint=error.hint)]
    except TimeoutError:
        return [Finding(f"no answer within {ANSWER_MAX_S:g} s", ok=False, hint="Is its far side up and reachable?")]
    except Exception as error:  # noqa: BLE001  (a sink from elsewhere may raise anything; its text may hold a secret)
        return [Finding(f"the sink failed with {type(error).__name__}", ok=False, hint="This is a bug in the sink.")]
