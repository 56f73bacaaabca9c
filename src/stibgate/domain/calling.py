"""Telling of a request that goes out: to whom, how long it took, and how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stibgate.domain.fact import Called, Observe


@dataclass(slots=True)
class Exchange:
    """One request that is under way.

    Attributes:
        status: The answer's, once there is one.
        remaining: How many more the other side allows, where its answer says so.
    """

    status: int | None = None
    remaining: int | None = None


@contextmanager
def telling(
    observe: Observe, clock: Callable[[], float], server: str, method: str, operation: str = ""
) -> Iterator[Exchange]:
    """Tell *observe* of the exchange that the block makes, also when it fails.

    Args:
        observe: Who is told.
        clock: Returns seconds.
        server: The other side's name, as it is configured.
        method: Of the request.
        operation: What is asked for, a word of a closed set.
    """
    exchange, began_s, error = Exchange(), clock(), ""
    try:
        yield exchange
    except TimeoutError:
        error = "timeout"
        raise
    except Exception:
        error = "failed"
        raise
    finally:
        observe(
            Called(server, method, operation, exchange.status, clock() - began_s, error, exchange.remaining)
        )  # fmt: skip
