"""What browsers are given: files that are in the wheel, unchanged since their makers published them."""

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest

import stibgate
from stibgate.web.console.screen import STATIC

CONSOLE = files("stibgate.web.console")
VENDOR = CONSOLE.joinpath("static/vendor")
# Of htmx.org 4.0.1 (0BSD) and uPlot 1.6.32 (MIT), as the npm registry has them.
KNOWN = dict(line.split("  ")[::-1] for line in VENDOR.joinpath("SHA256SUMS").read_text().splitlines())


def test_vendored_files_are_as_published():
    """Each file has its known hash, and no file lies there without one."""
    there = {file.name for file in VENDOR.iterdir()} - {"SHA256SUMS"}
    assert there == set(KNOWN)
    for name, digest in KNOWN.items():
        assert hashlib.sha256(VENDOR.joinpath(name).read_bytes()).hexdigest() == digest, name
    assert {"htmx.LICENSE", "uPlot.LICENSE"} <= there


def test_only_known_files_are_served():
    """Everything that may be asked for is there, and everything there may be asked for but licences and sums."""
    static = Path(str(CONSOLE)) / "static"
    there = {str(file.relative_to(static)) for file in static.rglob("*") if file.suffix in {".js", ".css"}}
    assert there == set(STATIC)


@pytest.mark.parametrize("name", [file.name for file in CONSOLE.joinpath("templates").iterdir()])
def test_templates_need_no_unsafe_policy(name):
    """No inline script, style or handler, which the policy would refuse; and no value is marked safe."""
    text = CONSOLE.joinpath("templates", name).read_text()
    for bad in (
        " style=",
        "<style",
        " onclick",
        " onload",
        " onsubmit",
        "javascript:",
        "|safe",
        "| safe",
        "autoescape",
    ):
        assert bad not in text, bad
    assert text.count("<script") == text.count("<script src=")


def test_the_wheel_carries_them():
    """The wheel is built from the package's folder, in which these files are."""
    from hatchling.builders.wheel import WheelBuilder

    root = Path(stibgate.__file__).parents[2]
    builder = WheelBuilder(str(root))
    inside = {file.distribution_path for file in builder.recurse_included_files()}
    for name in (*(f"static/{one}" for one in STATIC), "templates/base.html", "static/vendor/SHA256SUMS"):
        assert f"stibgate/web/console/{name}" in inside
