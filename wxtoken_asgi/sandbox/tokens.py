"""Access tokens: how they are issued, how long they live, what kills them."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Endpoint = Literal["token", "stable"]
Overlap = Literal["grace", "strict"]
Issue = Callable[[Endpoint], "Token"]

LIFE = 7200  # seconds, of every new token
OVERLAP = 300  # seconds that old and new are both good; also the window in which the stable endpoint renews
FORCE_GAP = 30  # seconds between two forced refreshes

ALPHABET = string.ascii_letters + string.digits + "_-"


@dataclass(slots=True, eq=False)
class Token:
    """One access token.

    Attributes:
        value: the token itself.
        appid: whose it is.
        endpoint: which endpoint issued it.
        born: when it was issued, in seconds of sandbox time.
        end: the end that WeChat stated.
        dies: the end that it really has; earlier than `end` where it was superseded or revoked.
    """

    value: str = field(repr=False)
    appid: str
    endpoint: Endpoint
    born: float
    end: float
    dies: float

    def die_at(self, when: float) -> None:
        """Let the token live until then at most; never longer than before."""
        self.dies = min(self.dies, when)

    def left(self, now: float) -> float:
        """Seconds to the stated end, in whole milliseconds: sums of floats must not lose a second."""
        return round(self.end - now, 3)

    def errcode(self, now: float) -> int:
        """What a protected API says of the token: 0, 40001 (not the latest) or 42001 (expired)."""
        if now < self.dies:
            return 0
        return 40001 if self.dies < self.end else 42001


def new_value(now: float, rng: random.Random) -> str:
    """A token as the real ones look: a number that grows with time, `_`, and 136 to 157 characters in all.

    Args:
        now: seconds since 1970.
        rng: where the characters come from.
    """
    months = max(1, 84 + int((now - 1_725_148_800) // 2_629_800))  # it was 84 in September 2024
    head = f"{months}_"
    return head + "".join(rng.choices(ALPHABET, k=rng.randint(136, 157) - len(head)))


class OldEndpoint:
    """`GET /cgi-bin/token` of one account: each call issues, and supersedes what was issued before.

    WeChat's documents say both that the old token is invalid at once and that both are good for 5 minutes;
    `strict` and `grace` are these two readings. Whether a third token ends the first one's 5 minutes is not
    documented; here it does not.

    Args:
        issue: makes a token.
        overlap: `grace` or `strict`.
    """

    def __init__(self, issue: Issue, overlap: Overlap) -> None:
        self._issue = issue
        self._overlap = OVERLAP if overlap == "grace" else 0
        self.current: Token | None = None

    def fetch(self, now: float) -> Token:
        """Issue a token at `now`."""
        if self.current is not None:
            self.current.die_at(now + self._overlap)
        self.current = self._issue("token")
        return self.current


class StableEndpoint:
    """`POST /cgi-bin/stable_token` of one account: the same token until its last 5 minutes.

    A normal renewal always leaves the old token good for 300 s: WeChat's page on the stable endpoint states
    this in firm words. A forced refresh is said to make the last token invalid, but also to need a second
    call, 30 s later, to kill a leaked one: in `grace` the previous token lives 300 s more unless a second
    forced refresh comes, and in `strict`, the harshest reading of WeChat's documents, it dies at once.

    Args:
        issue: makes a token.
        overlap: `grace` or `strict`, for forced refreshes.
    """

    def __init__(self, issue: Issue, overlap: Overlap) -> None:
        self._issue = issue
        self._overlap = OVERLAP if overlap == "grace" else 0
        self._previous: Token | None = None
        self._forced_at = float("-inf")
        self.current: Token | None = None

    def may_force(self, now: float) -> bool:
        """Whether a forced refresh would issue: not within 30 s of the last one."""
        return now - self._forced_at >= FORCE_GAP

    def fetch(self, now: float) -> Token:
        """The token of a normal call.

        A token that was revoked stays the one that is answered: normal mode has been seen to return a token
        that was "not latest", which force mode cured (one report).
        """
        if self.current is not None and self.current.left(now) >= OVERLAP:
            return self.current
        return self._renew(now, OVERLAP)

    def force(self, now: float) -> Token:
        """Issue a token whatever the current one's age is."""
        if self._previous is not None:
            self._previous.die_at(now)
        self._forced_at = now
        return self._renew(now, self._overlap)

    def _renew(self, now: float, overlap: float) -> Token:
        self._previous = self.current
        if self._previous is not None:
            self._previous.die_at(now + overlap)
        self.current = self._issue("stable")
        return self.current
