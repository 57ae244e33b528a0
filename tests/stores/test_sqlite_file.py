"""The file of a SQLite store: where it may lie, who can read it, and what is wrong with it, in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import stat
import threading
import time

import pytest

from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.stores.contract import Supply
from wxtoken_asgi.stores.sqlite import SQLiteStore, dbfile, transaction
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.testing.stage import KEY

from support.sqlite_store import SetClock, quick_folder

VALUE = Supply(KEY, "s3cret-token", 100, 50)


@pytest.fixture
def folder():
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def path(folder):
    return folder / "tokens.db"


@pytest.fixture
def make(path):
    with contextlib.ExitStack() as stack:

        def made(path=path):
            database = Database(path, SetClock())
            stack.callback(database.close)
            return database

        yield made


@pytest.fixture
def database(make):
    return make()


@contextlib.contextmanager
def as_nobody():
    """Nobody in particular: root may write everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def value(database):
    return database.read([KEY])[0].value


def said(database, path, kind=StoreError):
    """The one line in which an operation fails; it names the file and the setting."""
    with pytest.raises(kind) as caught:
        database.supply([VALUE])
    assert type(caught.value) is kind
    line = str(caught.value)
    assert "store" in line
    assert str(path) in line
    assert "\n" not in line
    assert "s3cret" not in line
    return line


# addresses


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/wxtoken.db", "/var/lib/wxtoken.db"),
        ("sqlite:////var/lib/wxtoken.db", "/var/lib/wxtoken.db"),
        ("sqlite:///var/lib/微信 token/a.db", "/var/lib/微信 token/a.db"),
    ],
)
def test_an_address_names_an_absolute_path(url, path):
    assert str(dbfile.path_of(url)) == path
    assert isinstance(open_store(url), SQLiteStore)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:tokens.db",
        "sqlite:/var/tokens.db",
        "sqlite://host/tokens.db",
        "sqlite:///./tokens.db",
        "sqlite:///../tokens.db",
        "sqlite:///~/tokens.db",
        "sqlite:///:memory:",
        "sqlite:///var/tokens.db?mode=ro",
        "sqlite:///var/tokens.db#1",
        "sqlite:///var/my%20tokens.db",
        "sqlite://///var/tokens.db",
        "sqlite:///var/",
    ],
)
def test_an_address_that_names_no_file_is_refused_in_one_line(url):
    with pytest.raises(ConfigError, match="store: ") as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["tokens.db", ":memory:", "", "/var/lib/", "/var/a\0b", b"/var/lib/tokens.db"]
)
def test_a_path_that_is_not_absolute_is_refused(path):
    with pytest.raises(ConfigError, match="absolute path"):
        SQLiteStore(path)


@pytest.mark.parametrize("url", ["memory:x", "memory://"])
def test_memory_takes_nothing_behind_it(url):
    with pytest.raises(ConfigError, match="nothing behind"):
        open_store(url)


def test_the_repr_shows_the_files_name_and_not_where_it_lies():
    assert repr(SQLiteStore("/home/somebody/tokens.db")) == "<SQLiteStore 'tokens.db'>"


# rights


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_files_are_the_owners_alone_whatever_the_umask(database, path, umask):
    before = os.umask(umask)
    try:
        database.supply([VALUE])
    finally:
        os.umask(before)
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["tokens.db", "tokens.db-shm", "tokens.db-wal"]
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


def test_a_missing_directory_is_made_for_the_owner_alone(make, folder):
    path = folder / "wxtoken" / "tokens.db"
    make(path).open()
    assert mode(path.parent) == 0o700


def test_no_more_than_one_directory_is_made(make, folder):
    path = folder / "not" / "mounted" / "tokens.db"
    assert "No such file or directory" in said(make(path), path)
    assert not (folder / "not").exists()


@pytest.mark.parametrize(
    ("modes", "named"),
    [((0o600, 0o755), None), ((0o644, 0o700), "file"), ((0o660, 0o777), "file"), ((0o600, 0o777), "folder")],
)
async def test_others_rights_are_warned_about_once(make, path, caplog, modes, named):
    make(path).open()
    for place, rights in zip((path, path.parent), modes, strict=True):
        place.chmod(rights)
    store = SQLiteStore(path)
    with caplog.at_level(logging.WARNING, "wxtoken_asgi"):
        for _ in range(2):
            await store.open()
            await store.close()
    messages = [record.getMessage().split()[1] for record in caplog.records]
    assert messages == {None: [], "file": [str(path)], "folder": [str(path.parent)]}[named]


def test_a_link_is_followed_and_what_it_leads_to_is_the_owners_alone(make, folder):
    (folder / "data").mkdir(0o700)
    link = folder / "link.db"
    link.symlink_to(folder / "data" / "tokens.db")
    database = make(link)
    database.supply([VALUE])
    assert mode(folder / "data" / "tokens.db") == 0o600
    assert (folder / "data" / "tokens.db-wal").exists()
    assert value(database) == "s3cret-token"


# what is wrong with it


def test_a_file_that_may_not_be_written_is_named(make, path):
    make(path).open()
    path.parent.chmod(0o755)
    path.chmod(0o444)
    with as_nobody():
        assert "give the service's user the right to it" in said(make(path), path)


def test_a_directory_that_may_not_be_written_is_named(make, path):
    path.parent.chmod(0o555)
    with as_nobody():
        assert "Permission denied" in said(make(path), path)


def test_a_full_disk_is_told_and_everything_goes_on_when_there_is_room(database, path):
    database.open()
    database._connection.execute("PRAGMA max_page_count = 1")
    big = Supply(KEY, "x" * 100_000, 100, 50)
    with pytest.raises(StoreError, match="disk is full"):
        database.supply([big])
    assert value(database) is None
    assert database.supply([big])[0].value == big.value


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_stops_the_start(make, path, content):
    path.write_bytes(content)
    assert "is no SQLite database" in said(make(path), path, StoreFormatError)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "mark", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 7", "PRAGMA application_id = 7"]
)
def test_another_programs_database_is_left_as_it_is(make, path, mark):
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        theirs.execute(mark)
    content = path.read_bytes()
    assert "another program's data" in said(make(path), path, StoreFormatError)
    assert path.read_bytes() == content


@pytest.mark.parametrize("other", [1, 2, 3, 5])
def test_another_format_stops_the_start(database, path, other):
    database.open()
    database._connection.execute(f"PRAGMA user_version = {other}")
    database.close()
    line = said(database, path, StoreFormatError)
    assert f"has format {other} and this version knows 4" in line


def test_where_there_is_no_wal_the_start_stops(make, path, monkeypatch):
    connect = sqlite3.connect

    def over_a_network(address, **options):
        return connect(f"{address}&vfs=unix-dotfile", **options)

    monkeypatch.setattr(sqlite3, "connect", over_a_network)
    assert "network file system" in said(make(path), path, StoreFormatError)


def test_a_damaged_file_is_told_until_it_is_moved_away(database, path):
    database.supply([VALUE])
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    assert "is damaged" in said(database, path)
    path.rename(path.with_name("damaged"))
    assert database.supply([VALUE])[0].value == "s3cret-token"


def test_a_file_that_was_emptied_is_begun_anew(database, path):
    database.supply([VALUE])
    cursor = database.cursor()
    database.close()
    path.write_bytes(b"")
    assert value(database) is None
    assert database.changes(cursor).credentials is None


def test_a_file_whose_rows_were_deleted_is_begun_anew(database, path):
    database.supply([VALUE])
    cursor = database.cursor()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        for table in ("records", "news", "world"):
            shell.execute(f"DELETE FROM {table}")
    assert database.changes(cursor).credentials is None
    database.close()
    assert value(database) is None
    assert database.changes(cursor).credentials is None


def test_a_file_that_was_deleted_is_made_again_and_the_new_ones_log_is_left_alone(make, path):
    old, new = make(path), make(path)
    old.supply([VALUE])
    for file in list(path.parent.iterdir()):
        file.unlink()
    new.supply([Supply(KEY, "new", 100, 50)])
    assert value(old) == "new"
    third = make(path)
    new.supply([Supply(KEY, "newer", 100, 50)])
    assert value(third) == value(old) == "newer"


def test_a_file_put_back_from_a_copy_is_noticed(make, database, path):
    database.supply([VALUE])
    database.close()
    shutil.copy(path, path.with_name("copy"))
    database.supply([Supply(KEY, "newer", 100, 50)])
    cursor = database.cursor()
    database.close()
    follower = make(path)
    assert not follower.changes(cursor).credentials
    path.with_name("copy").rename(path)
    assert follower.stirred()
    assert follower.changes(cursor).credentials is None
    assert value(follower) == "s3cret-token"


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(database, path, monkeypatch):
    connect, replaced = sqlite3.connect, []

    def replacing(address, **options):
        connection = connect(address, **options)
        if len(replaced) < times:
            replaced.append(path.rename(path.with_name(f"old-{len(replaced)}")))
        return connection

    monkeypatch.setattr(sqlite3, "connect", replacing)
    times = 2
    database.supply([VALUE])
    assert path.exists()
    database.close()
    times = 100
    assert "again and again" in said(database, path)


# others who use it


@contextlib.contextmanager
def locked(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield shell


def test_a_lock_that_is_held_for_a_while_is_waited_for(database, path):
    database.open()
    inside, done = threading.Event(), threading.Event()

    def hold():
        with locked(path) as shell:
            inside.set()
            done.wait(0.5)
            shell.execute("ROLLBACK")

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    assert database.supply([VALUE])[0].value == "s3cret-token"
    holder.join()


def test_a_lock_that_is_held_for_long_is_told_and_reads_go_on(make, database, path, monkeypatch):
    monkeypatch.setattr(transaction, "BUSY_S", 0.1)
    database.supply([VALUE])
    with locked(path):
        assert "was locked by another program" in said(database, path)
        assert database.peek([KEY])[0][0].value == "s3cret-token"
        late = make(path)
        assert late.peek([KEY])[0][0].value == "s3cret-token", "opening needs no lock"
        late.close()
    assert database.supply([VALUE])[0].value == "s3cret-token"


def test_an_error_that_nobody_thought_of_is_told_as_sqlite_says_it(database, path):
    database.open()
    database._connection.execute("DROP TABLE records")
    assert "no such table: records" in said(database, path)


def test_a_mistake_in_the_middle_leaves_nothing_behind(database, path):
    database.supply([VALUE])

    def mistaken():
        with database._transaction() as (connection, _):
            connection.execute("DELETE FROM records")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mistaken()
    assert value(database) == "s3cret-token"


def test_a_connection_that_breaks_while_it_is_set_up_is_closed(make, path, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("broken")

    monkeypatch.setattr("wxtoken_asgi.stores.sqlite.world.enter", fail)
    assert "failed (broken)" in said(make(path), path)


def test_eight_who_make_the_file_at_once_share_it(make, path):
    gate, values = threading.Barrier(8, timeout=30), []

    def work(number):
        database = make(path)
        gate.wait()
        database.supply([Supply(KEY._replace(appid=f"wx{number}"), "x", 100, 50)])
        gate.wait()
        records = database.read([KEY._replace(appid=f"wx{other}") for other in range(8)])
        values.append([record.value for record in records])
        database.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [["x"] * 8] * 8


def test_waiting_for_a_lock_takes_no_longer_than_it_should(monkeypatch):
    monkeypatch.setattr(transaction, "BUSY_S", 0.05)
    error = sqlite3.OperationalError("locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
    tries = []

    def locked_for_ever():
        tries.append(time.monotonic())
        raise error

    with pytest.raises(sqlite3.OperationalError):
        transaction.patiently(locked_for_ever)
    assert len(tries) > 2
