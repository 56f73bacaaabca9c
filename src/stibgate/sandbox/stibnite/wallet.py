"""The wallet of one partner customer: what it was granted, what it has used, and what it may still do.

The document's example (25 units, 4 sessions, 21 reveals) is read as one credit unit for each search session and one
for each newly revealed record. Months are UTC. Left open there, and decided here: a wallet that was ever granted
credits is finite, also when the last grant has expired; `available = granted - applied`, never below 0; what is
blocked is a 402 for the whole request, and nothing of it is bought.

Source: Stibnite Person Data API, "Partner customer wallet", "Grant partner customer wallet credits".
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from stibgate.sandbox.stibnite.refusals import Refused

Mode = Literal["enforced", "metered"]
Reset = Literal["monthly_reset", "rollover"]
UNITS, SESSIONS, REVEALS = "credit_units", "search_sessions", "record_reveals"
_LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit units that count from `starts_at_s` until before `expires_at_s`; None never ends."""

    units: int
    starts_at_s: float
    expires_at_s: float | None

    def active(self, now_s: float) -> bool:
        """Return whether it counts now."""
        return self.starts_at_s <= now_s and (self.expires_at_s is None or now_s < self.expires_at_s)


class Wallet:
    """What one customer was granted and has used.

    Args:
        mode: Whether limits and balance stop the customer (`enforced`) or are only reported (`metered`).
        reset: Whether a month begins with the whole grant again (`monthly_reset`) or goes on (`rollover`).
        limits: `monthly_` and `lifetime_` limits of units, sessions and reveals; None does not limit.
        now: Seconds since the Unix epoch.
    """

    def __init__(self, *, mode: Mode, reset: Reset, limits: Mapping[str, int | None], now: Callable[[], float]) -> None:
        self._mode = mode
        self._reset = reset
        self._limits = limits
        self._now = now
        self._grants: list[Grant] = []
        self._used: Counter[tuple[str, str]] = Counter()

    def grant(self, grant: Grant) -> None:
        """Add credits."""
        self._grants.append(grant)

    def open_session(self) -> None:
        """Pay for a search session.

        Raises:
            Refused: 402, when the wallet hard-stops it.
        """
        self._pay(SESSIONS, 1)

    def reveal(self, records: int) -> None:
        """Pay for *records* that the customer did not own.

        Raises:
            Refused: 402, when the wallet hard-stops it; nothing is paid.
        """
        self._pay(REVEALS, records)

    def document(self) -> dict[str, Any]:
        """Return the documented wallet, but for the actions, which are the embed key's."""
        granted, applied = self._granted(), self._applied()
        monthly, lifetime = self._count("monthly", UNITS), self._count(_LIFETIME, UNITS)
        search, reveal = self._blocked(SESSIONS, 1), self._blocked(REVEALS, 1)
        return {
            "available_credit_units": max(0, granted - applied) if self._grants else None,
            "granted_credit_units": granted,
            "applied_credit_units": applied,
            "monthly_applied_credit_units": monthly,
            "lifetime_applied_credit_units": lifetime,
            "credit_enforcement_mode": self._mode,
            "credit_reset_policy": self._reset,
            "active_credit_grants": sum(grant.active(self._now()) for grant in self._grants),
            "monthly_credit_units_used": monthly,
            "lifetime_credit_units_used": lifetime,
            "limits": dict(self._limits),
            "usage": {
                f"{period}_{what}": self._count(period, what)
                for what in (UNITS, SESSIONS, REVEALS)
                for period in ("monthly", _LIFETIME)
            },
            "limit_state": {
                "can_search": search is None,
                "can_reveal": reveal is None,
                "search_block_reason": search,
                "reveal_block_reason": reveal,
            },
        }

    def _pay(self, what: str, amount: int) -> None:
        reason = self._blocked(what, amount)
        if reason is not None:
            raise Refused(402, f"the customer's wallet does not allow it: {reason}")
        for period in (self._month(), _LIFETIME):
            self._used[period, what] += amount
            self._used[period, UNITS] += amount

    def _blocked(self, what: str, amount: int) -> str | None:
        """Return why *amount* more of *what* is not allowed; None when it is."""
        if self._mode == "metered" or not amount:
            return None
        for period in ("monthly", _LIFETIME):
            for limited in (what, UNITS):
                limit = self._limits.get(f"{period}_{limited}")
                if limit is not None and self._count(period, limited) + amount > limit:
                    return f"{period}_{limited}_limit_reached"
        if self._grants and self._granted() - self._applied() < amount:
            return "wallet_credit_units_exhausted"
        return None

    def _granted(self) -> int:
        return sum(grant.units for grant in self._grants if grant.active(self._now()))

    def _applied(self) -> int:
        return self._count(_LIFETIME if self._reset == "rollover" else "monthly", UNITS)

    def _count(self, period: str, what: str) -> int:
        return self._used[self._month() if period == "monthly" else period, what]

    def _month(self) -> str:
        return f"{datetime.fromtimestamp(self._now(), UTC):%Y-%m}"
