"""Header values: cut apart and laid out, MACs decoded and encoded; strict, and nothing raises.

Hex is taken in both cases (the bytes are compared, so its case proves nothing); base64 only in its one canonical
spelling with padding; base64url canonical, with or without padding. One MAC must not have many spellings that a
cache or a log would take for different signatures.
"""

import base64
import binascii
from collections.abc import Callable, Sequence

from stibgate.signatures.scheme import Encoding, Grammar

HEADER_CHARS_MAX = 4096
SIGNATURES_MAX = 16

HeaderLookup = Callable[[str], Sequence[str]]
"""Header name in lower case -> every value that was sent under it, in order; empty when there is none."""


def header_lookup(pairs: Sequence[tuple[str, str]]) -> HeaderLookup:
    """Return a lookup over header *pairs*, whatever the case of their names."""
    table: dict[str, list[str]] = {}
    for name, value in pairs:
        table.setdefault(name.lower(), []).append(value)

    def values(name: str) -> Sequence[str]:
        return table.get(name, ())

    return values


def split_value(value: str, grammar: Grammar, label: str, time_name: str | None) -> tuple[list[str], str | None] | None:
    """Return the MAC texts under *label* and the timestamp inside the value, or None for another grammar.

    Items under other names are passed over: senders add versions. A second timestamp is another grammar, since
    libraries disagree about which of the two counts.
    """
    match grammar:
        case Grammar.PAIRS:
            return _split_pairs(value, label, time_name)
        case Grammar.VERSIONED:
            versions = (item.partition(",") for item in value.split(" "))
            return [text for name, _, text in versions if name == label], None
        case Grammar.PREFIX | Grammar.PREFIX_LIST:
            if not value.startswith(label):
                return None
            rest = value[len(label) :]
            return rest.split(",") if grammar is Grammar.PREFIX_LIST else [rest], None
        case Grammar.BARE:
            return [value], None


def _split_pairs(value: str, label: str, time_name: str | None) -> tuple[list[str], str | None] | None:
    macs: list[str] = []
    stamp: str | None = None
    for item in value.split(","):
        name, _, text = item.strip(" ").partition("=")
        if name == label:
            macs.append(text)
        elif name == time_name:
            if stamp is not None:
                return None
            stamp = text
    return macs, stamp


def join_value(grammar: Grammar, label: str, mac: str, time_name: str | None, stamp: str) -> str:
    """Return the header value that holds one MAC, and the timestamp where the grammar carries it."""
    match grammar:
        case Grammar.PAIRS:
            return f"{time_name}={stamp},{label}={mac}" if time_name else f"{label}={mac}"
        case Grammar.VERSIONED:
            return f"{label},{mac}"
        case Grammar.PREFIX | Grammar.PREFIX_LIST:
            return label + mac
        case Grammar.BARE:
            return mac


def decode_mac(text: str, encoding: Encoding, size: int) -> bytes | None:
    """Return the *size* bytes that *text* spells, or None; *text* is ASCII."""
    try:
        if encoding is Encoding.HEX:
            # fromhex() skips white space, but then the text is longer than twice the bytes.
            mac = bytes.fromhex(text) if len(text) == 2 * size else b""
            return mac if len(mac) == size else None
        altchars = b"-_" if encoding is Encoding.BASE64URL else None
        padded = text
        if altchars and "=" not in text:
            padded += "=" * (-len(text) % 4)
        mac = base64.b64decode(padded, altchars, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Spelling it again refuses stray low bits and, under base64url, the other alphabet.
    return mac if len(mac) == size and base64.b64encode(mac, altchars).decode() == padded else None


def encode_mac(mac: bytes, encoding: Encoding) -> str:
    """Return *mac* as text: lower-case hex, or base64 with padding."""
    match encoding:
        case Encoding.HEX:
            return mac.hex()
        case Encoding.BASE64:
            return base64.b64encode(mac).decode()
        case Encoding.BASE64URL:
            return base64.urlsafe_b64encode(mac).decode()
