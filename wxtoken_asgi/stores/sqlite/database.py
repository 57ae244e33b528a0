"""The SQLite file of a store, synchronously: one connection, for use in one thread.

`SQLiteStore` has two of these in threads of their own. A simulation may call one without any thread, on a
clock of its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

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
    Supply,
)
from wxtoken_asgi.stores.sqlite import dbfile, storetime, world
from wxtoken_asgi.stores.sqlite.rowcodec import credential_of, keys_of
from wxtoken_asgi.stores.sqlite.rowset import RowSet, tell
from wxtoken_asgi.stores.sqlite.transaction import is_busy, patiently, written
from wxtoken_asgi.stores.sqlite.world import World

FIRST: Final = "SELECT key, due_at, owner FROM records ORDER BY due_at LIMIT ?"
KNOWN: Final = "SELECT key FROM records WHERE key IN (SELECT value FROM json_each(?))"
REMOVE: Final = "DELETE FROM records WHERE key IN (SELECT value FROM json_each(?))"
LATEST: Final = "SELECT coalesce(max(seq), 0) FROM news"
NEWS: Final = "SELECT seq, key FROM news WHERE seq > ? ORDER BY seq"


class Database:
    """One connection to a store's file, made when it is first needed, and anew whenever it was lost.

    Every operation may raise `StoreError`. The file lies there or not, as before, when the next one begins.

    Args:
        path: the file.
        clock: time.
        boot: the id of this boot of the machine; None: the machine's own.
    """

    def __init__(self, path: Path, clock: Clock, *, boot: str | None = None) -> None:
        self._path = path
        self._clock = clock
        self._boot = storetime.boot_id() if boot is None else boot
        self._connection: sqlite3.Connection | None = None
        self._file: dbfile.Identity | None = None
        self._world = World("", storetime.begun("", clock))
        self._version = 0

    def open(self) -> None:
        """See to it that there is a connection to the file that lies there now."""
        with self._explained():
            self._ready()

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        self._version = 0  # none is
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # what may write

    def read(self, credentials: Sequence[Credential]) -> list[Record]:
        """See `Store.read`. Leases that have lapsed are written down."""
        with self._writing(credentials) as (rows, now):
            return [rows[credential].record(now) for credential in credentials]

    def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        """See `Store.claim`."""
        with self._writing([claim.credential for claim in claims]) as (rows, now):
            stamp = self._stamp(now)
            return [
                rows[claim.credential].claim(claim, owner=owner, lease_s=lease_s, now=now, stamp=stamp)
                for claim in claims
            ]

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See `Store.commit`."""
        with self._writing([commit.credential for commit in commits]) as (rows, now):
            return [rows[commit.credential].commit(commit, now) for commit in commits]

    def fail(self, fails: Sequence[Fail]) -> list[Record]:
        """See `Store.fail`."""
        with self._writing([fail.credential for fail in fails]) as (rows, now):
            for fail in fails:
                rows[fail.credential].fail(fail, now)
            return [rows[fail.credential].record(now) for fail in fails]

    def restore(self, records: Sequence[Record]) -> list[Record]:
        """See `Store.restore`."""
        with self._writing([record.credential for record in records]) as (rows, now):
            for record in records:
                rows[record.credential].restore(record, now)
            return [rows[record.credential].record(now) for record in records]

    def supply(self, supplies: Sequence[Supply]) -> list[Record]:
        """See `Store.supply`."""
        with self._writing([supply.credential for supply in supplies]) as (rows, now):
            stamp = self._stamp(now)
            for supply in supplies:
                rows[supply.credential].supply(supply, now, stamp)
            return [rows[supply.credential].record(now) for supply in supplies]

    def remove(self, credentials: Sequence[Credential]) -> None:
        """See `Store.remove`."""
        with self._transaction() as (connection, _):
            keys = keys_of(credentials)
            known = [credential_of(key) for (key,) in connection.execute(KNOWN, (keys,))]
            connection.execute(REMOVE, (keys,))
            tell(connection, known)

    def due(self, limit: int) -> Due:
        """See `Store.due`. Leases that have lapsed are written down."""
        with self._transaction() as (connection, now):
            while True:
                due, lapsed = _first(connection, limit, now)
                if not lapsed:
                    return due
                RowSet(connection, lapsed, now).save()

    # what only looks

    def peek(self, credentials: Sequence[Credential]) -> tuple[list[Record], bool]:
        """The records as `read` gives them, and whether a lapse is not written down yet."""
        with self._looking() as (connection, now):
            rows = patiently(lambda: RowSet(connection, credentials, now))
            return [rows[credential].record(now) for credential in credentials], rows.lapsed

    def peek_due(self, limit: int) -> tuple[Due, bool]:
        """The same for `due`."""
        with self._looking() as (connection, now):
            due, lapsed = patiently(lambda: _first(connection, limit, now))
            return due, bool(lapsed)

    def changes(self, cursor: str) -> Changes:
        """See `Store.changes`; it does not wait."""
        with self._looking() as (connection, _):
            return patiently(lambda: self._since(connection, cursor))

    def cursor(self) -> str:
        """Now's cursor."""
        with self._looking() as (connection, _):
            return self._cursor(patiently(lambda: _latest(connection)))

    def stirred(self) -> bool:
        """Whether anything was written, or another file put there, since this was asked last."""
        try:  # this is what a quiet process does all day: no more than it must
            version = patiently(lambda: dbfile.number(self._ready(), "PRAGMA data_version"))
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from None
        before, self._version = self._version, version
        return version != before

    # inside

    @contextlib.contextmanager
    def _writing(self, credentials: Sequence[Credential]) -> Iterator[tuple[RowSet, float]]:
        """These rows inside a transaction, and store time at its begin."""
        with self._transaction() as (connection, now):
            rows = RowSet(connection, credentials, now)
            yield rows, now
            rows.save()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, float]]:
        with self._explained():
            connection = self._ready()
            with written(connection):
                now = self._world.anchor.now(self._clock)
                before = connection.total_changes
                yield connection, now
                if connection.total_changes != before:
                    world.was_seen(connection, now, self._clock)

    @contextlib.contextmanager
    def _looking(self) -> Iterator[tuple[sqlite3.Connection, float]]:
        with self._explained():
            connection = self._ready()
            yield connection, self._world.anchor.now(self._clock)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._explain(error) from None

    def _explain(self, error: sqlite3.Error | OSError) -> StoreError:
        """The error for the caller. Unless only a lock was in the way, the next operation connects anew."""
        if not is_busy(error):
            self.close()
        return dbfile.explain(self._path, error)

    def _ready(self) -> sqlite3.Connection:
        """The connection to the file that lies there now."""
        if self._connection is not None and dbfile.identity(self._path) == self._file:
            return self._connection
        self.close()
        connection, self._file = dbfile.connect(self._path)
        try:
            self._world = world.enter(connection, self._boot, self._clock)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _stamp(self, now: float) -> int:
        """The least that a new fence may be, in milliseconds: the wall clock goes on over a lost file."""
        return int(max(self._clock.time(), now) * 1000)

    def _cursor(self, latest: int) -> str:
        return f"{self._place}-{latest}"

    @property
    def _place(self) -> str:
        """Tells this file from others; one put back from a copy has the same epoch."""
        return self._world.epoch + (f".{self._file.inode:x}" if self._file else "")

    def _since(self, connection: sqlite3.Connection, cursor: str) -> Changes:
        place, _, last = cursor.rpartition("-")
        latest = _latest(connection)
        if not cursor:
            return Changes(self._cursor(latest), ())
        if place != self._place or not last.isdecimal() or int(last) > latest:
            return Changes(self._cursor(latest), None)
        news = connection.execute(NEWS, (int(last),)).fetchall()
        if not news:
            return Changes(cursor, ())
        cursor = self._cursor(news[-1][0])
        if news[0][0] != int(last) + 1:  # what came next is forgotten already
            return Changes(cursor, None)
        keys = dict.fromkeys(key for _, key in news)
        return Changes(cursor, tuple(credential_of(key) for key in keys))


def _first(connection: sqlite3.Connection, limit: int, now: float) -> tuple[Due, list[Credential]]:
    """What is due, and those among it that only look so because their lease has lapsed."""
    found = connection.execute(FIRST, (limit + 1,)).fetchall()
    first = [(credential_of(key), owner) for key, at, owner in found[:limit] if at <= now]
    next_in_s = None if len(first) == len(found) else max(found[len(first)][1] - now, 0.0)
    due = Due(tuple(credential for credential, _ in first), next_in_s)
    return due, [credential for credential, owner in first if owner]


def _latest(connection: sqlite3.Connection) -> int:
    return dbfile.number(connection, LATEST)
