"""`stibgate init`: a configuration that starts, with secrets nobody else has."""

import base64
import contextlib
import errno
import os
import secrets
from pathlib import Path

import click

from stibgate.cli.program import program
from stibgate.errors import PermissionRefused, StibgateError, UsageError

_FILE = "config.toml"


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder to write to; made when missing.  [default: .]",
)
@click.option("--force", is_flag=True, help="Replace a configuration that is there, and its secrets.")
def init(*, folder: Path, force: bool) -> None:
    """Write a commented config.toml with fresh secrets, and say what to do next."""
    from stibgate.config import load, template

    file = folder / _FILE
    token = secrets.token_urlsafe(32)
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    _write(file, template(secrets=[secret], token=token), replace=force)
    # What was just written must load; without the environment, which may hold anything.
    settings = load(file, environ={}).settings
    base = settings.server.public_url or f"http://{settings.server.bind}"
    click.echo(f"wrote {file} (0600) with fresh secrets\n\nRegister with Stibnite:")
    click.echo(f"  webhook URL          {base}/hooks/jobs")
    click.echo(f"  result_delivery_url  {base}/hooks/push/TOKEN")
    click.echo(f"                       TOKEN: sources.push.tokens in {file}; the whole URL is a secret")
    click.echo("  Set server.public_url first: Stibnite needs an https address that it can reach.")
    click.echo("  Stibnite's own signing secret goes first in sources.jobs.secrets.")
    click.echo("  With an API key, `stibgate register` and `stibgate embed-key create` do all of this.")
    option = "" if folder == Path() else f" --config {file}"
    click.echo("\nTry it here:")
    click.echo(f"  {program()} serve{option}")
    click.echo(f"  {program()} trigger prospecting.records.pushed{option}")


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Write *text* to *file* whole or not at all, readable by its owner only.

    Raises:
        UsageError: The file is there, and *replace* is false.
        PermissionRefused: The folder may not be written.
        StibgateError: Anything else that the disk says.
    """
    hidden = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            hidden.replace(file)
        else:
            # A link, unlike a rename, fails when the name is taken: nobody's file is lost to a race.
            os.link(hidden, file)
    except FileExistsError:
        raise UsageError(
            f"{file} is there already; nothing was changed",
            hint="`--force` replaces it and its secrets, `--dir` writes elsewhere.",
        ) from None
    except OSError as error:
        reason, hint = (error.strerror or "unknown").lower(), "Choose another folder: --dir."
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise PermissionRefused(f"{file.parent} may not be written: {reason}", hint=hint) from None
        raise StibgateError(f"{file} cannot be written: {reason}", hint=hint) from None
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
