"""`stibgate doctor signature`: how a captured delivery is signed, and what to configure."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stibgate.cli.context import json_option
from stibgate.cli.output import printable
from stibgate.errors import EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from stibgate.cli.doctor_envelope import Envelope
    from stibgate.signatures import Diagnosis

_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"


@click.command()
@json_option
@click.option(
    "--capture",
    "captures",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A captured delivery as JSON; repeatable, for an event that came again.",
)
@click.option(
    "--secret-env", "variables", multiple=True, required=True, help="A variable that holds a secret; repeatable."
)
@click.option("--source", "name", default="jobs", show_default=True, help="What to call the source.")
def signature(*, as_json: bool, captures: tuple[Path, ...], variables: tuple[str, ...], name: str) -> None:
    """Find out how a captured delivery is signed, and print the configuration for it.

    Needs no configuration. Tries every known way to sign, and says the likeliest reason when none fits. Exit code 1
    when nothing matches. Nothing is sent anywhere; secrets and bodies are not printed.
    """
    import re

    from stibgate.cli.captures import read_capture, read_secrets
    from stibgate.cli.doctor_envelope import UNTOLD, compare, compare_lines, envelope_lines, read_envelope
    from stibgate.signatures import diagnose

    if re.fullmatch(_NAME, name) is None:
        raise UsageError(f"{name!r} is not a name of a source", hint="Lower-case letters, digits, - and _.")
    secrets = read_secrets(variables)
    requests = [read_capture(str(file), file.read_bytes()) for file in captures]
    diagnoses = [diagnose(request, secrets) for request in requests]
    envelopes = [read_envelope(request.headers, request.body) for request in requests]
    for file, diagnosis, envelope in zip(captures, diagnoses, envelopes, strict=True):
        if as_json:
            click.echo(json.dumps(document(diagnosis, envelope, name)))
            continue
        if len(captures) > 1:
            click.echo(click.style(str(file), bold=True))
        ids = [place.where for place in diagnosis.evidence.ids]
        _print(diagnosis, _toml(diagnosis, envelope, name), [*diagnosis.notes, *envelope_lines(envelope, ids)])
    agree = True
    if len(captures) > 1:
        found = compare(diagnoses, envelopes)
        agree = found["same_scheme"]
        for line in [json.dumps(found)] if as_json else compare_lines(found):
            click.echo(line)
    elif not as_json and diagnoses[0].match:
        for line in UNTOLD:
            click.echo(f"  {line}")
    if not agree or not all(diagnosis.match for diagnosis in diagnoses):
        sys.exit(EXIT_FAILED)


def document(diagnosis: "Diagnosis", envelope: "Envelope", name: str) -> dict[str, Any]:
    """Return what was found as the contract says: `preset` and what differs from it, or `signature` alone.

    `signature` is there in both cases; `config` is None, and `unsupported` true, when stibgate cannot verify it.
    """
    about = {
        "skew_s": None if diagnosis.skew_s is None else round(diagnosis.skew_s, 3),
        "notes": list(diagnosis.notes),
        "envelope": {
            "event_type": envelope.event_type,
            "event_type_at": envelope.event_type_at,
            "job_id_at": envelope.job_id_at,
            "shape": envelope.shape,
            "records": envelope.records,
            "ids_at": [place.where for place in diagnosis.evidence.ids],
        },
        "macs": diagnosis.macs_count,
    }
    hit, setting = diagnosis.hit, diagnosis.setting
    if hit is None:
        cause = str(diagnosis.cause) if diagnosis.cause else None
        return {"match": False, "reason": diagnosis.verdict, "hint": diagnosis.hint, "cause": cause, **about}
    found: dict[str, Any] = {"match": True, "verdict": diagnosis.verdict}
    if setting is not None and setting.preset is not None:
        found |= {"preset": setting.preset, **setting.overrides}
    found["signature"] = {
        "header": hit.claim.header,
        "algorithm": hit.claim.algorithm,
        "encoding": hit.claim.encoding.value,
        "content": hit.template,
        "key": hit.key.reading,
        "timestamp": hit.stamp.where if hit.stamp else "none",
    }
    if setting is not None:
        scheme = setting.scheme
        found["signature"] |= {"grammar": scheme.grammar.value, "label": scheme.label, "id": scheme.id_header}
        found["signature"]["timestamp_unit"] = scheme.timestamp_unit.value if hit.stamp else None
    return {
        **found,
        "secret": hit.key.secret.label,
        "config": _toml(diagnosis, envelope, name),
        "unsupported": setting is None,
        "hint": diagnosis.hint,
        **about,
    }


def _toml(diagnosis: "Diagnosis", envelope: "Envelope", name: str) -> str | None:
    if diagnosis.setting is None or diagnosis.hit is None:
        return None
    converted = diagnosis.hit.key.reading not in {"utf8", "strip_prefix", "base64"}
    which = f"the one in {diagnosis.hit.key.secret.label}"
    return diagnosis.setting.toml(
        name, kind=envelope.kind, secret=f"{which}, its bytes as whsec_ and base64" if converted else which
    )


def _print(diagnosis: "Diagnosis", toml: str | None, lines: list[str]) -> None:
    click.echo(diagnosis.verdict)
    if toml is not None:
        click.echo(f"\n{toml}")
    for line in lines:
        click.echo(f"  {printable(line)}")
    if diagnosis.skew_s is not None:
        side = "before" if diagnosis.skew_s >= 0 else "after"
        click.echo(f"  signed {abs(diagnosis.skew_s):.1f} s {side} it was received")
    if diagnosis.hint:
        click.echo(f"hint: {diagnosis.hint}", err=True)
