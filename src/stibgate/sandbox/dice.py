"""Where the sandbox's chance comes from: a seed and the name of what is drawn, never the machine."""

from random import Random  # noqa: TID251  (the sandbox's world is drawn from its seed)

__all__ = ["Random", "dice"]


def dice(*names: object) -> Random:
    """Return dice that always fall the same for the same *names*, in every process and on every machine.

    A draw is named (`dice(seed, "person", 17)`) rather than taken in turn, so that one thing more in the
    world does not change all others.
    """
    # A text seed goes through SHA-512 in CPython; `hash()` would differ with PYTHONHASHSEED.
    return Random(":".join(map(str, names)))  # noqa: S311  (invented people, not keys)
