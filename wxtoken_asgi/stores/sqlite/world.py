"""The tables of a SQLite store, and the one row that says which file this is and what time it is there."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Final, NamedTuple

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.stores.contract import FORMAT
from wxtoken_asgi.stores.sqlite import dbfile, storetime
from wxtoken_asgi.stores.sqlite.storetime import Anchor
from wxtoken_asgi.stores.sqlite.transaction import patiently, written

_SCHEMA: Final = (
    """CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        due_at REAL NOT NULL,
        version INTEGER NOT NULL,
        value TEXT,
        ends_at REAL NOT NULL,
        ask_at REAL NOT NULL,
        wait_until REAL NOT NULL,
        attempts INTEGER NOT NULL,
        error TEXT,
        fence INTEGER NOT NULL,
        owner TEXT NOT NULL,
        lease_until REAL NOT NULL,
        granted_at REAL NOT NULL,
        brought_at REAL NOT NULL,
        rank INTEGER NOT NULL,
        lapse_end REAL,
        lapse_ask REAL,
        asked_at REAL NOT NULL,
        asked_error TEXT,
        budgets TEXT NOT NULL,
        charged TEXT NOT NULL,
        failed_at REAL NOT NULL,
        unseen INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        told INTEGER NOT NULL,
        doubted INTEGER NOT NULL,
        doubt_end REAL NOT NULL,
        doubt_ask REAL NOT NULL,
        last_doubt REAL NOT NULL,
        late_end REAL NOT NULL,
        late_ask REAL NOT NULL,
        state TEXT NOT NULL
    )""",
    "CREATE INDEX records_due ON records (due_at, key, owner)",  # `due` is answered from it alone
    "CREATE TABLE news (seq INTEGER PRIMARY KEY, key TEXT NOT NULL)",
    """CREATE TABLE world (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch TEXT NOT NULL,
        boot TEXT NOT NULL,
        ahead REAL NOT NULL,
        seen REAL NOT NULL,
        wall REAL NOT NULL
    )""",
    f"PRAGMA application_id = {dbfile.APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)
_READ: Final = "SELECT epoch, boot, ahead, seen, wall FROM world"
_BEGIN: Final = "INSERT INTO world (id, epoch, boot, ahead, seen, wall) VALUES (1, ?, ?, ?, ?, ?)"
_REBOOT: Final = "UPDATE world SET boot = ?, ahead = ?, seen = ?, wall = ?"
_SEEN: Final = "UPDATE world SET seen = ?, wall = ?"
_END_VALUES: Final = (
    "UPDATE records SET ends_at = min(ends_at, :now), ask_at = min(ask_at, :now), "
    "due_at = CASE WHEN owner = '' THEN max(wait_until, min(ask_at, :now)) ELSE due_at END"
)


class World(NamedTuple):
    """What is the same for all records of a file.

    Args:
        epoch: drawn when the tables were made.
        anchor: ties the file's time to the clocks of this boot.
    """

    epoch: str
    anchor: Anchor


def enter(connection: sqlite3.Connection, boot: str, clock: Clock) -> World:
    """See to it that there are tables, and that their time is that of this boot.

    Args:
        connection: to the file.
        boot: this boot's id.
        clock: this process's clock.
    """
    world = None if patiently(lambda: dbfile.is_empty(connection)) else patiently(lambda: _read(connection))
    if world is None or world.anchor.boot != boot:
        with written(connection):  # whoever came first has done it
            world = _prepared(connection, boot, clock)
    return world


def was_seen(connection: sqlite3.Connection, now: float, clock: Clock) -> None:
    """Remember, with each write, what store time it was by the wall clock."""
    connection.execute(_SEEN, (now, clock.time()))


def _read(connection: sqlite3.Connection) -> World | None:
    row = connection.execute(_READ).fetchone()
    return None if row is None else World(row[0], Anchor(*row[1:]))


def _prepared(connection: sqlite3.Connection, boot: str, clock: Clock) -> World:
    if dbfile.is_empty(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
    world = _read(connection)
    if world is None:
        return _begin(connection, boot, clock)
    return world if world.anchor.boot == boot else _reboot(connection, world, boot, clock)


def _begin(connection: sqlite3.Connection, boot: str, clock: Clock) -> World:
    world = World(uuid.uuid4().hex, storetime.begun(boot, clock))
    connection.execute(_BEGIN, (world.epoch, *world.anchor))
    return world


def _reboot(connection: sqlite3.Connection, world: World, boot: str, clock: Clock) -> World:
    anchor, unknown = storetime.rebooted(world.anchor, boot, clock)
    connection.execute(_REBOOT, anchor)
    if unknown:
        connection.execute(_END_VALUES, {"now": anchor.seen})
    return World(world.epoch, anchor)
