"""A configuration file in a temporary folder, and one that needs nothing else."""

from pathlib import Path

import pytest

SECRET = "whsec_Y2FuYXJ5LXNlY3JldC10aGF0LW11c3Qtbm90LXNob3c="
TOKEN = "canary-token-that-must-not-show"

WHOLE = f"""\
[sources.jobs]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
routes = ["drop"]

[sources.push]
kind = "stibnite_push"
tokens = ["{TOKEN}"]
routes = ["drop"]

[sinks.drop]
kind = "csv"
dir = "drops"
"""


@pytest.fixture
def secret():
    return SECRET


@pytest.fixture
def token():
    return TOKEN


@pytest.fixture
def whole():
    """A small configuration that holds together; other tables may be put before it."""
    return WHOLE


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes `config.toml` and returns its path, relative to the working folder."""
    monkeypatch.chdir(tmp_path)

    def write_config(text: str) -> Path:
        file = Path("config.toml")
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        return file

    return write_config


@pytest.fixture
def problems(write):
    """Return a function that loads *text* and returns the lines of the problems."""
    from stibgate.config import load
    from stibgate.errors import ConfigError

    def lines(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(write(text), environ=environ)
        return [str(problem) for problem in caught.value.problems]

    return lines
