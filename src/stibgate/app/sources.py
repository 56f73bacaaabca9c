"""A configured source into one that deliveries are checked against."""

from stibgate.config import SourceSettings
from stibgate.pipeline.source import Auth, Source, StalePolicy
from stibgate.signatures import Secret, candidates


def source_of(name: str, settings: SourceSettings) -> Source:
    """Return the source as intake knows it; labels number its secrets from the newest."""
    schemes = candidates(settings.scheme, overrides=settings.signature.overrides(), allow_sha1=settings.allow_sha1)
    return Source(
        name=name,
        auth=Auth(settings.auth),
        tokens=[token.get_secret_value() for token in settings.tokens],
        secrets=[
            Secret(
                item.value.get_secret_value(),
                str(number),
                None if item.not_after is None else item.not_after.timestamp(),
            )
            for number, item in enumerate(settings.secrets, start=1)
        ],
        schemes=schemes,
        pinning=settings.scheme == "auto",
        tolerance_s=settings.tolerance,
        future_tolerance_s=settings.future_tolerance,
        stale=StalePolicy(settings.stale),
        id_headers=settings.id_headers,
        ack_status=settings.ack_status,
    )
