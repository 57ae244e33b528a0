"""Who asks for a new value and is told that all went well has got one, or there was just a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.workers import Worker
    from simulation.world import World

SETTLED_S = 90.0
"""An asked-for fetch is over within a lease of 30 s, and answers whoever asks within 60 s after that."""


class Answers:
    """What callers were told who asked for a new token. What a ticket is like only WeChat decides.

    Args:
        world: where.
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, world: World, broken: Callable[[str, str], None]) -> None:
        self._world = world
        self._broken = broken

    def reported(
        self, worker: Worker, app: str, value: str, *, dead: str, begun: float, asked: float
    ) -> None:
        """A value was reported to be dead.

        Args:
            worker: who was told so.
            app: whose token.
            value: the one that was given instead.
            dead: the value that was reported.
            begun: when.
            asked: when a fetch was last granted because somebody had asked.
        """
        if value == dead and begun - asked > SETTLED_S and not self._world.sandbox.accepts(dead):
            self._broken("P8", f"{worker} was told that a token of {app} is dead, and gives it back")

    def renewed(
        self, worker: Worker, app: str, value: str, *, before: str, begun: float, asked: float
    ) -> None:
        """A new value was asked for without a reason. The stable endpoint may not give one.

        Args:
            worker: who was asked.
            app: whose token.
            value: what it answered.
            before: what it held.
            begun: when it was asked.
            asked: when a fetch was last granted because somebody had asked.
        """
        if value == before and begun - asked > SETTLED_S and self._world.account(app).endpoint == "token":
            self._broken("P8", f"{worker} was asked for a new token of {app}, and fetched none")
