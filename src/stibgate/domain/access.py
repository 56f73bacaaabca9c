"""Who may do what on the admin listener: three roles, each of which may do what the one before it may."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do: look; act and reveal; see the configuration and the audit, and erase."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: "Role") -> bool:
        """Return whether this role includes *needed*."""
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proved who they are.

    Attributes:
        name: As the configuration calls the token.
    """

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token gives; the token itself is not kept."""

    principal: Principal
    digest: bytes


def grant(name: str, role: Role, token: str) -> Grant:
    """Return what *token* gives."""
    return Grant(Principal(name, role), _digest(token))


def principal_of(grants: Sequence[Grant], token: str) -> Principal | None:
    """Return whose *token* it is, or None; takes as long for a wrong token as for any right one."""
    given = _digest(token)
    found = None
    for known in grants:
        if hmac.compare_digest(given, known.digest) and found is None:
            found = known.principal
    return found


def _digest(token: str) -> bytes:
    """Return what is kept of a token; one of 256 random bits needs no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
