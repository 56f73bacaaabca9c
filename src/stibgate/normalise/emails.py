"""E-mail addresses: checked by email-validator, the domain in lower-case ASCII, the local part as it is."""

import re
from functools import lru_cache

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+\-]+(?:\.[A-Za-z0-9_+\-]+)*")
"""Local parts that email-validator takes as they are; anything else is asked of it whole."""

_ADDRESS_CHARS_MAX = 254  # RFC 5321, 4.5.3.1.3 less the angle brackets


def canonical(text: str) -> str | None:
    """Return the address with its domain in lower-case ASCII (IDNA), or None when it is no address.

    The local part keeps its case: only its own server may say that case does not matter.

    Args:
        text: Cleaned text, without white space around it.
    """
    local, _, domain = text.rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local) and domain.isascii():
        domain = _mail_domain(domain) or ""
        return f"{local}@{domain}" if domain and len(local) + 1 + len(domain) <= _ADDRESS_CHARS_MAX else None
    return _by_library(text)


def _by_library(text: str) -> str | None:
    """Return what `canonical` returns, asking email-validator about the whole address."""
    valid = _validate(text)
    if valid is None or valid.ascii_domain is None:
        return None
    local = text.rpartition("@")[0]
    address = f"{local}@{valid.ascii_domain}"
    return address if len(address) <= _ADDRESS_CHARS_MAX else None


@lru_cache(maxsize=4096)
def _mail_domain(domain: str) -> str | None:
    """Return *domain* in lower-case ASCII, or None; cached because colleagues share it, and it names no person."""
    valid = _validate(f"a@{domain}")
    return valid.ascii_domain if valid else None


def _validate(text: str) -> ValidatedEmail | None:
    """Return email-validator's opinion, or None when the address is invalid; it never asks the DNS."""
    try:
        return validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None
    except (ValueError, IndexError):  # what idna's internals raise on some hostile labels
        return None
