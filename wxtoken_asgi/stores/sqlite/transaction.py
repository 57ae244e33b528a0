"""Transactions on a SQLite file that other processes use too, and how long to wait for them."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

BUSY_S: Final = 2.0
"""How long to wait for other processes' locks: less than the 3 s that a store may take to answer."""

STATEMENT_BUSY_S: Final = 0.02
"""How long SQLite itself waits. It sleeps ever longer, up to 100 ms, so that under load those who have waited
longest come last; many short waits are fairer."""

_REST_S: Final = 0.004
_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

T = TypeVar("T")


def is_busy(error: Exception) -> bool:
    """Whether somebody else's lock is all that is wrong."""
    return primary_code(error) in _LOCKED


def primary_code(error: Exception) -> int:
    """SQLite's error number without its details; 0: it is no error of SQLite's own."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def patiently(action: Callable[[], T]) -> T:
    """Do it as soon as nobody else's lock is in the way.

    Raises:
        sqlite3.OperationalError: it still was after `BUSY_S` seconds, or something else is wrong.
    """
    last = time.monotonic() + BUSY_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > last:
                raise
        time.sleep(random.uniform(0, _REST_S))


@contextlib.contextmanager
def written(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that may write.

    It takes the lock at its begin: in WAL mode one that reads first is refused at its first write, at once,
    if somebody else wrote meanwhile.
    """
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
