"""Packages that bring a kind of sink, as pip leaves them, without pip."""

from pathlib import Path


def write_package(folder: Path, code: str, *, kind: str, package: str, value: str = "{module}:Settings") -> Path:
    """Install *package* with one module of this *code* into a folder of its own; return that folder."""
    site = folder / f"site-{package}"
    module = package.replace("-", "_")
    information = site / f"{module}-2.1.dist-info"
    information.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.1\n")
    (information / "entry_points.txt").write_text(f"[stibgate.sinks]\n{kind} = {value.format(module=module)}\n")
    return site
