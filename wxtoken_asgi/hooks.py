"""Telling the user's own code what has happened, without ever depending on it."""

from __future__ import annotations

import inspect
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from wxtoken_asgi.tasks import Tasks

logger = logging.getLogger("wxtoken_asgi")

PATIENCE_S: Final = 30.0
"""A hook that takes longer is given up."""

BACKLOG: Final = 1000
"""So many events wait for a hook that runs in a thread; more are dropped, with a log line."""


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A new token or ticket was fetched by this process.

    Args:
        account: the account's name.
        appid: its AppID.
        kind: `access_token`, `jsapi_ticket` …
        value: the token or ticket; not in the `repr`.
        expires_in: seconds for which it may be kept.
        version: grows with every new value.
    """

    account: str
    appid: str
    kind: str
    value: str = field(repr=False)
    expires_in: float
    version: int


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A fetch by this process failed.

    Args:
        account: the account's name.
        appid: its AppID.
        kind: what was to be fetched.
        cls: `permanent`, `operator`, `quota`, `transient`, `timeout` …
        errcode: WeChat's number, if it said one.
        message: plain words, without a secret.
        retry_in: seconds until the next attempt.
    """

    account: str
    appid: str
    kind: str
    cls: str
    errcode: int | None
    message: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class EarlyDeathEvent(ErrorEvent):
    """A token was dead, or replaced, well before its end, and not by this service.

    Its `cls` is `died_early`, its `errcode` the number by which WeChat refused the token (None: WeChat gave
    out another one unasked), and its `message` says what to do.

    Args:
        cause: what most likely killed it: `outside_fetch`, `revoked` or `secret_reset`.
        deaths: how many have died early in 24 hours; 1: it is the first.
    """

    cause: str
    deaths: int


Event = TokenEvent | ErrorEvent
Hook = Callable[[Any], Awaitable[None] | None]


class Hooks:
    """Calls the hooks: async functions as tasks, plain functions in a daemon thread, in order.

    Args:
        on_token: hears a `TokenEvent` of each new access token.
        on_ticket: of each new ticket.
        on_error: hears an `ErrorEvent` of each failed fetch, an `EarlyDeathEvent` of each early death.
        tasks: where coroutines are started.
    """

    def __init__(
        self, *, on_token: Hook | None, on_ticket: Hook | None, on_error: Hook | None, tasks: Tasks
    ) -> None:
        self._hooks = {"token": on_token, "ticket": on_ticket, "error": on_error}
        self._tasks = tasks
        self._worker: _Worker | None = None

    def tell(self, hook: str, event: Event) -> None:
        """Call `on_{hook}` with the event, some time soon."""
        function = self._hooks.get(hook)
        if function is None:
            return
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        ):
            self._tasks.start(_call_async, function, event, name=f"wxtoken hook on_{hook}")
            return
        self._thread().put(function, event)

    async def settle(self, within_s: float) -> None:
        """Wait for what is queued for the thread, but not longer than `within_s` seconds."""
        if self._worker is None:
            return
        with anyio.move_on_after(within_s):
            while not self._worker.idle:  # noqa: ASYNC110 - a thread cannot set an event of a loop that ends
                await anyio.sleep(0.01)

    def _thread(self) -> _Worker:
        if self._worker is None or not self._worker.usable:
            self._worker = _Worker()
        return self._worker


async def _call_async(function: Hook, event: Event) -> None:
    with anyio.move_on_after(PATIENCE_S) as scope:
        try:
            await _awaited(function(event))
        except Exception:
            logger.exception("hook %s failed", _name(function))
    if scope.cancelled_caught:
        _given_up(function)


async def _awaited(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _call(function: Hook, event: Event) -> None:
    try:
        result = function(event)
    except BaseException:  # SystemExit too, which would end the thread and nothing else
        logger.exception("hook %s failed", _name(function))
        return
    if inspect.iscoroutine(result):
        result.close()
        logger.error("hook %s returned a coroutine: make it an async function", _name(function))


def _given_up(function: Hook) -> None:
    logger.error("hook %s took longer than %g s and was given up", _name(function), PATIENCE_S)


def _name(function: Hook) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


class _Worker:
    """Hands events to a hook's thread, one after another, and gives up a thread that hangs.

    All threads are daemons, so that a hook that hangs does not keep the process from ending.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Hook, Event]] = queue.Queue(BACKLOG)
        self._thread = _start(self._run, "wxtoken hooks")

    @property
    def usable(self) -> bool:
        """Whether its thread lives (it does not after a fork)."""
        return self._thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether all events were told."""
        return not self._queue.unfinished_tasks

    def put(self, function: Hook, event: Event) -> None:
        """Queue an event."""
        try:
            self._queue.put_nowait((function, event))
        except queue.Full:
            logger.error("hook %s hangs: an event was dropped", _name(function))  # noqa: TRY400

    def _run(self) -> None:
        caller = _Caller()
        while True:
            function, event = self._queue.get()
            if not caller.call(function, event, PATIENCE_S):
                _given_up(function)
                caller.retire()
                caller = _Caller()
            self._queue.task_done()


class _Caller:
    """The thread in which plain functions are called."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[Hook, Event] | None] = queue.SimpleQueue()
        self._done = threading.Semaphore(0)
        _start(self._run, "wxtoken hook")

    def call(self, function: Hook, event: Event, within_s: float) -> bool:
        """Call it; False if it takes longer."""
        self._events.put((function, event))
        return self._done.acquire(timeout=within_s)

    def retire(self) -> None:
        """End, once the hook has returned."""
        self._events.put(None)

    def _run(self) -> None:
        while (told := self._events.get()) is not None:
            _call(*told)
            self._done.release()


def _start(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
