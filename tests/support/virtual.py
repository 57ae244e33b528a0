"""Virtual time for both backends: sleeping costs nothing, and 48 hours pass in a second."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from typing import Any

import trio
from trio.testing import MockClock

from wxtoken_asgi.clock import Clock

EPOCH = 1_790_000_000.0


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Where the loop would sleep, time jumps."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0 if timeout is not None else None)
        if not events and timeout:
            self.jumped += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time jumps to the next timer whenever nothing else is to be done."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


def jumping_clock() -> MockClock:
    """Trio's clock that jumps, but never by so little that the sum is the same number: it would for ever."""
    clock = MockClock(autojump_threshold=0)

    def autojump() -> None:
        jump = trio.lowlevel.current_statistics().seconds_to_next_deadline
        if 0 < jump < float("inf"):
            clock.jump(max(jump, 1e-12 * (1 + clock.current_time())))

    clock._autojump = autojump  # type: ignore[method-assign]
    return clock


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """What the fixture `anyio_backend` returns for a backend in virtual time."""
    if name == "trio":
        return name, {"clock": jumping_clock()}
    return name, {"loop_factory": VirtualLoop}


def _loop_time() -> float:
    """As `anyio.current_time`, which takes ten times as long, and tests ask by the million."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return trio.current_time()


class VirtualClock(Clock):
    """The clocks of a machine in virtual time.

    Attributes:
        wall_offset: how far the wall clock has been stepped.
        slept: how long the machine has been suspended (both clocks count it, the loop's does not).
    """

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.wall_offset = 0.0
        self.slept = 0.0
        self._last = 0.0

    def monotonic(self) -> float:
        with contextlib.suppress(RuntimeError):  # no event loop runs: time stands still
            self._last = _loop_time()
        return self._last + self.slept + 1000.0

    def time(self) -> float:
        return EPOCH + self.monotonic() + self.wall_offset
