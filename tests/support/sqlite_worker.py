"""A process with a SQLite store: evaluates lines of Python and prints what they give."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores.contract import Busy, Claim, Commit, Cut, Granted, Newer, Supply
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.testing.stage import KEY, key

path = Path(sys.argv[1])
db = Database(path, Clock())


def claim(owner, *, lease_s=30.0, seen=0):
    return db.claim([Claim(KEY, seen=seen, asked=True, lapse=Cut(270, 0))], owner=owner, lease_s=lease_s)[0]


def commit(fence, value):
    return db.commit([Commit(KEY, fence, value, ttl_s=7000, ask_in_s=3600)])[0].taken


def call(owner, seen):
    """One caller who wants a newer value: its value, and whether it was fetched for it."""
    while True:
        claimed = claim(owner, seen=seen)
        if isinstance(claimed, Newer):
            return claimed.record.value, claimed.record.version, 0
        if isinstance(claimed, Granted):
            time.sleep(0.02)  # WeChat
            commit(claimed.fence, f"value-{claimed.fence}")
            return f"value-{claimed.fence}", claimed.fence, 1
        assert isinstance(claimed, Busy)
        time.sleep(0.005)


def calls(owner, seen, count=5):
    return [call(owner, seen) for _ in range(count)]


def pause_inside(owner):
    """Begin to write, and stop half-way."""
    with db._transaction() as (connection, _):
        connection.execute("UPDATE records SET value = 'half written', owner = ?", (owner,))
        print("inside", flush=True)
        signal.pause()


def follow(cursor, within_s=20.0):
    """Look for news as a lane does; when they came, and what they are."""
    last = time.monotonic() + within_s
    while time.monotonic() < last:
        if db.stirred() and db.cursor() != cursor:
            return len(db.changes(cursor).credentials)
        time.sleep(0.02)
    return None


def supply(other, number):
    """Write to another file."""
    database = Database(Path(other), Clock())
    try:
        return len(database.supply([Supply(key(number), "x", 100, 50)]))
    finally:
        database.close()


def said(line):
    try:
        return eval(line)
    except StoreError as error:
        return f"StoreError {error}"


if __name__ == "__main__":
    for line in sys.stdin:
        print(said(line), flush=True)
