"""When a token of the old endpoint may have been doomed unseen: only then may it be given up early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from wxtoken_asgi.link import LEASE_S
from wxtoken_asgi.policy import LONGEST_CALL_S, OVERLAP_TRUST_S
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Commit, Fail, Granted, Record

from simulation.kernel import Process
from simulation.spans import Spans, met

if TYPE_CHECKING:
    from simulation.workers import Worker
    from simulation.world import World

EARLY_END_S = 150.0
"""A commit may be on its way for so long, and its value lives for that much less."""

DOUBT_S, CLOCKS_S = 60.0, 10.0
"""A call that went wrong was looked at so long after it began, at most; and no two clocks go alike."""


class Doubts:
    """What may have doomed the token of each account.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken
        self._met: defaultdict[str, Spans] = defaultdict(Spans)
        self._leases: dict[Credential, tuple[int, float]] = {}
        self._given: dict[str, tuple[str, float]] = {}
        self._good: dict[tuple[Process, str], tuple[str, float]] = {}

    def alone(self, app: str) -> None:
        """A call without a lease, or one that left late."""
        self._met[app].add(trio.current_time(), trio.current_time())

    def committing(self, commit: Commit) -> None:
        """A token is given to the store, with its full life."""
        end = trio.current_time() + commit.ttl_s
        self._given[self._world.app(commit.credential)] = commit.value, end

    def looked(self, worker: Worker, app: str, held: Any) -> None:
        """What is good is given up early only if it may have been doomed unseen."""
        process, now, tokens = worker.process, trio.current_time(), worker.tokens
        if held is None or tokens is None:
            return
        if held.left(tokens.clock) > 0:
            self._good[process, app] = held.value, now
            return
        value, since = self._good.pop((process, app), ("", now))
        given, end = self._given.get(app, ("", now))
        if not value == held.value == given or end - now < EARLY_END_S:
            return
        if not self._world.sandbox.accepts(value):
            return
        self._world.tally.add("given up early")
        since, until = since - OVERLAP_TRUST_S - DOUBT_S, now - OVERLAP_TRUST_S + LONGEST_CALL_S + CLOCKS_S
        if worker.disturbed < since and not self._between(app, since, until):
            early = end - now
            self._broken("P1", f"{worker} gave up a good token of {app} {early:.0f} s early, without a doubt")

    def stored(self, name: str, said: Any, answers: Any) -> None:
        """The store did what it was asked."""
        if name not in {"claim", "commit", "fail", "restore"}:
            return
        for one, answer in zip(said, answers, strict=True):
            if one.credential.kind != "access_token":
                continue
            if isinstance(answer, Granted):
                self._granted(one.credential, answer.fence)
            elif isinstance(one, Commit | Fail | Record):
                record = answer if isinstance(answer, Record) else answer.record
                if getattr(one, "over_s", None) is None:
                    self._ended(one.credential, one.fence, record.fence)

    def _between(self, app: str, since: float, until: float) -> bool:
        """Whether there was reason for doubt then."""
        world, account = self._world, self._world.account(app)
        shelf, spoils = world.shelf, world.way.spoils[account.appid]
        wiped = ((at, at) for at in shelf.wiped)
        every = (self._met[app], self._lapsing(app), spoils, shelf.late_words, wiped)
        return any(met(spans, since, until) for spans in every)

    def _granted(self, credential: Credential, fence: int) -> None:
        now = trio.current_time()
        known, since = self._leases.get(credential, (fence, now))
        if known != fence:  # that one ended without a word
            self._met[self._world.app(credential)].add(since, now)
        self._leases[credential] = fence, now

    def _ended(self, credential: Credential, fence: int, latest: int) -> None:
        """Whoever speaks of a lease before the latest one may have fetched since: it was stopped.

        A call without a lease was seen when it was made, whenever it is told.
        """
        now = trio.current_time()
        if fence < latest:
            self.alone(self._world.app(credential))
        elif self._leases.get(credential, (-1, 0.0))[0] <= fence:
            _, since = self._leases.pop(credential, (fence, now))
            if now - since > LEASE_S:  # it has ended before, and leaves its doubt all the same
                self._met[self._world.app(credential)].add(since, now)

    def _lapsing(self, app: str) -> list[tuple[float, float]]:
        """The lease that has ended without a word, if nobody had one since."""
        now = trio.current_time()
        leases = [
            since for credential, (_, since) in self._leases.items() if self._world.app(credential) == app
        ]
        return [(since, now) for since in leases if now - since > LEASE_S]
