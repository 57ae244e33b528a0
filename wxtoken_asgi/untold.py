"""What the store is told later than it happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from wxtoken_asgi import policy
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Commit, Cut, Fail

SLOWEST: Final = 0.999
"""No host's clock runs so much faster than the store's: what is over for so long is so for the store too."""


ON_ITS_WAY_S: Final = 20.0
"""A call that brought no answer may reach WeChat so long after its process gave it up."""


@dataclass(frozen=True, slots=True)
class Untold:
    """Calls without a lease that the store does not know of; replaced as a whole, never changed.

    Their versions are made of this host's time, which may be wrong: they do not show which value is the
    older one. The store knows that if it has given a lease since the call was over, or has heard of a later
    one. Else nobody does, and on the old endpoint the older one is doomed: the store takes this one or cuts
    the one that it has, and in both cases a new one is due.

    Args:
        brought: what the last of them brought, and when its durations were measured, by the monotonic clock.
        lost: when the first was begun whose outcome nobody knows and which may have doomed what the store
            holds, and when the last such was over, by the monotonic clock.
    """

    brought: tuple[Commit, float] | None = None
    lost: tuple[float, float] | None = None

    def with_value(self, commit: Commit, at: float) -> Untold:
        """One more call, which brought a value."""
        return replace(self, brought=(commit, at))

    def with_loss(self, since: float, until: float) -> Untold:
        """One more call, which may have doomed what the store holds, and what an earlier one brought.

        Args:
            since: when it was begun, by the monotonic clock.
            until: when it was given up.
        """
        brought = self.brought
        if brought is not None:
            commit, at = brought
            brought = replace(commit, ttl_s=min(commit.ttl_s, since + policy.OVERLAP_TRUST_S - at)), at
        first, last = self.lost or (since, until)
        return replace(self, brought=brought, lost=(min(since, first), max(until, last)))

    def doubt(self, now: float) -> Cut:
        """How far what was brought is trusted where another call is known that may have come after it."""
        since = now if self.brought is None or self.brought[0].refused is None else self.brought[1]
        return Cut(policy.OVERLAP_TRUST_S - (now - since), 0.0)

    def fails(self, credential: Credential, now: float) -> list[Fail]:
        """The lost calls as the store is told of them: what it holds is doubted since the first of them."""
        if self.lost is None:
            return []
        since, until = self.lost
        cut = Cut(policy.OVERLAP_TRUST_S - (now - since), 0.0)
        over_s = (now - until - ON_ITS_WAY_S) * SLOWEST
        return [Fail(credential, 0, refused=cut, over_s=max(over_s, 0.0))]

    def commits(self, now: float, trusted: Callable[[float, float], tuple[float, float]]) -> list[Commit]:
        """What was brought, as the store is told of it.

        Args:
            now: by the monotonic clock.
            trusted: how far what was fetched without a lease is trusted, of what it has left and when it is
                due, in seconds.
        """
        if self.brought is None:
            return []
        commit, at = self.brought
        late = aged(commit, now - at)
        ttl_s, ask_in_s = trusted(late.ttl_s, late.ask_in_s)
        over_s = (now - at) * SLOWEST
        return [replace(late, ttl_s=ttl_s, ask_in_s=ask_in_s, over_s=over_s)]


def aged(commit: Commit, late_s: float) -> Commit:
    """The same commit, said so many seconds after its durations were measured."""
    return replace(
        commit,
        ttl_s=commit.ttl_s - late_s,
        ask_in_s=commit.ask_in_s - late_s,
        refused=_aged_cut(commit.refused, late_s),
    )


def aged_fail(fail: Fail, late_s: float) -> Fail:
    """The same failure, said so many seconds after its durations were measured."""
    return replace(fail, wait_s=max(fail.wait_s - late_s, 0.0), cut=_aged_cut(fail.cut, late_s))


def _aged_cut(cut: Cut | None, late_s: float) -> Cut | None:
    return None if cut is None else Cut(cut.ttl_s - late_s, cut.ask_in_s - late_s)
