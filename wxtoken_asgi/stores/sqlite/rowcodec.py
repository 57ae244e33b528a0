"""Rows as a table's columns, and credentials as its keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import LastError
from wxtoken_asgi.stores.ledger import Buckets
from wxtoken_asgi.stores.row import Row

COLUMNS: Final = (
    "key",
    "due_at",
    "version",
    "value",
    "ends_at",
    "ask_at",
    "wait_until",
    "attempts",
    "error",
    "fence",
    "owner",
    "lease_until",
    "granted_at",
    "brought_at",
    "rank",
    "lapse_end",
    "lapse_ask",
    "asked_at",
    "asked_error",
    "budgets",
    "charged",
    "failed_at",
    "unseen",
    "ended",
    "told",
    "doubted",
    "doubt_end",
    "doubt_ask",
    "last_doubt",
    "late_end",
    "late_ask",
    "state",
)
"""The names of what `encode` gives and `decode` takes, in their order."""

Values = tuple[Any, ...]


def key_of(credential: Credential) -> str:
    """The credential as one text. JSON, so that no two can be confused."""
    return json.dumps(credential)


def credential_of(key: str) -> Credential:
    """The credential of a key."""
    return Credential(*json.loads(key))


def keys_of(credentials: Iterable[Credential]) -> str:
    """Many keys as one text, for a statement's `json_each`."""
    return json.dumps([key_of(credential) for credential in credentials])


def encode(row: Row) -> Values:
    """The columns of a row. Times stay as they are: SQLite keeps infinity."""
    return (
        key_of(row.credential),
        row.due_at(),
        row.version,
        row.value,
        row.ends_at,
        row.ask_at,
        row.wait_until,
        row.attempts,
        _error_text(row.error),
        row.fence,
        row.owner,
        row.lease_until,
        row.granted_at,
        row.brought_at,
        row.rank,
        row.lapse_end,
        row.lapse_ask,
        row.asked_at,
        _error_text(row.asked_error),
        json.dumps(row.budgets) if row.budgets else "",
        json.dumps(row.charged) if row.charged else "",
        row.failed_at,
        row.unseen,
        row.ended,
        row.told,
        row.doubted,
        row.doubt_end,
        row.doubt_ask,
        row.last_doubt,
        row.late_end,
        row.late_ask,
        row.state,
    )


def decode(values: Values) -> Row:
    """The row of these columns."""
    return Row(
        credential=credential_of(values[0]),
        version=values[2],
        value=values[3],
        ends_at=values[4],
        ask_at=values[5],
        wait_until=values[6],
        attempts=values[7],
        error=_error(values[8]),
        fence=values[9],
        owner=values[10],
        lease_until=values[11],
        granted_at=values[12],
        brought_at=values[13],
        rank=values[14],
        lapse_end=values[15],
        lapse_ask=values[16],
        asked_at=values[17],
        asked_error=_error(values[18]),
        budgets=_budgets(values[19]),
        charged=tuple(json.loads(values[20])) if values[20] else (),
        failed_at=values[21],
        unseen=values[22],
        ended=values[23],
        told=values[24],
        doubted=values[25],
        doubt_end=values[26],
        doubt_ask=values[27],
        last_doubt=values[28],
        late_end=values[29],
        late_ask=values[30],
        state=values[31],
    )


def _error_text(error: LastError | None) -> str | None:
    if error is None:
        return None
    return json.dumps([error.cls, error.message, error.errcode, error.fingerprint])


def _error(text: str | None) -> LastError | None:
    return None if text is None else LastError(*json.loads(text))


def _budgets(text: str) -> dict[str, Buckets]:
    if not text:
        return {}
    budgets: dict[str, dict[str, int]] = json.loads(text)
    return {name: {int(hour): count for hour, count in spent.items()} for name, spent in budgets.items()}
