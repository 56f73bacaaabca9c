"""How the vendor says no.

Source: Stibnite Person Data API, "Bad Requests". The document says "400 with a JSON error message" and no more; here
every refusal is `{"message": "..."}`.
"""

from collections.abc import Mapping

from stibgate.errors import StibgateError


class Refused(StibgateError):
    """A request that the vendor would refuse.

    Args:
        status: The HTTP status.
        message: What the client reads.
        headers: What goes with it.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
