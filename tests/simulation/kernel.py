"""A machine of simulated processes in one trio run: each can be killed or stopped at any await.

A killed process's tasks are never resumed: no `finally` runs, no lock is given back. A stopped one's go on
later, with what reached them meanwhile. All chance comes from one seed, all time from one virtual clock, so
a run can be repeated exactly.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import outcome
import trio
from trio.lowlevel import Abort, current_task, reschedule, spawn_system_task

_RUN = trio._core._run


class Process:
    """A process of the simulation.

    Args:
        name: for reports.

    Attributes:
        dead: it was killed.
        stopped: it was stopped, and not continued yet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        self._stalled: list[_Driver] = []
        self._frozen_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Process {self.name}>"

    @property
    def frozen(self) -> bool:
        return self.dead or self.stopped

    def was_frozen(self, since: float) -> bool:
        """Whether it has been frozen since then."""
        return self.frozen or self._frozen_at >= since

    def kill(self) -> None:
        self.dead = True
        self._stalled = []

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        self._frozen_at = trio.current_time()
        stalled, self._stalled = self._stalled, []
        for driver in stalled:
            reschedule(driver.task, outcome.Value(None))

    def stall(self, driver: _Driver) -> None:
        self._stalled.append(driver)


class _Driver:
    """Stands for a task's coroutine, and does not let it go on while its process is frozen."""

    def __init__(self, task: Any, process: Process) -> None:
        self.task = task
        self.coro = task.coro
        self.process = process
        self._kept: list[Any] = []

    def send(self, value: Any) -> Any:
        if self._kept:
            value = self._kept.pop()
        if self.process.frozen:
            self._kept.append(value)
            self.process.stall(self)
            return _wait_trap()
        return self.coro.send(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.coro, name)


def _wait_trap() -> Any:
    """What trio is told by a task that waits to be rescheduled and cannot be cancelled."""
    waiting = trio.lowlevel.wait_task_rescheduled(lambda _: Abort.FAILED).__await__()  # noqa: ASYNC105
    return next(waiting)


class Kernel(trio.abc.Instrument):
    """Knows which task belongs to which process: a task's children belong where it belongs."""

    def __init__(self) -> None:
        self._owner: dict[Any, Process] = {}
        self._next: Process | None = None
        self._outside = False

    def spawn(self, process: Process, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Begin a task of a process."""
        self._next = process
        try:
            spawn_system_task(work, *args, name=f"{process.name}: {work.__name__}")
        finally:
            self._next = None

    def spawn_outside(self, nursery: trio.Nursery, work: Callable[..., Awaitable[None]]) -> None:
        """Begin a task that belongs to no process, whoever asks for it."""
        self._outside = True
        try:
            nursery.start_soon(work)
        finally:
            self._outside = False

    def task_spawned(self, task: Any) -> None:
        process = None if self._outside else self._next or self._owner.get(_current())
        if process is not None:
            self._owner[task] = process
            task.coro = _Driver(task, process)

    def task_exited(self, task: Any) -> None:
        self._owner.pop(task, None)


def _current() -> Any:
    try:
        return current_task()
    except RuntimeError:
        return None


class JumpingClock(trio.abc.Clock):
    """Trio's `MockClock` without all that a simulation does not need: it is asked very often."""

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        _RUN.GLOBAL_RUN_CONTEXT.runner.clock_autojump_threshold = 0

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0 if deadline <= self._now else 999_999_999.0

    def _autojump(self) -> None:
        """Nobody can go on: time goes on, and never by too little to count."""
        deadline = _RUN.GLOBAL_RUN_CONTEXT.runner.deadlines.next_deadline()
        if self._now < deadline < float("inf"):
            self._now = max(deadline, self._now + 1e-12 * (1 + self._now))


def run(work: Callable[..., Awaitable[Any]], *args: Any, kernel: Kernel, seed: int) -> Any:
    """Run the world outside in virtual time, with an order of tasks that hangs on the seed alone."""
    _RUN._ALLOW_DETERMINISTIC_SCHEDULING = True
    _RUN._r = random.Random(seed)
    trio._core.MockClock = JumpingClock  # what jumps is looked at
    return trio.run(work, *args, clock=JumpingClock(), instruments=[kernel])
