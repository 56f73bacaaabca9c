"""Replacing the signing secret of a webhook, as far as it has come; for `stibgate endpoints rotate`.

Stibnite has no call that renews a secret. So a second endpoint with the same URL is made, both secrets are accepted,
and the first endpoint goes when the second one has proved itself. Meanwhile each event comes twice, signed by either
secret: both copies are one delivery, because they have one idempotency key (event type and job), and nothing is
forwarded twice. An event is lost only when no copy of it is accepted, which is what the evidence is about:

    age         the newer endpoint has been there for a while
    known       its secret is the first one of the configuration: what was written after it was made
    read        the service read the configuration since; before, label 1 was the older secret
    used        a delivery that came since is authenticated by label 1, the newest secret

Source: research/vendors.md U8.
"""

from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from stibgate.cli.account import leads_to, secrets_variable
from stibgate.cli.output import printable
from stibgate.cli.secrets_file import read_secrets
from stibgate.domain.instant import from_rfc3339
from stibgate.domain.units import format_duration
from stibgate.errors import NoStore, StibgateError
from stibgate.stores import DeliveryFilter
from stibgate.stores.lock import running_service
from stibgate.views.words import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stibgate.config import Loaded
    from stibgate.vendors.stibnite.models import Endpoint

_PAGE = 1_000
_MINUTE_MS = 60_000
_SKEW_MS = 300_000
"""How far Stibnite's clock may be from ours."""
_NEWEST = "1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must be so before the older endpoint may go."""

    ok: bool
    words: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """The endpoints of one source, and its configuration.

    Attributes:
        path: The file of its secrets.
        endpoints: Oldest first.
    """

    loaded: "Loaded"
    name: str
    path: Path
    endpoints: "Sequence[Endpoint]"

    @property
    def newest(self) -> "Endpoint":
        """The endpoint that stays."""
        return self.endpoints[-1]

    @property
    def older(self) -> "Sequence[Endpoint]":
        """Those that go."""
        return self.endpoints[:-1]

    def findings(self, *, quiet_s: float, now_ms: int) -> list[Finding]:
        """Return what is there of the evidence, and what is missing.

        Raises:
            StoreError: There is a store that cannot be read.
        """
        made_ms = _made_ms(self.newest)
        running = running_service(self.loaded.settings.storage.path)
        read_ms = None if running is None else running[1]
        read = self._read(read_ms)
        found = [_age(made_ms, quiet_s, now_ms), self._known(made_ms), read]
        # Before that label 1 is the older secret: what is in use shows only after it.
        return [*found, self._used(max(made_ms, read_ms or 0))] if read.ok else found

    def _known(self, made_ms: int) -> Finding:
        inside = [one.value.get_secret_value().strip() for one in self.loaded.settings.sources[self.name].secrets]
        kept, written_ms = read_secrets(self.path), _changed_ms(self.path)
        if not inside or (kept and inside[0] != kept[0]):
            where = f"{secrets_variable(self.name)}={self.path}"
            return Finding(
                ok=False, words=f"the configuration read here does not begin with the new secret: set {where}"
            )
        if not kept:
            written_ms = _changed_ms(self.loaded.path) if self.loaded.path else None
        if written_ms is None or written_ms < made_ms - _SKEW_MS:
            return Finding(ok=False, words="no secret was written here since the newer endpoint was made")
        return Finding(ok=True, words="the newer secret is the first one of the configuration")

    def _read(self, read_ms: int | None) -> Finding:
        files = [self.path, *([self.loaded.path] if self.loaded.path else [])]
        changed_ms = max((_changed_ms(file) or 0 for file in files), default=0)
        if read_ms is None:
            return Finding(ok=False, words="no service runs on this store: start it with the newer secret")
        if read_ms < changed_ms:
            return Finding(
                ok=False,
                words="the service has not read the secrets and the configuration since they changed: reload it",
            )
        return Finding(ok=True, words=f"the service read its configuration at {moment(read_ms)}")

    def _used(self, since_ms: int) -> Finding:
        labels = self._labels(since_ms)
        if _NEWEST in labels:
            return Finding(ok=True, words="deliveries come that are signed with the newest secret")
        others = sum(labels.values())
        but = f"; {others} with an older one" if others else ""
        return Finding(ok=False, words=f"no delivery since {moment(since_ms)} is signed with the newest secret{but}")

    def _labels(self, since_ms: int) -> dict[str, int]:
        """Return how many deliveries each secret proved, until the newest secret is among them."""
        from stibgate.app import open_store_ledger

        labels: dict[str, int] = {}
        try:
            ledger = open_store_ledger(self.loaded.settings)
        except NoStore:
            return labels
        where, before = DeliveryFilter(source=self.name, since_ms=since_ms), None
        with closing(ledger):
            while page := ledger.deliveries(where, limit=_PAGE, before=before):
                for delivery in page:
                    # Of two copies the later one is a duplicate, and no less a proof.
                    copies = ledger.sightings(delivery.delivery_id) if delivery.duplicates else ()
                    for proof in (delivery.authenticated_by, *(copy.authenticated_by or "" for copy in copies)):
                        scheme, _, label = proof.rpartition("/")
                        if scheme:
                            labels[label] = labels.get(label, 0) + 1
                if _NEWEST in labels:
                    break
                before = page[-1].sequence
        return labels


def rotation_of(loaded: "Loaded", name: str, path: Path, listed: "Sequence[Endpoint]") -> Rotation:
    """Return the source's endpoints in the order in which they were made.

    Raises:
        StibgateError: There is none, or nobody can tell which one is the newest.
    """
    own = [one for one in listed if leads_to(loaded.settings, name, one.url)]
    if not own:
        raise StibgateError(
            f"source {name} has no endpoint at Stibnite; nothing was changed", hint=f"stibgate register --source {name}"
        )
    if len(own) > 1:
        try:
            own.sort(key=_made_ms)
            clear = all(_made_ms(one) < _made_ms(after) for one, after in pairwise(own))
        except ValueError:
            clear = False
        if not clear:
            ids = ", ".join(printable(one.id) for one in own)
            raise StibgateError(
                f"nobody can tell which of the endpoints {ids} is the newest; nothing was changed",
                hint="Remove the one whose secret is not in use: `stibgate endpoints delete ID`.",
            )
    return Rotation(loaded, name, path, own)


def _age(made_ms: int, quiet_s: float, now_ms: int) -> Finding:
    step_s = 60 if now_ms - made_ms > 10 * _MINUTE_MS else 1
    old_s = max((now_ms - made_ms) // 1000 // step_s * step_s, 0)
    words = f"the newer endpoint is {format_duration(old_s)} old"
    return Finding(now_ms - made_ms >= quiet_s * 1000, f"{words}; --quiet asks for {format_duration(quiet_s)}")


def _made_ms(endpoint: "Endpoint") -> int:
    """Return when *endpoint* was made.

    Raises:
        ValueError: It does not say so.
    """
    try:
        return from_rfc3339(endpoint.created_at or "")
    except OverflowError as error:
        raise ValueError("not a time") from error


def _changed_ms(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None
