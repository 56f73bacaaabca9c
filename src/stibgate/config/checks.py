"""What two settings must agree on: a route and its sink, a way to prove a source and what it needs, two times.

These checks look at the merged values before validation, not at the model after it. So they run even when some
other field is wrong, and one reading of the configuration names every problem.
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from stibgate.config import kinds, route_checks
from stibgate.config.fields import is_loopback, split_bind
from stibgate.config.masks import looks_secret
from stibgate.config.model import (
    SECRETS_MAX,
    DeliverySettings,
    RetentionSettings,
    Settings,
    SignatureSettings,
    SourceKind,
    default_auth,
)
from stibgate.config.problems import Reporter
from stibgate.config.shape import dotted
from stibgate.domain.units import parse_duration

Tree = Mapping[str, Any]

_NEEDS_SECRET = {"signature", "signature+token", "signature_or_token"}
_NEEDS_TOKEN = {"token", "signature+token", "signature_or_token"}

# What stands in config.example.toml, and so is known to everybody.
_EXAMPLES = {
    "whsec_ZmFrZS1mb3ItZG9jcy1vbmx5LW5vdC1hLXNlY3JldA==",
    "fake-for-docs-only-not-a-token",
    "fake-for-docs-only-not-an-admin-token",
}


def check(tree: Tree, report: Reporter) -> None:
    """Add to *report* every disagreement between settings of *tree*."""
    for name, source in _tables(tree, "sources"):
        _check_proof(name, source, report)
        _check_scheme(name, source, report)
    route_checks.check(tree, report)
    _check_leases(tree, report)
    _check_retention(tree, report)
    _check_admin(tree, report)
    _check_folders(tree, report)
    _check_region(tree, report)
    _check_vendors(tree, report)
    _check_tracing(tree, report)


def notices(settings: Settings) -> Iterator[str]:
    """Yield what is allowed, and perhaps not meant."""
    if not settings.sources:
        yield "no [sources.NAME] is configured: nothing can be received"
    for name, source in settings.sources.items():
        where = dotted(("sources", name))
        if source.secrets and source.auth not in _NEEDS_SECRET:
            yield f'{where}: its secrets prove nothing while auth = "{source.auth}"'
        if source.tokens and source.auth not in _NEEDS_TOKEN:
            yield f'{where}: its tokens prove nothing while auth = "{source.auth}"'
        if any(secret.value.get_secret_value() in _EXAMPLES for secret in source.secrets):
            yield f"{where}.secrets: one is the example's: anybody knows it"
        if any(token.get_secret_value() in _EXAMPLES for token in source.tokens):
            yield f"{where}.tokens: one is the example's: anybody knows it"
    if any(item.token.get_secret_value() in _EXAMPLES for item in settings.console.tokens):
        yield "console.tokens: one is the example's: anybody knows it"
    for name, sink in settings.sinks.items():
        yield from (f"{dotted(('sinks', name))}: {notice}" for notice in sink.notices())
    yield from route_checks.notices(settings)
    jobs = [name for name, source in settings.sources.items() if source.kind == "stibnite_jobs"]
    if settings.stibnite.api_key is not None and len(jobs) > 1:
        yield f"stibnite: jobs that are asked for come in as those of sources.{jobs[0]}, the first of {len(jobs)}"


def _check_tracing(tree: Tree, report: Reporter) -> None:
    tracing = tree.get("tracing")
    if not isinstance(tracing, Mapping) or tracing.get("enabled") is not True:
        return
    if not all(map(_is_installed, _TRACING)):
        report.add(
            ("tracing", "enabled"), "needs an extra that is not installed: pip install 'stibgate[otel]'", show=False
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is what it is a part of
        return False


_TRACING = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def _check_proof(name: str, source: Tree, report: Reporter) -> None:
    kind = source.get("kind")
    if "auth" not in source and kind not in get_args(SourceKind):
        return  # which proof it needs hangs on its kind
    auth = source.get("auth", default_auth(kind))
    if not isinstance(auth, str):
        return
    variable = f"STIBGATE_SOURCES__{name.upper().replace('-', '_')}"
    if auth in _NEEDS_SECRET and source.get("secrets", []) in ([], ""):
        report.add(
            ("sources", name, "secrets"),
            f'auth = "{auth}" needs a secret: secrets = ["whsec_..."], or {variable}__SECRETS_FILE',
            show=False,
        )
    if auth in _NEEDS_TOKEN and source.get("tokens", []) in ([], ""):
        report.add(
            ("sources", name, "tokens"),
            f'auth = "{auth}" needs a token: tokens = ["..."], or {variable}__TOKENS_FILE',
            show=False,
        )
    secrets = source.get("secrets")
    if isinstance(secrets, list) and len(secrets) > SECRETS_MAX:
        report.add(("sources", name, "secrets"), f"must have {SECRETS_MAX} or fewer items")


def _check_scheme(name: str, source: Tree, report: Reporter) -> None:
    from stibgate.signatures import candidates  # noqa: PLC0415  (keeps `stibgate --help` fast)

    scheme = source.get("scheme", "auto")
    table = source.get("signature", {})
    if not isinstance(scheme, str) or not isinstance(table, dict):
        return
    try:
        overrides = SignatureSettings.model_validate(table).overrides()
    except ValidationError:
        return
    complaint = ""
    try:
        candidates(scheme, overrides=overrides, allow_sha1=source.get("allow_sha1") is True)
    except ValueError as error:
        complaint = str(error)
    # A complaint begins with the key that it is about, as "header: ...".
    key, _, sentence = complaint.partition(": ")
    if key == "scheme":
        return  # validation says it already
    if key in SignatureSettings.model_fields:
        at = ("sources", name, "signature", key)
        report.add(at, "is not allowed here" if looks_secret(sentence) else sentence)
    elif complaint:
        report.add(
            ("sources", name, "signature"), "is not allowed" if looks_secret(complaint) else complaint, show=False
        )


def _check_leases(tree: Tree, report: Reporter) -> None:
    usual = _table(tree, "delivery")
    tables: list[tuple[tuple[str, ...], Tree, Tree]] = [(("delivery",), usual, {})]
    for name, sink in _tables(tree, "sinks"):
        kind = kinds.find(sink.get("kind"))
        says = {} if kind is None else kind.USUAL_DELIVERY.model_dump(exclude_none=True)
        tables.append((("sinks", name, "delivery"), _table(sink, "delivery"), says))
    for path, own, of_kind in tables:
        if path != ("delivery",) and not {"lease", "timeout"} & (own.keys() | of_kind.keys()):
            continue
        lease, timeout = (
            _seconds(
                own.get(key, None if key in of_kind else usual.get(key)),
                of_kind.get(key, DeliverySettings.model_fields[key].default),
            )
            for key in ("lease", "timeout")
        )
        if lease is not None and timeout is not None and lease <= timeout:
            key = "lease" if "lease" in own else "timeout"
            report.add((*path, key), "lease must be longer than timeout, or two workers try the same task at once")


def _check_admin(tree: Tree, report: Reporter) -> None:
    bind = _table(tree, "server").get("admin_bind", "127.0.0.1:0")
    try:
        host, _ = split_bind(bind)
    except (AttributeError, ValueError):
        return  # not an address at all, which its own field says
    if not is_loopback(host) and _table(tree, "console").get("tokens", []) in ([], ""):
        report.add(
            ("server", "admin_bind"),
            "must be a loopback address while there are no [console] tokens: anybody could reach it",
        )


def _check_retention(tree: Tree, report: Reporter) -> None:
    table = _table(_table(tree, "storage"), "retention")
    keys, window = (
        _seconds(table.get(key), RetentionSettings.model_fields[key].default)
        for key in ("dedupe_keys", "dedupe_window")
    )
    if keys is not None and window is not None and keys < window:
        key = "dedupe_keys" if "dedupe_keys" in table else "dedupe_window"
        report.add(("storage", "retention", key), "dedupe_keys must not be shorter than dedupe_window")


def _check_folders(tree: Tree, report: Reporter) -> None:
    """Sinks of one kind, or with a rolling file, would take each other's files in one place for their own."""
    seen: list[tuple[str, Tree, str]] = []
    for name, sink in _tables(tree, "sinks"):
        key = "dir" if isinstance(sink.get("dir"), str) else "url"
        if sink.get("kind") not in {"csv", "ndjson"} or not isinstance(sink.get(key), str):
            continue
        place = _place(sink[key])
        for other, there, taken in seen:
            rolling = "rolling" in (sink.get("layout"), there.get("layout"))
            if (rolling or sink.get("kind") == there.get("kind")) and place == taken:
                at = dotted(("sinks", other))
                report.add(("sinks", name, key), f"{at} writes there already; use another folder")
                break
        seen.append((name, sink, place))


def _place(text: str) -> str:
    """Return a folder or the URL of one, comparable."""
    path = text.removeprefix("file://")
    return path.rstrip("/") if "://" in path else str(Path(path))


def _check_region(tree: Tree, report: Reporter) -> None:
    region = _table(tree, "normalise").get("default_region", "US")
    if not isinstance(region, str) or region == "US":
        return
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415  (large, and hardly ever needed here)

    if region not in SUPPORTED_REGIONS:
        guess = f"; did you mean {region.upper()}?" if region.upper() in SUPPORTED_REGIONS else ""
        allowed = f'must be a region with telephone numbers, for example "US"{guess}'
        report.add(("normalise", "default_region"), allowed)


def _check_vendors(tree: Tree, report: Reporter) -> None:
    stibnite, hog = _table(tree, "stibnite"), _table(tree, "thehog")
    if "api_key" not in stibnite:
        needs = [key for key, value in (("readback", "always"), ("continue_pages", True)) if stibnite.get(key) == value]
        for key in needs:
            report.add(("stibnite", key), "needs stibnite.api_key, or STIBGATE_STIBNITE__API_KEY")
    for key, other in (("access_key", "secret_key"), ("secret_key", "access_key")):
        if key in hog and other not in hog:
            report.add(("thehog", other), f"is missing beside {key}: both prove the account", show=False)
    for key, prefix in (("access_key", "sk_"), ("secret_key", "ak_")):
        if str(hog.get(key, "")).startswith(prefix):
            report.add(("thehog", key), f"begins with {prefix}: the two keys are swapped")


def _seconds(value: object, default: float) -> float | None:
    """Return the seconds of *value* (*default* when there is none), or None when validation will refuse it."""
    if value is None:
        return default
    try:
        return parse_duration(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _table(tree: Tree, key: str) -> Tree:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(tree: Tree, key: str) -> Iterator[tuple[str, Tree]]:
    for name, value in _table(tree, key).items():
        if isinstance(value, Mapping):
            yield name, value
