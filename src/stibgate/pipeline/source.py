"""A configured sender, as the pipeline knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stibgate.signatures import Scheme, Secret, Verifier


class Auth(StrEnum):
    """How a source proves itself."""

    SIGNATURE = "signature"
    TOKEN = "token"  # noqa: S105  (a kind of proof, not a password)
    BOTH = "signature+token"
    EITHER = "signature_or_token"


class StalePolicy(StrEnum):
    """What happens to a valid signature that is too old."""

    REJECT = "reject"
    ACCEPT_IF_NEW = "accept_if_new"


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender.

    Attributes:
        tokens: Capability tokens; compared by digest.
        schemes: How its signatures may look; several only until one is pinned.
        pinning: Whether the first scheme that verifies is pinned for good.
        id_headers: Headers whose ids are kept as evidence.
        ack_status: The status of an acknowledgement, 200 to 299.
    """

    name: str
    auth: Auth
    tokens: Sequence[str] = ()
    secrets: Sequence[Secret] = ()
    schemes: Sequence[Scheme] = ()
    pinning: bool = False
    tolerance_s: float = 300.0
    future_tolerance_s: float = 60.0
    stale: StalePolicy = StalePolicy.REJECT
    id_headers: Sequence[str] = ()
    ack_status: int = 202

    def verifier(self, schemes: Sequence[Scheme]) -> Verifier:
        """Return a verifier of this source's secrets for *schemes*."""
        return Verifier(schemes, self.secrets, tolerance_s=self.tolerance_s, future_s=self.future_tolerance_s)
