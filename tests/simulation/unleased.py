"""Calls without a lease: of what they doomed the store learns from their process alone, late or never."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from wxtoken_asgi.link import LEASE_S
from wxtoken_asgi.stores.contract import Granted

from simulation.kernel import Process
from simulation.spans import COMPARED_S, HEARD_S, NEWS_S, free_by, met

if TYPE_CHECKING:
    from wxtoken_asgi import Account

    from simulation.wechat import Call
    from simulation.world import World

KNOWN = 1000
"""So many calls without a lease that went wrong may follow upon the one that doomed."""

NEAR_S = 30.0
"""Between the moment at which a call is seen and the one at which WeChat carries it out."""


class Alone(NamedTuple):
    """A call that dooms, of which the store learns from its process alone.

    Args:
        begun: when it was sent, in true time.
        process: whose it is.
        leased: it was sent under a lease, but so late that another may have had one since.
    """

    begun: float
    process: Process
    leased: bool


class Unleased:
    """Who has a lease, and which calls had none, for the accounts of the old endpoint.

    Args:
        world: where.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._leases: dict[Process, set[tuple[str, str]]] = {}
        self._alone: dict[str, deque[Alone]] = {}

    def claimed(self, process: Process, claims: Any, answers: Any) -> None:
        """Which leases a process knows that it has; while it asks for one it does not."""
        leases = self._leases.setdefault(process, set())
        for claim, answer in zip(claims, answers or [None] * len(claims), strict=True):
            key = (self._world.app(claim.credential), claim.credential.kind)
            leases.discard(key)
            if isinstance(answer, Granted):
                leases.add(key)

    def called(self, account: Account, call: Call) -> bool:
        """Whether this call for a token is such a one."""
        if account.endpoint == "stable" or call.key[1] != "access_token":
            return False
        leased = (account.name, call.key[1]) in self._leases.get(call.process, ())
        if leased and not call.late:
            return False
        alone = self._alone.setdefault(account.name, deque(maxlen=KNOWN))
        alone.append(Alone(trio.current_time(), call.process, leased=leased))
        return True

    def untold(self, app: str, since: float) -> int:
        """How many calls were made without a lease: of those that brought nothing the store never hears."""
        return sum(call.begun >= since and not call.leased for call in self._alone.get(app, ()))

    def unheard(self, app: str, then: float, reader: Process) -> bool:
        """Whether one of then is such that this reader cannot know of it yet."""
        alone = self._alone.get(app, ())
        return any(abs(then - call.begun) < NEAR_S and self._could_not_tell(call, reader) for call in alone)

    def _could_not_tell(self, call: Alone, reader: Process) -> bool:
        """Whether its process had no time yet to tell the store of it, or never will have.

        What was sent without a lease is told once the store is back, however late that is. What was sent
        after its lease is told while as much as a lease goes by, and then no more.
        """
        now, shelf, silent = trio.current_time(), self._world.shelf, call.process.silent
        late = shelf.late[call.process]
        if not call.leased:
            told = free_by(call.begun, HEARD_S, silent, shelf.aways, late)
            heard = free_by(told, NEWS_S, reader.silent, shelf.aways, shelf.late[reader])
            lost = met(shelf.untold[reader], call.begun, heard)  # the reader compares in the end
            return now < heard + (COMPARED_S if lost else 0.0)
        told = free_by(call.begun, LEASE_S, silent)
        return now < told or met(shelf.aways, call.begun, told) or met(late, call.begun, told)
