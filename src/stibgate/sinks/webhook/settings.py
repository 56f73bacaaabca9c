"""The keys of a webhook sink."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator
from yarl import URL

from stibgate.signatures import KeyReading, check_secret, derive_key
from stibgate.sinks import Sink, SinkContext
from stibgate.sinks.settings import PositiveDuration, SinkSettings
from stibgate.sinks.webhook.addresses import is_private_name, is_public
from stibgate.sinks.webhook.network import Network
from stibgate.sinks.webhook.sink import Receiver, WebhookSink

_SECRETS_MAX = 5
_KEY_BYTES_MIN = 16
_HEADERS_MAX = 20
_URL_CHARS_MAX = 2048

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?", re.ASCII)
_LAST_LABEL_OF_A_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_RESERVED = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_RESERVED_FAMILIES = ("ce-", "webhook-", "proxy-")


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str | SecretStr) else value


Secrets = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=_SECRETS_MAX),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _SECRETS_MAX},
            ]
        }
    ),
]
"""One signing secret as text, or several, newest first."""


class WebhookSettings(SinkSettings):
    """Each delivery's records as one signed POST.

    Attributes:
        allow_private: Whether private addresses and plain http:// are taken: for receivers in one's own network.
        url: Where to POST; https:// unless `allow_private`. It may be a secret: only its host is ever told.
        secret: What signs, as Standard Webhooks has it: `whsec_` and base64. Several while one is rotated, newest
            first: each of them signs.
        cloudevents: Whether to add the attributes of CloudEvents 1.0 as headers.
        headers: Sent along with every request, for a key that the receiver asks for.
        connect_timeout: Seconds until there must be a connection.
        answer_timeout: Seconds until there must be an answer; shorter than the delivery's `timeout`.
    """

    kind: Literal["webhook"]
    allow_private: bool = False  # before `url`, whose check looks at it
    url: str
    secret: Secrets
    cloudevents: bool = False
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    connect_timeout: PositiveDuration = 5.0
    answer_timeout: PositiveDuration = 25.0

    @field_validator("url")
    @classmethod
    def _sound_url(cls, text: str, info: ValidationInfo) -> str:
        wrong = 'must be a URL such as "https://hooks.example.com/stibnite", without user name and fragment'
        if not 0 < len(text) <= _URL_CHARS_MAX or not text.isprintable() or re.search(r"[\s\\#]", text):
            raise ValueError(wrong)
        try:
            url = URL(text)
        except ValueError:
            raise ValueError(wrong) from None
        if url.scheme not in {"https", "http"} or not url.host or "@" in text.partition("://")[2].partition("/")[0]:
            raise ValueError(wrong)
        if url.port == 0 or "%" in url.host:
            raise ValueError(wrong)
        if url.scheme == "http" and not info.data.get("allow_private"):
            raise ValueError("must begin with https://; http:// only with allow_private = true")
        if _is_odd_address(url.host):
            raise ValueError("its host looks like an address; write that as four numbers from 0 to 255")
        return text

    @field_validator("secret")
    @classmethod
    def _sound_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            text = secret.get_secret_value()
            if complaint := check_secret(text):
                raise ValueError(complaint)
            if len(derive_key(text, KeyReading.BASE64)) < _KEY_BYTES_MIN:
                raise ValueError(f"the secret needs at least {_KEY_BYTES_MIN} bytes behind its base64; 24 are usual")
        if len({secret.get_secret_value().strip() for secret in secrets}) != len(secrets):
            raise ValueError("the same secret stands there twice")
        return secrets

    @field_validator("headers")
    @classmethod
    def _sound_headers(cls, headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        if len(headers) > _HEADERS_MAX or len({name.lower() for name in headers}) != len(headers):
            raise ValueError(f"must have {_HEADERS_MAX} or fewer headers, and none twice")
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("has a name that is not the name of an HTTP header")
            if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_FAMILIES):
                raise ValueError(f"{name.lower()} is set by stibgate itself")
            if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"{name.lower()}: must be 1 to 4096 printable ASCII characters, without space around")
        return headers

    def notices(self) -> Iterator[str]:
        """Yield what is allowed, and perhaps not meant."""
        if not self.allow_private and is_private_name(URL(self.url).host or ""):
            yield "url leads into a private network, so every delivery is refused; set allow_private = true if meant"

    def build(self, context: SinkContext) -> Sink:
        """Return the sink; nothing is touched before its `open`."""
        allowed = (lambda _: True) if self.allow_private else is_public
        return WebhookSink(self.receiver(), Network(allowed), now_ms=context.now_ms, observe=context.observe)

    def receiver(self) -> Receiver:
        """Return where the sink sends to."""
        return Receiver(
            url=URL(self.url),
            secrets=[secret.get_secret_value().strip() for secret in self.secret],
            headers={name.lower(): value.get_secret_value() for name, value in self.headers.items()},
            cloudevents=self.cloudevents,
            connect_timeout_s=self.connect_timeout,
            answer_timeout_s=self.answer_timeout,
        )


def _is_odd_address(host: str) -> bool:
    """Return whether *host* is a number to the system's resolver and not to a reader: 0x7f.1, 2130706433, 127.1."""
    if not _LAST_LABEL_OF_A_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False
