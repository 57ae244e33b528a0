"""When a token of the old endpoint may have been doomed unseen: only then may it be given up early."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import trio

from wxtoken_asgi.link import LEASE_S
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Commit, Fail, Granted, Record

from simulation.spans import Spans, met

if TYPE_CHECKING:
    from simulation.world import World


class Doubts:
    """What may have doomed the token of each account.

    Args:
        world: where.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._met: defaultdict[str, Spans] = defaultdict(Spans)
        self._leases: dict[Credential, tuple[int, float]] = {}

    def alone(self, app: str) -> None:
        """A call without a lease, or one that left late."""
        self._met[app].add(trio.current_time(), trio.current_time())

    def between(self, app: str, since: float, until: float) -> bool:
        """Whether there was reason for doubt then."""
        world, account = self._world, self._world.account(app)
        shelf, spoils = world.shelf, world.way.spoils[account.appid]
        wiped = ((at, at) for at in shelf.wiped)
        every = (self._met[app], self._lapsing(app), spoils, shelf.aways, shelf.late_words, wiped)
        return any(met(spans, since, until) for spans in every)

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
                self._ended(one.credential, one.fence, record.fence)

    def _granted(self, credential: Credential, fence: int) -> None:
        now = trio.current_time()
        known, since = self._leases.get(credential, (fence, now))
        if known != fence:  # that one ended without a word
            self._met[self._world.app(credential)].add(since, now)
        self._leases[credential] = fence, now

    def _ended(self, credential: Credential, fence: int, latest: int) -> None:
        """Whoever speaks of a lease before the latest one may have fetched since: it was stopped."""
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
