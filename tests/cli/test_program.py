"""Lines that are printed to be pasted work where they are pasted, and a command in the wrong folder says so."""

import shlex
import sys

import pytest
from click.testing import CliRunner

from stibgate.cli.health import health
from stibgate.cli.output import open_ledger
from stibgate.cli.program import program
from stibgate.errors import NoStore


@pytest.fixture
def installed(tmp_path):
    """A program in a folder of its own, as a virtual environment has it."""
    path = tmp_path / "a venv/bin/stibgate"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_name_does_where_path_leads_to_it(installed, monkeypatch):
    """With the environment active, or where somebody else's program runs us, the name is enough."""
    monkeypatch.setenv("PATH", str(installed.parent))
    for called in (str(installed), "/usr/bin/pytest"):
        monkeypatch.setattr(sys, "argv", [called])
        assert program() == "stibgate"


@pytest.mark.parametrize("path", ["/nowhere", "elsewhere"])
def test_else_its_path(installed, monkeypatch, tmp_path, path):
    """Not active, or with another stibgate on PATH: the whole path, fit for a shell."""
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "stibgate").write_text("#!/bin/sh\n")
    (other / "stibgate").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path))
    monkeypatch.setattr(sys, "argv", [str(installed)])
    assert shlex.split(program()) == [str(installed)]


def test_the_wrong_folder_is_named(monkeypatch, tmp_path):
    """Where no configuration is found there is no store either: what is missing is the way to the configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STIBGATE_CONFIG", raising=False)
    with pytest.raises(NoStore) as told, open_ledger(None):
        pass
    assert "give --config FILE" in told.value.hint
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(NoStore) as told, open_ledger(None):
        pass
    assert "Start `stibgate serve` once" in told.value.hint


def test_only_what_is_not_ok_is_told(monkeypatch):
    """Health names the checks that fail, not those that do not."""
    checks = {"store": "ok", "free_space": "0.0 MiB free"}
    monkeypatch.setattr("stibgate.cli.health.ask", lambda *_: {"status": "not ready", "checks": checks})
    ran = CliRunner().invoke(health, ["--url", "http://127.0.0.1:1"])
    assert (ran.exit_code, ran.stdout, ran.stderr) == (69, "not ready\n", "free_space: 0.0 MiB free\n")
