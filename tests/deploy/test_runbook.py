"""The runbook: every command in it exists, every alert leads into it, and its backup and restore are done as written."""

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys

import click
import pytest
import yaml

from stibgate.cli import cli
from tests.deploy.fronts import DEPLOY
from tests.e2e.gateway import Gateway, configure, environment, push_body, stibgate

RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]*)`")
ENDS = {"|", ">", ";", "&&", ")"}


def command_lines():
    """Return every `stibgate ...` of the runbook, in its blocks and between back quotes, as words."""
    lines = [line for block in BLOCK.findall(RUNBOOK) for line in block.splitlines()]
    found = []
    for text in lines + INLINE.findall(BLOCK.sub("", RUNBOOK)):
        for place in re.finditer(r"(?:^|(?<!-n)\s|\()stibgate (?=[a-z])", text):
            lexer = shlex.shlex(text[place.end() :], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = []
            for word in lexer:
                if word in ENDS:
                    break
                words.append(word)
            found.append(tuple(words))
    return sorted(set(found))


def test_the_commands_are_found():
    """The search below sees those of blocks and those of tables."""
    found = command_lines()
    assert ("dead", "replay", "--sink", "NAME", "--yes") in found
    assert ("deliveries", "list", "--state", "quarantined") in found
    assert ("sign", "--source", "jobs", "--body", "body.json", "--curl") in found
    assert len(found) > 40


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_every_command_exists(words):
    """Each command of the runbook is one, takes those options, and as many arguments as it is given."""
    command, rest, context = cli, list(words), click.Context(cli)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"stibgate has no `{' '.join(words)}`"
        context, command = click.Context(found, parent=context, info_name=name), found
    given, left, _ = command.make_parser(context).parse_args(rest)
    assert left == []
    for parameter in command.params:
        value = given.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and value not in {None, "NAME"}:
            assert value in parameter.type.choices


def test_every_alert_has_its_part():
    """Each alert rule leads to a heading of the runbook, and none of these is of an alert that is gone."""
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"]: rule["annotations"]["runbook"] for group in groups for rule in group["rules"]}
    assert {name: f"deploy/RUNBOOK.md#{name.lower()}" for name in alerts} == alerts
    headings = re.findall(r"^### (Stibgate\w+)$", RUNBOOK, re.MULTILINE)
    assert sorted(headings) == sorted(alerts)


def test_every_reference_leads_somewhere():
    """Links within the runbook name headings that it has; links to files name files."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        assert target[1:] in anchors if target.startswith("#") else (DEPLOY / target).exists(), target


def blocks_of(title):
    """Return the shell blocks of a section, without those of its parts."""
    (section,) = re.findall(rf"^## {title}\n(.*?)^##", RUNBOOK, re.MULTILINE | re.DOTALL)
    return BLOCK.findall(section)


ASKING = """#!{python} -IS
# A program that the runbook calls: it is run by the test, which has everything imported already.
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({line!r})
    line.sendall(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]).encode() + b"\\n")
    code, out, err = json.loads(line.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Shell:
    """Runs blocks in a shell whose `stibgate` and `systemctl` this process carries out, on a real service."""

    def __init__(self, folder, gateway, env):
        self._gateway, self._folder = gateway, folder
        self._env = environment({**env, "PATH": f"{folder}:{os.environ['PATH']}"})
        self._command_env = {name: value for name, value in env.items() if name != "PATH"}
        self._line = socket.create_server(str(folder / "line"), family=socket.AF_UNIX)
        self._line.settimeout(0.05)
        for name in ("stibgate", "systemctl"):
            (folder / name).write_text(ASKING.format(python=sys.executable, line=str(folder / "line")))
            (folder / name).chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._line.close()

    def run(self, block):
        """Run a block to its end and return what it printed."""
        words = ["sh", "-eu", "-c", block]
        with subprocess.Popen(
            words, env=self._env, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as shell:
            while shell.poll() is None:
                with contextlib.suppress(TimeoutError):
                    asking, _ = self._line.accept()
                    with asking, asking.makefile("rw") as line:
                        json.dump(self._carry_out(*json.loads(line.readline())), line)
                        line.write("\n")
            said = shell.stdout.read()
        assert shell.returncode == 0, f"{block}\n{said}"
        return said

    def _carry_out(self, program, *words):
        if program == "stibgate":
            ran = stibgate(*words, env=self._command_env, cwd=self._folder)
            return ran.code, ran.out, ran.err
        match words:
            case ("stop", "stibgate"):
                return self._gateway.stop(), "", ""
            case ("start", "stibgate"):
                self._gateway.start()
                return 0, "", ""
        return 1, "", f"no systemctl {words}"


@pytest.mark.e2e
def test_backup_and_restore_as_they_are_written(tmp_path):
    """The blocks of both sections, run by a shell one after the other beside a real service, end with the older store."""
    config = configure(tmp_path / "run")
    env = {"STIBGATE_CONFIG": str(config), "BACKUPS": f"{tmp_path}/copies"}
    with Gateway(config) as gateway, Shell(tmp_path, gateway, env) as shell:
        first = gateway.push(push_body(2, serial=1)).json["delivery_id"]
        gateway.settled()
        for block in blocks_of("Backup"):
            shell.run(block)
        later = gateway.push(push_body(2, serial=2)).json["delivery_id"]
        gateway.settled()
        stop, middle, start = blocks_of("Restore")
        shell.run(stop)
        assert shell.run(middle).rstrip().endswith("\nok")
        listed = shell.run(start)
        assert first in listed
        assert later not in listed
