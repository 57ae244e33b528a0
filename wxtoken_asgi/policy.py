"""When to ask again, how long to wait, how long a value may be kept: pure decisions, no clock, no I/O.

Every function works on durations in seconds and on `draw`, a number in [0, 1) that the caller draws. The
numbers and their reasons are in `docs/policy.md`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

MARGIN_S: Final = 30.0
"""A value is given up this long before the end that WeChat stated."""

OVERLAP_TRUST_S: Final = 270.0
"""After a newer token may have been issued unseen, the old one is trusted for so long. WeChat keeps the
last token valid for 5 minutes (AccessToken.html, "access_token usage guide")."""

LONGEST_CALL_S: Final = 60.0
"""No call takes so long. If its process was stopped meanwhile, it was sent within that time, or just now."""

REFUSED_ASK_S: Final = 60.0
"""A stored token that an earlier lease's late news put in doubt is replaced so long before its trust ends."""

KEPT_AFTER_REFRESH_S: Final = 240.0
"""A token of the old endpoint may be kept so long past its planned refresh, inside WeChat's 5 minutes."""

STABLE_WINDOW_S: Final = 300.0
"""WeChat renews a stable token by itself when so much is left (getStableAccessToken.html)."""

STABLE_OPENING_S: Final = 295.0
"""The first ask inside that window comes when so much is left."""

ASK_EVERY_S: Final = 270.0
FLEET_ASKS_PER_S: Final = 20.0
TICKET_PROOF_S: Final = 600.0
"""An answer that brings the same ticket proves it for so long."""

PERMANENT_RETRY_S: Final = 300.0
DAY_QUOTA_RETRY_S: Final = 600.0
MINUTE_QUOTA_RETRY_S: Final = 60.0
FIRST_BACKOFF_S: Final = 2.0
DUE_BACKOFF_CAP_S: Final = 300.0
URGENT_BACKOFF_CAP_S: Final = 60.0
QUOTA_SPREAD: Final = 1.4
DAY_S: Final = 86_400.0
SHORTEST_WAIT_S: Final = 1.0
LONGEST_LIFE_S: Final = 86_400
FIRST_HEAL_S: Final = 60.0
LAST_HEAL_S: Final = 1800.0
HEALED_AT_ONCE: Final = 3
"""So many tokens that die early in 24 hours are replaced at once, then the gap doubles to half an hour."""

PROBE_KEPT_S: Final = 30 * 86_400.0
LOOK_S: Final = 1.0
"""A process that shares its store looks about so often for what is due, and never so late."""


class State(enum.StrEnum):
    """Where a credential is in its life."""

    EMPTY = "empty"
    FRESH = "fresh"
    DUE = "due"
    URGENT = "urgent"
    EXPIRED = "expired"


class Kept(NamedTuple):
    """What becomes of a fetched value: seconds until it ends, and until it is asked for again."""

    ttl_s: float
    ask_in_s: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an answer said.

    Args:
        expires_in: seconds, as WeChat stated them.
        elapsed_s: seconds since just before the request was sent.
        unchanged: it brought the value that is held already, or was until its estimated end.
        held_ttl_s: seconds that the held value had left, if there is one; 0 or less: it has ended.
    """

    expires_in: float
    elapsed_s: float
    unchanged: bool = False
    held_ttl_s: float = 0.0


class Policy(Protocol):
    """How a kind of credential is kept.

    Attributes:
        urgent_s: its last so many seconds are urgent.
        window_s: in its last so many seconds no wait is longer than a quarter of what is left; 0: none.
        destructive: a fetch dooms the value before it, so an unseen fetch puts the held one in doubt.
    """

    @property
    def urgent_s(self) -> float: ...
    @property
    def window_s(self) -> float: ...
    @property
    def destructive(self) -> bool: ...

    def keep(self, fetched: Fetched, *, draw: float, ask_every_s: float) -> Kept:
        """How long a fetched value lives, and when it is due."""
        ...

    def may_keep(self, ttl_s: float, ask_in_s: float) -> float:
        """For how many seconds a caller may keep a value that has `ttl_s` left and is due in `ask_in_s`."""
        ...


@dataclass(frozen=True, slots=True)
class StablePolicy:
    """WeChat's stable endpoint: asking is harmless, renewal happens inside WeChat's own window."""

    urgent_s: float = 180.0
    window_s: float = STABLE_WINDOW_S
    destructive: bool = False

    def keep(self, fetched: Fetched, *, draw: float, ask_every_s: float) -> Kept:
        """Ask every 270 s or so, and first inside the window right where it opens."""
        left = fetched.expires_in - fetched.elapsed_s
        every = ask_every_s * (0.9 + 0.1 * draw)
        ttl = left - margin(fetched.expires_in)
        wait = min(every, max(5.0, left - STABLE_OPENING_S))
        if left < self.window_s:
            wait = min(wait, max(SHORTEST_WAIT_S, ttl / 4))
        return Kept(ttl, wait)

    def may_keep(self, ttl_s: float, ask_in_s: float) -> float:  # noqa: ARG002 - the shape is the protocol's
        """Until its end: WeChat renews it 5 minutes early, and both work until then."""
        return ttl_s


@dataclass(frozen=True, slots=True)
class ClassicPolicy:
    """The old endpoint: every call dooms the last token, so it is called seldom and early."""

    urgent_s: float = 600.0
    window_s: float = 0.0
    destructive: bool = True

    def keep(self, fetched: Fetched, *, draw: float, ask_every_s: float) -> Kept:  # noqa: ARG002
        """Due at a point in 50-60 % of its life; a very short one in time before it is given up."""
        life = fetched.expires_in
        ttl = life - fetched.elapsed_s - margin(life)
        ask = min(life * (0.5 + 0.1 * draw) - fetched.elapsed_s, 0.75 * ttl)
        return Kept(ttl, max(ask, SHORTEST_WAIT_S))

    def may_keep(self, ttl_s: float, ask_in_s: float) -> float:
        """Until 240 s past the planned refresh; the refresh leaves it valid for 300."""
        return min(ttl_s, max(ask_in_s, 0.0) + KEPT_AFTER_REFRESH_S)


@dataclass(frozen=True, slots=True)
class TicketPolicy:
    """Tickets: WeChat serves one for hours and always says 7200, so its end is an estimate."""

    urgent_s: float = 600.0
    window_s: float = 0.0
    destructive: bool = False

    def keep(self, fetched: Fetched, *, draw: float, ask_every_s: float) -> Kept:  # noqa: ARG002
        """A new ticket lives as long as stated; the same one again is proved for 10 minutes."""
        if fetched.unchanged:
            ttl = max(fetched.held_ttl_s, TICKET_PROOF_S - fetched.elapsed_s)
        else:
            ttl = fetched.expires_in - fetched.elapsed_s - margin(fetched.expires_in)
        if ttl <= TICKET_PROOF_S:
            return Kept(ttl, max(SHORTEST_WAIT_S, min(120 + 180 * draw, ttl / 2)))
        return Kept(ttl, min(600 + 1200 * draw, ttl - 300))

    def may_keep(self, ttl_s: float, ask_in_s: float) -> float:  # noqa: ARG002
        """At most 10 minutes: nobody can know when WeChat lets go of it."""
        return min(ttl_s, TICKET_PROOF_S)


@dataclass(frozen=True, slots=True)
class ProbePolicy:
    """Probes of a token: one at a time, for all who share the store.

    Args:
        every_s: seconds between two.
    """

    every_s: float
    urgent_s: float = 0.0
    window_s: float = 0.0
    destructive: bool = False

    def keep(self, fetched: Fetched, *, draw: float, ask_every_s: float) -> Kept:  # noqa: ARG002
        """The next one is due after the interval, or up to a tenth sooner or later."""
        return Kept(PROBE_KEPT_S, self.every_s * (0.9 + 0.2 * draw))

    def may_keep(self, ttl_s: float, ask_in_s: float) -> float:  # noqa: ARG002
        """Nobody keeps it."""
        return 0.0


def margin(life_s: float) -> float:
    """How long before its end a value is given up: 30 s, or half the life of a very short one."""
    return min(MARGIN_S, life_s / 2)


def state_of(*, has_value: bool, ttl_s: float, ask_in_s: float, urgent_s: float) -> State:
    """Where a credential with `ttl_s` left and due in `ask_in_s` is in its life.

    What is not due yet is fresh, however little it has left: a ticket past its estimated end never
    has more than 10 minutes.
    """
    if not has_value:
        return State.EMPTY
    if ttl_s <= 0:
        return State.EXPIRED
    if ask_in_s > 0:
        return State.FRESH
    return State.URGENT if ttl_s <= urgent_s else State.DUE


def ask_every(knob_s: float, fleet: int) -> float:
    """Seconds between two asks of one stable token: the knob, or longer so that a fleet asks 20 a second."""
    return max(knob_s, fleet / FLEET_ASKS_PER_S)


def look_after(draw: float, since_s: float) -> float:
    """Seconds until a process looks for what has come due in a store that others look into too.

    Each looks at an instant of its own, so that one finds what is due and the others find it taken.

    Args:
        draw: the chance of that instant.
        since_s: seconds since it looked last.
    """
    return max(draw * LOOK_S, (0.75 + 0.25 * draw) * LOOK_S - since_s)


def heal_after(deaths: int) -> float:
    """Seconds since the last asked-for refresh before this service, by itself, replaces another dead token.

    Where another program fetches too, each fetch of ours kills its token, and its next one kills ours. So
    those that die early one after another are replaced less and less often. What a caller reports and what
    is due are not held up by it.

    Args:
        deaths: tokens that died early in the last 24 hours.
    """
    doubled = FIRST_HEAL_S * 2.0 ** min(max(deaths - HEALED_AT_ONCE, 0), 30)
    return min(doubled, LAST_HEAL_S)


def refused_cut(ttl_s: float) -> Kept:
    """What a fetch under a lease leaves of a later lease's token, if it is heard of too late.

    If its process was stopped, the call may have been sent only when that went on: before the later one it
    dooms nothing, after it five minutes are left.

    Args:
        ttl_s: seconds that it leaves of an earlier lease's token.
    """
    ttl = max(ttl_s, OVERLAP_TRUST_S - LONGEST_CALL_S)
    return Kept(ttl, ttl - REFUSED_ASK_S)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed attempt, as far as it decides how long to wait.

    Args:
        cls: the error's class, a word of `wxtoken_asgi.errcodes.ErrorClass` or `timeout`.
        attempts: failures in a row before this one.
        ttl_s: seconds that the held value has left; 0 or less: nothing valid is held.
        daily_quota: calls a day that the endpoint allows.
        minute_quota: the quota that was met is the one of a minute.
    """

    cls: str
    attempts: int
    ttl_s: float
    daily_quota: int
    minute_quota: bool = False


def wait_after(trouble: Trouble, policy: Policy, *, draw: float) -> float:
    """Seconds to wait after a failed attempt; always above 0.

    Permanent errors are tried again every 5 minutes at the latest, quota errors after 10 minutes
    (or one), others after 2 s, doubling to 300 s, or 60 s where the end is near or past.
    """
    if trouble.cls == "quota":
        return (MINUTE_QUOTA_RETRY_S if trouble.minute_quota else DAY_QUOTA_RETRY_S) * (1 + 0.3 * draw)
    if trouble.cls in {"permanent", "operator", "state"}:
        return _before_the_end(PERMANENT_RETRY_S * (0.9 + 0.1 * draw), trouble.ttl_s, policy)
    urgent = trouble.ttl_s <= policy.urgent_s
    cap = (
        max(URGENT_BACKOFF_CAP_S, QUOTA_SPREAD * DAY_S / trouble.daily_quota) if urgent else DUE_BACKOFF_CAP_S
    )
    doubled = FIRST_BACKOFF_S * 2.0 ** min(max(trouble.attempts, 0), 30)
    return _before_the_end(min(doubled, cap) * (1.0 + 0.3 * draw), trouble.ttl_s, policy)


def _before_the_end(wait_s: float, ttl_s: float, policy: Policy) -> float:
    """Never sleep over the line where the value becomes urgent, its end, nor long inside WeChat's window."""
    if ttl_s > policy.urgent_s:
        wait_s = min(wait_s, ttl_s - policy.urgent_s)
    elif ttl_s > 0:
        wait_s = min(wait_s, ttl_s / 2)
    if 0 < ttl_s <= policy.window_s:
        wait_s = min(wait_s, ttl_s / 4)
    return max(wait_s, SHORTEST_WAIT_S)
