"""Nobody asks the store for the same lease again and again."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from simulation.kernel import Process

WITHIN_S = 60.0
MOST = 300
"""Who waits for another's lease asks every second or so, and there are some who begin anew."""


class Claims:
    """Counts the claims of each process.

    Args:
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self._times: defaultdict[tuple[Process, tuple[str, str]], deque[float]] = defaultdict(deque)

    def claimed(self, process: Process, key: tuple[str, str], now: float) -> None:
        """The store was asked."""
        times = self._times[process, key]
        times.append(now)
        while times[0] < now - WITHIN_S:
            times.popleft()
        if len(times) > MOST:
            times.clear()
            self._broken("hot loop", f"{process} claims {key} {MOST} times within {WITHIN_S:g} s")
