"""P4: nobody is kept from going on by another for longer than a lease; a process begins and ends in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from wxtoken_asgi.link import LEASE_S
from wxtoken_asgi.stores.contract import Busy

if TYPE_CHECKING:
    from simulation.workers import Worker
    from simulation.world import World

BEGIN_S = 30.0
"""A process is there so long after its beginning, whether the store is or not: it asks it three times, for
3 s each."""

END_S = 7.5
"""A process ends within 5 s for its fetches, 1 s for its hooks and 1 s for the store."""

CLOCKS_S = 1.0
"""No two clocks go alike."""


class Goings:
    """Looks at each process when it should have begun, or ended, and at what it is told to wait for.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken

    def claimed(self, worker: Worker, key: tuple[str, str], claimed: Any) -> None:
        """It asked for a lease."""
        if isinstance(claimed, Busy) and claimed.retry_in_s > LEASE_S + CLOCKS_S:
            self._broken("P4", f"{worker} is to wait {claimed.retry_in_s:.0f} s for another's lease of {key}")

    def begun(self, worker: Worker) -> None:
        """A process begins."""
        process, begun = worker.process, trio.current_time()

        def look() -> None:
            if worker.process is not process or process.was_frozen(begun):
                return
            if not worker.lived:
                self._broken("P4", f"{worker} has begun {BEGIN_S:g} s ago and is not there yet")

        self._world.later(BEGIN_S, look)

    def ending(self, worker: Worker) -> None:
        """A process begins to end in good order."""
        process, begun = worker.process, trio.current_time()

        def look() -> None:
            if worker.process is not process or process.was_frozen(begun):
                return
            if worker.tokens is not None:
                self._broken("P4", f"{worker} was told to end {END_S:g} s ago and has not")

        self._world.later(END_S, look)
