"""The SQLite store answers as the memory store does, writes no more than it must, and stays cheap."""

from __future__ import annotations

import sqlite3
from dataclasses import fields, replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtoken_asgi import Account
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import (
    Charge,
    Claim,
    Commit,
    Cost,
    Cut,
    Fail,
    Granted,
    LastError,
    Record,
    Supply,
)
from wxtoken_asgi.stores.row import Row
from wxtoken_asgi.stores.sqlite import database, rowset
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.stores.sqlite.rowcodec import COLUMNS, credential_of, decode, encode, key_of
from wxtoken_asgi.testing.stage import KEY, key

from support.sqlite_store import SetClock, quick_folder


@pytest.fixture
def folder():
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def path(folder):
    return folder / "tokens.db"


@pytest.fixture
def db(path):
    db = Database(path, SetClock())
    yield db
    db.close()


# the same answers as memory's

ERRORS = (None, LastError("transient", "WeChat is away", -1), LastError("permanent", "no", 40125, "print-1"))
keys = st.integers(0, 2).map(key)
seconds = st.integers(0, 200)
cuts = st.none() | st.builds(Cut, seconds, seconds)
charges = st.lists(st.sampled_from([Charge("asked", 1), Charge("calls", 3)]), unique=True).map(tuple)
prints = st.sampled_from(["", "print-1", "print-2"])
back = st.integers(0, 3)  # how many leases ago the fence was granted that is named
refunds = st.sampled_from([(), ("asked",), ("calls", "unheard")])
spendings = st.builds(Cost, st.sampled_from(["calls", "died"]), st.integers(1, 3))
costs = st.lists(spendings, max_size=2).map(tuple)
owners = st.sampled_from(["one", "two"])
values = st.sampled_from(["value-1", "value-2"])
times = st.sampled_from([0, 1, 29, 30, 31, 100, 3600, 90_000])
claims = st.builds(
    Claim,
    keys,
    asked=st.booleans(),
    settled_s=st.sampled_from([0, 60]),
    charges=charges,
    fingerprint=prints,
    lapse=cuts,
)
commits = st.builds(
    Commit,
    keys,
    st.just(0),
    values,
    seconds,
    seconds,
    asked=st.booleans(),
    refund=refunds,
    costs=costs,
    refused=cuts,
    state=values,
    left_s=st.none() | st.sampled_from([-40, 0, 10, 29]),
)
fails = st.builds(
    Fail,
    keys,
    st.just(0),
    seconds,
    st.sampled_from(ERRORS),
    asked=st.booleans(),
    refund=refunds,
    costs=costs,
    cut=cuts,
    refused=cuts,
)
steps = st.one_of(
    st.tuples(st.just("advance"), times),
    st.tuples(st.just("claim"), claims, owners, back),
    st.tuples(st.just("commit"), commits, back),
    st.tuples(st.just("fail"), fails, back),
    st.tuples(st.just("restore"), keys, st.integers(-1, 1), values, seconds),
    st.tuples(st.just("supply"), st.builds(Supply, keys, values, seconds, seconds)),
    st.tuples(st.just("remove"), keys),
    st.tuples(st.just("read"), keys),
    st.tuples(st.just("due")),
)


class Pair:
    """Two stores of one time, asked the same."""

    def __init__(self, path):
        self.clock = SetClock(boot=3600.0, wall=3600.0 * 497_222)  # hours begin together
        self.memory = MemoryStore(self.clock)
        self.sqlite = Database(path, self.clock, boot="boot")
        self.fences = [0]

    async def both(self, name, *args, **options):
        theirs = await getattr(self.memory, name)(*args, **options)
        ours = getattr(self.sqlite, name)(*args, **options)
        assert ours == theirs
        return ours

    def fence(self, back):
        return self.fences[max(len(self.fences) - 1 - back, 0)]

    async def advance(self, seconds):
        self.clock.advance(seconds)

    async def claim(self, claim, owner, back):
        seen = self.fence(back) if claim.asked else 0
        [claimed] = await self.both("claim", [replace(claim, seen=seen)], owner=owner, lease_s=30)
        if isinstance(claimed, Granted):
            self.fences.append(claimed.fence)

    async def commit(self, commit, back):
        await self.both("commit", [replace(commit, fence=self.fence(back))])

    async def fail(self, fail, back):
        await self.both("fail", [replace(fail, fence=self.fence(back))])

    async def restore(self, credential, newer, value, ttl_s):
        version = self.fence(0) + newer
        saved = Record(credential, version, value, ttl_s, ttl_s / 2, fence=version if newer else 0)
        await self.both("restore", [saved])

    async def supply(self, supply):
        await self.both("supply", [supply, Supply(key(9), "value-9", 50, 5)])

    async def remove(self, credential):
        await self.both("remove", [credential])

    async def read(self, credential):
        records = await self.memory.read([credential, key(9)])
        looked, _ = self.sqlite.peek([credential, key(9)])
        assert looked == self.sqlite.read([credential, key(9)]) == records

    async def due(self):
        ours, theirs = self.sqlite.due(100), await self.memory.due(100)
        assert set(ours.credentials) == set(theirs.credentials)
        assert ours.next_in_s == theirs.next_in_s

    async def news(self, cursors):
        ours = self.sqlite.changes(cursors[0])
        theirs = await self.memory.changes(cursors[1], 0)
        assert set(ours.credentials) == set(theirs.credentials)
        return ours.cursor, theirs.cursor

    async def run(self, moves):
        cursors = ("", "")
        for name, *args in moves:
            await getattr(self, name)(*args)
            cursors = await self.news(cursors)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_whatever_is_said_both_stores_answer_the_same(moves):
    with quick_folder() as folder:
        pair = Pair(folder / "tokens.db")
        try:
            anyio.run(pair.run, moves)
        finally:
            pair.sqlite.close()


def test_a_row_survives_its_columns():
    row = Row(KEY)
    row.claim(
        Claim(KEY, charges=(Charge("asked", 2),), lapse=Cut(270, 0)),
        owner="one",
        lease_s=30,
        now=0.1,
        stamp=1,
    )
    row.fail(Fail(KEY, 1, 5, ERRORS[2], asked=True), 0.2)
    row.changed = False
    for again in (row, Row(KEY)):
        assert decode(encode(again)) == again
    assert len(encode(row)) == len(COLUMNS)
    assert len(COLUMNS) == len(fields(row)), "each field but `changed` has a column, and there is due_at"


@pytest.mark.parametrize("word", ["", " ", '"', "微信", "a b", "\\", "\ud800"])
def test_every_credential_has_a_key_of_its_own(word):
    credential = Credential(word, "b", "c", "d", "e")
    assert credential_of(key_of(credential)) == credential
    assert key_of(credential) != key_of(Credential(word + "b", "", "c", "d", "e"))


# what is written


def test_an_answer_that_changes_nothing_is_no_write(db, path):
    db.supply([Supply(KEY, "value", 100, 50)])
    other = Database(path, SetClock())
    other.stirred()
    db.claim([Claim(KEY)], owner="one", lease_s=30)
    db.read([KEY, key(1)])
    db.due(10)
    db.remove([key(1)])
    db.commit([Commit(key(1), -1, "x", 1, 1)])
    assert not other.stirred()
    db.claim([Claim(KEY, asked=True, seen=db.read([KEY])[0].version)], owner="one", lease_s=30)
    assert other.stirred()
    assert not other.stirred()
    other.close()


def test_news_are_trimmed(db, monkeypatch):
    monkeypatch.setattr(rowset, "TRIM", rowset.TRIM.replace("10000", "10"))
    cursor = db.cursor()
    for number in range(50):
        db.supply([Supply(KEY, f"value-{number}", 100, 50)])
    assert db._connection.execute("SELECT count(*) FROM news").fetchone() == (10,)
    assert db.changes(cursor).credentials is None


def test_no_appsecret_comes_near_the_file(db, path):
    account = Account("alpha", "wx00000000000000a1", "s3cret-of-the-app-0123456789abcdef")
    claim = Claim(KEY, fingerprint=account.fingerprint)
    [granted] = db.claim([claim], owner="one", lease_s=30)
    db.fail([Fail(KEY, granted.fence, 5, LastError("permanent", "no", 40125, account.fingerprint))])
    db.supply([Supply(KEY, "the-token", 100, 50)])
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"the-token" in content
    assert account.secret.encode() not in content


# what it costs


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        (database.FIRST, "SCAN records USING COVERING INDEX records_due"),
        (rowset.LOAD, "SEARCH records USING INDEX sqlite_autoindex_records_1 (key=?)"),
        (database.KNOWN, "SEARCH records USING COVERING INDEX sqlite_autoindex_records_1 (key=?)"),
        (database.REMOVE, "SEARCH records USING INDEX sqlite_autoindex_records_1 (key=?)"),
        (database.LATEST, "SEARCH news"),
        (database.NEWS, "SEARCH news USING INTEGER PRIMARY KEY (rowid>?)"),
        (rowset.TRIM, "SEARCH news USING INTEGER PRIMARY KEY (rowid<?)"),
    ],
)
def test_a_statement_finds_what_it_wants_by_an_index(db, statement, wanted):
    db.open()
    arguments = ["[]"] * statement.count("?")
    plan = [row[3] for row in db._connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments)]
    assert wanted in plan
    assert not [step for step in plan if "TEMP B-TREE" in step or step in {"SCAN records", "SCAN news"}]


def steps_of(db, action):
    """How many of SQLite's virtual instructions it takes."""
    steps = []
    db._connection.set_progress_handler(lambda: steps.append(1), 1)
    action()
    db._connection.set_progress_handler(None, 0)
    return len(steps)


def test_the_cost_does_not_grow_with_the_number_of_records(db):
    def fetch(number):
        [claimed] = db.claim([Claim(key(number))], owner="one", lease_s=30)
        db.commit([Commit(key(number), claimed.fence, "value", 7000, 3600)])
        db.due(10)

    fetch(1)
    few = steps_of(db, lambda: fetch(2))
    for start in range(1000, 6000, 1000):
        db.supply([Supply(key(number), "value", 7000, 3600) for number in range(start, start + 1000)])
    assert steps_of(db, lambda: fetch(3)) <= few + 100


def test_a_batch_is_one_transaction_and_one_look(db):
    said = []
    db.open()
    db._connection.set_trace_callback(said.append)
    db.supply([Supply(key(number), "value", 7000, 3600) for number in range(500)])
    assert [line for line in said if line in {"BEGIN IMMEDIATE", "COMMIT"}] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert sum(line.startswith("SELECT key, due_at") for line in said) == 1
    said.clear()
    records, lapsed = db.peek([key(number) for number in range(500)])
    assert len([line for line in said if not line.startswith("PRAGMA")]) == 1
    assert (len(records), lapsed) == (500, False)


def test_the_store_needs_nothing_newer_than_sqlite_3_24(db):
    db.open()
    [(text,)] = db._connection.execute("SELECT group_concat(sql, ';') FROM sqlite_master").fetchall()
    assert not {"STRICT", "RETURNING"} & set(text.split())
    assert sqlite3.sqlite_version_info >= (3, 24)
