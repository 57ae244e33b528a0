"""The threads of a SQLite store: who waits for them, who does not, and how they end."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.stores.contract import Claim, Cut, Granted, Supply
from wxtoken_asgi.stores.sqlite import SQLiteStore, lane, transaction
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.testing.stage import KEY, MovedClock, Worker, key

from support.sqlite_store import quick_folder

SOON_S = 20.0
"""Within this, whatever is to happen has happened, on however slow a machine."""


@pytest.fixture
def path():
    with quick_folder() as folder:
        yield folder / "tokens.db"


@pytest.fixture
async def store(path):
    store = SQLiteStore(path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(path, store):
    other = SQLiteStore(path)
    await other.open()
    yield other
    await other.close()


def threads():
    """The threads of all stores."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("wxtoken-")]


def lanes(store):
    return store._processes.running()


async def until(condition):
    with anyio.fail_after(SOON_S):
        while not condition():  # noqa: ASYNC110 - it is another thread's
            await anyio.sleep(0.01)


@contextlib.contextmanager
def busy(one):
    """The lane's thread is in the middle of something."""
    inside, done = threading.Event(), threading.Event()

    def work(_):
        inside.set()
        done.wait(SOON_S)

    with one._bell:
        one._jobs.append((_Nobody(), work))
        one._bell.notify_all()
    assert inside.wait(SOON_S)
    try:
        yield
    finally:
        done.set()


class _Nobody:
    gone = False

    def settle(self, *args, **options):
        pass


# waiting


async def test_a_caller_who_goes_away_waits_for_nothing_and_what_had_begun_is_finished(store, other):
    begun, go_on = threading.Event(), threading.Event()

    def slow(database):
        begun.set()
        go_on.wait(SOON_S)
        return database.supply([Supply(KEY, "finished", 100, 50)])

    async with anyio.create_task_group() as group:
        group.start_soon(lanes(store).writer.run, slow)
        await until(begun.is_set)
        group.cancel_scope.cancel()
    go_on.set()
    await until(lambda: not lanes(store).writer._jobs)
    await lanes(store).writer.run(lambda _: None)
    assert (await other.read([KEY]))[0].value == "finished"


async def test_what_had_not_begun_when_its_caller_went_away_is_dropped(store):
    with busy(lanes(store).writer):
        with anyio.move_on_after(0.01) as scope:
            await store.supply([Supply(KEY, "dropped", 100, 50)])
        assert scope.cancelled_caught
        assert (await store.read([KEY]))[0].value is None, "reads wait for no writer"
    await store.supply([Supply(key(1), "x", 100, 50)])
    assert (await store.read([KEY]))[0].value is None


async def test_the_event_loop_goes_on_while_another_program_holds_the_lock(store, path, monkeypatch):
    monkeypatch.setattr(transaction, "BUSY_S", 0.2)
    turns = []

    async def turn():
        while True:
            turns.append(1)
            await anyio.sleep(0.001)

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(turn)
            with pytest.raises(StoreError, match="locked"):
                await store.supply([Supply(KEY, "x", 100, 50)])
            group.cancel_scope.cancel()
    assert len(turns) > 5
    assert (await store.supply([Supply(KEY, "x", 100, 50)]))[0].value == "x"


async def test_a_lapse_is_told_where_it_can_be_written_and_answered_where_it_cannot(path, monkeypatch):
    monkeypatch.setattr(transaction, "BUSY_S", 0.1)
    clock = MovedClock()
    store = SQLiteStore(path, clock=clock)
    await store.open()
    await store.supply([Supply(KEY, "x", 7000, 3600)])
    version = (await store.read([KEY]))[0].version
    await store.claim([Claim(KEY, version, asked=True, lapse=Cut(270, 0))], owner="one", lease_s=30)
    cursor = (await store.changes("", 0)).cursor
    clock.ahead += 31
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        assert (await store.read([KEY]))[0].ttl_s < 240
        with pytest.raises(StoreError):
            await store.due(10)
    assert (await store.changes(cursor, 0)).credentials == ()
    assert (await store.read([KEY]))[0].ttl_s < 240
    assert (await store.changes(cursor, 0)).credentials == (KEY,)
    await store.close()


async def test_a_mistake_in_a_job_is_its_callers_and_the_thread_goes_on(store):
    with pytest.raises(ZeroDivisionError):
        await lanes(store).writer.run(lambda _: 1 // 0)
    assert await lanes(store).writer.run(lambda _: "still there") == "still there"


# news


async def test_followers_hear_at_once_of_what_others_write(store, other):
    cursor = (await other.changes("", 0)).cursor
    heard = []

    async def follow():
        heard.append((await other.changes(cursor, SOON_S)).credentials)

    with anyio.fail_after(SOON_S / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(follow)
            await until(lambda: len(lanes(other).reader._followers) == 2)
            await store.claim([Claim(key(1))], owner="one", lease_s=30)  # no news
            await store.supply([Supply(KEY, "x", 100, 50)])
    assert heard == [(KEY,), (KEY,)]


async def test_a_follower_hears_though_the_writing_thread_is_busy(store, other):
    cursor = (await other.changes("", 0)).cursor
    with busy(lanes(other).writer), anyio.fail_after(SOON_S / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(other.changes, cursor, SOON_S)
            await store.supply([Supply(KEY, "x", 100, 50)])


async def test_news_that_come_before_the_follower_are_not_lost(store, monkeypatch):
    cursor = (await store.changes("", 0)).cursor
    follow = lane.Lane.follow

    async def late(self, cursor):
        await store.supply([Supply(KEY, "x", 100, 50)])
        await follow(self, cursor)

    monkeypatch.setattr(lane.Lane, "follow", late)
    with anyio.fail_after(SOON_S / 2):
        assert (await store.changes(cursor, SOON_S)).credentials == (KEY,)


async def test_a_follower_waits_no_longer_than_it_wants_and_is_forgotten(store):
    cursor = (await store.changes("", 0)).cursor
    begun = time.monotonic()
    assert (await store.changes(cursor, 0.2)).credentials == ()
    assert time.monotonic() - begun >= 0.2
    await until(lambda: not lanes(store).reader._followers)


async def test_a_follower_hears_of_a_file_that_is_gone(store, path):
    await store.supply([Supply(KEY, "x", 100, 50)])
    cursor = (await store.changes("", 0)).cursor
    heard = []

    async def follow():
        heard.append((await store.changes(cursor, SOON_S)).credentials)

    with anyio.fail_after(SOON_S / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await until(lambda: lanes(store).reader._followers)
            path.unlink()
    assert heard == [None]


async def test_a_follower_hears_what_is_wrong_and_may_follow_again(store, path):
    cursor = (await store.changes("", 0)).cursor
    errors = []

    async def follow():
        with pytest.raises(StoreError, match="no SQLite database"):
            await store.changes(cursor, SOON_S)
        errors.append(1)

    with anyio.fail_after(SOON_S / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await until(lambda: lanes(store).reader._followers)
            path.with_name("tokens.db-wal").unlink()  # what is in it would belong to whatever lies there
            path.with_name("garbage").write_bytes(b"garbage" * 1000)
            path.with_name("garbage").rename(path)
    with pytest.raises(StoreError):
        await lanes(store).reader.follow(cursor)
    path.unlink()
    assert (await store.changes(cursor, 1)).credentials is None


# the end


async def test_closing_ends_the_threads_and_tells_who_still_follows(path):
    before = set(threads())
    store = SQLiteStore(path)
    await store.open()
    cursor = (await store.changes("", 0)).cursor

    async def follow():
        with pytest.raises(StoreError, match="closed"):
            await store.changes(cursor, SOON_S)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await until(lambda: lanes(store).reader._followers)
        mine = set(threads()) - before
        assert len(mine) == 2
        await store.close()
    await until(lambda: not any(thread.is_alive() for thread in mine))
    await store.close()


async def test_closing_waits_only_briefly_for_what_hangs(store):
    with busy(lanes(store).writer):
        writer = lanes(store).writer
        with anyio.fail_after(SOON_S / 2):
            await store.close()
        with pytest.raises(StoreError, match="closed"):
            await writer.run(lambda _: None)
    assert (await store.read([KEY]))[0].value is None, "whoever asks later opens it again"


async def test_what_was_said_before_the_close_is_done(store, other):
    async with anyio.create_task_group() as group:
        with busy(lanes(store).writer):
            group.start_soon(store.supply, [Supply(KEY, "x", 100, 50)])
            await until(lambda: lanes(store).writer._jobs)
            group.start_soon(store.close)
            await until(lambda: not store._processes._lanes)
    assert (await other.read([KEY]))[0].value == "x"


async def test_a_store_that_nobody_closed_ends_its_threads_when_it_is_forgotten(path):
    before = set(threads())
    store = SQLiteStore(path)
    await store.open()
    mine = set(threads()) - before
    assert len(mine) == 2
    del store
    gc.collect()
    await until(lambda: not any(thread.is_alive() for thread in mine))


async def test_ended_answers_those_who_come_late(store):
    writer = lanes(store).writer
    await store.close()
    with anyio.fail_after(SOON_S):
        await writer.ended()


# several event loops, several threads


def test_a_store_goes_on_in_another_event_loop(path):
    store = SQLiteStore(path)

    async def use():
        await store.open()
        with anyio.move_on_after(0.01):
            await store.changes((await store.changes("", 0)).cursor, 30)
        return (await store.supply([Supply(KEY, "x", 100, 50)]))[0].value

    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(use, backend=backend) == "x"
    anyio.run(store.close)


def test_an_event_loop_that_ends_while_it_waits_harms_nobody(path):
    store = SQLiteStore(path)

    async def begin():
        await store.open()
        loops.append(busy(lanes(store).writer))
        loops[0].__enter__()
        with anyio.move_on_after(0.01):
            await store.supply([Supply(KEY, "x", 100, 50)])
        replies.append(lane.Reply())

    loops, replies = [], []
    for backend in ("asyncio", "trio"):
        anyio.run(begin, backend=backend)
        replies[-1].settle("too late")
        loops.pop().__exit__(None, None, None)
    anyio.run(store.close)


def test_threads_that_claim_at_once_are_granted_one_lease(path):
    store, gate, claimed = open_store(f"sqlite://{path}"), threading.Barrier(8, timeout=60), []

    def work(owner):
        async def ask():
            gate.wait()
            claimed.extend([await Worker(store, owner).claim() for _ in range(10)])

        anyio.run(ask)

    workers = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({grant.fence for grant in claimed if isinstance(grant, Granted)}) == 1
    assert len(claimed) == 80
    anyio.run(store.close)


# forks

FORKING = """
import os, sqlite3, sys, threading
import anyio
from wxtoken_asgi.stores.contract import Claim, Supply
from wxtoken_asgi.stores.sqlite import SQLiteStore, lane
from wxtoken_asgi.testing.stage import KEY, key

store = SQLiteStore(sys.argv[1])

def put(number, value):
    return anyio.run(store.supply, [Supply(key(number), value, 100, 50)])[0].value

def get(number):
    return anyio.run(store.read, [key(number)])[0].value
"""

ORDINARY = """
put(1, "parent's")
forgotten = SQLiteStore(sys.argv[1] + ".other")
del forgotten
go, gone = os.pipe(), os.pipe()
pid = os.fork()
if not pid:
    assert get(1) == "parent's", get(1)
    os.read(go[0], 1)
    put(2, "child's")
    os.write(gone[1], b"x")
    os.read(go[0], 1)
    assert get(3) == "third's", get(3)
    os._exit(0)
assert get(1) == "parent's"
anyio.run(store.close)
os.write(go[1], b"x")
os.read(gone[0], 1)
third = SQLiteStore(sys.argv[1])
assert anyio.run(third.read, [key(2)])[0].value == "child's"
anyio.run(third.supply, [Supply(key(3), "third's", 100, 50)])
os.write(go[1], b"x")
print(os.waitpid(pid, 0)[1])
"""

FOLLOWED = """
async def main():
    await store.open()
    cursor = (await store.changes("", 0)).cursor
    heard = []

    async def follow():
        heard.append((await store.changes(cursor, 20)).credentials)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await anyio.sleep(0.1)
        pid = os.fork()
        if not pid:
            threading.Thread(target=put, args=(1, "child's")).start()
            while threading.active_count() > 1 and get_done(): pass
            os._exit(0)
        await anyio.to_thread.run_sync(os.waitpid, pid, 0)
    await store.close()
    print(heard == [(key(1),)])

def get_done():
    try:
        import time
        time.sleep(0.05)
        return sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM records").fetchone() == (0,)
    except sqlite3.Error:
        return True

anyio.run(main)
"""

TORN = """
lane.HOLD_S = 0.1
put(1, "parent's")
inside, done = threading.Event(), threading.Event()

def slow(_):
    inside.set()
    done.wait(20)

async def hang():
    with anyio.move_on_after(1):
        await store._processes.running().writer.run(slow)

stuck = threading.Thread(target=anyio.run, args=(hang,))
stuck.start()
inside.wait()
pid = os.fork()
if not pid:
    try:
        put(2, "child's")
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
done.set()
stuck.join()
print(put(3, "parent's"))
"""


def forked(program, path):
    command = [sys.executable, "-W", "ignore", "-c", FORKING + program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_has_the_file_for_itself_and_its_log_is_left_alone(path):
    assert forked(ORDINARY, path) == "0"


def test_followers_of_the_parent_hear_what_the_child_writes(path):
    assert forked(FOLLOWED, path) == "True"


def test_a_child_forked_in_the_middle_of_a_write_says_so(path):
    assert forked(TORN, path).splitlines() == [
        "store: this process was forked while the store was busy; it has to be started anew",
        "parent's",
    ]


def test_a_fork_without_a_store_that_runs_is_nothing_to_it(path):
    before = threads()
    store = SQLiteStore(path)
    store._processes.hold()
    store._processes.release()
    assert threads() == before


async def test_whoever_inherits_locks_is_told(store):
    store._processes.hold()
    await store.close()
    store._processes._torn = True
    with pytest.raises(StoreError, match="forked while the store was busy"):
        await store.read([KEY])
    store._processes.release()
    assert (await store.read([KEY]))[0].value is None


async def test_of_those_who_start_the_threads_at_once_one_wins(path):
    store = SQLiteStore(path)
    make, made = store._processes._make, []

    def overtaken():
        if not made:
            made.append(0)
            made[0] = store._processes.running()
        return make()

    store._processes._make = overtaken
    assert (await store.read([KEY]))[0].value is None
    assert store._processes.running() is made[0]
    await store.close()


async def test_a_fork_waits_until_the_file_is_let_go_of(store, path):
    await store.supply([Supply(KEY, "x", 100, 50)])
    store._processes.hold()
    assert not path.with_name(path.name + "-wal").exists()
    asked = []

    async def ask():
        asked.append((await store.read([KEY]))[0].value)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.05)
        assert asked == []
        store._processes.release()
    assert asked == ["x"]


def test_a_system_without_forks_needs_none_of_this(path, monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    assert SQLiteStore(path)._processes.stop() == ()


def test_a_database_belongs_to_the_thread_that_opened_it(path):
    database, errors = Database(Path(path), MovedClock()), []
    database.open()

    def use():
        try:
            database.cursor()
        except StoreError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "thread" in errors[0]
    database.close()
