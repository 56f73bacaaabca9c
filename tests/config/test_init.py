"""`stibgate init` writes a file that loads, that only its owner can read, and that it does not overwrite."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from stibgate.cli.init import init
from stibgate.config import load
from stibgate.errors import PermissionRefused, UsageError


def run(*arguments):
    return CliRunner().invoke(init, list(arguments), catch_exceptions=False)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_it_loads():
    """What it writes is a configuration that holds together, both sources routed to a drop."""
    assert run().exit_code == 0
    loaded = load(environ={})
    assert loaded.notices == ()
    jobs, push = loaded.settings.sources["jobs"], loaded.settings.sources["push"]
    assert (jobs.auth, push.auth) == ("signature", "token")
    assert jobs.routes == push.routes == ("drop",)
    assert loaded.settings.sinks["drop"].dir == Path.cwd() / "data/drops"


def test_owner_only():
    """The file has mode 0600, and nothing else is left beside it."""
    run("--dir", "a/b")
    assert stat.S_IMODE(Path("a/b/config.toml").stat().st_mode) == 0o600
    assert [file.name for file in Path("a/b").iterdir()] == ["config.toml"]


def test_no_secret_is_printed():
    """The terminal shows where the secrets are, not what they are."""
    output = run().output
    sources = load(environ={}).settings.sources
    assert sources["jobs"].secrets[0].value.get_secret_value() not in output
    assert sources["push"].tokens[0].get_secret_value() not in output
    for line in (
        "http://127.0.0.1:8080/hooks/jobs",
        "http://127.0.0.1:8080/hooks/push/TOKEN",
        "sources.push.tokens in config.toml",
        "stibgate serve",
        "stibgate trigger prospecting.records.pushed",
    ):
        assert line in output


def test_fresh_secrets():
    """Two runs share no secret, and each has the strength that its kind asks for."""
    run("--dir", "a")
    run("--dir", "b")
    first, second = (load(Path(name) / "config.toml", environ={}).settings.sources for name in "ab")
    assert first["jobs"].secrets != second["jobs"].secrets
    assert first["push"].tokens != second["push"].tokens
    assert len(first["jobs"].secrets[0].value.get_secret_value()) == len("whsec_") + 44
    assert len(first["push"].tokens[0].get_secret_value()) == 43


def test_no_overwriting():
    """A file that is there stays as it is, unless `--force` says otherwise."""
    Path("config.toml").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        run()
    assert Path("config.toml").read_text() == "mine"
    assert [file.name for file in Path().iterdir()] == ["config.toml"]
    assert run("--force").exit_code == 0
    assert "[sources.jobs]" in Path("config.toml").read_text()
    assert stat.S_IMODE(Path("config.toml").stat().st_mode) == 0o600


def test_no_permission(monkeypatch):
    """A folder that may not be written is said to be so, with its own exit code."""

    def refuse(*_args, **_kwargs):
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionRefused):
        run("--dir", "x")
