"""Hosts and their clocks: each has an error of its own, can be stepped, and can sleep."""

from __future__ import annotations

import trio

from wxtoken_asgi.clock import Clock

EPOCH = 1_790_000_000.0
BOOTED = 1000.0


class HostClock(Clock):
    """The clocks of a host, shared by its processes.

    Args:
        seed: of the chance that this process draws.
        host: whose clocks they are.
    """

    def __init__(self, seed: int, host: Host) -> None:
        super().__init__(seed)
        self._host = host

    def monotonic(self) -> float:
        return BOOTED + (trio.current_time() - self._host.booted_at) * self._host.pace

    def time(self) -> float:
        return EPOCH + trio.current_time() + self._host.wall_error


class Host:
    """A machine.

    Args:
        pace: how fast its clocks run, beside true time.
        wall_error: how far its wall clock is ahead of true time, in seconds.

    Attributes:
        boots: how often it was booted.
        booted_at: when it was last booted, in true time.
    """

    def __init__(self, *, pace: float, wall_error: float) -> None:
        self.pace = pace
        self.wall_error = wall_error
        self.boots = 1
        self.booted_at = 0.0

    def boot(self) -> None:
        """Begin anew: no clock but the one on the wall goes on."""
        self.boots += 1
        self.booted_at = trio.current_time()
