"""How many fetches may be in flight at a time, and who goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Slots:
    """A bounded number of places; those that callers wait for go first.

    Args:
        total: how many may be taken at a time.
    """

    def __init__(self, total: int) -> None:
        self.free = total
        self._urgent: dict[object, anyio.Event] = {}
        self._patient: dict[object, anyio.Event] = {}

    def promote(self, who: object) -> None:
        """A caller waits for it now."""
        event = self._patient.pop(who, None)
        if event is not None:
            self._urgent[who] = event

    @asynccontextmanager
    async def hold(self, who: object, *, urgent: bool) -> AsyncIterator[None]:
        """Take a place, waiting for one if need be, and give it back."""
        await self._take(who, urgent=urgent)
        try:
            yield
        finally:
            self._give()

    async def _take(self, who: object, *, urgent: bool) -> None:
        if self.free > 0:
            self.free -= 1
            return
        event = anyio.Event()
        (self._urgent if urgent else self._patient)[who] = event
        try:
            await event.wait()
        except BaseException:
            if self._urgent.pop(who, None) is None and self._patient.pop(who, None) is None:
                self._give()  # the place was given to it already
            raise

    def _give(self) -> None:
        for queue in (self._urgent, self._patient):
            if queue:
                queue.pop(next(iter(queue))).set()
                return
        self.free += 1
