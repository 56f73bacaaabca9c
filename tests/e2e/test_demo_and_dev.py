"""`demo` and `dev`: the whole main job on this machine, with no account anywhere."""

import csv
import os
import re
import time

import pytest

from stibgate.domain.record import COLUMNS
from tests.e2e.gateway import PATIENCE_S, PUSHED, SUCCEEDED, Gateway, dropped, free_port, python_stibgate, stibgate

pytestmark = pytest.mark.e2e


def test_demo_does_the_main_job_and_keeps_what_it_made(tmp_path):
    """`demo --dir` ends with 0 in under 20 s: as many rows as distinct people, 19 columns, one duplicate."""
    begun_s = time.monotonic()
    ran = python_stibgate("demo", "--dir", tmp_path / "out", within_s=100)
    took_s, share = time.monotonic() - begun_s, min(1.0, os.cpu_count() / (os.getloadavg()[0] or 1))
    print(f"demo: {took_s:.1f} s with {share:.0%} of a processor")
    assert ran.code == 0, ran
    assert took_s * share < 20
    files = list((tmp_path / "out").rglob("*.csv"))
    assert len(files) == 3
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            assert tuple(next(csv.reader(file))) == COLUMNS
        assert str(path) in ran.out
    rows = dropped(tmp_path / "out")
    assert len(rows) == 125
    assert set(rows.values()) == {1}
    assert "HubSpot has 125 contacts, 32 companies, 125 associations" in ran.out
    config = tmp_path / "out/config.toml"
    listed = stibgate("deliveries", "list", "--json", "--config", config).objects
    assert sorted((one["state"], one["records"], one["duplicates"]) for one in listed) == [
        ("done", 25, 0),
        ("done", 50, 0),
        ("done", 50, 1),
    ]
    tasks = stibgate("tasks", "list", "--json", "--config", config).objects
    assert (
        sorted((one["sink"], one["state"]) for one in tasks) == [("crm", "delivered")] * 3 + [("drop", "delivered")] * 3
    )
    assert stibgate("db", "check", "--config", config).lines[-1] == "ok"
    assert config.stat().st_mode & 0o777 == 0o600


def test_demo_gets_through_a_storm(tmp_path):
    """`demo --chaos` ends with 0: over every fault of the sandboxes each record arrives once, in files and in HubSpot."""
    begun_s = time.monotonic()
    ran = python_stibgate("demo", "--chaos", "--dir", tmp_path / "out", within_s=250)
    print(f"demo --chaos: {time.monotonic() - begun_s:.1f} s")
    assert ran.code == 0, ran
    rows = dropped(tmp_path / "out")
    assert len(rows) == 125
    assert set(rows.values()) == {1}
    assert re.search(r"HubSpot has 125 contacts, \d+ companies, 125 associations", ran.out)
    hit = re.search(r"(\d+) of (\d+) kinds of fault hit", ran.out)
    assert int(hit[1]) > 0.9 * int(hit[2])
    assert stibgate("db", "check", "--config", tmp_path / "out/config.toml").lines[-1] == "ok"


def test_demo_without_a_folder_leaves_the_working_folder_alone(tmp_path):
    """Without `--dir` everything is in a temporary folder, which stays; the last line names it and says so."""
    (tmp_path / "tmp").mkdir()
    ran = python_stibgate("demo", "--seed", 7, cwd=tmp_path, env={"TMPDIR": str(tmp_path / "tmp")})
    assert ran.code == 0, ran
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    (kept,) = (tmp_path / "tmp").iterdir()
    assert "done in" in ran.lines[-1]
    assert f"kept in {kept}; delete it when done" in ran.lines[-1]
    assert "delivered yes" in ran.out


def test_demo_refuses_a_folder_that_has_a_store(tmp_path):
    """A store that is there already is never touched: exit 2, and the hint says what to do."""
    store = tmp_path / "out/data/stibgate.db"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"somebody's")
    stibgate("demo", "--dir", tmp_path / "out").complaint(2)
    assert store.read_bytes() == b"somebody's"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


@pytest.mark.parametrize("command", ["demo", "dev"])
def test_a_configuration_that_is_there_is_left_alone(tmp_path, command):
    """Neither `demo` nor `dev` touches a config.toml that `dev` did not write: exit 2, and nothing is made."""
    config = tmp_path / "config.toml"
    stibgate("init", "--dir", tmp_path)
    before = config.read_bytes()
    assert "nothing was changed" in stibgate(command, "--dir", tmp_path).complaint(2)
    assert config.read_bytes() == before
    assert list(tmp_path.iterdir()) == [config]


def test_demo_in_a_folder_that_cannot_be_made_says_so(tmp_path):
    """A path below a file is one clear line, not a traceback."""
    (tmp_path / "file").write_text("")
    assert "file" in stibgate("demo", "--dir", tmp_path / "file/out").complaint(1)


def test_dev_prints_what_one_needs_and_stops_at_interrupt(tmp_path):
    """`dev` shows URLs and a `trigger` line that works as printed; ^C ends it with 0; a second start goes on."""
    heads = []
    for number in (1, 2):
        # Another seed is another secret of the sandbox; URLs and the secret that was printed first stay.
        with Dev.at(tmp_path, "--seed", str(number)) as dev:
            printed = dev.printed()
            for text in (f"{dev.url}/hooks/jobs", "signing secret", f"{dev.url}/hooks/push/", f"{dev.admin}/readyz"):
                assert text in printed
            assert f"{dev.admin}/\n" in printed  # the console
            heads.append(re.findall(r"whsec_\S+|/hooks/push/\S+", printed))
            line = re.search(rf"stibgate (trigger {PUSHED} --config \S+)", printed)
            for words in (line[1].split(), line[1].replace(PUSHED, SUCCEEDED).split()):
                ran = stibgate(*words)
                assert (ran.code, "202 accepted" in ran.out) == (0, True), ran
            words = re.search(r"stibgate (listen --config \S+)", printed)[1].split()
            ran = stibgate(*words, "--last", "9", "--event", "delivery.accepted", "--count", "2")
            assert (ran.code, ran.out.count("--> ")) == (0, 2), ran
            assert len(dev.settled()) == 2 * number
            assert dev.stop(2) == 0
            assert dev.config.read_text().count('"whsec_') == number
            assert f'public_url = "{dev.url}"' in dev.config.read_text()  # the console shows what to register
    assert len(heads[0]) == 2
    assert heads[0] == heads[1]
    assert [path.name for path in dev.folder.glob(".*")] == []
    assert dev.config.stat().st_mode & 0o777 == 0o600


def test_a_second_dev_touches_nothing(tmp_path):
    """`dev` where another one runs is 75, for the store as for each port, and the configuration is as it was."""
    with Dev.at(tmp_path) as dev:
        before, other = dev.config.read_bytes(), tmp_path / "other"
        ports = {"--port": dev.url, "--admin-port": dev.admin, "--sandbox-port": dev.sandbox}
        free = {option: free_port() for option in ports}
        stibgate(*dev.words).complaint(75)
        assert "process" in _dev(dev.folder, free).complaint(75)
        for option, url in ports.items():
            port = url.rpartition(":")[2]
            ran = _dev(other, free | {option: port})
            assert f"127.0.0.1:{port}" in ran.complaint(75)
            assert option in ran.err  # the hint names what can be chosen
            assert not (other / "config.toml").exists()
        assert dev.config.read_bytes() == before
        assert sorted(path.name for path in dev.folder.glob("*config*")) == ["config.toml"]


def _dev(folder, ports):
    return stibgate("dev", "--dir", folder, *(word for pair in ports.items() for word in pair))


class Dev(Gateway):
    """`stibgate dev`, which takes no --config: it writes its own."""

    @classmethod
    def at(cls, tmp_path, *words):
        """Return one in a folder below *tmp_path*, on the same ports each time."""
        folder, noted = tmp_path / "out", tmp_path / "ports"
        folder.mkdir(exist_ok=True)
        if not noted.exists():
            noted.write_text(" ".join(str(free_port()) for _ in range(3)))
        port, admin, sandbox = noted.read_text().split()
        ports = ("--port", port, "--admin-port", admin, "--sandbox-port", sandbox)
        env = {"STIBGATE_SERVER__BIND": f"127.0.0.1:{port}", "STIBGATE_SERVER__ADMIN_BIND": f"127.0.0.1:{admin}"}
        return cls(folder / "config.toml", env=env, words=("dev", "--dir", str(folder), *ports, *words))

    @property
    def sandbox(self):
        """Where the sandbox answers."""
        return f"http://127.0.0.1:{self.words[self.words.index('--sandbox-port') + 1]}"

    def start(self, *, within_s=PATIENCE_S):
        import subprocess
        import sys

        from tests.e2e.gateway import environment

        self.err.unlink(missing_ok=True)
        with self.log.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stibgate", *self.words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(),
                cwd=self.folder,
            )
        self.until_ready(within_s)
        return self

    def printed(self):
        from tests.e2e.gateway import until

        return until("dev said everything", lambda: "deliveries list" in (text := self.err.read_text()) and text)
