"""The file of a SQLite store: where it may lie, who may read it, and whether it is one of ours.

A file that is deleted while it is open is begun anew, and one put in its place is taken instead. But SQLite
applies a -wal file to whatever lies beside it: whoever puts back a copy has to delete the old -wal and -shm
first, best while nobody has the file open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from pathlib import Path
from typing import Final, NamedTuple

from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError
from wxtoken_asgi.stores.contract import FORMAT
from wxtoken_asgi.stores.sqlite.transaction import BUSY_S, STATEMENT_BUSY_S, patiently, primary_code

logger = logging.getLogger("wxtoken_asgi")

APPLICATION: Final = 0x77787431
"""What tells our files from other programs' (`wxt1`)."""

_KEPT_WAL: Final = 8 * 1024 * 1024
_TRIES: Final = 5
_RIGHTS: Final = "give the service's user the right to it and to its directory"
_HINTS: Final = {
    sqlite3.SQLITE_BUSY: f"was locked by another program for {BUSY_S:g} s; end what holds it open",
    sqlite3.SQLITE_LOCKED: f"was locked by another program for {BUSY_S:g} s; end what holds it open",
    sqlite3.SQLITE_PERM: f"may not be opened; {_RIGHTS}",
    sqlite3.SQLITE_READONLY: f"may not be written; {_RIGHTS}",
    sqlite3.SQLITE_CANTOPEN: f"cannot be opened; {_RIGHTS}",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; make room",
    sqlite3.SQLITE_IOERR: "cannot be read or written; look at the disk and the system's log",
    sqlite3.SQLITE_CORRUPT: "is damaged; move it and its -wal file away, and a new one is begun",
    sqlite3.SQLITE_NOTADB: "is no SQLite database; move it away, or name another file",
}


class Identity(NamedTuple):
    """Which file a path leads to."""

    device: int
    inode: int


def checked_path(path: str | os.PathLike[str]) -> Path:
    """The path, if a store may lie there.

    Raises:
        ConfigError: it is not absolute, or no file's.
    """
    text = os.fspath(path)
    if isinstance(text, str) and Path(text).is_absolute() and "\0" not in text and not text.endswith("/"):
        return Path(text)
    raise ConfigError(
        f"store: SQLite needs the absolute path of a file such as /var/lib/wxtoken/tokens.db, not {text!r}"
    )


def path_of(url: str) -> Path:
    """The path in `sqlite:///path`; the slash that it begins with is the third one, or a fourth.

    Raises:
        ConfigError: the address names no file, or in a way that could be read in two.
    """
    rest = url.removeprefix("sqlite:///")
    first = rest.removeprefix("/").partition("/")[0]
    plain = set("?#%\\").isdisjoint(rest) and "//" not in rest and ":memory:" not in rest
    if rest != url and plain and first not in {"", ".", "..", "~"}:
        return checked_path("/" + rest.removeprefix("/"))
    raise ConfigError(
        "store: the address names no file; write 'sqlite:///var/lib/wxtoken/tokens.db', "
        "an absolute path without '?', '#' and '%'"
    )


def identity(path: Path) -> Identity | None:
    """Which file lies there; None: none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Identity(status.st_dev, status.st_ino)


def explain(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """The error in one line that says what to do."""
    if isinstance(error, OSError):
        return StoreError(f"store: {path}: {error.strerror}; create its directory, or {_RIGHTS}")
    code = primary_code(error)
    kind = StoreFormatError if code == sqlite3.SQLITE_NOTADB else StoreError
    return kind(f"store: {path} {_HINTS.get(code) or f'failed ({error})'}")


def connect(path: Path) -> tuple[sqlite3.Connection, Identity | None]:
    """A connection to the file, which is made if it is not there, and which one it is.

    Raises:
        StoreFormatError: it is another program's, of another version, or lies where WAL does not work.
        OSError: it cannot be made.
        sqlite3.Error: it cannot be opened.
    """
    for _ in range(_TRIES):
        real = path.resolve()  # SQLite would make what a link leads to with rights of its own choice
        _create(real)
        before = identity(path)
        connection = sqlite3.connect(
            f"{real.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=STATEMENT_BUSY_S
        )
        if before is not None and before == identity(path):
            break
        connection.close()  # somebody put another file in its place just now
    else:
        raise StoreError(f"store: {path} is replaced again and again; end what does that")
    try:
        _set_up(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection, before


def warn_if_open(path: Path) -> None:
    """One warning if others than the owner can get at the values."""
    folder = path.resolve().parent
    for place, others, what in ((path, 0o077, "read or written"), (folder, 0o022, "written")):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & others:
            logger.warning(
                "store: %s (mode %03o) can be %s by other users, and the file holds live tokens",
                place,
                mode,
                what,
            )
            return


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nobody has put anything into it yet."""
    return number(connection, "SELECT count(*) FROM sqlite_master") == 0


def number(connection: sqlite3.Connection, query: str) -> int:
    """The one number that a query answers."""
    [number] = connection.execute(query).fetchone()
    return int(number)


def _create(real: Path) -> None:
    """Make an empty file that only its owner can read; SQLite gives its -wal and -shm the same rights."""
    if real.exists():
        return
    # The last directory only: where more is missing the path is more likely mistyped, or a disk not mounted.
    with contextlib.suppress(FileExistsError):
        real.parent.mkdir(0o700)
    with contextlib.suppress(FileExistsError):  # another process was quicker
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        real.chmod(0o600)  # the umask may have taken rights away


def _set_up(path: Path, connection: sqlite3.Connection) -> None:
    patiently(lambda: _check_kind(path, connection))
    [mode] = patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    if mode != "wal":
        raise StoreFormatError(
            f"store: {path} lies where SQLite's WAL does not work (a network file system?); name a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")  # in WAL, less may lose the last commits at power loss
    connection.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL}")


def _check_kind(path: Path, connection: sqlite3.Connection) -> None:
    application, form, empty = _kind(connection)
    if application == APPLICATION and form == FORMAT:
        return
    if application == APPLICATION:
        raise StoreFormatError(
            f"store: {path} has format {form} and this version knows {FORMAT}; "
            "run the version that wrote it, or name another file"
        )
    if application or form or not empty:
        raise StoreFormatError(f"store: {path} holds another program's data; name a file of its own")


def _kind(connection: sqlite3.Connection) -> tuple[int, int, bool]:
    """Whose it is, its format, and whether it is empty: of one moment, as it may be made just now."""
    connection.execute("BEGIN")
    try:
        application = number(connection, "PRAGMA application_id")
        return application, number(connection, "PRAGMA user_version"), is_empty(connection)
    finally:
        connection.execute("ROLLBACK")
