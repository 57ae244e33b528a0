"""Fetching on demand, where no lifespan runs and so no loop: callers do the loop's work."""

from __future__ import annotations

import logging

import anyio
from anyio.lowlevel import current_token

from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.flights import Flights
from wxtoken_asgi.keeper import Keeper

logger = logging.getLogger("wxtoken_asgi")


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

    async def compare(self, entry: Entry) -> None:
        """No loop brings news: what is held is compared with the store, unless it was just now."""
        self._warn()
        keeper = self._keeper
        try:
            if not keeper.opened:
                await keeper.open()
            now = keeper.clock.monotonic()
            if keeper.store.shared and now - entry.compared_at >= keeper.store.news_s:
                entry.compared_at = now  # one caller looks; the others go on with what is held
                await keeper.load([entry])
        except StoreError:
            logger.debug("the store is away; %s is taken from memory", entry)

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
