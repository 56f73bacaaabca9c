"""Which contact works where: pairs of records, associated without a label, so that no label of theirs is replaced."""

from collections.abc import Mapping

from stibgate.sinks.hubspot.objects import Objects
from stibgate.sinks.hubspot.shapes import Refusal

_GONE = "OBJECT_NOT_FOUND"


async def associate(objects: Objects, pairs: Mapping[str, tuple[str, str]]) -> dict[str, Refusal | None]:
    """Return, by the keys of *pairs*, why a pair could not be associated; None where it is.

    Args:
        objects: HubSpot.
        pairs: Contact id and company id. One that is associated already stays as it is.

    Raises:
        SinkUnavailable: Some may be associated, some not.
    """
    distinct = list(dict.fromkeys(pairs.values()))
    results = await objects.associate(distinct) if distinct else ()
    by_pair = dict(zip(distinct, results, strict=True))
    return {key: by_pair[pair] for key, pair in pairs.items()}


def is_gone(refusal: Refusal) -> bool:
    """Return whether one of the two records is not there any more."""
    return _GONE in {refusal.category, refusal.code}
