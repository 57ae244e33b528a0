"""P7: no more calls than WeChat's quotas and ours allow, and never a hot loop."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from wxtoken_asgi.stores.contract import Claim

from simulation.chance import DAY
from simulation.kernel import HOT_S, Process

if TYPE_CHECKING:
    from simulation.wechat import Call
    from simulation.world import World

HOT_CALLS = 20
LONG_S, LONG_CALLS = 600.0, 40
"""Whoever calls so often for ten minutes goes round in a circle slowly: no back-off grows."""

HOT_ASKS = 400
"""A process that asks the store so often within a minute does nothing else; 70 are the most in a good run."""

FORCED_A_DAY = 20
"""WeChat allows an account so many forced calls."""

SLACK = 10
ASKED, ASKED_A_DAY = {"asked", "healed"}, 50
REFUNDED = 5


class Quotas:
    """What was called for, and what was granted because somebody had asked.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
        untold: how many calls of an account since then were made without a lease.
    """

    def __init__(
        self, world: World, broken: Callable[[str, str], None], untold: Callable[[str, float], int]
    ) -> None:
        self._world = world
        self._untold = untold
        self._broken = broken
        self._calls: defaultdict[tuple[str, str], deque[Call]] = defaultdict(deque)
        self._asks: dict[Process, tuple[int, int]] = {}
        self._day: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._forced: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._charged: set[int] = set()
        self._granted: defaultdict[tuple[tuple[str, str], str], deque[float]] = defaultdict(deque)

    def forget(self) -> None:
        """The store was emptied."""
        self._charged.clear()

    def called(self, call: Call, *, alone: bool) -> None:
        """A call is about to reach WeChat.

        Args:
            call: the call.
            alone: it dooms, and has no lease: nobody could count it before it was made.
        """
        now = trio.current_time()
        calls, day = self._calls[call.key], self._day[call.key]
        calls.append(call)
        day.append(now)
        while calls[0].begun < now - LONG_S:
            calls.popleft()
        _keep_a_day(day, now)
        self._look_for_circles([each for each in calls if each.begun >= now - HOT_S], HOT_CALLS, HOT_S)
        self._look_for_circles(list(calls), LONG_CALLS, LONG_S)
        if call.forced:
            self._called_forced(call)
        account = self._world.by_appid.get(call.key[0])
        if account is None or account.endpoint == "stable" or call.key[1] != "access_token":
            return
        most = account.daily_quota * (1 + self._wipes()) + SLACK
        if not alone and len(day) > most and len(day) - self._untold(account.name, now - DAY) > most:
            self._broken("P7", f"{len(day)} calls for {call.key} in 24 hours")

    def _look_for_circles(self, calls: list[Call], most: int, seconds: float) -> None:
        """While the store is away each process calls for itself."""
        alone = len({call.process for call in calls}) if self._was_away(seconds) else 1
        if len(calls) > most * alone:
            self._broken("P7", f"{len(calls)} calls for {calls[0].key} within {seconds:g} s")

    def _called_forced(self, call: Call) -> None:
        forced = self._forced[call.key]
        forced.append(call.begun)
        _keep_a_day(forced, call.begun)
        if len(forced) > FORCED_A_DAY * (1 + self._wipes()):
            self._broken("P7", f"{len(forced)} forced calls for {call.key} in 24 hours")

    def stored(self, process: Process, name: str) -> None:
        """A process has asked the store for something."""
        minute = int(trio.current_time() / HOT_S)
        since, asks = self._asks.get(process, (minute, 0))
        asks = asks + 1 if since == minute else 1
        self._asks[process] = minute, asks
        if asks == HOT_ASKS:
            self._broken("hot loop", f"{process} asks the store {asks} times within {HOT_S:g} s: {name}")

    def granted(self, key: tuple[str, str], claim: Claim, fence: int) -> None:
        """Whoever has the lease and asks again is granted it again: it is the same one, and charged once.

        What the service itself has found dead has a budget of its own.
        """
        if key[1] != "access_token" or fence in self._charged:
            return
        self._charged.add(fence)
        now = trio.current_time()
        for name in {charge.name for charge in claim.charges} & ASKED:
            granted = self._granted[key, name]
            granted.append(now)
            _keep_a_day(granted, now)
            if len(granted) > ASKED_A_DAY * (1 + self._wipes()) + self._refunded(key):
                self._broken("P7", f"{len(granted)} fetches of {key} in 24 hours are {name}")

    def spent_unseen(self, app: str) -> bool:
        """An emptied store has forgotten what was spent; WeChat has not."""
        account, since = self._world.account(app), trio.current_time() - DAY
        day = self._day[account.appid, "access_token"]
        _keep_a_day(day, trio.current_time())
        return len(day) > account.daily_quota and any(wiped > since for wiped in self._world.shelf.wiped)

    def _was_away(self, within_s: float) -> bool:
        shelf = self._world.shelf
        return shelf.outage is not None or trio.current_time() - shelf.back_since < within_s

    def _wipes(self) -> int:
        now = trio.current_time()
        return sum(wiped > now - DAY - 3600 for wiped in self._world.shelf.wiped)

    def _refunded(self, key: tuple[str, str]) -> float:
        """On the stable endpoint only what was forced counts; the same owner's second grant counts once."""
        return float("inf") if self._world.account(key[0]).endpoint == "stable" else REFUNDED


def _keep_a_day(moments: deque[float], now: float) -> None:
    while moments and moments[0] < now - DAY:
        moments.popleft()
