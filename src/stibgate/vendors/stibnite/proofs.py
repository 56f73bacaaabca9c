"""Three ways to prove oneself to Stibnite, never two at once: no secret goes where it is not asked for.

Source: Stibnite Person Data API, "Authentication", "Prospecting embed wallet", "Bootstrap prospecting embed session".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from stibgate.errors import UsageError


@dataclass(frozen=True, slots=True)
class Proof:
    """Who asks.

    Attributes:
        headers: What goes with every request.
        secrets: What must not be repeated from an answer.
        hints: What to do about a refusal, by status.
    """

    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    hints: Mapping[int, str] = field(repr=False)


def by_api_key(api_key: SecretStr) -> Proof:
    """Return the account's proof.

    Raises:
        UsageError: The key cannot stand in a header.
    """
    key = _header_value("api_key", api_key.get_secret_value())
    hints = {
        401: "Check api_key in [stibnite], or STIBGATE_STIBNITE__API_KEY: it is wrong or was revoked.",
        403: "The API key may not do this; partner customers need a managed-account key.",
        404: "It does not exist, or it belongs to another account than the API key's.",
    }
    return Proof({"x-api-key": key}, (key,), hints)


def by_embed_token(token: SecretStr) -> Proof:
    """Return a customer's proof.

    Raises:
        UsageError: The token cannot stand in a header.
    """
    secret = _header_value("token", token.get_secret_value())
    hints = {
        401: "The embed token is wrong or has expired: open a new embed session.",
        403: "The embed token may not do this: check the embed key's settings and the customer's wallet.",
        404: "It does not exist, or it belongs to another customer than the embed token's.",
    }
    return Proof({"Authorization": f"Bearer {secret}"}, (secret,), hints)


def by_public_key(public_key: str, origin: str) -> Proof:
    """Return the proof of a page: its origin here, the public key in the body."""
    hints = {
        401: "The public key is wrong or was revoked: create a new embed key.",
        403: "The origin must be one of the embed key's allowed_origins.",
    }
    return Proof({"Origin": origin}, (public_key,), hints)


def _header_value(name: str, value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"{name} must be printable ASCII without spaces", hint="Copy it again, whole and alone.")
    return value
