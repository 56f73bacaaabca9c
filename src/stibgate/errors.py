"""One tree of errors; each carries a hint: what its reader can do next.

    StibgateError                    exit_code 1
    ├── ConfigError                  78: every problem of a configuration, found in one pass
    ├── SignatureRefused             a delivery that did not prove itself; `reason` stays inside the house
    ├── NotUnderstood                authentic, but not the documented shape: quarantined, never refused
    ├── DeliveryRefused              an answer of the public listener that stores nothing
    ├── SinkError
    │   ├── SinkUnavailable          transient: try the same batch later
    │   │   └── SinkHeld             the whole sink takes nothing for now; no attempt is counted
    │   └── SinkRejected             permanent: the whole batch will never be taken as it is
    ├── VendorError                  `maybe_done`: whether the vendor may have done as asked all the same
    │   ├── VendorUnavailable        75: transient; ask again later
    │   ├── VendorRefused            permanent: this request will never be taken as it is
    │   ├── VendorUnauthorized       77: the key or token is wrong, expired, or may not do this
    │   └── VendorMisbehaved         it answered what is not its documented answer
    ├── JobBusy                      75: another job with the same dedupe token has not ended
    ├── Busy                         75: as much as may go on at once does
    ├── StoreError
    │   ├── NoStore                  there is no database yet
    │   ├── StoreUnavailable         75: cannot store now (busy, closing, failed)
    │   ├── StoreGone                75: its file was deleted or replaced under a running service
    │   ├── StoreDamaged             1: not a sound database any more
    │   ├── StoreTimeout             75: no confirmation in time; it may still be stored
    │   ├── StoreFull                75: free space is below `min_free`, or the disk is full
    │   ├── StoreLocked              75: another process holds the store
    │   ├── SchemaTooNew             78: written by a newer stibgate
    │   ├── SchemaTooOld             78: not brought up to date yet
    │   └── IllegalTransition        a bug of ours: a signal that the task's state does not allow
    ├── UsageError                   2: the command was asked for something it does not do
    │   └── QuestionTooBroad         a list or count that the store cannot answer in the time that it may take
    ├── AddressInUse                 75: another program listens there
    ├── PermissionRefused            77: a file or folder that must be readable or writable is not
    └── ServiceUnreachable           69: no running service answers

To the sender we say little, to the operator all: nothing here is written into an HTTP answer but
`DeliveryRefused.status` and its title.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69
EXIT_TEMPORARY = 75
EXIT_PERMISSION = 77
EXIT_CONFIG = 78


class StibgateError(Exception):
    """Anything that stibgate says went wrong, with a hint about what to do.

    Args:
        message: What happened, in one line, without personal data or secrets.
        hint: What the reader can do next; printed on its own line.
    """

    exit_code: int = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration.

    Attributes:
        where: `config.toml:92`, `environment` or `credentials`.
        path: The key path, `sinks.drop.rotate_rows`, or the variable's name.
        seen: The value found, masked when it may be a secret; empty when nothing was there.
        allowed: What is allowed there, in words.
    """

    where: str
    path: str
    seen: str
    allowed: str

    def __str__(self) -> str:
        """Return the one line that a person reads."""
        seen = f"  {self.seen}" if self.seen else ""
        return f"{self.where}  {self.path}{seen}  {self.allowed}"


class ConfigError(StibgateError):
    """Every problem of a configuration, found in one pass."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        count = len(problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(
            f"{count} {noun} in the configuration. Nothing was started.",
            hint=hint or "Every key is described in config.example.toml; `stibgate config check` tries again.",
        )
        self.problems = tuple(problems)


class AuthReason(StrEnum):
    """Why a delivery did not prove itself; for logs and the console, never for the sender."""

    MISSING = "missing"
    MALFORMED = "malformed"
    REPEATED = "repeated"
    MISMATCH = "mismatch"
    STALE = "stale"
    FUTURE = "future"
    EXPIRED_SECRET = "expired_secret"  # noqa: S105  (a reason, not a password)


class SignatureRefused(StibgateError):
    """The delivery did not prove itself."""

    def __init__(self, reason: AuthReason, message: str = "", *, hint: str = "") -> None:
        super().__init__(
            message or f"signature {reason}",
            hint=hint or "Run `stibgate verify --explain` on a capture of the delivery.",
        )
        self.reason = reason


class NotUnderstood(StibgateError):
    """An authentic delivery whose body is not the documented shape; it is quarantined."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, hint="The body is kept whole; it can be replayed once it is understood.")
        self.reason = reason


class DeliveryRefused(StibgateError):
    """An answer of the public listener that stores nothing.

    Args:
        status: The HTTP status.
        title: The short public title; says nothing about why authentication failed.
        reason: A closed word for log and console.
        retry_after_s: Whole seconds for `Retry-After`, when the sender may come back.
        close: Whether the connection must not be used again.
        source: The source that was named, where there is one; for the log only.
    """

    def __init__(
        self,
        status: int,
        title: str,
        reason: str,
        *,
        retry_after_s: int | None = None,
        close: bool = False,
        source: str | None = None,
    ) -> None:
        super().__init__(f"{status} {title}", hint=f"reason: {reason}")
        self.status = status
        self.title = title
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.close = close
        self.source = source


class SinkError(StibgateError):
    """A sink did not take a batch."""


class SinkUnavailable(SinkError):
    """Transient: the same batch may be taken later.

    Args:
        message: What happened, without personal data.
        hint: What an operator can do.
        retry_after_s: Seconds to wait when the sink said so.
        outcomes: A `domain.task.Outcome` for each record that is settled all the same; only the others come again.
    """

    def __init__(
        self, message: str, *, hint: str = "", retry_after_s: float | None = None, outcomes: Sequence[Any] = ()
    ) -> None:
        super().__init__(message, hint=hint or "It will be tried again by itself.")
        self.retry_after_s = retry_after_s
        self.outcomes = tuple(outcomes)


class SinkHeld(SinkUnavailable):
    """The whole sink takes nothing for now, whoever asks: a token that expired, a quota that is used up.

    Its queue is held, no attempt is counted, no task grows old, and one batch is tried when the time is over.
    """


class SinkRejected(SinkError):
    """Permanent: this batch will never be taken as it is."""


class VendorError(StibgateError):
    """A vendor's API did not do as asked, or nobody knows whether it did.

    Args:
        message: What happened, without personal data or secrets.
        hint: What an operator can do.
        maybe_done: Whether the request may have been carried out, and billed, all the same.
    """

    def __init__(self, message: str, *, hint: str = "", maybe_done: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.maybe_done = maybe_done


class VendorUnavailable(VendorError):
    """Transient: the same request may succeed later.

    Args:
        message: What happened, without personal data or secrets.
        hint: What an operator can do.
        retry_after_s: Seconds to wait when the vendor said so.
        maybe_done: As in `VendorError`.
    """

    exit_code = EXIT_TEMPORARY

    def __init__(
        self, message: str, *, hint: str = "", retry_after_s: float | None = None, maybe_done: bool = False
    ) -> None:
        super().__init__(message, hint=hint or "Try again later.", maybe_done=maybe_done)
        self.retry_after_s = retry_after_s


class VendorRefused(VendorError):
    """Permanent: the vendor will never take this request as it is; nothing was done.

    Args:
        status: The HTTP status.
        message: What happened, without personal data or secrets.
        hint: What an operator can do.
    """

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class VendorUnauthorized(VendorError):
    """The key or token is wrong, has expired, or may not do this; no request that carries it will succeed.

    Args:
        status: The HTTP status, 401 or 403.
        message: What happened, without personal data or secrets.
        hint: What an operator can do.
    """

    exit_code = EXIT_PERMISSION

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class VendorMisbehaved(VendorError):
    """An answer that is not the documented one: a web page, half of a body, a redirect, another shape."""


class JobBusy(StibgateError):
    """Another job with the same dedupe token has not ended; nothing was submitted or set aside."""

    exit_code = EXIT_TEMPORARY


class Busy(StibgateError):
    """As much as may go on at once does; nothing was begun."""

    exit_code = EXIT_TEMPORARY


class StoreError(StibgateError):
    """The store could not do what was asked."""


class NoStore(StoreError):
    """There is no database yet: nothing was ever received."""


class StoreUnavailable(StoreError):
    """The store cannot write now; nothing was acknowledged."""

    exit_code = EXIT_TEMPORARY


class StoreGone(StoreUnavailable):
    """The database's file was deleted or replaced; what is written now would be lost with the process."""


class StoreDamaged(StoreUnavailable):
    """The database is not sound any more."""

    exit_code = EXIT_FAILED


class StoreTimeout(StoreUnavailable):
    """The store did not confirm in time. What was handed over may still be stored."""


class StoreFull(StoreUnavailable):
    """Free space is below `storage.min_free`, or the disk is full; nothing was acknowledged."""


class StoreLocked(StoreError):
    """Another process holds the store.

    Args:
        message: Who holds which store.
        hint: What an operator can do.
        for_a_moment: Whether the holder is a command, which is soon done.
    """

    exit_code = EXIT_TEMPORARY

    def __init__(self, message: str, *, hint: str = "", for_a_moment: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.for_a_moment = for_a_moment


class SchemaTooNew(StoreError):
    """The database was written by a newer stibgate."""

    exit_code = EXIT_CONFIG


class SchemaTooOld(StoreError):
    """The database was not brought to this version's schema yet."""

    exit_code = EXIT_CONFIG


class IllegalTransition(StoreError):
    """A signal that the task's state does not allow; a bug of ours, and nothing was changed."""


class UsageError(StibgateError):
    """The command was asked for something it does not do."""

    exit_code = EXIT_USAGE


class QuestionTooBroad(UsageError):
    """A list or count that the store cannot answer in the time that it may take."""


class AddressInUse(StibgateError):
    """Another program listens on a configured address."""

    exit_code = EXIT_TEMPORARY


class PermissionRefused(StibgateError):
    """A file or folder that must be readable or writable is not."""

    exit_code = EXIT_PERMISSION


class ServiceUnreachable(StibgateError):
    """No running service answers."""

    exit_code = EXIT_UNREACHABLE
