"""The one account of a sandbox: its key, its clock, its ids and what it was billed.

Source: Stibnite Person Data API, "Authentication", "Usage summary", "Billing".
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable

from stibgate.domain.instant import to_rfc3339
from stibgate.sandbox.dice import Random, dice
from stibgate.sandbox.people import People
from stibgate.sandbox.stibnite.cursors import Cursors
from stibgate.sandbox.stibnite.limits import RateLimit


class Account:
    """What all rooms of one sandbox share.

    Args:
        seed: Which world; ids, keys and secrets follow from it, in the order in which they are asked for.
        now: Seconds since the Unix epoch.
        requests_a_minute: Its rate limit.

    Attributes:
        api_key: The account's only key, recognisable as a sandbox's.
        people: Whom there is to sell.
        requests: Successful requests that carried the key.
        billable_records: Records billed so far, by searches, lookups, pushes and exports.
        limit: What its requests spend.
        cursors: Its places in lists.
    """

    def __init__(self, seed: int, now: Callable[[], float], requests_a_minute: int) -> None:
        self.seed = seed
        self.now = now
        self.api_key = f"stib_live_sandbox_{dice(seed, 'api key').randbytes(12).hex()}"
        self.people = People(seed)
        self.requests = 0
        self.billable_records = 0
        self.limit = RateLimit(requests_a_minute, now)
        self.cursors = Cursors(seed)
        self._serials: Counter[str] = Counter()

    def draw(self, kind: str) -> Random:
        """Return the dice of the next thing of *kind*."""
        self._serials[kind] += 1
        return dice(self.seed, kind, self._serials[kind])

    def new_id(self, prefix: str) -> str:
        """Return the next id of its kind, `endpoint_1f60c2...`."""
        return f"{prefix}_{self.draw(prefix).randbytes(8).hex()}"

    def new_secret(self) -> str:
        """Return a signing secret that both readings of `whsec_` can use: 24 bytes in base64."""
        return f"whsec_{b64encode(self.draw('whsec').randbytes(24)).decode()}"

    def new_job_id(self) -> str:
        """Return a UUID of version 7, as the document's example is one."""
        draw = self.draw("job")
        value = (int(self.now() * 1000) & (2**48 - 1)) << 80
        value |= 0x7 << 76 | draw.getrandbits(12) << 64
        value |= 0b10 << 62 | draw.getrandbits(62)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def timestamp(self, in_s: float = 0) -> str:
        """Return the instant *in_s* seconds from now, as ISO text."""
        return to_rfc3339(int((self.now() + in_s) * 1000))
