"""The image: what its file says, and that its steps make a gateway that works. No Docker is needed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway, configure, push_body
from tests.test_pins import PINS

ROOT = Path(__file__).parents[2]
PINNED = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)


@dataclass
class Stage:
    """One stage of a Dockerfile."""

    base: str
    name: str
    steps: list = field(default_factory=list)

    def all(self, word):
        """Return what the instructions of that name say."""
        return [said for step, said in self.steps if step == word]


def stages():
    """Return the stages of the Dockerfile, with its lines joined."""
    found = []
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", "")
    for line in text.splitlines():
        word, _, said = line.partition(" ")
        if word == "FROM":
            base, _, name = said.partition(" AS ")
            found.append(Stage(base, name))
        elif found and line and not line.startswith("#"):
            found[-1].steps.append((word, said.strip()))
    return found


def test_the_image_is_made_in_two_stages_of_what_is_pinned():
    """Nothing is fetched but wheels whose hashes are known; the base is an argument with a version."""
    build, final = stages()
    assert build.base == final.base == "${PYTHON_IMAGE}"
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    installs = [step for step in build.all("RUN") if " install " in step]
    for step in installs:
        assert "--require-hashes --no-deps --only-binary :all:" in step or "--no-deps --no-index" in step
    assert [word for word, _ in build.steps + final.steps].count("ADD") == 0
    assert not [step for step in build.all("RUN") + final.all("RUN") if re.search(r"https?:|curl|wget|apt", step)]


def test_the_image_runs_as_nobody_and_keeps_no_installer():
    """The last word on the user is not root, pip is gone, SIGTERM ends it, and it says whether it is healthy."""
    _, final = stages()
    assert final.all("USER") == ["65532:65532"]
    assert [word for word, _ in final.steps].index("USER") > [word for word, _ in final.steps].index("RUN")
    assert "uninstall" in final.all("RUN")[0]
    assert final.all("COPY") == ["--from=build /opt/stibgate /opt/stibgate"]
    assert final.all("STOPSIGNAL") == ["SIGTERM"]
    assert final.all("VOLUME") == ["/data"]
    assert final.all("HEALTHCHECK")[0].endswith('CMD ["stibgate", "health"]')
    assert [json.loads(one) for one in final.all("ENTRYPOINT") + final.all("CMD")] == [["stibgate"], ["serve"]]


@pytest.mark.parametrize("name", ["constraints.txt", "build-constraints.txt"])
def test_hashes_are_of_the_pins(name):
    """The file with hashes has exactly the pins of the file without, each with a hash, and names no place."""
    text = (ROOT / "deploy" / name.replace("constraints", "requirements")).read_text()
    found = {name: version for name, version, _ in PINNED.findall(text)}
    wanted = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "deploy" / name).read_text(), re.MULTILINE))
    assert found == wanted
    assert "/" not in text.partition("\n")[2]
    assert text.count("--hash=") == len(re.findall(r"[0-9a-f]{64}", text))
    if name == "constraints.txt":
        assert len(found) == len(PINS)


def test_only_what_the_image_needs_is_sent_to_its_builder():
    """The context is an allow-list, and has everything that the file copies."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {name for said in stages()[0].all("COPY") for name in said.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def build(folder):
    """Do the steps of the build stage below *folder*, as the builder would; return where the package is."""
    here = None
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    env["PIP_NO_COMPILE"] = "1"  # the image wants bytecode, this test wants its minute back
    for word, said in stages()[0].steps:
        if word == "ENV":
            env |= dict(one.split("=", 1) for one in shlex.split(said))
        elif word == "WORKDIR":
            here = folder / said.lstrip("/")
            here.mkdir(parents=True)
        elif word == "COPY":
            *names, to = said.split()
            for name in names:
                target = here / to / Path(name).name if to.endswith("/") else here / to
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(ROOT / name, target) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, target)
        else:
            step = said.replace("/opt/", f"{folder}/opt/").replace("python3 ", f"{sys.executable} ")
            ran = subprocess.run(step, shell=True, cwd=here, env=env, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, f"{step}\n{ran.stdout}\n{ran.stderr}"
    return folder / "opt/stibgate"


def files_below(folder):
    """Return the names of all files below a folder, but for what the interpreter made."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name) for name in names if "__pycache__" not in name.parts}


@pytest.mark.image
@pytest.mark.timeout(300)
def test_what_the_image_holds_works(tmp_path, monkeypatch):
    """The steps of the Dockerfile, done here: hashes hold, pip is not there, and a push goes all the way into a file."""
    package = build(tmp_path)
    python = package / "bin/python"
    assert not list(package.glob("lib/python*/site-packages/pip"))
    said = subprocess.run([package / "bin/stibgate", "version"], capture_output=True, text=True, check=True).stdout
    assert "stibgate" in said
    (there,) = package.glob("lib/python*/site-packages/stibgate")
    assert files_below(there) == files_below(ROOT / "src/stibgate")
    code = "import importlib.util as i; assert i.find_spec('pip') is None; import uvloop, obstore, opentelemetry.sdk"
    subprocess.run([python, "-c", code], check=True)
    monkeypatch.setattr(sys, "executable", str(python))
    with Gateway(configure(tmp_path / "run")) as gateway:
        assert gateway.push(push_body(3, serial=1)).status == 202
        subprocess.run([package / "bin/stibgate", "health", "--config", gateway.config], check=True)
        gateway.settled()
        assert gateway.stop() == 0
    assert len(list((tmp_path / "run/drops").rglob("*.csv"))) == 1
