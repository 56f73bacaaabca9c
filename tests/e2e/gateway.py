"""A real `stibgate serve` on loopback, with real files; and the command line beside it.

Nothing here sleeps for a fixed time: everything waits for a condition, and for no longer than it is given.
"""

import contextlib
import gc
import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import pytest

import stibgate.app.offline  # imported here once, so that a forked command need not
import stibgate.app.service
import stibgate.cli.explain
import stibgate.cli.stage
import stibgate.normalise
import stibgate.signatures
from stibgate.cli import COMMANDS, cli, main
from stibgate.domain.record import COLUMNS
from stibgate.sandbox.samples import sample
from tests.ports import free_port

SECRET = "whsec_ZTJlLXNlY3JldC10aGF0LW5vYm9keS1lbHNlLWhhcw=="
TOKEN = "e2e-token-that-nobody-else-has"
PUSHED = "prospecting.records.pushed"
SUCCEEDED = "person_search.job.succeeded"
FAILED = "person_search.job.failed"

POLL_S = 0.02
PATIENCE_S = 60.0
"""How long to wait for what must come: it says when to give up, and how slow a machine may be, nothing else."""
FROM_NOTHING = (sys.executable, "-m", "stibgate")
"""Starts a process that inherits no lock, no socket and no memory of a test."""

DROP = """
[sinks.drop]
kind = "csv"
dir = "./drops"
"""

for _name in COMMANDS:
    cli.get_command(None, _name)


def until(what, condition, *, within_s=PATIENCE_S):
    """Return the first true value of `condition()`; fail when there was none in time."""
    deadline_s = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(POLL_S)
    return value


def whole_lines(file):
    """Return the lines of a file that somebody writes: the last one may be half there."""
    return [line.decode() for line in file.read_bytes().rpartition(b"\n")[0].splitlines()]


def configure(folder, *, sinks=DROP, routes=("drop",), storage="", sources="", extra="", store="./data/stibgate.db"):
    """Write a configuration with free ports into *folder*; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(f"""\
[server]
bind = "127.0.0.1:{free_port()}"
admin_bind = "127.0.0.1:{free_port()}"
drain_timeout = "8s"

[server.limits]
rate = "100000/s"
burst = 100000

[storage]
url = "sqlite:///{store}"
{storage}

[sources.jobs]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
scheme = "t_v1"
routes = {json.dumps(list(routes))}

[sources.push]
kind = "stibnite_push"
tokens = ["{TOKEN}"]
routes = {json.dumps(list(routes))}
{sources}
{sinks}
{extra}
""")
    return path


def environment(extra=None):
    """Return the environment of a process: ours, without any stibgate setting, and *extra*."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STIBGATE_")} | (extra or {})


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        """Standard output as lines."""
        return self.out.splitlines()

    @property
    def objects(self):
        """Standard output as one JSON object a line."""
        return [json.loads(line) for line in self.lines]

    def complaint(self, code):
        """Return the error line, after asserting that it is alone with its hint, and the exit code *code*."""
        shown = [line for line in self.err.splitlines() if not line.startswith("notice: ")]
        assert self.code == code, self
        assert len(shown) == 2, self.err
        assert shown[0].startswith("error: "), self.err
        assert shown[1].startswith("hint: "), self.err
        assert len(shown[1]) > len("hint: "), self.err
        return shown[0]


def stibgate(*words, env=None, cwd=None, stdin="", within_s=PATIENCE_S):
    """Run a command in a forked child and return how it ended.

    A child is a real process with its own descriptors and exit code, without a second of imports each time.
    """
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        pid = os.fork()
        if pid == 0:
            _become([str(word) for word in words], environment(env), cwd, (given, out, err))
        code = _wait(pid, within_s)
        out.seek(0)
        err.seek(0)
        return Ran(code, out.read().decode(), err.read().decode())


def _standard(number):
    """Return a standard stream on its descriptor, as the interpreter makes it."""
    raw = io.FileIO(number, "rw"[number > 0], closefd=False)
    raw.name = ("<stdin>", "<stdout>", "<stderr>")[number]
    buffered = (io.BufferedWriter if number else io.BufferedReader)(raw)
    return io.TextIOWrapper(buffered, encoding="utf-8", write_through=number == 2)


def _wait(pid, within_s):
    deadline_s = time.monotonic() + within_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"the command did not end within {within_s} s")
        time.sleep(POLL_S / 4)


class Forked:
    """A forked `stibgate *words*` that runs on, with what `subprocess.Popen` offers of a running process."""

    def __init__(self, words, env, cwd, streams):
        self.returncode = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, env, cwd, streams)

    def poll(self):
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        """Return the exit code; fail as `Popen` does when it does not come in time."""
        deadline_s = time.monotonic() + (60.0 if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired("stibgate", timeout)
            time.sleep(POLL_S / 4)
        return self.returncode

    def send_signal(self, number):
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _become(words, env, cwd, streams):
    """Turn this forked child into `stibgate *words*`; never returns."""
    code = 70
    gc.freeze()  # what the tests made is nothing that the child should look through
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = map(_standard, range(3))
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd or "/")
        sys.argv = ["stibgate", *words]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  (as the interpreter itself would show it)
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def python_stibgate(*words, env=None, cwd=None, within_s=PATIENCE_S):
    """Run `python -m stibgate *words*` from nothing and return how it ended."""
    ran = subprocess.run(
        [*FROM_NOTHING, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(env),
        cwd=cwd,
        timeout=within_s,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        """The body, parsed."""
        return json.loads(self.body)


def request(url, method="GET", body=None, headers=None, within_s=PATIENCE_S):
    """Return the answer to one HTTP request on a connection of its own."""
    scheme, _, rest = url.partition("://")
    assert scheme == "http"
    host, _, path = rest.partition("/")
    connection = http.client.HTTPConnection(host, timeout=within_s)
    try:
        connection.request(method, "/" + path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Gateway:
    """`stibgate serve --config ...` as a process of its own, forked like the commands.

    What `launcher` names starts it instead, and inherits the `sockets`. Its standard output goes to `gateway.log`
    beside the configuration, over restarts; its standard error to `gateway.err`.
    """

    config: Path
    env: dict = field(default_factory=dict)
    words: tuple = ("serve",)
    launcher: tuple = ()
    sockets: tuple = ()
    process: subprocess.Popen | Forked | None = None
    started_s: float = 0.0

    def __post_init__(self):
        self.folder = self.config.parent
        self.log, self.err = self.folder / "gateway.log", self.folder / "gateway.err"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)

    def start(self, *, within_s=PATIENCE_S):
        """Start the process and return once it is ready, and says that it has started."""
        begun_s = time.monotonic()
        if self.log.exists():  # kill -9 may tear the last line, and the next process would write on behind it
            os.truncate(self.log, self.log.read_bytes().rfind(b"\n") + 1)
        starts = len(self.events("service.started"))
        words = [*self.words, "--config", str(self.config)]
        with self.log.open("ab") as out, self.err.open("ab") as err, Path(os.devnull).open("rb") as nothing:
            if self.launcher:
                self.process = subprocess.Popen(
                    [*self.launcher, *words],
                    stdin=nothing,
                    stdout=out,
                    stderr=err,
                    env=environment(self.env),
                    cwd=self.folder,
                    pass_fds=[one.fileno() for one in self.sockets],
                )
            else:
                self.process = Forked(words, environment(self.env), self.folder, (nothing, out, err))
        self.until_ready(within_s)
        until("it says so", lambda: len(self.events("service.started")) > starts, within_s=within_s)
        self.started_s = time.monotonic() - begun_s
        return self

    def until_ready(self, within_s):
        """Return once it is ready; one that is not in time is ended, so that it troubles no other test."""
        try:
            until(f"{self.words[0]} is ready", self._is_ready, within_s=within_s)
        except BaseException:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            raise

    def _is_ready(self):
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.err.read_text()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.readyz().status == 200
        return False

    def stop(self, number=signal.SIGTERM, *, within_s=PATIENCE_S):
        """Send a signal to the process, by its own pid, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def _bind(self, key):
        name = f"STIBGATE_SERVER__{key.upper()}"
        lines = [line for line in self.config.read_text().splitlines() if line.startswith(f"{key} =")]
        return self.env.get(name) or lines[0].split('"')[1]

    @property
    def url(self):
        """The public listener."""
        return f"http://{self._bind('bind')}"

    @property
    def admin(self):
        """The admin listener."""
        return f"http://{self._bind('admin_bind')}"

    def readyz(self):
        """Ask whether it is ready."""
        return request(f"{self.admin}/readyz", within_s=10)

    def post(self, path, body, headers=None):
        """Post a JSON body and return the answer."""
        return request(f"{self.url}{path}", "POST", body, {"content-type": "application/json", **(headers or {})})

    def push(self, body):
        """Post a push with the right token."""
        return self.post(f"/hooks/push/{TOKEN}", body)

    def run(self, *words, **how):
        """Run a command with this gateway's configuration."""
        return stibgate(*words, "--config", self.config, env=self.env, cwd=self.folder, **how)

    def rows(self, *words):
        """Return what a reading command prints with --json."""
        ran = self.run(*words, "--json")
        assert ran.code == 0, ran
        return ran.objects

    def events(self, name):
        """Return the log lines of one event so far."""
        if not self.log.exists():
            return []
        return [line for line in map(json.loads, whole_lines(self.log)) if line["event"] == name]

    def settled(self, *, within_s=PATIENCE_S):
        """Return every delivery, once none of them is accepted or processing any more."""

        def done():
            found = self.rows("deliveries", "list", "--limit", 100_000)
            return found if all(one["state"] not in {"accepted", "processing"} for one in found) else None

        return until("every delivery is in a final state", done, within_s=within_s)

    def checked(self):
        """Assert that `db check` finds nothing wrong."""
        ran = self.run("db", "check")
        assert (ran.code, ran.lines[-1]) == (0, "ok"), ran


def push_body(records, *, serial, seed=0, **extra):
    """Return the body of a documented push; no two serials share a person."""
    body = sample(PUSHED, records=records, rng=random.Random(f"{seed} {serial}"), serial=serial).body
    if not extra:
        return body
    return json.dumps({**json.loads(body), **extra}).encode()


def people_of(body):
    """Return the person ids that a body carries."""
    return [record["person_id"] for record in json.loads(body)["data"]]


def dropped(folder):
    """Return how often each person id stands in the CSV files below *folder*; every one must be whole."""
    import csv

    seen = Counter()
    for path in folder.rglob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
        assert tuple(header) == COLUMNS, path
        assert all(len(row) == len(COLUMNS) for row in rows), path
        seen.update(row[COLUMNS.index("person_id")] for row in rows)
    return seen


@contextlib.contextmanager
def tmpfs(folder, options):
    """Mount a tmpfs of its own at *folder* for the block; skip the test where that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {ran.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
