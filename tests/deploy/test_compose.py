"""The compose file, and the configurations that containers run with."""

import os
import re

import pytest
import yaml

from stibgate.config import load
from stibgate.config.model import ServerSettings
from tests.deploy.fronts import DEPLOY

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_shut_in(name):
    """Read-only, without capabilities but the front's port, without new privileges, with bounds; named by a version."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert re.fullmatch(r"[a-z/-]+:(local|v?[0-9.]+)", service["image"])


def test_only_the_front_is_reached_from_outside():
    """Ports of the gateway and of Prometheus are published on this machine's loopback only."""
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert all(port.startswith("127.0.0.1:") for name in published if name != "caddy" for port in published[name])
    assert SERVICES["prometheus"]["profiles"] == ["metrics"]


def test_what_is_mounted_is_there():
    """Files and named volumes and secrets that services use exist, or are said to be made."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert all(one["file"].startswith("./compose/secrets/") for one in COMPOSE["secrets"].values())
    grace_s = float(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > ServerSettings().drain_timeout


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_configuration_of_containers_is_a_good_one(where, tmp_path, monkeypatch):
    """With the secrets that their files ask for, `config.toml` is taken without a problem or a notice."""
    text = (DEPLOY / {"compose": "compose.yaml", "kubernetes": "kubernetes/statefulset.yaml"}[where]).read_text()
    wanted = set(re.findall(r"STIBGATE_[A-Z_]+_FILE", text))
    secrets = {
        "STIBGATE_SOURCES__JOBS__SECRETS_FILE": "whsec_bWFkZS1mb3ItdGhpcy10ZXN0LWFuZC1mb3Igbm90aGluZw==",
        "STIBGATE_SOURCES__PUSH__TOKENS_FILE": "made-for-this-test-and-for-nothing",
        "STIBGATE_CONSOLE__TOKENS_FILE": "dana:operator:made-for-this-test-and-for-nothing-else",
    }
    assert wanted == {*secrets, "STIBGATE_TOKEN_FILE"}
    for name in [name for name in os.environ if name.startswith("STIBGATE_")]:
        monkeypatch.delenv(name)
    for name, value in secrets.items():
        path = tmp_path / name
        path.write_text(f"{value}\n")
        path.chmod(0o400)
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("STIBGATE_TOKEN_FILE", str(path))
    loaded = load(DEPLOY / where / "config.toml")
    loaded.require()
    assert loaded.notices == ()
    assert loaded.settings.storage.path.parent.as_posix() == "/data"
    if where == "compose":
        (subnet,) = COMPOSE["networks"]["front"]["ipam"]["config"]
        assert [str(network) for network in loaded.settings.server.trusted_proxies] == [subnet["subnet"]]
