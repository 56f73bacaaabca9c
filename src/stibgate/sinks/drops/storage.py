"""`[sinks.NAME.storage]`: how an object store is reached, and the only place that makes one.

What is not set comes from obstore's own environment variables (`AWS_*`, `GOOGLE_*`, `AZURE_*`) or from the machine's
identity; what is set wins over them. Files below `~/.aws` are not read.

Source: the configuration keys of obstore 0.12 (`S3Config`, `GCSConfig`, `AzureConfig`, `ClientConfig`, `RetryConfig`).
"""

import importlib.util
import re
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

from stibgate.sinks.settings import PositiveDuration

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_URL = re.compile(r"(?P<scheme>s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,221}(?P<prefix>(/[A-Za-z0-9!_.*'()=-]+)*)/?")
_OF_SCHEME = {
    "s3": frozenset({
        "region", "access_key_id", "secret_access_key", "session_token", "virtual_hosted_style_request",
        "server_side_encryption", "sse_kms_key_id",
    }),
    "gs": frozenset({"service_account_key"}),
    "az": frozenset({"account_name", "account_key", "sas_key"}),
}  # fmt: skip
_OURS = frozenset({"endpoint", "allow_http", "timeout"})
_REASONS = {
    "Account must be specified": "az:// needs storage.account_name, or AZURE_STORAGE_ACCOUNT_NAME",
    "Missing SecretAccessKey": "s3:// needs storage.secret_access_key, or AWS_SECRET_ACCESS_KEY",
    "Missing AccessKeyId": "s3:// needs storage.access_key_id, or AWS_ACCESS_KEY_ID",
}
_CONNECT_TIMEOUT = timedelta(seconds=5)
_POOL_IDLE = timedelta(seconds=15)  # before the stores drop them, so that no request goes into a dead connection


class ObjectStoreSettings(BaseModel):
    """Options of an object store; those without a store's name are for all of them.

    Attributes:
        endpoint: Another server than the vendor's own, for example a MinIO; `https`, or `http` on this machine.
        allow_http: Allow `http` to other machines too: names, phones and keys go over the network in the clear.
        timeout: Seconds for one object; keep it below the sink's `delivery.timeout`.
        region: s3.
        access_key_id: s3.
        secret_access_key: s3.
        session_token: s3, with temporary keys.
        virtual_hosted_style_request: s3: the bucket stands in the host name; then also in `endpoint`.
        server_side_encryption: s3: `AES256`, `aws:kms` or `aws:kms:dsse`; else the bucket's own default.
        sse_kms_key_id: s3: the key for `aws:kms`.
        service_account_key: gs: the service account's key, its JSON as text.
        account_name: az: the storage account.
        account_key: az.
        sas_key: az: a shared access signature instead of the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: str | None = None
    allow_http: bool = False
    timeout: PositiveDuration = 20.0
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    virtual_hosted_style_request: bool | None = None
    server_side_encryption: str | None = None
    sse_kms_key_id: str | None = None
    service_account_key: SecretStr | None = None
    account_name: str | None = None
    account_key: SecretStr | None = None
    sas_key: SecretStr | None = None

    @field_validator("endpoint")
    @classmethod
    def _plain_url(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        try:
            parts = urlsplit(endpoint)
            right = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            right = False
        if not right or "@" in endpoint or parts.query or parts.fragment:
            raise ValueError(
                "must be an address such as https://minio.example.com:9000, without user, query or fragment"
            )
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def _http_stays_here(self) -> Self:
        if self.endpoint and self.endpoint.startswith("http:") and not (self.allow_http or _is_here(self.endpoint)):
            raise ValueError("endpoint must be https; allow_http = true allows http, and sends people in the clear")
        return self

    def check_for(self, url: str) -> None:
        """Do nothing when a store can be made from this and *url*; nothing goes over the network.

        Raises:
            ValueError: It cannot, and why.
        """
        match = _URL.fullmatch(url)
        if match is None or {".", ".."} & set(match["prefix"].split("/")):
            raise ValueError(
                "must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER;"
                " a prefix has A-Z a-z 0-9 ! _ . * ' ( ) = - between its slashes"
            )
        if importlib.util.find_spec("obstore") is None:
            raise ValueError("needs an extra that is not installed: pip install 'stibgate[s3]'")
        foreign = sorted(self._options().keys() - _OF_SCHEME[match["scheme"]])
        if foreign:
            raise ValueError(f"{match['scheme']}:// has no storage.{foreign[0]}")
        try:
            self.connect(url)
        except Exception as error:  # noqa: BLE001  (which store raises what is not documented)
            known = [words for clue, words in _REASONS.items() if clue in str(error)]
            # Not its own text, which may quote a key.
            raise ValueError(
                *known or [f"{match['scheme']}:// refuses [storage] or the environment variables"]
            ) from None

    def connect(self, url: str) -> "ObjectStore":
        """Return the store at *url*; nothing goes over the network before it is used.

        Nothing is tried twice in there: when to try again is for the sink's `schedule` to say.
        """
        from obstore.store import from_url  # noqa: PLC0415  (an extra, and 15 MB)

        options = self._options()
        if self.endpoint is not None:
            options["base_url" if url.startswith("gs:") else "endpoint"] = self.endpoint
        timeout = timedelta(seconds=self.timeout)
        return from_url(
            url,
            client_options={
                "allow_http": self.allow_http or bool(self.endpoint and _is_here(self.endpoint)),
                "timeout": timeout,
                "connect_timeout": min(_CONNECT_TIMEOUT, timeout),
                "pool_idle_timeout": _POOL_IDLE,
            },
            retry_config={"max_retries": 0, "retry_timeout": timeout},
            **options,
        )

    def _options(self) -> dict[str, Any]:
        """Return what is set for one kind of store."""
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self
            if name not in _OURS and value is not None
        }


def _is_here(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
