"""P9: what one worker has answered, all the others know soon; if the news were lost, a little later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from simulation.spans import COMPARED_S, HEARD_S, INF, NEWS_S, met

if TYPE_CHECKING:
    from simulation.workers import Worker
    from simulation.world import World


class News:
    """Looks at the other workers some time after one has answered a refresh.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken

    def answered(self, teller: Worker, app: str, kind: str) -> None:
        """A worker has answered a refresh with what it holds."""
        held = _held(teller, app, kind)
        self._world.later(NEWS_S, lambda: self._heard(teller, app, kind, held))

    def _heard(self, teller: Worker, app: str, kind: str, told: Any) -> None:
        now = trio.current_time()
        if self._in_the_way(2 * HEARD_S) or self._lost(teller, HEARD_S):
            return  # it had to go on without the store for a moment
        if teller.process.was_frozen(now - HEARD_S):
            return  # while it was stopped, the time that the store has for an answer went by
        for worker in self._world.workers:
            if worker is teller or self._disturbed(worker, HEARD_S):
                continue
            if met(self._world.shelf.untold[worker.process], now - COMPARED_S, now):
                self._look_again(worker, app, kind, told)
            elif _is_behind(worker, app, kind, told):
                ago = f"{teller} answered {NEWS_S:g} s ago"
                self._broken("P9", f"{worker} does not know the {kind} of {app} that {ago}")

    def _look_again(self, worker: Worker, app: str, kind: str, told: Any) -> None:
        """News to it were lost: there is a second line behind them."""
        self._world.later(COMPARED_S, lambda: self._compared(worker, app, kind, told))

    def _compared(self, worker: Worker, app: str, kind: str, told: Any) -> None:
        since_s = COMPARED_S + HEARD_S
        if self._in_the_way(since_s) or self._disturbed(worker, since_s):
            return
        if _is_behind(worker, app, kind, told):
            ago = f"that was answered {COMPARED_S + NEWS_S:g} s ago"
            self._broken("P9", f"{worker}, whose news were lost, does not know the {kind} of {app} {ago}")

    def _in_the_way(self, seconds: float) -> bool:
        """Whether the store was away within the last so many seconds, or heard late, or was emptied."""
        shelf, now = self._world.shelf, trio.current_time()
        if shelf.outage is not None or now - shelf.healthy_since < seconds:
            return True
        return any(now - wiped < seconds for wiped in shelf.wiped)

    def _disturbed(self, worker: Worker, seconds: float) -> bool:
        """Whether it is away, or was within the last so many seconds, or lost an answer."""
        if not worker.up or trio.current_time() - worker.disturbed < seconds:
            return True
        return self._lost(worker, seconds)

    def _lost(self, worker: Worker, seconds: float) -> bool:
        return trio.current_time() - self._world.shelf.lost.get(worker.process, -INF) < seconds


def _held(worker: Worker, app: str, kind: str) -> Any:
    tokens: Any = worker.tokens
    return tokens.entry(app, kind).held


def _is_behind(worker: Worker, app: str, kind: str, told: Any) -> bool:
    """Whether it holds something older. A ticket that was fetched again is the same, whatever its version."""
    held = _held(worker, app, kind)
    return held is None or (held.version < told.version and held.value != told.value)
