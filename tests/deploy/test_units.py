"""The systemd units: what systemd itself says of them, and that they agree with the settings."""

import configparser
import re
import subprocess

import pytest

from stibgate.config import load
from stibgate.config.model import ServerSettings, Settings
from tests.deploy.fronts import DEPLOY, program

UNITS = DEPLOY / "systemd"
EXPOSURE_MAX = 1.5
SECRET = "whsec_bWFkZS1mb3ItdGhpcy10ZXN0LWFuZC1mb3Igbm90aGluZw"
SOURCES = """
[sources.jobs]
kind = "stibnite_jobs"
[sources.push]
kind = "stibnite_push"
[sinks.crm]
kind = "hubspot"
"""


def unit(name):
    """Return a unit's sections; of a key that comes twice, the last."""
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str
    parsed.read_string((UNITS / name).read_text())
    return parsed


@pytest.mark.parametrize("name", ["stibgate.service", "stibgate-backup.service"])
def test_a_service_is_shut_in(name):
    """`systemd-analyze security` rates the exposure of a service at 1.5 of 10 at most."""
    words = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", UNITS / name]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(rf"Overall exposure level for {re.escape(name)}: ([0-9.]+)", ran.stdout)
    assert found, ran
    assert float(found[1]) <= EXPOSURE_MAX


def test_systemd_knows_every_line(tmp_path):
    """`systemd-analyze verify` finds no key that it does not know, and no unit that a unit lacks."""
    binary = tmp_path / "stibgate"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    names = [path.name for path in UNITS.iterdir() if path.suffix in {".service", ".socket", ".timer"}]
    assert len(names) == 5
    for name in names:
        text = (UNITS / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/stibgate/bin/stibgate", str(binary)))
    words = [program("systemd-analyze"), "verify", "--man=no", *(tmp_path / name for name in names)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_unit_gives_the_service_what_it_needs():
    """It is told of readiness, reloads by the signal that we know, drains whole, and rests at a wrong configuration."""
    service = unit("stibgate.service")["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["RestartPreventExitStatus"].split() == ["2", "78"]
    assert service["WatchdogSec"].endswith("s")
    assert float(service["TimeoutStopSec"].removesuffix("s")) > ServerSettings().drain_timeout


def test_the_sockets_are_those_of_the_settings():
    """Each listener that systemd holds has the address of its setting and the name that the service asks for."""
    server = Settings().server
    for name, role, address in (
        ("stibgate.socket", "public", server.bind),
        ("stibgate-admin.socket", "admin", server.admin_bind),
    ):
        listener = unit(name)["Socket"]
        assert (listener["FileDescriptorName"], listener["ListenStream"]) == (role, address)
        assert listener["Service"] == "stibgate.service"


def test_credentials_are_settings(tmp_path):
    """Every example of a credential, given as systemd gives it, is where the service takes that key from."""
    named = re.findall(r"^#LoadCredential=([a-z_.]+):/", (UNITS / "stibgate.service").read_text(), re.MULTILINE)
    assert len(named) == 5
    for name in named:
        (tmp_path / name).write_text(
            "dana:operator:made-for-this-test-and-for-nothing" if "console" in name else SECRET
        )
    (tmp_path / "config.toml").write_text(SOURCES)
    settings = load(tmp_path / "config.toml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}).settings
    assert {name: settings.origins.of(tuple(name.split("."))) for name in named} == dict.fromkeys(named, "credentials")
