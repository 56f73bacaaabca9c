"""Who is logged in: sessions live in memory, so a restart ends them all and nothing of them is on the disk."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from stibgate.domain.access import Grant, Principal, grant, principal_of

SESSIONS_MAX = 1_000
"""Beyond this the session that began first ends: memory is bounded whoever logs in how often."""
EACH_MAX = 100
"""Of one token: beyond this the first one of its own ends, so that nobody ends the sessions of others."""
ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in.

    Attributes:
        csrf: What every form of theirs carries.
        grant: What their token gives; the session ends when the configuration has it no longer.
        ends_at_ms: When they must log in again.
    """

    principal: Principal
    csrf: str
    grant: Grant
    ends_at_ms: int


class Sessions:
    """The sessions that have begun and not ended.

    Args:
        grants: The tokens that are good now.
        lifetime_s: Returns how long a session that begins now lasts.
        now_ms: The clock.
    """

    def __init__(
        self, grants: Callable[[], Sequence[Grant]], *, lifetime_s: Callable[[], float], now_ms: Callable[[], int]
    ) -> None:
        self._grants = grants
        self._lifetime_s = lifetime_s
        self._now_ms = now_ms
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, token: str) -> tuple[str, Session] | None:
        """Return a new session's id, for the cookie, and the session; None when *token* is nobody's."""
        principal = principal_of(self._grants(), token)
        if principal is None:
            return None
        session_id = secrets.token_urlsafe(ID_BYTES)
        session = Session(
            principal,
            secrets.token_urlsafe(ID_BYTES),
            grant(principal.name, principal.role, token),
            self._now_ms() + round(self._lifetime_s() * 1000),
        )
        own = [key for key, one in self._sessions.items() if one.grant == session.grant]
        for key in own[: max(len(own) - EACH_MAX + 1, 0)]:
            del self._sessions[key]
        self._sessions[_key(session_id)] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session_id, session

    def find(self, session_id: str) -> Session | None:
        """Return the session with that id; None when there is none, or it has ended."""
        session = self._sessions.get(_key(session_id))
        if session is None:
            return None
        if self._now_ms() >= session.ends_at_ms or session.grant not in self._grants():
            self.end(session_id)
            return None
        return session

    def end(self, session_id: str) -> None:
        """End the session with that id, if there is one."""
        self._sessions.pop(_key(session_id), None)


def _key(session_id: str) -> bytes:
    """Return where a session is kept: by a hash, so that looking it up takes no longer for a better guess."""
    return sha256(session_id.encode("utf-8", "surrogateescape")).digest()
