"""Settings into parts, and what only the composition root has: the clock and the source of ids."""

import time

import uuid_utils

from stibgate.config import DeliverySettings, SourceSettings
from stibgate.domain.backoff import Policy
from stibgate.pipeline.source import Auth, Source, StalePolicy
from stibgate.signatures import Secret, candidates


def now_ms() -> int:
    """Return the present in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """Return a new id that sorts by time: *prefix*, an underscore, 32 hex digits."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def new_request_id() -> str:
    """Return a new id of one HTTP request: 32 hex digits."""
    return uuid_utils.uuid7().hex


def policy_of(delivery: DeliverySettings) -> Policy:
    """Return how patiently a sink is tried."""
    return Policy(delivery.schedule, delivery.max_age, delivery.timeout, delivery.concurrency, delivery.lease)


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
        routes=settings.routes,
        id_headers=settings.id_headers,
        ack_status=settings.ack_status,
    )
