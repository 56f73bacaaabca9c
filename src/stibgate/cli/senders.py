"""A configured source seen from the other side: what its sender knows. For sign, verify and trigger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uuid_utils

from stibgate.app import pinned_schemes
from stibgate.app.sources import source_of
from stibgate.cli.output import base_url
from stibgate.config import Settings, SourceSettings, load
from stibgate.errors import UsageError
from stibgate.pipeline.source import Source
from stibgate.signatures import Scheme, Secret, candidates, sign

DEFAULT_SCHEME = "t_v1"


@dataclass(frozen=True, slots=True)
class Sender:
    """What a sender needs to post to one source.

    Attributes:
        url: The source's URL on the running gateway, with its token where it has one.
        schemes: What the gateway accepts now: the pinned scheme, or the configured candidates.
        limits: The configured tolerances, as `explain` takes them.
        pinned: Whether the source is `auto` and has settled on the one scheme in *schemes*.
    """

    name: str
    url: str
    schemes: Sequence[Scheme]
    secrets: Sequence[Secret] = field(repr=False)
    signs: bool = True
    limits: dict[str, float] = field(default_factory=dict)
    pinned: bool = False

    def signed(self, body: bytes, *, scheme: str | None, unix_s: int) -> list[tuple[str, str]]:
        """Return the signature headers for *body*, by the newest secret.

        Raises:
            UsageError: There is no such preset.
        """
        chosen = self.schemes[0]
        if scheme is not None:
            try:
                chosen = candidates(scheme)[0]
            except ValueError as error:
                raise UsageError(str(error), hint="Give --scheme one of the presets.") from error
        return sign(chosen, self.secrets[0].value, body, unix_s=unix_s, message_id=f"msg_{uuid_utils.uuid7().hex}")


def find_sender(
    config: Path | None,
    name: str | None,
    *,
    needs_secret: bool = False,
    kind: str | None = None,
    url: str | None = None,
) -> Sender:
    """Return the sender of source *name*, or of the only source that fits.

    Args:
        config: The configuration file.
        name: A source; None picks the only one that fits.
        needs_secret: Only sources with a secret fit.
        kind: Only sources of this kind fit.
        url: Where the gateway listens; by default `server.bind`.

    Raises:
        UsageError: No source fits, or several do.
    """
    settings = load(config).settings
    fitting = {
        key: source
        for key, source in settings.sources.items()
        if (not needs_secret or source.secrets) and kind in {None, source.kind}
    }
    if name is not None and name not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise UsageError(f"there is no source {name!r}", hint=f"The configuration has {known}.")
    if name is None:
        if len(fitting) != 1:
            names = ", ".join(fitting) or "none"
            raise UsageError("which source?", hint=f"Give --source; fitting here: {names}.")
        name = next(iter(fitting))
    if needs_secret and not settings.sources[name].secrets:
        raise UsageError(f"source {name} has no secret", hint="It proves itself by the token in its URL alone.")
    return _sender(settings, name, settings.sources[name], url)


def _sender(settings: Settings, name: str, source: SourceSettings, url: str | None) -> Sender:
    base = url or base_url(settings.server.bind_address)
    needs_token = source.auth in {"token", "signature+token"}
    token = f"/{source.tokens[0].get_secret_value()}" if needs_token else ""
    known = source_of(name, source)
    pin = pinned_schemes(settings).get(name) if known.pinning else None
    return Sender(
        name=name,
        url=f"{base.rstrip('/')}/hooks/{name}{token}",
        schemes=_schemes(known, pin),
        secrets=known.secrets,
        signs=source.auth != "token" and bool(source.secrets),
        limits={"tolerance_s": known.tolerance_s, "future_s": known.future_tolerance_s},
        pinned=pin is not None,
    )


def _schemes(source: Source, pin: Mapping[str, Any] | None) -> Sequence[Scheme]:
    """Return what the gateway accepts from this source now, the scheme to sign with first."""
    if not source.pinning:
        return source.schemes
    if pin is not None:
        return (Scheme.from_document(pin),)
    return (*candidates(DEFAULT_SCHEME), *source.schemes)
