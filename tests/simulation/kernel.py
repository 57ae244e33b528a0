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

from simulation.spans import INF, Spans

_RUN = trio._core._run

HOT_TASKS, HOT_S = 600, 60.0
"""Whoever begins so many tasks in a minute goes round in a circle."""


class Process:
    """A process of the simulation.

    Args:
        place: which of the fleet's places it has.
        name: for reports.

    Attributes:
        dead: it was killed.
        stopped: it was stopped, and not continued yet.
        silent: when it said nothing: it was stopped, or had ended.
    """

    def __init__(self, place: int, name: str) -> None:
        self.place = place
        self.name = name
        self.dead = False
        self.stopped = False
        self.silent = Spans()
        self._stalled: list[_Driver] = []
        self._frozen_at = float("-inf")
        self._minute, self._begun = 0, 0

    def __repr__(self) -> str:
        return f"<Process {self.name}>"

    def begins(self) -> int:
        """It begins a task; how many those are in this minute."""
        minute = int(trio.current_time() / HOT_S)
        if minute != self._minute:
            self._minute, self._begun = minute, 0
        self._begun += 1
        return self._begun

    @property
    def frozen(self) -> bool:
        return self.dead or self.stopped

    def was_frozen(self, since: float) -> bool:
        """Whether it has been frozen since then."""
        return self.frozen or self._frozen_at >= since

    def fell_silent(self, since: float) -> bool:
        """Whether it was stopped, or ended, since then."""
        return any(begun >= since for begun, _ in self.silent)

    def leave(self) -> None:
        """It begins to end in good order: what it has not said by now it need not say."""
        self.silent.add(trio.current_time())

    def kill(self) -> None:
        self.dead = True
        self.silent.add(trio.current_time())
        self._stalled = []

    def stop(self) -> None:
        self.stopped = True
        self.silent.add(trio.current_time())

    def go_on(self) -> None:
        self.stopped = False
        self._frozen_at = trio.current_time()
        self.silent.end(self._frozen_at)
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
    """Knows which task belongs to which process: a task's children belong where it belongs.

    Attributes:
        on_hot: called with a process that begins tasks again and again, once a minute.
    """

    def __init__(self) -> None:
        self.on_hot: Callable[[Process], None] = lambda _: None
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
            if process.begins() == HOT_TASKS:
                self.on_hot(process)

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
        deadlines = _RUN.GLOBAL_RUN_CONTEXT.runner.deadlines
        deadline = deadlines.next_deadline()
        if self._now < deadline < INF:
            self._now = max(deadline, self._now + 1e-12 * (1 + self._now))
            deadlines.expire(self._now)  # as the next round would do


class _Registering:
    """What trio does around each change of a scope's deadline, without a generator: it is done very often."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        scope = self._scope
        old = scope._registered_deadline
        new = INF if scope._cancel_status is None or scope._cancel_called else scope._deadline
        if old == new:
            return
        scope._registered_deadline = new
        deadlines = _RUN.GLOBAL_RUN_CONTEXT.runner.deadlines
        if old != INF:
            deadlines.remove(old, scope)
        if new != INF:
            deadlines.add(new, scope)


def _make_quick() -> None:
    """Spare what a simulation does not need: a tenth of its time."""
    _RUN.CancelScope._might_change_registered_deadline = _registering  # type: ignore[method-assign]
    _RUN.TheIOManager.get_events = _no_events  # type: ignore[method-assign]


def _registering(scope: Any) -> Any:
    return _Registering(scope)


def _no_events(_manager: Any, _timeout: float) -> list[Any]:
    """Nothing comes from outside."""
    return []


def run(work: Callable[..., Awaitable[Any]], *args: Any, kernel: Kernel, seed: int) -> Any:
    """Run the world outside in virtual time, with an order of tasks that hangs on the seed alone."""
    _RUN._ALLOW_DETERMINISTIC_SCHEDULING = True
    _RUN._r = random.Random(seed)
    trio._core.MockClock = JumpingClock  # what jumps is looked at
    _make_quick()
    return trio.run(work, *args, clock=JumpingClock(), instruments=[kernel])
