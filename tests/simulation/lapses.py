"""No failure takes a value away, and none is let end while it could have been renewed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wxtoken_asgi.errors import BudgetSpent, WxTokenError
from wxtoken_asgi.policy import State
from wxtoken_asgi.stores.contract import Record

from simulation.calm import Calm

if TYPE_CHECKING:
    from simulation.workers import Worker


class Lapses:
    """Looks at each refusal, at what a fetch finds, and at what each worker holds.

    What was never served is no loss: perhaps nothing has ever worked for that account.

    Args:
        broken: told of a broken promise: which, and how.
        calm: whether all is well for an account, as a worker sees it.
        spent: whether WeChat gives no more tokens of an account today, for reasons that are known.
    """

    def __init__(self, broken: Callable[[str, str], None], calm: Calm, spent: Callable[[str], bool]) -> None:
        self._broken = broken
        self._calm = calm
        self._spent = spent
        self._served: set[tuple[str, str]] = set()

    def served(self, app: str, kind: str) -> None:
        """A caller has got one."""
        self._served.add((app, kind))

    def refused(self, worker: Worker, app: str, kind: str, error: WxTokenError) -> None:
        """A read has got none. Whatever went wrong: what is held and good is served."""
        tokens = worker.tokens
        if tokens is not None and tokens.entry(app, kind).good(tokens.clock) is not None:
            self._broken("P1", f"{worker} refused the {kind} of {app}, which it holds: {error}")
        if not isinstance(error, BudgetSpent) and self._lost(worker, app, kind):
            self._broken("P1", f"{worker} refused the {kind} of {app} while all was well: {error}")

    def granted(self, worker: Worker, key: tuple[str, str], record: Record, *, asked: bool) -> None:
        """It may be fetched. If nobody has asked for that, it is renewed before its end."""
        if not asked and record.ttl_s <= 0 and self._lost(worker, *key):
            self._broken("P1", f"{worker} lets {key} end while all is well")

    def sampled(self, worker: Worker, app: str, kind: str, state: str) -> None:
        """How a worker holds one that is wanted."""
        if state in {State.EXPIRED, State.EMPTY} and self._lost(worker, app, kind):
            self._broken("P1", f"{worker} has {state} {kind} of {app} while all is well")

    def _lost(self, worker: Worker, app: str, kind: str) -> bool:
        """Whether there was one, and nothing explains that it has gone."""
        return (app, kind) in self._served and self._calm(worker, app) and not self._spent(app)
