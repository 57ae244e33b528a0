"""What the store contract's tests stand on: a store in virtual time, and workers who speak with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import Store
from wxtoken_asgi.stores.contract import Claim, Claimed, Commit, Committed, Fail, Granted, LastError, Record

from support.virtual import VirtualClock, virtual_backend

KEY = Credential("test", "https://api.weixin.qq.com", "wx00000000000000a1", "token", "access_token")
ERROR = LastError("transient", "WeChat is away", -1)
OTHER_ERROR = LastError("permanent", "wrong secret", 40125, fingerprint="before")


def key(number: int) -> Credential:
    """A credential of its own for each number."""
    return KEY._replace(appid=f"wx{number:016}")


def about(seconds: float) -> Any:
    """A duration as a store may measure it: some have clocks of their own."""
    return pytest.approx(seconds, abs=1)


class Worker:
    """One worker at a store, who says one thing at a time."""

    def __init__(self, store: Store, owner: str) -> None:
        self.store = store
        self.owner = owner

    async def claim(self, credential: Credential = KEY, *, lease_s: float = 30, **claim: Any) -> Claimed:
        claims = [Claim(credential, **claim)]
        return (await self.store.claim(claims, owner=self.owner, lease_s=lease_s))[0]

    async def lease(self, credential: Credential = KEY, **claim: Any) -> int:
        """Claim what is to be granted; what is asked for, in full knowledge of what is there."""
        if claim.get("asked"):
            claim = {"seen": (await self.read(credential)).version, **claim}
        granted = await self.claim(credential, **claim)
        assert isinstance(granted, Granted), granted
        return granted.fence

    async def commit(self, fence: int, value: str = "value-1", **commit: Any) -> Committed:
        wanted = Commit(KEY, fence, value, ttl_s=7000, ask_in_s=3600)
        return (await self.store.commit([replace(wanted, **commit)]))[0]

    async def fetch(
        self, value: str = "value-1", *, claim: dict[str, Any] | None = None, **commit: Any
    ) -> Record:
        """Claim and commit."""
        fence = await self.lease(commit.get("credential", KEY), **(claim or {}))
        return (await self.commit(fence, value, **commit)).record

    async def fail(self, fence: int, **fail: Any) -> Record:
        wanted = Fail(KEY, fence, wait_s=100, error=ERROR)
        return (await self.store.fail([replace(wanted, **fail)]))[0]

    async def read(self, credential: Credential = KEY) -> Record:
        return (await self.store.read([credential]))[0]

    async def due(self, limit: int = 100) -> tuple[Credential, ...]:
        return (await self.store.due(limit)).credentials

    async def cursor(self) -> str:
        return (await self.store.changes("", 0)).cursor

    async def news(self, cursor: str) -> tuple[Credential, ...] | None:
        return (await self.store.changes(cursor, 0)).credentials


class StoreStage:
    """The fixtures. A store's own test class gives `make` and `wipe`, and `later` if it has its own clock."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request):
        return virtual_backend(request.param)

    @pytest.fixture
    def clock(self):
        return VirtualClock()

    @pytest.fixture
    def make(self, clock):
        """Make a store object; all of one test share the records."""
        raise NotImplementedError

    @pytest.fixture
    def wipe(self, store):
        """Empty the database behind the store's back; awaited."""
        raise NotImplementedError

    @pytest.fixture
    def later(self, clock):
        """Let so many seconds pass."""

        def pass_by(seconds: float) -> None:
            clock.slept += seconds

        return pass_by

    @pytest.fixture
    async def store(self, make):
        store = make()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, make, store):
        store = make()
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def one(self, store):
        return Worker(store, "one")

    @pytest.fixture
    def two(self, second):
        return Worker(second, "two")
