"""What the store is told later than it happened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wxtoken_asgi import policy
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Commit, Cut, Fail


@dataclass(frozen=True, slots=True)
class Untold:
    """Calls without a lease that may have doomed what the store holds; replaced as a whole, never changed.

    Their versions are made of this host's time, which may be wrong: they do not show which value is the
    older one. The older one is doomed, and nobody here knows which one that is. So the store takes this one
    or cuts the one that it has, and in both cases a new one is due.

    Args:
        brought: what the last of them brought, and when its durations were measured, by the monotonic clock.
        lost_since: when the first whose outcome nobody knows was begun, by the monotonic clock.
    """

    brought: tuple[Commit, float] | None = None
    lost_since: float | None = None

    def with_value(self, commit: Commit, at: float) -> Untold:
        """One more call, which brought a value."""
        return replace(self, brought=(commit, at))

    def with_loss(self, since: float) -> Untold:
        """One more call, which may have doomed what the store holds, and what an earlier one brought."""
        brought = self.brought
        if brought is not None:
            commit, at = brought
            brought = replace(commit, ttl_s=min(commit.ttl_s, since + policy.OVERLAP_TRUST_S - at)), at
        return Untold(brought, since if self.lost_since is None else min(since, self.lost_since))

    def fails(self, credential: Credential, now: float) -> list[Fail]:
        """The lost calls as the store is told of them: what it holds is doubted since the first of them."""
        if self.lost_since is None:
            return []
        return [Fail(credential, 0, refused=Cut(policy.OVERLAP_TRUST_S - (now - self.lost_since), 0.0))]

    def commits(self, now: float) -> list[Commit]:
        """What was brought, as the store is told of it: good for no longer than a doomed one may be."""
        if self.brought is None:
            return []
        commit, at = self.brought
        late = aged(commit, now - at)
        return [replace(late, ttl_s=min(late.ttl_s, policy.OVERLAP_TRUST_S), ask_in_s=0.0)]


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
