"""Traps inside a worker: at a named point of a fetch the process kills or stops itself.

A trap is a file `NAME.POINT` in the worker's folder of traps, which holds the signal's name and for how
many seconds it is put off. It springs once. The points:

    claimed     the lease is granted, and WeChat has not been asked
    answered    WeChat has answered, and nobody was told
    committing  the commit goes to the store; put off, the signal comes in its midst
    committed   the store has the new value, and this process does not know it yet
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.stores import Store
from wxtoken_asgi.stores.contract import Claim, Claimed, Commit, Committed, Granted


class Traps:
    """The traps of one worker.

    Args:
        folder: where they are set.
        name: the worker's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def spring(self, point: str) -> None:
        """Meet the trap at this point, if one is set."""
        path = self._folder / f"{self._name}.{point}"
        try:
            word, delay = path.read_text().split()
        except FileNotFoundError:
            return
        path.rename(path.with_suffix(".sprung"))
        number = signal.Signals[f"SIG{word}"]
        if not float(delay):
            os.kill(os.getpid(), number)
            return
        threading.Timer(float(delay), os.kill, (os.getpid(), number)).start()


class TrappedStore(Store):
    """A store with traps round claims and commits."""

    def __init__(self, inner: Store, traps: Traps) -> None:
        self._inner, self._traps = inner, traps
        self.shared, self.news_s = inner.shared, inner.news_s

    async def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        claimed = await self._inner.claim(claims, owner=owner, lease_s=lease_s)
        if any(isinstance(answer, Granted) for answer in claimed):
            self._traps.spring("claimed")
        return claimed

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        self._traps.spring("committing")
        committed = await self._inner.commit(commits)
        self._traps.spring("committed")
        return committed

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def read(self, credentials: Any) -> Any:
        return await self._inner.read(credentials)

    async def fail(self, fails: Any) -> Any:
        return await self._inner.fail(fails)

    async def restore(self, records: Any) -> Any:
        return await self._inner.restore(records)

    async def supply(self, supplies: Any) -> Any:
        return await self._inner.supply(supplies)

    async def remove(self, credentials: Any) -> None:
        await self._inner.remove(credentials)

    async def due(self, limit: int) -> Any:
        return await self._inner.due(limit)

    async def changes(self, cursor: str, wait_s: float) -> Any:
        return await self._inner.changes(cursor, wait_s)


class TrappedTransport(httpx.AsyncBaseTransport):
    """The network, with a trap behind each answer."""

    def __init__(self, traps: Traps) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._traps = traps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        self._traps.spring("answered")
        return httpx.Response(response.status_code, content=content)


class SteppedClock(Clock):
    """A wall clock that is off by as many seconds as a file says.

    Args:
        path: the file; missing or empty: 0.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)

    def time(self) -> float:
        return super().time() + float(os.pread(self._file, 32, 0) or 0)
