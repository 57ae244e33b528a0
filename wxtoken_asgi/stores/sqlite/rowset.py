"""The rows of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.row import Row
from wxtoken_asgi.stores.sqlite.rowcodec import COLUMNS, Values, decode, encode, key_of, keys_of

KEPT_CHANGES: Final = 10_000
"""How many changes are remembered for those who follow."""

_NAMES: Final = ", ".join(COLUMNS)
LOAD: Final = f"SELECT {_NAMES} FROM records WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608
_NEW: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
_MARKS: Final = ", ".join("?" * len(COLUMNS))
SAVE: Final = f"INSERT INTO records ({_NAMES}) VALUES ({_MARKS}) ON CONFLICT (key) DO UPDATE SET {_NEW}"  # noqa: S608
TELL: Final = "INSERT INTO news (key) VALUES (?)"
TRIM: Final = f"DELETE FROM news WHERE seq <= (SELECT max(seq) FROM news) - {KEPT_CHANGES}"  # noqa: S608


class RowSet:
    """Rows that are loaded at once, changed in memory, and written back at once.

    Args:
        connection: where they are.
        credentials: whose rows; one that the table does not have is empty.
        now: store time in seconds. Leases that have ended by then have lapsed.
    """

    def __init__(self, connection: sqlite3.Connection, credentials: Iterable[Credential], now: float) -> None:
        self._connection = connection
        self._rows = {credential: Row(credential) for credential in credentials}
        self._stored: dict[Credential, Values] = {}
        self.lapsed = False
        for values in connection.execute(LOAD, (keys_of(self._rows),)):
            row = decode(values)
            self._rows[row.credential] = row
            self._stored[row.credential] = values
        for row in self._rows.values():
            self.lapsed |= row.lapse(now)

    def __getitem__(self, credential: Credential) -> Row:
        return self._rows[credential]

    def save(self) -> None:
        """Write back those that are another than before; an answer that changed nothing costs no write."""
        kept = [row for row in self._rows.values() if row.fence]  # without a fence it holds nothing
        values = [encode(row) for row in kept]
        new = [
            columns
            for row, columns in zip(kept, values, strict=True)
            if columns != self._stored.get(row.credential)
        ]
        self._connection.executemany(SAVE, new)
        tell(self._connection, [row.credential for row in kept if row.changed])


def tell(connection: sqlite3.Connection, credentials: Iterable[Credential]) -> None:
    """Let those who follow know of changes."""
    keys = [(key_of(credential),) for credential in credentials]
    if keys:
        connection.executemany(TELL, keys)
        connection.execute(TRIM)
