"""What the contract's tests stand on: a store whose time can be moved, and workers who speak with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import Store
from wxtoken_asgi.stores.contract import Claim, Commit, Committed, Cut, Fail, Granted, LastError, Record

Later = Callable[[float], None]
Make = Callable[[], Store]
Wall = Callable[[], float]
Wipe = Callable[[], Awaitable[None]]

DOUBT = Cut(270, 0)
"""How far a held value is trusted after a call that may have doomed it."""

KEY = Credential("test", "https://api.weixin.qq.com", "wx00000000000000a1", "token", "access_token")
ERROR = LastError("transient", "WeChat is away", -1)
OTHER_ERROR = LastError("permanent", "wrong secret", 40125, fingerprint="before")


def key(number: int) -> Credential:
    """A credential of its own for each number."""
    return KEY._replace(appid=f"wx{number:016}")


def about(seconds: float) -> Any:
    """A duration as a store may measure it: some have clocks of their own."""
    return pytest.approx(seconds, abs=1)


def asks_anew(record: Record) -> dict[str, Any]:
    """The claim of a caller who has seen this record and asks for a newer value."""
    return {"asked": True, "seen": record.version, "settled_s": 60}


class Worker:
    """One worker at a store, who says one thing at a time."""

    def __init__(self, store: Store, owner: str) -> None:
        self.store = store
        self.owner = owner

    async def claim(self, credential: Credential = KEY, *, lease_s: float = 30, **claim: Any) -> Any:
        """The store's answer, of whatever type the test expects."""
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


class MovedClock(Clock):
    """The machine's clocks, moved on request.

    Attributes:
        ahead: seconds by which both clocks are ahead.
        stepped: seconds by which the wall clock was stepped besides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0
        self.stepped = 0.0

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return super().monotonic() + self.ahead

    def time(self) -> float:
        """See `Clock.time`."""
        return super().time() + self.ahead + self.stepped


class StoreStage:
    """The fixtures; `StoreContract` says which of them a store's own test class gives."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """The event loops on which the store works."""
        return request.param

    @pytest.fixture
    def clock(self) -> MovedClock:
        """The clock that `make` gives to its stores."""
        return MovedClock()

    @pytest.fixture
    def make(self, clock: MovedClock) -> Make:
        """Makes a store object; all of one test share the records."""
        msg = "write a fixture `make`; wxtoken_asgi.testing says how"
        raise NotImplementedError(msg)

    @pytest.fixture
    def wipe(self, store: Store) -> Wipe:
        """Empties the database behind the store's back; awaited."""
        msg = "write a fixture `wipe`; wxtoken_asgi.testing says how"
        raise NotImplementedError(msg)

    @pytest.fixture
    def later(self, clock: MovedClock) -> Later:
        """Lets so many seconds pass by the store's clock."""

        def pass_by(seconds: float) -> None:
            clock.ahead += seconds

        return pass_by

    @pytest.fixture
    def step(self, clock: MovedClock) -> Later:
        """Steps the wall clock that the store sees."""

        def step(seconds: float) -> None:
            clock.stepped += seconds

        return step

    @pytest.fixture
    def wall(self, clock: MovedClock) -> Wall:
        """What that wall clock says."""
        return clock.time

    @pytest.fixture
    async def store(self, make: Make) -> AsyncIterator[Store]:
        """A store."""
        async with opened(make()) as store:
            yield store

    @pytest.fixture
    async def second(self, make: Make, store: Store) -> AsyncIterator[Store]:  # noqa: ARG002 - the order
        """Another process's store of the same records."""
        async with opened(make()) as second:
            yield second

    @pytest.fixture
    def one(self, store: Store) -> Worker:
        """A worker."""
        return Worker(store, "one")

    @pytest.fixture
    def two(self, second: Store) -> Worker:
        """A worker in another process."""
        return Worker(second, "two")


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """The store, open."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def restorable(
    version: int = 7, *, fence: int = 0, number: int = 1, ttl_s: float = 500.0, value: str | None = "saved"
) -> Record:
    """A record as somebody holds it whose store has lost it."""
    return Record(key(number), version, value, ttl_s=ttl_s, ask_in_s=50, fence=fence, state="kept")
