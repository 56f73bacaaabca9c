import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)
PINS = {
    canonicalize_name(name): version for name, version in LINE.findall((ROOT / "deploy/constraints.txt").read_text())
}


def test_every_dependency_is_pinned():
    """Every dependency of the package and of the extras that ship has a pin, and one that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][name] for name in ("otel", "s3", "speed", "sqlite")]
    for requirement in map(Requirement, sum(extras, project["dependencies"])):
        assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_pins_name_no_place():
    """Pins are names and versions: no URL, no host, no path."""
    lines = [line for line in (ROOT / "deploy/constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(PINS)
