"""Who is told what happened: metrics, the roll-up. None of them can break what it watches."""

import structlog

from stibgate.domain.fact import Fact, Observe

log = structlog.get_logger("stibgate.audience")


class Audience:
    """Passes each fact on to everybody who wants to know."""

    def __init__(self) -> None:
        self._observers: list[Observe] = []

    def add(self, observe: Observe) -> None:
        """Tell *observe* of everything from now on."""
        self._observers.append(observe)

    def tell(self, fact: Fact) -> None:
        """Tell everybody; an observer that fails costs a log line and nothing else."""
        for observe in self._observers:
            try:
                observe(fact)
            except Exception:
                log.exception("unhandled")
