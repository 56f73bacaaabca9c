"""`demo` and `dev`: the whole main job on this machine, with no account anywhere."""

import csv
import re
import time

import pytest

from stibgate.domain.record import COLUMNS
from tests.e2e.gateway import PUSHED, Gateway, dropped, free_port, python_stibgate, stibgate

pytestmark = pytest.mark.e2e


def test_demo_does_the_main_job_and_keeps_what_it_made(tmp_path):
    """`demo --dir` ends with 0 in under 20 s: as many rows as distinct people, 19 columns, one duplicate."""
    begun_s = time.monotonic()
    ran = python_stibgate("demo", "--dir", tmp_path / "out")
    took_s = time.monotonic() - begun_s
    print(f"demo: {took_s:.1f} s")
    assert ran.code == 0, ran
    assert took_s < 20
    files = list((tmp_path / "out").rglob("*.csv"))
    assert len(files) == 3
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            assert tuple(next(csv.reader(file))) == COLUMNS
        assert str(path) in ran.out
    rows = dropped(tmp_path / "out")
    assert len(rows) == 125
    assert set(rows.values()) == {1}
    config = tmp_path / "out/config.toml"
    listed = stibgate("deliveries", "list", "--json", "--config", config).objects
    assert sorted((one["state"], one["records"], one["duplicates"]) for one in listed) == [
        ("done", 25, 0),
        ("done", 50, 0),
        ("done", 50, 1),
    ]
    assert stibgate("db", "check", "--config", config).lines[-1] == "ok"
    assert config.stat().st_mode & 0o777 == 0o600


def test_demo_without_a_folder_leaves_the_working_folder_alone(tmp_path):
    """Without `--dir` everything is in a temporary folder, and stdout names it."""
    ran = stibgate("demo", "--seed", 7, cwd=tmp_path, env={"TMPDIR": str(tmp_path / "tmp")} | _folder(tmp_path / "tmp"))
    assert ran.code == 0, ran
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert "done in" in ran.lines[-1]


def _folder(path):
    path.mkdir()
    return {}


def test_demo_refuses_a_folder_that_has_a_store(tmp_path):
    """A store that is there already is never touched: exit 2, and the hint says what to do."""
    store = tmp_path / "out/data/stibgate.db"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"somebody's")
    stibgate("demo", "--dir", tmp_path / "out").complaint(2)
    assert store.read_bytes() == b"somebody's"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_demo_in_a_folder_that_cannot_be_made_says_so(tmp_path):
    """A path below a file is one clear line, not a traceback."""
    (tmp_path / "file").write_text("")
    assert "file" in stibgate("demo", "--dir", tmp_path / "file/out").complaint(1)


def test_dev_prints_what_one_needs_and_stops_at_interrupt(tmp_path):
    """`dev` shows URLs and a `trigger` line that works as printed; ^C ends it with 0; a second start goes on."""
    config = tmp_path / "out/config.toml"
    port, admin = free_port(), free_port()
    # `dev` writes its configuration itself; the helper only needs to know the ports.
    config.parent.mkdir()
    config.write_text(f'bind = "127.0.0.1:{port}"\nadmin_bind = "127.0.0.1:{admin}"\n')
    words = ("dev", "--dir", str(config.parent), "--port", str(port), "--admin-port", str(admin))
    for number in (1, 2):
        with Dev(config, words=words) as dev:
            printed = dev.printed()
            for text in (f"{dev.url}/hooks/jobs", "signing secret", f"{dev.url}/hooks/push/", f"{dev.admin}/readyz"):
                assert text in printed
            line = re.search(rf"stibgate (trigger {PUSHED} --config \S+)", printed)
            ran = stibgate(*line[1].split())
            assert (ran.code, "202 accepted" in ran.out) == (0, True), ran
            assert len(dev.settled()) == number
            assert dev.stop(2) == 0


class Dev(Gateway):
    """`stibgate dev`, which takes no --config."""

    def start(self, *, within_s=10.0):
        import subprocess
        import sys

        from tests.e2e.gateway import environment, until

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
        until("dev is ready", self._is_ready, within_s=within_s)
        return self

    def printed(self):
        from tests.e2e.gateway import until

        return until("dev said everything", lambda: "deliveries list" in (text := self.err.read_text()) and text)
