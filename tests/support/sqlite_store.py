"""SQLite stores for tests: without threads, so that they run in virtual time, and files that cost no disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.stores.sqlite import SQLiteStore
from wxtoken_asgi.stores.sqlite.lane import POLL_S, Lane

_TMPFS = "/dev/shm"
_WORKER = Path(__file__).with_name("sqlite_worker.py")


class InlineLane(Lane):
    """Does its jobs where it is asked to."""

    def __init__(self, database, name):
        super().__init__(database, name)
        self._database = database()

    def start(self):
        """There is nothing to start."""

    async def run(self, job):
        await checkpoint()
        return job(self._database)

    async def follow(self, cursor):
        while self._database.cursor() == cursor:  # noqa: ASYNC110 - nobody else is there to ring
            await anyio.sleep(POLL_S)

    def stop(self):
        self._database.close()

    async def ended(self):
        await checkpoint()

    def hold(self):
        self._database.close()
        return True

    def release(self):
        """It goes on by itself."""


class InlineSQLiteStore(SQLiteStore):
    """A `SQLiteStore` whose jobs run in the event loop."""

    lane = InlineLane


class SetClock(Clock):
    """Clocks that stand still until they are moved.

    Attributes:
        boot: seconds since boot.
        wall: seconds since 1970.
    """

    def __init__(self, boot=1000.0, wall=1_790_000_000.0):
        super().__init__(1)
        self.boot = boot
        self.wall = wall

    def monotonic(self):
        return self.boot

    def time(self):
        return self.wall

    def advance(self, seconds):
        self.boot += seconds
        self.wall += seconds


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: what is tested here is not the disk."""
    folder = tempfile.mkdtemp(dir=_TMPFS if os.access(_TMPFS, os.W_OK) else None)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


class SQLiteWorker:
    """Another process with a `Database` of the same file; it answers Python expressions.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_WORKER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> None:
        """Let it begin with something."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """What it answers."""
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        """Both."""
        self.say(line)
        return self.hear()

    def end(self) -> None:
        """Whatever state it is in."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def sqlite_workers(path: Path, count: int) -> Iterator[list[SQLiteWorker]]:
    """Several at once, ready."""
    workers = [SQLiteWorker(path) for _ in range(count)]
    try:
        assert [worker.ask("'ready'") for worker in workers] == ["ready"] * count
        yield workers
    finally:
        for worker in workers:
            worker.end()
