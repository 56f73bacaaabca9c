"""Clients of the vendors' APIs, as the configuration says."""

import asyncio

from stibgate.app.clock import jitter, now_ms
from stibgate.config import Settings
from stibgate.domain.fact import Observe, unobserved
from stibgate.errors import ConfigError, Problem
from stibgate.vendors.retry import Means, Patience
from stibgate.vendors.stibnite import StibniteClient
from stibgate.vendors.thehog import TheHogClient


def means(observe: Observe = unobserved) -> Means:
    """Return the clock, the sleep and the chance that clients use."""
    return Means(now=lambda: now_ms() / 1000, sleep=asyncio.sleep, jitter=jitter, observe=observe)


def stibnite_client(
    settings: Settings, *, patience: Patience | None = None, observe: Observe = unobserved
) -> StibniteClient:
    """Return a client of our account at Stibnite, not opened yet.

    Raises:
        ConfigError: There is no API key.
    """
    own = settings.stibnite
    if own.api_key is None:
        raise _missing("stibnite.api_key", "STIBGATE_STIBNITE__API_KEY")
    return StibniteClient(own.base_url, own.api_key, means=means(observe), patience=patience)


def thehog_client(settings: Settings, *, patience: Patience | None = None) -> TheHogClient:
    """Return a client of our account at The Hog, not opened yet.

    Raises:
        ConfigError: A key is missing.
    """
    own = settings.thehog
    if own.access_key is None:
        raise _missing("thehog.access_key", "STIBGATE_THEHOG__ACCESS_KEY")
    if own.secret_key is None:
        raise _missing("thehog.secret_key", "STIBGATE_THEHOG__SECRET_KEY")
    return TheHogClient(own.base_url, own.access_key, own.secret_key, means=means(), patience=patience)


def _missing(path: str, variable: str) -> ConfigError:
    problem = Problem("configuration", path, "", "is not set, and this needs it")
    return ConfigError([problem], hint=f"Set {variable}, or {variable}_FILE to a file that holds it.")
