"""The line from a process to its store: asked within a time, and known to be away or back."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Awaitable
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.batches import Batches
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError
from wxtoken_asgi.stores.contract import Claim, Claimed, Commit, Committed, Fail, Record, Store
from wxtoken_asgi.tasks import Tasks

logger = logging.getLogger("wxtoken_asgi")

LEASE_S: Final = 30.0
STORE_S: Final = 3.0
"""The longest that one operation of a store may take."""

UNWRITTEN_S: Final = 60.0
"""After a write that failed, a store that can be read all the same is back only once it was written to, or
so much later."""

T = TypeVar("T")


class Link:
    """Asks the store on behalf of a process.

    Args:
        store: where the records are.
        clock: chance, drawn anew after a fork.
        tasks: where batches of questions are sent to the store.
        lease_s: seconds for which the right to fetch is given.

    Attributes:
        opened: the store was opened.
        away: the store did not answer when it was last asked, or cannot be written to.
        returns: how often it answered again after it had not.
        claims: asked one by one and sent together, as `commits` and `fails` are.
    """

    def __init__(self, store: Store, clock: Clock, *, tasks: Tasks, lease_s: float = LEASE_S) -> None:
        self.store = store
        self.lease_s = lease_s
        self.opened = False
        self.away = False
        self.returns = 0
        self.claims: Batches[Claim, Claimed] = Batches(self._say_claims, tasks)
        self.commits: Batches[Commit, Committed] = Batches(self._say_commits, tasks)
        self.fails: Batches[Fail, Record] = Batches(self._say_fails, tasks)
        self._clock = clock
        self._readable = self._silent = False
        self._unwritten_until = float("-inf")
        self._owner: tuple[tuple[int, EventLoopToken], str] | None = None

    async def _say_claims(self, claims: list[Claim]) -> list[Claimed]:
        return await self.write(self.store.claim(claims, owner=self.owner, lease_s=self.lease_s))

    async def _say_commits(self, commits: list[Commit]) -> list[Committed]:
        return await self.write(self.store.commit(commits))

    async def _say_fails(self, fails: list[Fail]) -> list[Record]:
        return await self.write(self.store.fail(fails))

    @property
    def owner(self) -> str:
        """This process and event loop's name in leases, drawn anew after a fork."""
        here = (os.getpid(), current_token())
        mine = self._owner
        if mine is None or mine[0] != here:  # another thread's event loop may write its own meanwhile
            mine = self._owner = (here, uuid.uuid4().hex)
            self._clock.reseed()
        return mine[1]

    async def ask(self, operation: Awaitable[T]) -> T:
        """The store's answer, or `StoreError` if it takes too long or fails in a way of its own."""
        try:
            answer = await self._ask(operation)
        except StoreError:
            self._readable, self._unwritten_until = False, float("-inf")
            raise
        self._readable = True
        if self._clock.monotonic() >= self._unwritten_until:
            self._is_back()
        return answer

    async def write(self, operation: Awaitable[T]) -> T:
        """The same for what changes the store: one that can only be read (a full disk) is away."""
        try:
            answer = await self._ask(operation)
        except StoreError:
            if self._readable:
                self._unwritten_until = self._clock.monotonic() + UNWRITTEN_S
            raise
        self._unwritten_until = float("-inf")
        self._is_back()
        return answer

    async def _ask(self, operation: Awaitable[T]) -> T:
        try:
            with anyio.fail_after(STORE_S):
                answer = await operation
        except StoreError as error:
            raise self._missed(error) from None
        except TimeoutError:
            msg = f"the store did not answer within {STORE_S:g} s"
            raise self._missed(StoreError(msg)) from None
        except ConfigError as hopeless:
            raise self._missed(StoreError(str(hopeless))) from None
        except Exception as error:  # whatever a third party's store raises
            logger.exception("the store failed")
            msg = f"the store failed ({type(error).__name__})"
            raise self._missed(StoreError(msg)) from None
        self.returns += self._silent
        self._silent = False
        return answer

    def _is_back(self) -> None:
        if self.away:
            logger.warning("the store is back")
            self.away = False

    def _missed(self, error: StoreError) -> StoreError:
        self._silent = True
        if not self.away:
            logger.error("%s; what is held in memory is served meanwhile", error)
            self.away = True
        return error

    async def open(self) -> None:
        """Open the store. If it is away, it is asked again later.

        Raises:
            ConfigError: it cannot work here, whatever one waits for.
            StoreFormatError: its records have a format that this version does not know.
        """
        self._owner = None  # whoever opens again is somebody else: leases left behind are not its own
        try:
            hopeless = await self.ask(self._open())
        except StoreFormatError:
            raise
        except StoreError:
            return
        if hopeless is not None:
            raise hopeless
        self.opened = True

    async def _open(self) -> ConfigError | None:
        """Open the store; what can never work here is an answer, not an outage."""
        try:
            await self.store.open()
        except ConfigError as hopeless:
            return hopeless
        return None

    async def close(self, within_s: float) -> None:
        """Let go of the store; whatever it does, this ends within `within_s` seconds."""
        self.opened = False
        try:
            with anyio.move_on_after(within_s):
                await self.store.close()
        except Exception:
            logger.exception("the store could not be closed")
