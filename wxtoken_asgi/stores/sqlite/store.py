"""`sqlite:///path`: the records of all processes of one host, in a file."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import anyio

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import (
    Changes,
    Claim,
    Claimed,
    Commit,
    Committed,
    Due,
    Fail,
    Record,
    Store,
    Supply,
)
from wxtoken_asgi.stores.sqlite import dbfile
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.stores.sqlite.lane import Lane
from wxtoken_asgi.stores.sqlite.lanes import Lanes, Processes

CLOSE_S: Final = 0.5
"""How long closing waits for a thread that is in the middle of something."""


class SQLiteStore(Store):
    """A store in a SQLite file, shared by all processes of one host.

    The file is made with mode 0600, and its directory with 0700 if only that is missing. It must lie on
    a local disk. It holds live tokens, but never an AppSecret.

    Any event loop and any thread may use it. After a fork the child opens the file for itself.

    Args:
        path: the file, absolute.
        clock: where time comes from.

    Raises:
        ConfigError: no file may have this path.
    """

    shared = True
    news_s = 0.2
    lane: type[Lane] = Lane

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._path = dbfile.checked_path(path)
        make = partial(Database, self._path, clock or Clock())
        self._processes = Processes(partial(_lanes, self.lane, make))
        self._warned = False
        weakref.finalize(self, self._processes.stop).atexit = False  # at the exit threads just end

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path.name!r}>"

    async def open(self) -> None:
        """See `Store.open`."""
        lanes = self._processes.running()
        await lanes.writer.run(Database.open)
        await lanes.reader.run(Database.open)
        if not self._warned:
            self._warned = True
            await lanes.reader.run(lambda _: dbfile.warn_if_open(self._path))

    async def close(self) -> None:
        """See `Store.close`. It waits half a second at most; what is under way ends by itself."""
        lanes = self._processes.stop()
        with anyio.move_on_after(CLOSE_S):
            for lane in lanes:
                await lane.ended()

    async def read(self, credentials: Sequence[Credential]) -> list[Record]:
        """See `Store.read`."""
        lanes = self._processes.running()
        records, lapsed = await lanes.reader.run(lambda database: database.peek(credentials))
        if lapsed:  # which is news, but no reason to refuse the answer where nothing can be written
            with contextlib.suppress(StoreError):
                return await lanes.writer.run(lambda database: database.read(credentials))
        return records

    async def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        """See `Store.claim`."""
        job = partial(Database.claim, claims=claims, owner=owner, lease_s=lease_s)
        return await self._processes.running().writer.run(job)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See `Store.commit`."""
        return await self._processes.running().writer.run(partial(Database.commit, commits=commits))

    async def fail(self, fails: Sequence[Fail]) -> list[Record]:
        """See `Store.fail`."""
        return await self._processes.running().writer.run(partial(Database.fail, fails=fails))

    async def restore(self, records: Sequence[Record]) -> list[Record]:
        """See `Store.restore`."""
        return await self._processes.running().writer.run(partial(Database.restore, records=records))

    async def supply(self, supplies: Sequence[Supply]) -> list[Record]:
        """See `Store.supply`."""
        return await self._processes.running().writer.run(partial(Database.supply, supplies=supplies))

    async def remove(self, credentials: Sequence[Credential]) -> None:
        """See `Store.remove`."""
        await self._processes.running().writer.run(partial(Database.remove, credentials=credentials))

    async def due(self, limit: int) -> Due:
        """See `Store.due`."""
        lanes = self._processes.running()
        due, lapsed = await lanes.reader.run(lambda database: database.peek_due(limit))
        return await lanes.writer.run(lambda database: database.due(limit)) if lapsed else due

    async def changes(self, cursor: str, wait_s: float) -> Changes:
        """See `Store.changes`. What another process wrote is noticed within 70 ms."""
        reader = self._processes.running().reader
        changes = await reader.run(lambda database: database.changes(cursor))
        if not cursor or changes.cursor != cursor:
            return changes
        with anyio.move_on_after(wait_s):
            await reader.follow(cursor)
        return await reader.run(lambda database: database.changes(cursor))


def _lanes(lane: type[Lane], database: Callable[[], Database]) -> Lanes:
    return Lanes(lane(database, "wxtoken-write"), lane(database, "wxtoken-read"))
