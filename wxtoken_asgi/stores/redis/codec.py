"""How the contract's objects travel to the Lua scripts and back.

As JSON both ways; times are whole microseconds, and on the way back numbers may be words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import (
    Behind,
    Busy,
    Claim,
    Claimed,
    Commit,
    Committed,
    Cut,
    Fail,
    Granted,
    LastError,
    Newer,
    Record,
    Spending,
    Spent,
    Supply,
    Wait,
)

SECOND: Final = 1_000_000
LONGEST_S: Final = 1e9
"""No duration counts for more (31 years): what is added to store time stays exact in Lua's numbers."""


def micros(seconds: float) -> int:
    """A duration as the scripts take it."""
    return round(min(max(seconds, -LONGEST_S), LONGEST_S) * SECOND)


def seconds(micros: str) -> float:
    """A duration as the scripts give it."""
    return int(micros) / SECOND


def pack(asked: dict[str, Any]) -> str:
    """JSON without what is None: Lua has no table entry that holds nothing."""
    return json.dumps({name: value for name, value in asked.items() if value is not None})


def name_of(credential: Credential) -> str:
    """A credential as a member of a set, and as the end of its record's key."""
    return json.dumps(credential, ensure_ascii=False, separators=(",", ":"))


def named(name: str) -> Credential:
    """The credential of that name."""
    return Credential(*json.loads(name))


# questions


def of_claim(claim: Claim) -> str:
    return pack({
        "seen": claim.seen,
        "asked": claim.asked,
        "settled": micros(claim.settled_s),
        "charges": list(claim.charges),
        "fingerprint": claim.fingerprint,
        "lapse": _cut(claim.lapse),
    })  # fmt: skip


def of_commit(commit: Commit) -> str:
    return pack({
        **_fetched(commit),
        "fence": commit.fence,
        "asked": commit.asked,
        "refund": commit.refund,
        "costs": commit.costs or None,
        "refused": _cut(commit.refused),
        "left": None if commit.left_s is None else micros(commit.left_s),
        "over": None if commit.over_s is None else micros(commit.over_s),
    })  # fmt: skip


def of_fail(fail: Fail) -> str:
    return pack({
        "fence": fail.fence,
        "wait": micros(fail.wait_s),
        "error": None if fail.error is None else _error(fail.error),
        "error_for": None if fail.error is None else fail.error.fingerprint or None,
        "asked": fail.asked,
        "refund": fail.refund,
        "costs": fail.costs or None,
        "cut": _cut(fail.cut),
        "refused": _cut(fail.refused),
        "over": None if fail.over_s is None else micros(fail.over_s),
    })  # fmt: skip


def of_record(record: Record) -> str:
    return pack({
        "version": record.version,
        "fence": record.fence,
        "value": record.value,
        "ttl": micros(record.ttl_s),
        "ask": micros(record.ask_in_s),
        "state": record.state,
    })  # fmt: skip


def of_supply(supply: Supply) -> str:
    return pack(_fetched(supply))


def _fetched(fetched: Commit | Supply) -> dict[str, Any]:
    return {
        "value": fetched.value,
        "ttl": micros(fetched.ttl_s),
        "ask": micros(fetched.ask_in_s),
        "state": fetched.state,
    }


def _cut(cut: Cut | None) -> tuple[int, int] | None:
    return None if cut is None else (micros(cut.ttl_s), micros(cut.ask_in_s))


def _error(error: LastError) -> str:
    return json.dumps([error.cls, error.message, error.errcode, error.fingerprint])


# answers


def to_record(credential: Credential, answer: Sequence[Any]) -> Record:
    """What the scripts tell of a record."""
    version, value, ttl, ask, wait, attempts, error, fence, state, spent = answer
    return Record(
        credential,
        version=int(version),
        value=None if value is False else value,
        ttl_s=seconds(ttl),
        ask_in_s=seconds(ask),
        wait_s=seconds(wait),
        attempts=attempts,
        error=None if error is False else LastError(*json.loads(error)),
        fence=int(fence),
        state=state,
        spent=_spent(spent) if spent else (),
    )


def _spent(answer: Sequence[Any]) -> tuple[Spending, ...]:
    return tuple(sorted(Spending(name, used, seconds(eased_in)) for name, used, eased_in in answer))


def to_committed(credential: Credential, answer: Sequence[Any]) -> Committed:
    """What became of a commit."""
    record, taken, newer, doubt = answer
    cut = Cut(*map(seconds, doubt)) if doubt else None
    return Committed(to_record(credential, record), bool(taken), newer=bool(newer), doubt=cut)


def to_claimed(claim: Claim, answer: Sequence[Any]) -> Claimed:
    """What became of a claim."""
    record = to_record(claim.credential, answer[0])
    match answer[1]:
        case ["granted"]:
            return Granted(record, record.fence)
        case ["newer"]:
            return Newer(record)
        case ["behind"]:
            return Behind(record)
        case ["busy", left]:
            return Busy(record, seconds(left))
        case ["wait", left, error]:
            return Wait(record, seconds(left), LastError(*json.loads(error)))
    _, left, charge = answer[1]
    return Spent(record, seconds(left), claim.charges[charge])
