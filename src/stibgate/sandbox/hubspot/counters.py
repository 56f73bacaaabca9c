"""What the sandbox counted: whether the client was right, and what it cost."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Counts since the start.

    Attributes:
        by_path: Requests by method and path, as in `POST /crm/objects/contacts/batch/upsert`: without version and ids.
        statuses: Answers by status; 0 is a connection that was cut.
        policies: 429s by policy.
        faults: Faults that hit, by name.
        inputs: Inputs of batches that were let in.
        refused_inputs: Inputs that a 207 or a whole refusal turned down.
    """

    by_path: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    inputs: int = 0
    refused_inputs: int = 0

    @property
    def requests(self) -> int:
        """All requests."""
        return self.statuses.total()

    @property
    def too_many(self) -> int:
        """Requests that were answered with 429."""
        return self.statuses[429]

    @property
    def errors(self) -> int:
        """Requests that were answered with 400 or above, 429s included, or not at all."""
        return sum(number for status, number in self.statuses.items() if status >= 400 or not status)

    @property
    def too_many_share(self) -> float:
        """429s among all requests, 0 to 1."""
        return self.too_many / self.requests if self.requests else 0.0

    @property
    def error_share(self) -> float:
        """Errors among all requests, 0 to 1; HubSpot wants at most 0.05 a day."""
        return self.errors / self.requests if self.requests else 0.0

    def requests_per_100(self, records: int) -> float:
        """Return how many requests it took for each 100 of *records*."""
        return self.requests * 100 / records if records else 0.0
