"""Signing, as a sender does it: for our webhook sink, the sandbox and `stibgate sign`."""

from stibgate.signatures.mac import STAMP_DIGITS_MAX, Content, is_message_id, is_stamp
from stibgate.signatures.scheme import Scheme, TimestampUnit, id_stops
from stibgate.signatures.secret import derive_key
from stibgate.signatures.wire import encode_mac, join_value


def sign(scheme: Scheme, secret: str, body: bytes, *, unix_s: int, message_id: str) -> list[tuple[str, str]]:
    """Return the header pairs that a sender adds to *body*: id and timestamp where signed, then the signature.

    Args:
        scheme: How to sign.
        secret: The secret's text; its key is read as the scheme says.
        body: The raw bytes as they will be sent.
        unix_s: Now, in seconds; unused where the scheme signs no time.
        message_id: The id; unused where the scheme signs none.

    Raises:
        ValueError: The secret has no key under the scheme's reading, or time or id could not be verified.
    """
    stamp, pairs = "", []
    if scheme.id_header is not None:
        if not is_message_id(message_id, id_stops(scheme.content)):
            raise ValueError("message_id: 1 to 256 visible ASCII characters, no dot and no separator")
        pairs.append((scheme.id_header, message_id))
    else:
        message_id = ""
    if scheme.timestamp != "none":
        stamp = str(unix_s * 1000 if scheme.timestamp_unit is TimestampUnit.MILLISECONDS else unix_s)
        if not is_stamp(stamp, STAMP_DIGITS_MAX[scheme.timestamp_unit]):
            raise ValueError("unix_s: not a time that a receiver takes")
        if scheme.timestamp_header is not None:
            pairs.append((scheme.timestamp_header, stamp))
    key = derive_key(secret, scheme.key)
    mac = Content.of(scheme.content).mac(key, body, scheme.algorithm.value, stamp, message_id)
    text = encode_mac(mac, scheme.encoding)
    pairs.append((scheme.header, join_value(scheme.grammar, scheme.label, text, scheme.timestamp_pair, stamp)))
    return pairs
