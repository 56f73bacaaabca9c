"""`stibgate sign` and `stibgate verify`: how a delivery proves itself, by hand."""

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from stibgate.cli.captures import read_capture
from stibgate.cli.context import config_option, json_option
from stibgate.cli.senders import Sender, find_sender
from stibgate.domain.instant import from_rfc3339
from stibgate.errors import EXIT_FAILED, UsageError

_BODY_HELP = "The raw body; - is standard input."


@click.command()
@config_option
@click.option("--source", "name", help="Whose secret and scheme.  [default: the only one with a secret]")
@click.option("--scheme", help="Preset to sign with.  [default: the source's; t_v1 while it is auto]")
@click.option("--body", type=click.File("rb"), required=True, help=_BODY_HELP)
@click.option("--curl", is_flag=True, help="Print a curl command instead of headers.")
def sign(*, config: Path | None, name: str | None, scheme: str | None, body: BinaryIO, curl: bool) -> None:
    """Print the headers that a sender would add to a body."""
    sender = find_sender(config, name, needs_secret=True)
    raw = body.read()
    headers = sender.signed(raw, scheme=scheme, unix_s=int(time.time()))
    if not curl:
        for header, value in headers:
            click.echo(f"{header}: {value}")
        return
    words = ["curl", "-sS", "-X", "POST", sender.url, "-H", "content-type: application/json"]
    for header, value in headers:
        words += ["-H", f"{header}: {value}"]
    # click calls standard input <stdin>; to curl it is a dash.
    file = "-" if body.name == "<stdin>" else body.name
    click.echo(shlex.join([*words, "--data-binary", f"@{file}"]))


@click.command()
@config_option
@json_option
@click.option("--source", "name", help="Whose secrets and scheme.  [default: the only one with a secret]")
@click.option("--secret-env", help="Take the secret from this variable instead of a source; tries every scheme.")
@click.option("--capture", type=click.File("rb"), help="A capture as JSON: headers, body_base64, received_at.")
@click.option("--header", "headers", multiple=True, help="A header as `name: value`; repeatable.")
@click.option("--body", type=click.File("rb"), help=_BODY_HELP)
@click.option("--received-at", help="When it came, RFC 3339.  [default: the capture's; without it, no age is judged]")
@click.option("--explain", "explain_it", is_flag=True, help="Say why, with the evidence.")
def verify(
    *,
    config: Path | None,
    as_json: bool,
    name: str | None,
    secret_env: str | None,
    capture: BinaryIO | None,
    headers: tuple[str, ...],
    body: BinaryIO | None,
    received_at: str | None,
    explain_it: bool,
) -> None:
    """Check a captured delivery and say why it fails. Exit code 1 when it does.

    Give the delivery as --capture, or as --header and --body. Diagnosis only: nothing is stored or sent.
    """
    from stibgate.signatures import Secret, candidates, explain

    captured = _captured(capture, headers, body, received_at)
    if secret_env is not None:
        value = os.environ.get(secret_env, "")
        if not value:
            raise UsageError(f"the variable {secret_env} is not set", hint="Export the signing secret in it.")
        sender = Sender("capture", "", schemes=candidates("auto"), secrets=[Secret(value, secret_env, None)], limits={})
    else:
        sender = find_sender(config, name, needs_secret=True)
    told = explain(
        captured.headers,
        captured.body,
        schemes=sender.schemes,
        secrets=sender.secrets,
        now_unix_s=time.time() if captured.received_unix_s is None else captured.received_unix_s,
        age_known=captured.received_unix_s is not None,
        **sender.limits,
    )
    hint = told.hint if secret_env is not None else told.hint.replace("NAME", sender.name)
    if sender.pinned and told.scheme in candidates("auto") and told.scheme not in sender.schemes:
        hint = (
            f"`stibgate sources unpin {sender.name}` forgets the scheme that was pinned; the next delivery pins anew."
        )
    if as_json:
        answer = {"match": told.match, "verdict": told.verdict, "findings": told.findings, "hint": hint}
        click.echo(json.dumps(answer))
    else:
        click.echo(told.verdict)
        for finding in told.findings if explain_it else ():
            click.echo(f"  {finding}")
        if hint:
            click.echo(f"hint: {hint}", err=True)
    sys.exit(0 if told.match else EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class _Captured:
    headers: Sequence[tuple[str, str]]
    body: bytes
    received_unix_s: float | None


def _captured(
    capture: BinaryIO | None, headers: tuple[str, ...], body: BinaryIO | None, received_at: str | None
) -> _Captured:
    if capture is None:
        if body is None:
            raise UsageError("nothing to verify", hint="Give --capture FILE, or --header and --body FILE.")
        return _Captured([_header(line) for line in headers], body.read(), _moment(received_at))
    request = read_capture(capture.name, capture.read())
    received = request.received_unix_s if received_at is None else _moment(received_at)
    return _Captured(request.headers, request.body, received)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {line!r} has no colon", hint="Write it like --header 'name: value'.")
    return name.strip(), value.strip()


def _moment(text: object) -> float | None:
    if text is None:
        return None
    try:
        return from_rfc3339(str(text)) / 1000
    except ValueError as error:
        raise UsageError(f"{text!r} is not RFC 3339", hint="Write it like 2026-05-17T18:42:10Z.") from error
