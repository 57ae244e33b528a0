"""Fetching on demand, where no lifespan runs and so no loop: callers do the loop's work."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.flights import Flights
from wxtoken_asgi.keeper import Keeper

logger = logging.getLogger("wxtoken_asgi")

_Key = tuple[EventLoopToken, Entry | None]


class _Turn:
    """Work that is under way for all who wait for it.

    Attributes:
        over: set when it is over.
        ended: it came to its end; else whoever did it went away.
    """

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.ended = False


class OnDemand:
    """What a caller does before it takes a value that no loop looks after.

    Args:
        keeper: speaks with the store.
        flights: where fetches are begun.
    """

    def __init__(self, keeper: Keeper, flights: Flights) -> None:
        self._keeper = keeper
        self._flights = flights
        self._warned = False
        self._doing: dict[_Key, _Turn] = {}

    async def compare(self, entry: Entry) -> None:
        """No loop brings news: what is held is compared with the store, unless it was just now.

        Those who come together share one read. While the store is away one of them asks whether it is
        back, and the others go on with what is held.

        Raises:
            StoreFormatError: the store's records have a format that this version does not know.
        """
        self._warn()
        link = self._keeper.link
        await self._once(None, link.open, lambda: not link.opened)
        await self._once(entry, lambda: self._read(entry), lambda: self._stale(entry))

    async def _once(
        self, what: Entry | None, work: Callable[[], Awaitable[None]], needed: Callable[[], bool]
    ) -> None:
        key = (current_token(), what)
        while needed():
            other = self._doing.get(key)
            if other is None:
                await self._do(key, work)
                return
            if self._keeper.link.away:
                return
            await other.over.wait()
            if other.ended:
                return

    async def _do(self, key: _Key, work: Callable[[], Awaitable[None]]) -> None:
        turn = self._doing[key] = _Turn()
        try:
            await work()
            turn.ended = True
        finally:
            del self._doing[key]
            turn.over.set()

    def _stale(self, entry: Entry) -> bool:
        link = self._keeper.link
        if not (link.opened and link.store.shared):
            return False
        return self._keeper.clock.monotonic() - entry.compared_at >= link.store.news_s

    async def _read(self, entry: Entry) -> None:
        now = self._keeper.clock.monotonic()
        try:
            await self._keeper.load([entry])
        except StoreError:
            logger.debug("the store is away; %s is taken from memory", entry)
        entry.compared_at = now

    async def renew_due(self, entry: Entry, within_s: float) -> None:
        """No loop keeps it fresh: the first caller that finds it due renews it, the others go on.

        Args:
            entry: the credential.
            within_s: seconds for which that caller waits; the held value is good meanwhile.
        """
        clock = self._keeper.clock
        held = entry.good(clock)
        if held is None or held.ask_in(clock) > 0 or entry.waits(clock) > 0:
            return
        if entry.flight is not None and entry.flight.loop == current_token():
            return
        flight = self._flights.join(entry)
        with anyio.move_on_after(within_s):
            await flight.done.wait()

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("lifespan did not run: tokens are fetched on demand, not kept fresh")
