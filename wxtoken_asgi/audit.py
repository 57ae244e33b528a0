"""Audit records: who read, refreshed and reported, and who was refused; one line of JSON each.

Reads are counted, and told once a minute for each caller and credential: as single lines they would be the
larger part of the service's work. What is rarer is told at once. Refusals are told one by one as long as they
are few, so that whoever is refused cannot fill a disk.

Several threads may call. Counters are C iterators and dictionaries are only added to, so at worst a read that
comes while a minute ends is not counted.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Final, NamedTuple

import anyio
from anyio.lowlevel import checkpoint

from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.keys import MARK

LOGGER: Final = "wxtoken_asgi.audit"
VERSION: Final = 1
"""The version of the fields. New fields may come without another; none is renamed or removed without."""

READ: Final = "read"
REFRESH: Final = "refresh"
REPORT: Final = "report"
REFUSED: Final = "refused"

MOST_KEYS: Final = 4096
"""So many different reads are folded at once."""

SINGLY: Final = 20
"""So many refusals of an address are told one by one in a minute."""

MOST_SINGLE: Final = 1000
"""So many refusals are told one by one in a minute, whoever they come from."""

MOST_ADDRESSES: Final = 1000
"""So many addresses that are refused are kept apart in a minute."""

LONGEST: Final = 64
"""No text in a record is longer. What is may be a token at the wrong place, and is told as `...`."""

_MINUTE_S: Final = 60.0
_SHORTEST_SLEEP_S: Final = 0.01
_AT_ONCE: Final = 50
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode

_Key = tuple[Caller, str, str, str]
_Fields = dict[str, str | int]


class _Fold(NamedTuple):
    """Many events of a minute that are one record."""

    event: str
    fields: _Fields
    number: int
    begin: float


class _Minute:
    """What is folded in one minute of the wall clock.

    Args:
        now: a time in it, in seconds since 1970.
    """

    __slots__ = ("_folds", "_refused", "_single", "begin", "end", "reads")

    def __init__(self, now: float) -> None:
        self.begin = now // _MINUTE_S * _MINUTE_S
        self.end = self.begin + _MINUTE_S
        self.reads: dict[_Key, Iterator[int]] = {}
        self._refused: dict[str | None, Iterator[int]] = {}
        self._single = count(1)
        self._folds: dict[str | None, _Fold] = {}

    def holds(self, now: float) -> bool:
        """Whether it is still this minute."""
        return self.begin <= now < self.end

    def takes(self, address: str, fields: _Fields) -> bool:
        """Whether a refusal is one too many to be told alone; then it is counted here."""
        group = self._group(address)
        if next(self._refused.setdefault(group, count(1))) <= SINGLY and next(self._single) <= MOST_SINGLE:
            return False
        before = self._folds.get(group)
        number, shared = (0, fields) if before is None else (before.number, _shared(before.fields, fields))
        self._folds[group] = _Fold(REFUSED, shared, number + 1, self.begin)
        return True

    def folds(self) -> Iterator[_Fold]:
        """Its records. Copies are gone through, since another thread may be about to add something."""
        for key, number in self.reads.copy().items():
            yield _Fold(READ, _fields(*key), next(number), self.begin)
        yield from self._folds.copy().values()

    def _group(self, address: str) -> str | None:
        """With whom an address is counted: by itself, or, if there are too many, with all further ones."""
        if address in self._refused or len(self._refused) < MOST_ADDRESSES:
            return address
        return None


class Audit:
    """Writes audit records.

    Args:
        clock: tells the time of the records, and when a minute is over.
        logger: where they go, at INFO: the message is a line of JSON, `record.audit` the same as a dict.
            Default: the logger `wxtoken_asgi.audit`.

    Attributes:
        on: whether records go anywhere; looked at anew at the end of each minute, and by `look`.
    """

    def __init__(self, clock: Clock, logger: logging.Logger | None = None) -> None:
        self._time = clock.time
        self._logger = logging.getLogger(LOGGER) if logger is None else logger
        self._minute = _Minute(self._time())
        self._due: deque[_Fold] = deque()
        self._turning = threading.Lock()
        self._runs = 0
        self.on = self.look()

    def look(self) -> bool:
        """Whether the logger takes records now."""
        self.on = self._logger.isEnabledFor(logging.INFO)
        return self.on

    def read(self, caller: Caller, account: str, kind: str, result: str = "ok") -> None:
        """Count a read.

        Args:
            caller: who read.
            account: the account's name, or what was asked for in its place.
            kind: the kind of credential.
            result: `ok`, or the `code` of the error that was answered.
        """
        if not self.on and not self.look():
            return
        minute = self._minute
        if not minute.begin <= self._time() < minute.end:  # spelled out: this is the hot path
            minute = self._turn(minute)
        try:
            next(minute.reads[caller, account, kind, result])
        except KeyError:
            self._first((caller, account, kind, result))

    def tell(
        self,
        event: str,
        caller: Caller,
        *,
        account: str = "",
        kind: str = "",
        result: str,
        status: int,
        request_id: str = "",
        **more: str | int,
    ) -> None:
        """Write a record at once; of refusals, as long as they are few.

        Args:
            event: `refresh`, `report` or `refused`.
            caller: who asked.
            account: the account's name, or what was asked for in its place.
            kind: the kind of credential.
            result: `ok`, or the `code` of the error that was answered.
            status: the HTTP status that was answered.
            request_id: what `request_id` says of the request.
            more: further fields. None of them replaces another field.
        """
        minute = self._minute
        if not minute.holds(self._time()):
            minute = self._turn(minute)
        if not self.look():
            return
        fields = _fields(caller, account, kind, result) | {"status": status}
        if event == REFUSED and minute.takes(caller.address, fields):
            return
        fields |= {"request_id": _text(request_id), "count": 1}
        self._write(event, fields | {name: _told(more[name]) for name in more if name not in fields})

    def flush(self) -> None:
        """Write what is folded so far."""
        self._turn(self._minute)
        for _ in self._writes():
            pass

    async def run(self) -> None:
        """Flush at each minute's end, for ever; and once more when cancelled."""
        self._runs += 1
        self.look()
        try:
            while True:
                minute = self._minute
                left = minute.end - self._time()
                await anyio.sleep(min(max(left, _SHORTEST_SLEEP_S), _MINUTE_S))
                if not minute.holds(self._time()):
                    self._turn(minute)
                await self._write_slowly()
        finally:
            self._runs -= 1
            self.flush()

    def _first(self, key: _Key) -> None:
        """Begin to count reads of a sort; also where texts are too long, which are no key as they are."""
        caller, account, kind, result = key
        key = (Caller(*map(_text, caller)), _text(account), _text(kind), _text(result))
        if key not in self._minute.reads and len(self._minute.reads) >= MOST_KEYS:
            self.flush()
        next(self._minute.reads.setdefault(key, count()))

    def _turn(self, over: _Minute) -> _Minute:
        """End a minute, unless another thread has: what it folded is due.

        Where `run` runs, it writes that; else whoever came first after the minute's end does.
        """
        with self._turning:
            if self._minute is not over:
                return self._minute
            self._minute = fresh = _Minute(self._time())
        self._due.extend(over.folds())
        self.look()
        if not self._runs or len(self._due) > MOST_KEYS:
            for _ in self._writes():
                pass
        return fresh

    async def _write_slowly(self) -> None:
        """Write what is due, and let requests be answered meanwhile."""
        for number, _ in enumerate(self._writes(), start=1):
            if number % _AT_ONCE == 0:
                await checkpoint()

    def _writes(self) -> Iterator[None]:
        """Write one record that is due at each step."""
        with suppress(IndexError):  # there are no more, perhaps because another thread took the last
            while True:
                fold = self._due.popleft()
                self._write(fold.event, fold.fields | {"count": fold.number, "minute": _iso(fold.begin)})
                yield

    def _write(self, event: str, fields: _Fields) -> None:
        now = _iso(self._time(), "milliseconds")
        record: _Fields = {"v": VERSION, "event": event, "time": now}
        record |= {name: value for name, value in fields.items() if name not in record}
        line = _ENCODE(record).replace("\x7f", "\\u007f")  # the one control character that JSON leaves
        self._logger.info("%s", line, extra={"audit": record})


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What a request calls itself.

    Args:
        headers: of an ASGI scope.

    Returns:
        Its first `X-Request-Id`, if that is 1-64 letters, digits, `.`, `_`, `:`, `-`; else nothing.
    """
    value = next((value for name, value in headers if name == b"x-request-id"), b"")
    return value.decode() if _REQUEST_ID.fullmatch(value) else ""


def _fields(caller: Caller, account: str, kind: str, result: str) -> _Fields:
    return {
        "client": _text(caller.client),
        "key": _text(caller.key),
        "address": _text(caller.address),
        "account": _text(account),
        "kind": _text(kind),
        "result": _text(result),
    }


def _shared(one: _Fields, other: _Fields) -> _Fields:
    """What two have in common; the rest is empty."""
    return {name: value if value == other[name] else type(value)() for name, value in one.items()}


def _text(text: str) -> str:
    """A text that may come from outside, such as an account's name: nothing that may be a secret."""
    return text if len(text) <= LONGEST and MARK not in text else "..."


def _told(value: str | int) -> str | int:
    return _text(value) if isinstance(value, str) else value


def _iso(time: float, precision: str = "seconds") -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
