"""What goes wrong on purpose: always, or a share of the time, drawn from the seed.

    duplicate   delivery   sent once more after it was taken
    delay       delivery   each attempt held back by `Pace.fault_delay_s`
    reorder     job event  held back until another one has overtaken it, for `Pace.fault_delay_s` at most
    drop        delivery   lost: never sent and never tried again (the job is there to be read; a push says so)
    tamper      job event  the body changed after it was signed
    stale       job event  signed for an hour ago
    cut         both       a delivery's connection breaks in the middle of the body; an API call is carried out,
                           and its connection breaks before the answer
    http429     API call   refused as beyond the rate limit; nothing is done
    http500     API call   fails; nothing is done
    slow        API call   answered `Pace.slow_s` later

Pushes are not signed, so `tamper` and `stale` leave them alone; whoever pressed the button waits for one, so
`reorder` does too. `/openapi.json` is never hit.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from stibgate.sandbox.dice import Random, dice

FAULTS = frozenset(
    {"duplicate", "delay", "reorder", "drop", "tamper", "stale", "cut", "http429", "http500", "slow"}
)  # fmt: skip
Chosen = AbstractSet[str] | Mapping[str, float]
"""Names that always hit, or the share (0 to 1) that each name hits."""


class Faults:
    """The faults that are on.

    Args:
        seed: Where the chance comes from: each name has its own dice, so that one fault more changes no other.
        chosen: What is on from the start.

    Raises:
        ValueError: A name is unknown, or a rate is not a share.
    """

    def __init__(self, seed: int, chosen: Chosen) -> None:
        self._seed = seed
        self._dice: dict[str, Random] = {}
        self.rates = rates(chosen)

    def hits(self, name: str, where: str = "") -> bool:
        """Return whether fault *name* hits what comes now; *where* has dice of its own."""
        rate = self.rates.get(name, 0.0)
        if not 0 < rate < 1:
            return rate > 0
        draw = self._dice.setdefault(name + where, dice(self._seed, "fault", name + where))
        return draw.random() < rate


def rates(chosen: Chosen) -> Mapping[str, float]:
    """Return the rate of each fault that is *chosen*.

    Raises:
        ValueError: A name is unknown, or a rate is not a share.
    """
    found = chosen if isinstance(chosen, Mapping) else dict.fromkeys(chosen, 1.0)
    for name, rate in found.items():
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; use {', '.join(sorted(FAULTS))}")
        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of {name} must be between 0 and 1; use 1 for always")
    return dict(found)
