"""Telling the user's own code what has happened, without ever depending on it."""

from __future__ import annotations

import inspect
import logging
import queue
import threading
import time
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


Hook = Callable[[Any], Awaitable[None] | None]


class Hooks:
    """Calls the hooks: coroutines as tasks, plain functions in one daemon thread, in order.

    Args:
        on_token: hears a `TokenEvent` of each new access token.
        on_ticket: of each new ticket.
        on_error: hears an `ErrorEvent` of each failed fetch.
        tasks: where coroutines are started.
    """

    def __init__(
        self, *, on_token: Hook | None, on_ticket: Hook | None, on_error: Hook | None, tasks: Tasks
    ) -> None:
        self._hooks = {"token": on_token, "ticket": on_ticket, "error": on_error}
        self._tasks = tasks
        self._worker: _Worker | None = None

    def tell(self, hook: str, event: TokenEvent | ErrorEvent) -> None:
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
        worker = self._worker
        if worker is None or not worker.usable:
            worker = self._worker = _Worker(queue.Queue(BACKLOG))
        elif worker.hangs(PATIENCE_S):
            logger.error("a hook took longer than %g s and was given up", PATIENCE_S)
            worker = self._worker = worker.successor()
        return worker


async def _call_async(function: Hook, event: TokenEvent | ErrorEvent) -> None:
    try:
        with anyio.fail_after(PATIENCE_S):
            await _awaited(function(event))
    except TimeoutError:
        logger.error("hook %s took longer than %g s and was given up", _name(function), PATIENCE_S)  # noqa: TRY400
    except Exception:
        logger.exception("hook %s failed", _name(function))


async def _awaited(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result


def _name(function: Hook) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


_Queue = queue.Queue[tuple[Hook, TokenEvent | ErrorEvent]]


class _Worker:
    """A daemon thread, so that a hook that hangs does not keep the process from ending."""

    def __init__(self, events: _Queue) -> None:
        self._queue = events
        self._replaced = False
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name="wxtoken hooks", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether its thread lives (it does not after a fork)."""
        return self._thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether all events were told."""
        return self._since is None and self._queue.empty()

    def hangs(self, longer_than_s: float) -> bool:
        """Whether the hook that runs now has run for so long."""
        return self._since is not None and time.monotonic() - self._since > longer_than_s

    def successor(self) -> _Worker:
        """A new thread for the events that wait; this one ends when its hook does."""
        self._replaced = True
        return _Worker(self._queue)

    def put(self, function: Hook, event: TokenEvent | ErrorEvent) -> None:
        """Queue an event."""
        try:
            self._queue.put_nowait((function, event))
        except queue.Full:
            logger.error("hook %s hangs: an event was dropped", _name(function))  # noqa: TRY400

    def _run(self) -> None:
        while not self._replaced:
            self._since = None
            function, event = self._queue.get()
            self._since = time.monotonic()
            try:
                function(event)
            except Exception:
                logger.exception("hook %s failed", _name(function))
