"""Time and chance, so that tests and simulations can put their own in place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", None)


class Moment(NamedTuple):
    """What a machine's clocks say at one moment, in seconds.

    Args:
        wall: the wall clock, since 1970.
        now: the monotonic clock, a suspended machine's sleep included.
    """

    wall: float
    now: float


class Clock:
    """The machine's clocks and its source of chance.

    Sleeps are the event loop's (`anyio.sleep`); a virtual loop clock moves them too.

    Attributes:
        random: where jitter is drawn from. It is drawn anew when a manager opens, so that forked
            workers do not share it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self.random = random.Random(seed)
        if type(self) is Clock:  # the hot path looks at two clocks: the C functions themselves are quicker
            vars(self).update(time=time.time, monotonic=_monotonic())

    def time(self) -> float:
        """Wall-clock time: seconds since 1970. It may step."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since boot, never stepping; a suspended machine's sleep counts, where it can be known."""
        return _monotonic()()

    def moment(self) -> Moment:
        """What both say now."""
        return Moment(self.time(), self.monotonic())

    def reseed(self) -> None:
        """Draw a new random state, unless a fixed seed was asked for."""
        if self._seed is None:
            self.random = random.Random()


def _monotonic() -> Callable[[], float]:
    return time.monotonic if _BOOT is None else partial(time.clock_gettime, _BOOT)
