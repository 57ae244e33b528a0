"""P7: no more calls than WeChat's quotas and ours allow, and never a hot loop."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from simulation.chance import DAY
from simulation.kernel import HOT_S

if TYPE_CHECKING:
    from simulation.wechat import Call
    from simulation.world import World

HOT_CALLS = 20
ASKED_A_DAY = 50
REFUNDED = 5
DAY_QUOTA_SPENT = 45009


class Quotas:
    """What was called for, and what was granted because somebody had asked.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self._recent: defaultdict[tuple[str, str], deque[tuple[float, object]]] = defaultdict(deque)
        self._day: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._charged: set[int] = set()
        self._granted: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def forget(self) -> None:
        """The store was emptied."""
        self._charged.clear()

    def called(self, call: Call) -> None:
        """A call is about to reach WeChat."""
        now = trio.current_time()
        recent, day = self._recent[call.key], self._day[call.key]
        recent.append((now, call.process))
        day.append(now)
        while recent[0][0] < now - HOT_S:
            recent.popleft()
        _keep_a_day(day, now)
        alone = len({process for _, process in recent}) if self._was_away() else 1  # each for itself
        if len(recent) > HOT_CALLS * alone:
            self._broken("P7", f"{len(recent)} calls for {call.key} within {HOT_S:g} s")
        account = self._world.by_appid.get(call.key[0])
        if account is None or account.endpoint == "stable" or call.key[1] != "access_token":
            return
        if len(day) > account.daily_quota * (1 + self._wipes()) + 10:
            self._broken("P7", f"{len(day)} calls for {call.key} in 24 hours")

    def granted(self, key: tuple[str, str], fence: int) -> None:
        """Whoever has the lease and asks again is granted it again: it is the same one, and charged once."""
        if key[1] != "access_token" or fence in self._charged:
            return
        self._charged.add(fence)
        granted, now = self._granted[key], trio.current_time()
        granted.append(now)
        _keep_a_day(granted, now)
        if len(granted) > ASKED_A_DAY * (1 + self._wipes()) + self._refunded(key):
            self._broken("P7", f"{len(granted)} asked-for fetches of {key} in 24 hours")

    def spent_unseen(self, app: str, error: Exception) -> bool:
        """An emptied store has forgotten what was spent; WeChat has not."""
        account = self._world.account(app)
        return (
            getattr(error, "errcode", None) == DAY_QUOTA_SPENT
            and len(self._day[account.appid, "access_token"]) > account.daily_quota
            and any(wiped > trio.current_time() - DAY for wiped in self._world.shelf.wiped)
        )

    def _was_away(self) -> bool:
        shelf = self._world.shelf
        return shelf.outage is not None or trio.current_time() - shelf.healthy_since < HOT_S

    def _wipes(self) -> int:
        now = trio.current_time()
        return sum(wiped > now - DAY - 3600 for wiped in self._world.shelf.wiped)

    def _refunded(self, key: tuple[str, str]) -> float:
        """On the stable endpoint only what was forced counts; the same owner's second grant counts once."""
        return float("inf") if self._world.account(key[0]).endpoint == "stable" else REFUNDED


def _keep_a_day(moments: deque[float], now: float) -> None:
    while moments[0] < now - DAY:
        moments.popleft()
