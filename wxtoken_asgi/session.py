"""A manager while it is open: its background loop and its connections, and how all of it ends."""

from __future__ import annotations

from contextlib import AsyncExitStack

from wxtoken_asgi.flights import Flights
from wxtoken_asgi.hooks import Hooks
from wxtoken_asgi.keeper import Keeper
from wxtoken_asgi.loop import Loop
from wxtoken_asgi.tasks import Tasks
from wxtoken_asgi.weixin import Weixin


class Session:
    """From the opening of a manager to its closing.

    Args:
        loop: the background loop, warmed up.
        weixin: the connections to WeChat.
        keeper: speaks with the store.
        flights: all fetches.
        hooks: who hears of them.

    Attributes:
        since: when it was opened, by the monotonic clock.
    """

    def __init__(self, loop: Loop, weixin: Weixin, keeper: Keeper, flights: Flights, hooks: Hooks) -> None:
        self.loop = loop
        self.weixin = weixin
        self.since = keeper.clock.monotonic()
        self._keeper = keeper
        self._flights = flights
        self._hooks = hooks

    async def open(self) -> None:
        """Open the store and take over what it holds.

        Raises:
            ConfigError: the store cannot work here, whatever one waits for.
            StoreFormatError: its records have a format that this version does not know.
        """
        await self._keeper.link.open()
        await self.loop.warm_up()

    def run(self, tasks: Tasks) -> None:
        """Let the loop run until `stop`."""
        tasks.start(self.loop.run, name="wxtoken loop")

    async def stop(self) -> None:
        """End the loop."""
        self.loop.stop()
        await self.loop.ended.wait()

    async def close(self, *, fetch_s: float, hooks_s: float, store_s: float) -> None:
        """End all else, one after the other, whatever happens to one of them.

        Args:
            fetch_s: seconds for the fetches under way.
            hooks_s: seconds for the hooks.
            store_s: seconds for the store.
        """
        async with AsyncExitStack() as closing:  # undone in the opposite order
            closing.push_async_callback(self._keeper.link.close, store_s)
            closing.push_async_callback(self.weixin.aclose)
            closing.push_async_callback(self._hooks.settle, hooks_s)
            closing.push_async_callback(self._flights.settle, fetch_s)
