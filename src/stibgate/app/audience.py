"""Who is told what happened: metrics, the roll-up, tracing. None of them can break what it watches."""

import asyncio

import structlog

from stibgate.domain.fact import Fact, Observe

log = structlog.get_logger("stibgate.audience")


class Audience:
    """Passes each fact on to everybody who wants to know.

    Whoever counts is told a turn of the event loop later, of all that happened meanwhile: the answers that one commit
    releases come together, none of them waits for its count, and counting in a row is cheaper.
    """

    def __init__(self) -> None:
        self._present: list[Observe] = []
        self._counting: list[Observe] = []
        self._held: list[Fact] = []

    def add(self, observe: Observe, *, at_once: bool = False) -> None:
        """Tell *observe* of everything from now on.

        Args:
            observe: Whom to tell.
            at_once: Tell it in the task in which something happens, before that goes on.
        """
        (self._present if at_once else self._counting).append(observe)

    def tell(self, fact: Fact) -> None:
        """Tell everybody; an observer that fails costs a log line and nothing else."""
        for observe in self._present:
            _tell(observe, fact)
        if not self._held:
            asyncio.get_running_loop().call_soon(self._pass_on)
        self._held.append(fact)

    def _pass_on(self) -> None:
        held, self._held = self._held, []
        for observe in self._counting:
            for fact in held:
                _tell(observe, fact)


def _tell(observe: Observe, fact: Fact) -> None:
    try:
        observe(fact)
    except Exception:
        log.exception("unhandled")
