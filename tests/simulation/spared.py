"""What a living worker holds fresh comes back to an emptied store, and is not fetched again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from simulation.world import World

CALM_S = 60.0
"""So long after the last trouble a worker has told the store all that it knows."""

FRESH_S = 120.0
SOON_S, LATE_S = 2.0, 100.0
"""In between, a fetch is one that what was held should have spared."""

ASKED_S = 130.0


class Spared:
    """The fetches that nobody needs after the store was emptied.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self._spared: dict[tuple[str, str], tuple[float, Any]] = {}

    def wiped(self) -> None:
        """The store was emptied."""
        now, world = trio.current_time(), self._world
        self._spared = {}
        if world.shelf.outage is not None or now - world.shelf.healthy_since < CALM_S:
            return
        stale: set[tuple[str, str]] = set()
        for worker in world.workers:
            tokens: Any = worker.tokens
            if tokens is None:
                continue
            calm = worker.up and now - worker.disturbed >= CALM_S
            for entry in tokens._registry.entries.values():
                held, key = entry.good(tokens.clock), (world.app(entry.credential), entry.kind.name)
                if held is not None and held.ask_in(tokens.clock) > FRESH_S and entry.flight is None:
                    if calm:
                        self._spared[key] = (now, worker.process)
                elif held is not None:  # perhaps it gives back a copy that does not know of the latest proof
                    stale.add(key)
        self._spared = {key: spared for key, spared in self._spared.items() if key not in stale}

    def stored(self, name: str, args: Any) -> None:
        """A process may have told late of a call that may have doomed what the store holds."""
        for told in args[0] if name == "fail" else ():
            if told.over_s is not None:
                self._spared.pop((self._world.app(told.credential), told.credential.kind), None)

    def called(self, key: tuple[str, str], *, outside: float, asked: float) -> None:
        """Somebody fetches.

        Args:
            key: which account's, and of what kind.
            outside: when another program fetched it last.
            asked: when a fetch was last granted because somebody had asked.
        """
        (wiped, holder), now = self._spared.pop(key, (0.0, None)), trio.current_time()
        if holder is None or not SOON_S < now - wiped < LATE_S or outside > wiped:
            return
        if holder.was_frozen(wiped) or now - asked < ASKED_S:
            return
        shelf = self._world.shelf
        if now - max(shelf.lost.values(), default=float("-inf")) < LATE_S or shelf.outage:
            return
        self._broken("P7", f"{key} was fetched after the store was emptied, though {holder} held it fresh")
