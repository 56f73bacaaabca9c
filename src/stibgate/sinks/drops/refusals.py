"""What an object store's failure means: try again, hold everything, or give up on this batch.

obstore has few classes of errors; all else stands in their text: the status line and the answer's `<Code>`. Only these
two are read from it, because the text also quotes the request and the answer.

Source: "Error responses" of the S3 API, "HTTP status and error codes for XML" of Cloud Storage, "Status and error
codes" of the Blob service; the wording of obstore 0.12, which the tests pin.
"""

import re
from functools import cache

from stibgate.errors import SinkError, SinkHeld, SinkRejected, SinkUnavailable

_HOLD_S = 60.0
_STATUS = re.compile(r"status code: (\d{3})\b")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
# Where machines ask who they are. No id of a sender's can look like it: its dots and slashes are escaped.
_ASKED_FOR_CREDENTIALS = re.compile(
    r"http://169\.254\.|http://metadata\.google\.internal|/latest/api/token|performing token request"
)

_KEYS = "Check the credentials and their permission to write below {url}."
_OLD_KEYS = "Give new credentials; temporary ones must come from the machine's identity, or be replaced in time."
_PLACE = "Make the bucket of {url}, or correct `url`, `storage.region` and `storage.endpoint`."
_HELD: dict[str, tuple[str, str]] = {
    "ExpiredToken": ("the credentials have expired", _OLD_KEYS),
    "TokenRefreshRequired": ("the credentials have expired", _OLD_KEYS),
    "InvalidToken": ("the session token is not accepted", _OLD_KEYS),
    "InvalidAccessKeyId": ("the access key is not known", _KEYS),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", _KEYS),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "Set the clock of this machine (NTP)."),
    "NoSuchBucket": ("there is no such bucket", _PLACE),
    "ContainerNotFound": ("there is no such container", _PLACE),
    "PermanentRedirect": ("the bucket is in another region", _PLACE),
    "TemporaryRedirect": ("the bucket is in another region", _PLACE),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _PLACE),
    "QuotaExceeded": ("the quota of the object store is used up", "Raise the quota or remove objects."),
}
_HELD_STATUS = {
    301: _HELD["PermanentRedirect"],
    307: _HELD["PermanentRedirect"],
    401: ("the credentials are not accepted", _KEYS),
    403: ("writing is not allowed with these credentials", _KEYS),
    404: _HELD["NoSuchBucket"],
    507: _HELD["QuotaExceeded"],
}
_BUSY = frozenset({"SlowDown", "ServerBusy", "RequestLimitExceeded", "Throttling"})
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestBodyTooLarge"})


@cache
def failures() -> tuple[type[Exception], ...]:
    """Return what obstore raises; time-outs are among them."""
    from obstore.exceptions import BaseError  # noqa: PLC0415  (an extra, and 15 MB)

    return (BaseError, OSError, NotImplementedError, ValueError)


def refusal(error: Exception, url: str) -> SinkError:
    """Return *error* as the sink says it, without anything that the store or the request said."""
    status, code = _status(error), _code(error)
    held = _HELD.get(code) or _HELD_STATUS.get(status) or _unasked(error, status)
    if held is not None:
        message, hint = held
        return SinkHeld(message, hint=hint.format(url=url) + " Nothing is lost meanwhile.", retry_after_s=_HOLD_S)
    if status == 413 or code in _TOO_LARGE:
        return SinkRejected(
            "the object is too large for the object store", hint="Raise its limit, or that of the proxy before it."
        )
    message = _in_words(error, status, code)
    return SinkUnavailable(message, hint=f"Check that {url} can be reached. It is tried again by itself.")


def is_missing(error: Exception) -> bool:
    """Return whether the object, or its bucket, is not there."""
    return isinstance(error, FileNotFoundError)


def is_denied(error: Exception) -> bool:
    """Return whether the credentials are good, but not for this."""
    return _status(error) == 403 and _code(error) not in _HELD


def _unasked(error: Exception, status: int) -> tuple[str, str] | None:
    """Return what is wrong before anything was asked of the store itself."""
    if status:
        return None
    if _ASKED_FOR_CREDENTIALS.search(str(error)):
        return ("there are no credentials", "Set those of [storage], the environment variables, or a machine identity.")
    if "redirect without LOCATION" in str(error):
        return _HELD["PermanentRedirect"]
    if "HTTP error: builder error" in str(error):
        return ("the endpoint is not https", "Set `storage.endpoint`, or `storage.allow_http = true`.")
    return None


def _in_words(error: Exception, status: int, code: str) -> str:
    if status in {429, 503} or code in _BUSY:
        return "the object store asks for fewer requests"
    if status:
        return f"the object store answered {status}{f' {code}' if code else ''}"
    if isinstance(error, TimeoutError) or "kind: Timeout" in str(error):
        return "the object store did not answer in time"
    if "kind: Connect" in str(error):
        return "the object store cannot be reached"
    return "the connection to the object store failed"


def _status(error: Exception) -> int:
    match = _STATUS.search(str(error))
    return int(match[1]) if match else 0


def _code(error: Exception) -> str:
    match = _CODE.search(str(error))
    return match[1] if match else ""
