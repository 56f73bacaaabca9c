#!/usr/bin/env python3
"""Write requirements.txt from constraints.txt: the same pins, with the hash of every wheel that may be installed.

    python deploy/lock.py            # writes deploy/requirements.txt and deploy/build-requirements.txt
    python deploy/lock.py --check    # writes nothing; exit code 1 when they are not what it would write

pip is asked, with the index that it is configured for: once for each Python and processor, and for reports only, so
that nothing is installed. The files name no index: whoever installs chooses one, and the hashes hold for all.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
FILES = {"constraints.txt": "requirements.txt", "build-constraints.txt": "build-requirements.txt"}
PYTHONS = ("3.11", "3.12", "3.13")
PROCESSORS = ("x86_64", "aarch64")
GLIBC = (*(f"manylinux_2_{minor}" for minor in range(36, 16, -1)), "manylinux2014")  # 2.36: Debian 12, the image's base
ONLY_ON = {"pysqlite3": "x86_64"}  # has no wheel for others: they use the SQLite of Python
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)


def hashes_of(pins: list[str], python: str, processor: str) -> dict[str, str]:
    """Return pin -> SHA-256 of the wheel that pip takes for it there."""
    platforms = [word for glibc in GLIBC for word in ("--platform", f"{glibc}_{processor}")]
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ["--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:"]
        words += ["--implementation", "cp", "--python-version", python, *platforms]
        words += ["--target", folder, "--report", str(report), *pins]
        subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
        found = json.loads(report.read_text())["install"]
    taken = [one["download_info"]["archive_info"]["hashes"]["sha256"] for one in found]
    return dict(zip((_pin(one["metadata"]) for one in found), taken, strict=True))


def _pin(metadata: dict[str, str]) -> str:
    return f"{_plain(metadata['name'])}=={metadata['version']}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(source: Path) -> str:
    """Return what belongs into the file with hashes of the pins in *source*."""
    pins = {f"{_plain(name)}=={version}": f"{name}=={version}" for name, version in PIN.findall(source.read_text())}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for python in PYTHONS:
        for processor in PROCESSORS:
            there = [pin for pin in pins.values() if ONLY_ON.get(pin.partition("==")[0], processor) == processor]
            for pin, sha256 in hashes_of(there, python, processor).items():
                found[pin].add(sha256)
    lines = [f"# Made by deploy/lock.py of {source.name}; install with --require-hashes --no-deps --only-binary :all:."]
    for pin, name in pins.items():
        only = ONLY_ON.get(name.partition("==")[0])
        line = f'{name} ; platform_machine == "{only}"' if only else name
        lines.append(" \\\n".join([line, *(f"    --hash=sha256:{sha256}" for sha256 in sorted(found[pin]))]))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check both files; return the exit code."""
    wrong = 0
    for name, target in FILES.items():
        text = locked(HERE / name)
        if "--check" not in sys.argv[1:]:
            (HERE / target).write_text(text)
        elif (HERE / target).read_text() != text:
            print(f"deploy/{target} is not what deploy/lock.py makes of deploy/{name}", file=sys.stderr)
            wrong += 1
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
