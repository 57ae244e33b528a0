"""Who uses a manager: the first who comes opens it, the last who goes closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.errors import WrongLoop


class Uses:
    """Counts those who have entered, in one event loop at a time.

    Args:
        open_: called for the first.
        close: called for the last; it is not cancelled.
    """

    def __init__(self, open_: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]) -> None:
        self._open = open_
        self._close = close
        self._home: EventLoopToken | None = None
        self._gate = anyio.Lock()
        self._count = 0

    @property
    def at_home(self) -> bool:
        """Whether this is the event loop in which it was entered last."""
        return self._home == current_token()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody opens or closes it meanwhile.

        Raises:
            WrongLoop: it is open in another event loop.
        """
        if not self.at_home:
            if self._count:
                msg = "the manager is open in another event loop; give each loop a manager of its own"
                raise WrongLoop(msg)
            self._home, self._gate = current_token(), anyio.Lock()
        async with self._gate:
            yield

    async def enter(self) -> None:
        """Begin to use it.

        Raises:
            WrongLoop: it is open in another event loop.
        """
        async with self.alone():
            if not self._count:
                await self._open()
            self._count += 1

    async def leave(self) -> None:
        """Use it no longer."""
        with anyio.CancelScope(shield=True):
            async with self._gate:
                self._count -= 1
                if not self._count:
                    await self._close()
