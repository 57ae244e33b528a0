"""The store as the simulated processes see it: late, away, hanging, losing answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import anyio
import trio

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores import MemoryStore, Store
from wxtoken_asgi.stores.contract import Changes
from wxtoken_asgi.stores.sqlite import SQLiteStore

from simulation.chance import Rates, Tally, duration
from simulation.spans import Spans
from support.sqlite_store import InlineLane

OUTAGES = ("away", "hangs", "slow", "late")
"""`late`: what is said is carried out when whoever said it has given up already."""

NEWS_LOST = 10
"""So much oftener than answers: there are few of them, and most are soon followed by others."""


class Records(Protocol):
    """What lies behind all processes."""

    def connect(self, clock: Clock) -> Store:
        """What a process with this clock says and hears."""

    def empty(self) -> None:
        """Lose everything."""


class InMemory:
    """As if in another program, on another host.

    Args:
        clock: the time there.
    """

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(clock)
        self.empty = self._store.wipe

    def connect(self, clock: Clock) -> Store:
        return self._store


class InAFile:
    """A SQLite file. What was written rings a bell: nobody looks for news again and again.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bell = trio.Event()

    def connect(self, clock: Clock) -> Store:
        store = SQLiteStore.__new__(SQLiteStore)
        store.lane = partial(_Lane, self)  # type: ignore[assignment]
        store.__init__(self.path, clock=clock)  # type: ignore[misc]
        return store

    def empty(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.ring()

    def ring(self) -> None:
        self.bell.set()
        self.bell = trio.Event()


class _Lane(InlineLane):
    def __init__(self, file: InAFile, database: Any, name: str) -> None:
        super().__init__(database, name)
        self._file = file
        self._rings = "write" in name

    async def run(self, job: Any) -> Any:
        try:
            return await super().run(job)
        finally:
            if self._rings:
                self._file.ring()

    async def follow(self, cursor: str) -> None:
        while self._database.cursor() == cursor:
            await self._file.bell.wait()


class Shelf:
    """The one store behind all processes.

    Args:
        records: the store itself.
        rates: how often an answer is lost.
        random: where that is drawn from.
        news: where it is drawn from which news are lost.
        tally: what was exercised.

    Attributes:
        outage: how it is away now (one of `OUTAGES`), if it is.
        healthy_since: since when it was never away and nothing came to it late, in true time.
        back_since: since when it was never away, whatever came late.
        aways: when it was.
        late: by process, when something that it said was on its way for long.
        late_words: when a word about a lease was, of whatever process.
        wiped: when it was emptied, in true time.
        lost: by process, when it last lost an answer, in true time.
        untold: by process, when news were lost on their way to it, in true time.
        post: does something after so many seconds, outside of all processes.
    """

    def __init__(self, records: Records, rates: Rates, random: Random, news: Random, tally: Tally) -> None:
        self.records = records
        self.rates = rates
        self.random = random
        self.news = news
        self.tally = tally
        self.outage: str | None = None
        self.healthy_since = 0.0
        self.back_since = 0.0
        self.aways = Spans()
        self.late_words = Spans()
        self.late: defaultdict[Any, Spans] = defaultdict(Spans)
        self.wiped: list[float] = []
        self.lost: dict[Any, float] = {}
        self.untold: defaultdict[Any, Spans] = defaultdict(Spans)
        self.on_wipe: Callable[[], None] = lambda: None
        self.post: Callable[[float, Callable[[], Awaitable[None]]], None]

    def leave(self, how: str) -> None:
        self.outage = how
        self.aways.add(trio.current_time())
        self.tally.add(f"store {how}")

    def come_back(self) -> None:
        if self.outage is not None:
            self.aways.end(trio.current_time())
        self.outage = None
        self.healthy_since = self.back_since = trio.current_time()

    def wipe(self) -> None:
        self.on_wipe()
        self.wiped.append(trio.current_time())
        self.tally.add("store wiped")
        self.records.empty()


class ProcessStore(Store):
    """A process's connection to it.

    Args:
        shelf: the store behind.
        process: whose it is.
        clock: that process's.
        point: called at the points at which a process may be killed or stopped.
        seen: called with each operation that was carried out: its name, what was asked and what came of it.
    """

    shared = True
    news_s = 1.0

    def __init__(
        self,
        shelf: Shelf,
        process: Any,
        clock: Clock,
        point: Callable[[str], Awaitable[None]],
        seen: Callable[[str, Any, Any], None],
    ) -> None:
        self._shelf = shelf
        self._inner = shelf.records.connect(clock)
        self._process = process
        self._point = point
        self._seen = seen

    async def _do(self, name: str, *args: Any, **options: Any) -> Any:
        shelf = self._shelf
        if name != "open" and self._is_late(name):
            self._do_late(name, *args, **options)
            await anyio.sleep_forever()
        await self._reach()
        answer = await getattr(self._inner, name)(*args, **options)
        self._seen(name, args, answer)
        if shelf.random.random() < shelf.rates.answer:
            shelf.tally.add("store answer lost")
            shelf.lost[self._process] = trio.current_time()
            raise StoreError("the answer was lost")
        return answer

    def _is_late(self, name: str) -> bool:
        shelf = self._shelf
        often = 12 if name == "commit" else 0.3
        return shelf.outage == "late" or shelf.random.random() < shelf.rates.answer * often

    def _do_late(self, name: str, *args: Any, **options: Any) -> None:
        shelf = self._shelf
        shelf.tally.add(f"store heard late: {name}")
        now, after = trio.current_time(), duration(shelf.random, 0.5, 90)
        shelf.healthy_since = now
        shelf.late[self._process].add(now, now + after)
        if name in {"claim", "commit", "fail", "restore"}:
            shelf.late_words.add(now, now + after)

        async def do() -> None:
            shelf.healthy_since = trio.current_time()
            answer = await getattr(self._inner, name)(*args, **options)
            self._seen(name, args, answer)

        shelf.post(after, do)

    async def _reach(self) -> None:
        shelf = self._shelf
        late = shelf.random.uniform(-0.005, 0.005)
        if late > 0:
            await anyio.sleep(late)
        else:
            await anyio.lowlevel.checkpoint()
        if shelf.outage == "away":
            raise StoreError("the store is away")
        if shelf.outage in {"hangs", "late"}:
            await anyio.sleep_forever()
        if shelf.outage == "slow":
            await anyio.sleep(duration(shelf.random, 0.1, 5))

    async def open(self) -> None:
        await self._do("open")

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def read(self, credentials: Any) -> Any:
        return await self._do("read", credentials)

    async def claim(self, claims: Any, *, owner: str, lease_s: float) -> Any:
        await self._point("before the claim")
        self._seen("claiming", (claims,), None)
        answer = await self._do("claim", claims, owner=owner, lease_s=lease_s)
        await self._point("after the claim")
        self._seen("claim heard", (claims,), answer)
        return answer

    async def commit(self, commits: Any) -> Any:
        self._seen("committing", (commits,), None)
        await self._point("before the commit")
        answer = await self._do("commit", commits)
        await self._point("after the commit")
        return answer

    async def fail(self, fails: Any) -> Any:
        await self._point("before the fail")
        return await self._do("fail", fails)

    async def restore(self, records: Any) -> Any:
        return await self._do("restore", records)

    async def supply(self, supplies: Any) -> Any:
        return await self._do("supply", supplies)

    async def remove(self, credentials: Any) -> Any:
        return await self._do("remove", credentials)

    async def due(self, limit: int) -> Any:
        return await self._do("due", limit)

    async def changes(self, cursor: str, wait_s: float) -> Any:
        await self._reach_news()
        changes = await self._inner.changes(cursor, wait_s)
        await self._reach_news()
        return self._less(changes) if changes.credentials else changes

    async def _reach_news(self) -> None:
        """Whoever waits for an answer that never comes hears no news, however short the outage was."""
        shelf, now = self._shelf, trio.current_time()
        if shelf.outage in {"hangs", "late"}:
            shelf.untold[self._process].add(now, now)
        await self._reach()

    def _less(self, news: Changes) -> Changes:
        """What arrives of news: some are lost, and whoever waits for them never hears of that."""
        shelf = self._shelf
        if shelf.news.random() >= shelf.rates.answer * NEWS_LOST:
            return news
        shelf.tally.add("store news lost")
        now = trio.current_time()
        shelf.untold[self._process].add(now, now)
        return replace(news, credentials=())
