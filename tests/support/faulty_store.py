"""A store that can be away, slow, broken, or lose its answers."""

from __future__ import annotations

import anyio

from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores import MemoryStore, Store


class FaultyStore(Store):
    """Passes everything to a `MemoryStore`, unless `faults` says otherwise.

    Attributes:
        faults: for each operation (or `*`): `away`, `hang`, `broken`, or `lost` (carried out, not answered).
        calls: how often each operation was asked for.
    """

    news_s = 0.2

    def __init__(self, clock, *, shared=True):
        self.inner = MemoryStore(clock)
        self.shared = shared
        self.faults = {}
        self.calls = {}

    async def _do(self, name, *args, **options):
        self.calls[name] = self.calls.get(name, 0) + 1
        fault = self.faults.get(name, self.faults.get("*"))
        if fault == "away":
            raise StoreError("the store is away")
        if fault == "hang":
            await anyio.sleep_forever()
        if fault == "broken":
            raise KeyError("a bug in the store")
        answer = await getattr(self.inner, name)(*args, **options)
        if fault == "lost":
            raise StoreError("the answer was lost")
        return answer

    async def open(self):
        await self._do("open")

    async def close(self):
        await self._do("close")

    async def read(self, credentials):
        return await self._do("read", credentials)

    async def claim(self, claims, *, owner, lease_s):
        return await self._do("claim", claims, owner=owner, lease_s=lease_s)

    async def commit(self, commits):
        return await self._do("commit", commits)

    async def fail(self, fails):
        return await self._do("fail", fails)

    async def restore(self, records):
        return await self._do("restore", records)

    async def supply(self, supplies):
        return await self._do("supply", supplies)

    async def remove(self, credentials):
        return await self._do("remove", credentials)

    async def due(self, limit):
        return await self._do("due", limit)

    async def changes(self, cursor, wait_s):
        return await self._do("changes", cursor, wait_s)
