"""`memory:`: the records of one process, gone with it."""

from __future__ import annotations

import heapq
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from itertools import count, islice

import anyio
from anyio.lowlevel import checkpoint

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import (
    Changes,
    Claim,
    Claimed,
    Commit,
    Committed,
    Due,
    Fail,
    Record,
    Store,
    Supply,
)
from wxtoken_asgi.stores.row import Row

KEPT_CHANGES = 10_000


class MemoryStore(Store):
    """A store in this process's memory.

    Several managers of one event loop may share one. Without a loop that brings news (a mounted app)
    it may be used from several threads.

    Args:
        clock: where time comes from.
    """

    shared = False
    news_s = 0.0

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._rows: dict[Credential, Row] = {}
        self._due: list[tuple[float, int, Credential]] = []
        self._order = count()
        self._epoch = uuid.uuid4().hex
        self._changes: deque[Credential] = deque(maxlen=KEPT_CHANGES)
        self._last = 0
        self._waiting: set[anyio.Event] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._rows)} records>"

    async def open(self) -> None:
        """Nothing to do: memory is there."""
        await checkpoint()

    async def close(self) -> None:
        """Nothing to do: the records stay as long as the object does."""
        await checkpoint()

    async def read(self, credentials: Sequence[Credential]) -> list[Record]:
        """See `Store.read`."""
        await checkpoint()
        with self._lock:
            now = self._clock.monotonic()
            return [self._look(credential, now).record(now) for credential in credentials]

    async def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        """See `Store.claim`."""
        await checkpoint()
        with self._lock:
            return [self._claim(claim, owner, lease_s) for claim in claims]

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See `Store.commit`."""
        await checkpoint()
        with self._lock:
            return [self._commit(commit) for commit in commits]

    async def fail(self, fails: Sequence[Fail]) -> list[Record]:
        """See `Store.fail`."""
        await checkpoint()
        with self._lock:
            now = self._clock.monotonic()
            rows = [self._look(fail.credential, now) for fail in fails]
            for row, fail in zip(rows, fails, strict=True):
                row.fail(fail, now)
            return [self._put(row, now) for row in rows]

    async def restore(self, records: Sequence[Record]) -> list[Record]:
        """See `Store.restore`."""
        await checkpoint()
        with self._lock:
            now = self._clock.monotonic()
            rows = [self._look(record.credential, now) for record in records]
            for row, record in zip(rows, records, strict=True):
                row.restore(record, now)
            return [self._put(row, now) for row in rows]

    async def supply(self, supplies: Sequence[Supply]) -> list[Record]:
        """See `Store.supply`."""
        await checkpoint()
        with self._lock:
            now = self._clock.monotonic()
            rows = [self._look(supply.credential, now) for supply in supplies]
            for row, supply in zip(rows, supplies, strict=True):
                row.supply(supply, now, self._stamp())
            return [self._put(row, now) for row in rows]

    async def remove(self, credentials: Sequence[Credential]) -> None:
        """See `Store.remove`."""
        await checkpoint()
        with self._lock:
            for credential in credentials:
                if self._rows.pop(credential, None) is not None:
                    self._tell(credential)

    async def due(self, limit: int) -> Due:
        """See `Store.due`."""
        await checkpoint()
        with self._lock:
            now = self._clock.monotonic()
            found = self._pop_due(limit, now)
            next_at = self._next_at(found)
            for row in found.values():
                self._schedule(row)
            return Due(
                tuple(found),
                None if next_at is None else max(next_at - now, 0.0),
            )

    async def changes(self, cursor: str, wait_s: float) -> Changes:
        """See `Store.changes`."""
        await checkpoint()
        news = anyio.Event()
        with self._lock:
            self._waiting.add(news)
            changes = self._since(cursor)
        try:
            if not cursor or changes.cursor != cursor:
                return changes
            with anyio.move_on_after(wait_s):
                await news.wait()
        finally:
            self._waiting.discard(news)
        with self._lock:
            return self._since(cursor)

    def wipe(self) -> None:
        """Lose every record, as an emptied database does (for tests and simulations)."""
        with self._lock:
            self._rows.clear()
            self._due.clear()
            self._epoch = uuid.uuid4().hex
            self._changes.clear()
            self._last = 0
            self._ring()

    def _claim(self, claim: Claim, owner: str, lease_s: float) -> Claimed:
        now = self._clock.monotonic()
        row = self._look(claim.credential, now)
        claimed = row.claim(claim, owner=owner, lease_s=lease_s, now=now, stamp=self._stamp())
        self._put(row, now)
        return claimed

    def _commit(self, commit: Commit) -> Committed:
        now = self._clock.monotonic()
        row = self._look(commit.credential, now)
        committed = row.commit(commit, now)
        self._put(row, now)
        return committed

    def _look(self, credential: Credential, now: float) -> Row:
        row = self._rows.get(credential)
        if row is None:
            return Row(credential)
        if row.lapse(now):
            self._schedule(row)
            self._publish(row)
        return row

    def _publish(self, row: Row) -> None:
        if row.changed:
            row.changed = False
            self._tell(row.credential)

    def _put(self, row: Row, now: float) -> Record:
        if row.fence:  # else it holds nothing, and nobody would look after it
            self._rows[row.credential] = row
            self._schedule(row)
            self._publish(row)
        return row.record(now)

    def _schedule(self, row: Row) -> None:
        heapq.heappush(self._due, (row.due_at(), next(self._order), row.credential))
        if len(self._due) > 64 + 4 * len(self._rows):
            self._due = [(row.due_at(), next(self._order), key) for key, row in self._rows.items()]
            heapq.heapify(self._due)

    def _pop_due(self, limit: int, now: float) -> dict[Credential, Row]:
        found: dict[Credential, Row] = {}
        while self._due and len(found) < limit and self._due[0][0] <= now:
            at, _, credential = heapq.heappop(self._due)
            row = self._rows.get(credential)
            if row is None or row.due_at() != at:
                continue
            self._look(credential, now)
            if row.due_at() <= now:  # else its lease lapsed before it was due
                found[credential] = row
        return found

    def _next_at(self, found: dict[Credential, Row]) -> float | None:
        """When more will be due than was found just now."""
        while self._due:
            at, _, credential = self._due[0]
            row = self._rows.get(credential)
            if row is not None and row.due_at() == at and credential not in found:
                return at
            heapq.heappop(self._due)
        return None

    def _stamp(self) -> int:
        return int(self._clock.time() * 1000)

    def _tell(self, credential: Credential) -> None:
        self._changes.append(credential)
        self._last += 1
        self._ring()

    def _ring(self) -> None:
        for news in tuple(self._waiting):
            news.set()

    def _since(self, cursor: str) -> Changes:
        now = f"{self._epoch}-{self._last}"
        if not cursor:
            return Changes(now, ())
        epoch, _, last = cursor.rpartition("-")
        missed = self._last - int(last) if epoch == self._epoch and last.isdecimal() else -1
        if not 0 <= missed <= len(self._changes):
            return Changes(now, None)
        latest = list(islice(reversed(self._changes), missed))
        return Changes(now, tuple(dict.fromkeys(reversed(latest))))
