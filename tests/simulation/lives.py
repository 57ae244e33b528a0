"""How long a fetched value is trusted, and when it is due: what docs/policy.md says, no more and no less."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from wxtoken_asgi.policy import OVERLAP_TRUST_S
from wxtoken_asgi.stores.contract import Commit, Record

if TYPE_CHECKING:
    from simulation.world import World

STATED_S = 7200.0
"""WeChat says of each new token that it lives so long."""

GIVEN_UP_S = 30.0
"""A value is given up so long before its end. It is not the policy's own number, which may be wrong, as those
that follow are not."""

ASK_EVERY_S, OPENS_S, WINDOW_S = 270.0, 295.0, 300.0
"""A stable token is asked for so often, again when it has so much left, and oftener in its last 5 minutes."""

PROOF_S = 600.0
"""A ticket that WeChat gives again is good for so long."""

EXACT_S = 0.015
"""No clock is quite as fast as true time."""

ON_ITS_WAY_S = 60.0
"""From the call to the commit: a call of 17 s, and a commit that is said three times, for 3 s each."""

AGED_S = 25.0
"""So much later than it was fetched a value may be committed, and is due that much sooner."""


class Lives:
    """Looks at each commit before it is said.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self._tickets: dict[str, float] = {}
        self._alone: dict[str, float] = {}
        self._late = False

    def committing(self, commit: Commit, *, stopped: bool) -> bool:
        """A value is about to be given to the store; False: WeChat never made it.

        Args:
            commit: what the store is told.
            stopped: its process was stopped meanwhile: as what was fetched without a lease, it is told late.
        """
        self._late = stopped or commit.over_s is not None
        if commit.credential.kind != "access_token":
            if commit.over_s is not None:
                self._alone.setdefault(commit.value, trio.current_time() + STATED_S - GIVEN_UP_S)
            self._due(commit, *ticket_asks(commit.ttl_s))
            return True
        token = self._world.sandbox._wechat.token(commit.value)
        if token is None:
            self._broken("P1", f"{self._named(commit)} was never made by WeChat")
            return False
        self._ends(commit, token)
        if commit.over_s is not None and commit.credential.endpoint == "token":
            if commit.ttl_s > OVERLAP_TRUST_S or commit.ask_in_s > 0:
                self._broken("P1", f"{self._named(commit)} was fetched without a lease")
            return True
        if commit.credential.endpoint == "token":
            self._due(commit, 0.5 * STATED_S - AGED_S, 0.6 * STATED_S)
        else:
            self._due(commit, *stable_asks(commit.ttl_s))
        return True

    def committed(self, commit: Commit, record: Record) -> None:
        """The store has taken it, and cut it perhaps: another may have given it back meanwhile.

        What was fetched without a lease is trusted for less than a new ticket, whether it is one or not; who
        fetched the same under a lease, at about the same time, may say more of it.
        """
        if commit.credential.kind != "access_token":
            self._ticket_ends(commit, record.ttl_s)
            end = trio.current_time() + commit.ttl_s
            self._tickets.setdefault(commit.value, max(end, self._alone.get(commit.value, end)))

    def forget(self) -> None:
        """The store was emptied, or its host booted: perhaps nobody knows any more how old a ticket is."""
        self._tickets.clear()
        self._alone.clear()

    def _ends(self, commit: Commit, token: Any) -> None:
        """It is given up in time, and no sooner; what was fetched without a lease is trusted for less."""
        left = token.end - self._world.now() - GIVEN_UP_S
        if commit.ttl_s > left + EXACT_S:
            self._broken("P1", f"{self._named(commit)} lives {commit.ttl_s - left:.3f} s too long")
        if OVERLAP_TRUST_S < commit.ttl_s < left - ON_ITS_WAY_S:
            self._broken("P1", f"{self._named(commit)} is given up {left - commit.ttl_s:.0f} s too early")

    def _ticket_ends(self, commit: Commit, ttl_s: float) -> None:
        """WeChat says 7200 again of the same ticket, however old it is: that proves it for 10 minutes."""
        now = trio.current_time()
        longest = max(self._tickets.get(commit.value, now + STATED_S - GIVEN_UP_S) - now, PROOF_S)
        if ttl_s > longest + ON_ITS_WAY_S:
            self._broken("P1", f"{self._named(commit)} is no new one: {longest:.0f} s are known")

    def _due(self, commit: Commit, soonest: float, latest: float) -> None:
        if not (soonest < commit.ask_in_s or self._late) or commit.ask_in_s > latest:
            self._broken("jitter", f"{self._named(commit)} is not due in {soonest:.0f} to {latest:.0f} s")

    def _named(self, commit: Commit) -> str:
        what = f"the {commit.credential.kind} of {self._world.app(commit.credential)}"
        return f"{what} that is committed for {commit.ttl_s:.0f} s and due in {commit.ask_in_s:.0f} s"


def stable_asks(ttl_s: float) -> tuple[float, float]:
    """When a stable token with so much left is due: every 270 s or so, and often inside WeChat's window."""
    left = ttl_s + GIVEN_UP_S
    latest = min(ASK_EVERY_S, max(5.0, left - OPENS_S))
    if left < WINDOW_S:
        latest = min(latest, max(1.0, ttl_s / 4))
    return 0.9 * latest - AGED_S, latest + EXACT_S


def ticket_asks(ttl_s: float) -> tuple[float, float]:
    """When a ticket is due: every 10 to 30 minutes, and every 2 to 5 when its stated end is near or past."""
    if ttl_s <= PROOF_S:
        return min(120.0, ttl_s / 2) - AGED_S, max(1.0, min(300.0, ttl_s / 2)) + AGED_S
    return min(600.0, ttl_s - 300.0) - AGED_S, min(1800.0, ttl_s - 300.0) + EXACT_S
