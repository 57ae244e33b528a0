"""When all is well: nothing has gone wrong for so long that nothing of it can be felt any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from wxtoken_asgi.policy import QUOTA_SPREAD, URGENT_BACKOFF_CAP_S

from simulation.chance import DAY
from simulation.spans import INF, met

if TYPE_CHECKING:
    from simulation.workers import Worker
    from simulation.world import World

CALM_S = 900.0
"""So long after the last outage every back-off has ended and every value is back."""

BRIEF_S = 120.0
"""The same after a single mishap: a lease that is left behind ends in 30 s, a back-off in 78 s."""


class Calm:
    """Whether all is well for an account, as a worker sees it.

    Args:
        world: where.
        outside: when another program last fetched each account's token.
    """

    def __init__(self, world: World, outside: dict[str, float]) -> None:
        self._world = world
        self._outside = outside

    def __call__(self, worker: Worker, app: str) -> bool:
        """Whether it is now."""
        world = self._world
        if world.way.away is not None or world.shelf.outage is not None or app in world.faults.refused:
            return False
        now = trio.current_time()
        return now - self._outage(app) > CALM_S and not self._mishap(worker, app, now - BRIEF_S)

    def _outage(self, app: str) -> float:
        """When the last one ended. A message to the store that was on its way for long is none."""
        world = self._world
        return max(
            world.way.healthy_since,
            world.shelf.back_since,
            world.faults.mended.get(app, 0.0),
            self._outside.get(app, -INF),
            self._spoiled(app),
            *world.shelf.wiped[-1:],
        )

    def _spoiled(self, app: str) -> float:
        """When a call went wrong after which an account with a small quota may rest for many minutes."""
        account = self._world.account(app)
        if account.endpoint == "stable" or QUOTA_SPREAD * DAY / account.daily_quota <= URGENT_BACKOFF_CAP_S:
            return -INF
        return self._world.way.spoiled.get(account.appid, -INF)

    def _mishap(self, worker: Worker, app: str, since: float) -> bool:
        """Whether a process was stopped or ended, a word was on its way for long, or a call went wrong."""
        world, shelf = self._world, self._world.shelf
        if any(each.disturbed >= since or each.process.fell_silent(since) for each in world.workers):
            return True
        if shelf.lost.get(worker.process, -INF) >= since:
            return True
        spans = (shelf.late_words, shelf.late[worker.process], world.way.spoils[world.account(app).appid])
        return any(met(each, since, INF) for each in spans)
