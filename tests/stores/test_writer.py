"""Group commit: many wait for one sync, nobody is told before it, nobody suffers for a neighbour."""

import asyncio
import threading

import pytest

import stibgate.stores.writer as writing
from stibgate.errors import StoreFull, StoreTimeout, StoreUnavailable
from stibgate.stores.connection import FATAL_CODES, open_reader, open_writer, sqlite3
from stibgate.stores.writer import Writer

IOERR_FSYNC = 1034
FULL = 13


def failure(code, text="simulated"):
    """Return what SQLite raises with result *code*."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Hooked:
    """A connection that calls *before* with every statement first."""

    def __init__(self, connection, before):
        self._connection = connection
        self._before = before

    def execute(self, sql, *values):
        self._before(sql)
        return self._connection.execute(sql, *values)

    def __getattr__(self, name):
        return getattr(self._connection, name)


def put(value):
    """Return an operation that inserts *value* and returns it."""

    def operation(db):
        db.execute("INSERT INTO rows (value) VALUES (?)", (value,))
        return value

    return operation


def put_and_raise(value, error):
    """Return an operation that inserts *value*, then fails."""

    def operation(db):
        put(value)(db)
        raise error

    return operation


class Bench:
    """A writer over a file with one table."""

    def __init__(self, path, *, commit_max_rows=128, commit_timeout_s=60, before=None, on_failed=None, at_leisure=None):
        self.path = path
        database = open_writer(path, durability="full")
        database.conn.execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, value UNIQUE)")
        self.statements = []
        self.failures = []
        database.conn.set_trace_callback(self.statements.append)
        if before is not None:
            database.conn = Hooked(database.conn, before)
        self.writer = Writer(
            database,
            commit_max_rows=commit_max_rows,
            commit_timeout_s=commit_timeout_s,
            on_failed=on_failed or self.failures.append,
            at_leisure=at_leisure,
        )

    def commits(self):
        return self.statements.count("COMMIT")

    def rows(self):
        """Return what another connection sees, in the order in which it was written."""
        database = open_reader(self.path)
        try:
            return [value for (value,) in database.conn.execute("SELECT value FROM rows ORDER BY n")]
        finally:
            database.conn.close()


@pytest.fixture
async def make_bench(tmp_path):
    benches = []

    def make(**settings):
        benches.append(Bench(tmp_path / "writer.db", **settings))
        return benches[-1]

    yield make
    for bench in benches:
        await bench.writer.close()


async def test_one_commit_for_all_who_wait(make_bench):
    """What is submitted in one turn of the loop shares one transaction and one sync."""
    bench = make_bench()
    assert await asyncio.gather(*(bench.writer.submit(put(n)) for n in range(100))) == list(range(100))
    assert bench.commits() == bench.statements.count("BEGIN IMMEDIATE") == 1
    assert bench.rows() == list(range(100))


async def test_who_comes_later_shares_the_next_commit(make_bench):
    """What comes while a commit runs waits for it together, and is the next one."""
    loop = asyncio.get_running_loop()
    late = []

    def join(sql):
        if sql == "COMMIT" and not late:
            submitted = asyncio.run_coroutine_threadsafe(submit_late(), loop)
            submitted.result()

    async def submit_late():
        late.extend(bench.writer.submit(put(n)) for n in range(10, 30))

    bench = make_bench(before=join)
    await bench.writer.submit(put(0))
    await asyncio.gather(*late)
    assert bench.commits() == 2
    assert bench.rows() == [0, *range(10, 30)]


async def test_nobody_is_told_before_the_commit(make_bench):
    """While the commit has not begun no caller has an answer."""
    loop = asyncio.get_running_loop()
    told = []

    async def look():
        told.extend(future.done() for future in futures)

    def before(sql):
        if sql == "COMMIT":  # a whole turn of the loop passes between the work and its commit
            asyncio.run_coroutine_threadsafe(look(), loop).result()

    bench = make_bench(before=before)
    futures = [bench.writer.submit(put(n)) for n in range(5)]
    await asyncio.gather(*futures)
    assert told == [False] * 5


async def test_order(make_bench):
    """Operations run and are answered in the order of their submission, over any number of commits."""
    bench = make_bench(commit_max_rows=7)
    answered = []
    futures = [bench.writer.submit(put(n)) for n in range(100)]
    for future in futures:
        future.add_done_callback(lambda done: answered.append(done.result()))
    await asyncio.gather(*futures)
    assert bench.rows() == answered == list(range(100))


async def test_bound(make_bench):
    """No transaction holds more than `commit_max_rows` operations, and none fewer than it could."""
    bench = make_bench(commit_max_rows=10)
    await asyncio.gather(*(bench.writer.submit(put(n)) for n in range(25)))
    sizes, size = [], 0
    for statement in bench.statements:
        size += statement.startswith("INSERT")
        if statement == "COMMIT":
            sizes.append(size)
            size = 0
    assert sizes == [10, 10, 5]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("ours"), ValueError),
        (failure(19), StoreUnavailable),
        (failure(FULL), StoreFull),
        (failure(5), StoreUnavailable),
    ],
    ids=["ours", "constraint", "full", "busy"],
)
async def test_neighbours_do_not_suffer(make_bench, error, expected):
    """An operation that fails is undone whole and told so; the others of its batch are committed, in order."""
    bench = make_bench()
    operations = [put("a"), put_and_raise("x", error), put("b"), put_and_raise("y", error), put("a"), put("c")]
    results = await asyncio.gather(*map(bench.writer.submit, operations), return_exceptions=True)
    assert [r if isinstance(r, str) else type(r) for r in results] == [
        "a", expected, "b", expected, StoreUnavailable, "c",
    ]  # fmt: skip
    assert bench.rows() == ["a", "b", "c"]
    assert bench.commits() == 1
    assert bench.writer.alive
    assert bench.failures == []


async def test_a_failure_alone(make_bench):
    """A failing operation without company leaves nothing behind, and the next one finds the writer as it was."""
    bench = make_bench()
    with pytest.raises(ZeroDivisionError):
        await bench.writer.submit(put_and_raise("x", ZeroDivisionError()))
    assert await bench.writer.submit(put("a")) == "a"
    assert bench.rows() == ["a"]


async def test_a_caller_that_gives_up(make_bench):
    """A caller that is cancelled while it waits disturbs nobody, and what it asked for is committed or not, never half."""
    bench = make_bench()
    futures = [bench.writer.submit(put(n)) for n in range(4)]
    futures[1].cancel()
    tasks = [asyncio.ensure_future(_wait(future)) for future in futures[2:]]
    tasks[0].cancel()
    assert await futures[0] == 0
    assert await tasks[1] == 3
    assert futures[1].cancelled()
    assert bench.rows() == [0, 1, 2, 3]
    assert await bench.writer.submit(put(9)) == 9


async def _wait(future):
    return await future


async def test_close(make_bench):
    """Closing commits what waits, refuses what comes later, and leaves no WAL behind."""
    bench = make_bench(commit_max_rows=3)
    futures = [bench.writer.submit(put(n)) for n in range(10)]
    closing = asyncio.ensure_future(bench.writer.close())
    await futures[0]
    assert not bench.writer.alive
    with pytest.raises(StoreUnavailable) as refused:
        await bench.writer.submit(put("late"))
    assert refused.value.hint
    await closing
    assert [future.result() for future in futures] == list(range(10))
    assert not bench.path.with_name("writer.db-wal").exists()
    assert bench.rows() == list(range(10))
    with pytest.raises(StoreUnavailable):
        await bench.writer.submit(put("later"))


async def test_close_on_a_full_disk(make_bench):
    """A last checkpoint that fails does not keep the writer from ending: the WAL has all that was committed."""

    def before(sql):
        if "wal_checkpoint" in sql:
            raise failure(FULL)

    bench = make_bench(before=before)
    await bench.writer.submit(put("a"))
    await bench.writer.close()
    assert bench.rows() == ["a"]


async def test_a_commit_that_hangs(make_bench):
    """While a commit hangs nobody waits longer than the timeout, whenever they came; when it ends all goes on."""
    hanging, release = threading.Event(), threading.Event()

    def before(sql):
        if sql == "COMMIT":
            hanging.set()
            release.wait()

    bench = make_bench(before=before, commit_max_rows=2, commit_timeout_s=0.01)
    early = [bench.writer.submit(put(n)) for n in range(4)]
    try:
        results = await asyncio.gather(*early, return_exceptions=True)
        assert [type(result) for result in results] == [StoreTimeout] * 4
        await asyncio.get_running_loop().run_in_executor(None, hanging.wait)
        with pytest.raises(StoreTimeout) as late:
            await bench.writer.submit(put("late"))
        assert late.value.hint
        assert bench.rows() == []
    finally:
        release.set()
    bench.writer._commit_timeout_s = 60
    await bench.writer._idle.wait()
    assert await bench.writer.submit(put("after")) == "after"
    assert bench.rows() == [0, 1, 2, 3, "late", "after"]
    assert bench.failures == []


# -- what can wait


class Chores:
    """Work that can wait: each slice puts a row, and says that there is more until there were *count*."""

    def __init__(self, count, *, error=None):
        self.count, self.error, self.done, self.over = count, error, 0, threading.Event()

    def __call__(self, db):
        if self.error is not None:
            self.over.set()
            raise self.error
        if self.done < self.count:
            put(f"chore {self.done}")(db)
            self.done += 1
        if self.done == self.count:
            self.over.set()
        return self.done < self.count

    async def until_over(self):
        assert await asyncio.get_running_loop().run_in_executor(None, self.over.wait, 30)


async def test_what_can_wait_is_done_at_leisure(make_bench, monkeypatch):
    """It begins when nobody has come for a while, each slice a transaction, what an earlier process left first."""
    monkeypatch.setattr(writing, "LEISURE_S", 0.0)
    chores = Chores(3)
    bench = make_bench(at_leisure=chores)
    await chores.until_over()
    await bench.writer.submit(put("a"))
    assert bench.rows() == ["chore 0", "chore 1", "chore 2", "a"]
    assert bench.commits() >= 4


async def test_work_comes_before_what_can_wait(make_bench, monkeypatch):
    """While batches follow each other it is put off, until so much was committed that a slice goes between two."""
    monkeypatch.setattr(writing, "LEISURE_S", 60.0)
    monkeypatch.setattr(writing, "BUSY_OPERATIONS", 4)
    bench = make_bench(at_leisure=Chores(2))
    for number in range(7):
        await bench.writer.submit(put(number))
    assert bench.rows() == [0, 1, 2, "chore 0", 3, "chore 1", 4, 5, 6]


async def test_what_can_wait_harms_nobody_when_it_fails(make_bench, monkeypatch):
    """A failure is undone, told to nobody, and tried again after the next operations."""
    monkeypatch.setattr(writing, "LEISURE_S", 0.0)
    chores = Chores(1, error=failure(FULL))
    bench = make_bench(at_leisure=chores)
    await chores.until_over()
    chores.error = None
    chores.over.clear()
    assert await bench.writer.submit(put("a")) == "a"
    await chores.until_over()
    assert bench.writer.alive
    assert bench.failures == []
    await bench.writer.close()
    assert bench.rows() == ["a", "chore 0"]


async def test_a_fatal_error_at_leisure_ends_it_for_all(make_bench, monkeypatch):
    """After an I/O error of its own nothing that comes is acknowledged either, and it is said once."""
    monkeypatch.setattr(writing, "LEISURE_S", 0.0)
    chores = Chores(1, error=failure(IOERR_FSYNC))
    bench = make_bench(at_leisure=chores)
    results = await asyncio.gather(bench.writer.submit(put("a")), return_exceptions=True)
    await chores.until_over()
    while not bench.failures:
        await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await bench.writer.submit(put("b"))
    await _assert_failed_for_good(bench)
    assert bench.rows() == [one for one in results if one == "a"]


# -- errors after which nothing may be acknowledged


@pytest.mark.parametrize("code", [*sorted(FATAL_CODES), IOERR_FSYNC])
@pytest.mark.parametrize("company", [0, 3])
async def test_fatal_operation(make_bench, code, company):
    """After an I/O error nothing of the batch and nothing later is acknowledged, and it is said once."""
    bench = make_bench()
    futures = [bench.writer.submit(put(n)) for n in range(company)]
    futures.append(bench.writer.submit(put_and_raise("x", failure(code))))
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(result, StoreUnavailable) for result in results] == [True] * (company + 1)
    await _assert_failed_for_good(bench)
    assert bench.rows() == []


async def test_fatal_commit(make_bench):
    """When the commit itself fails its batch is refused, together with all that waited behind it."""

    def before(sql):
        if sql == "COMMIT":
            raise failure(IOERR_FSYNC, "disk I/O error")

    bench = make_bench(before=before, commit_max_rows=4)
    results = await asyncio.gather(*(bench.writer.submit(put(n)) for n in range(10)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 10
    await _assert_failed_for_good(bench)
    assert bench.rows() == []


async def test_fatal_beside_a_failing_neighbour(make_bench):
    """An I/O error is as fatal when it first shows while a batch is run again."""
    errors = [ValueError("first"), failure(IOERR_FSYNC)]

    def operation(db):
        raise errors.pop(0)

    bench = make_bench()
    futures = [bench.writer.submit(put("a")), bench.writer.submit(operation), bench.writer.submit(put("b"))]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    await _assert_failed_for_good(bench)
    assert bench.rows() == []


async def _assert_failed_for_good(bench):
    assert not bench.writer.alive
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await bench.writer.submit(put("never"))
    assert len(bench.failures) == 1
    assert isinstance(bench.failures[0], StoreUnavailable)
    assert bench.failures[0].hint


async def test_close_after_a_failed_listener(make_bench):
    """A listener that fails when it is told of the end does not keep the writer from closing."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def listener(error):
        raise RuntimeError("listener")

    bench = make_bench(on_failed=listener)
    with pytest.raises(StoreUnavailable):
        await bench.writer.submit(put_and_raise("x", failure(IOERR_FSYNC)))
    await bench.writer.close()
    assert [str(error) for error in told] == ["listener"]
