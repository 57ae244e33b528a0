"""Tasks that belong to no caller.

A fetch must go on when the request that began it goes away, and a manager may be entered and left by
different tasks; neither fits into a task group of the caller's. Such a task never raises into its loop.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

logger = logging.getLogger("wxtoken_asgi")


class Tasks:
    """Starts tasks on asyncio and on trio, and keeps them alive."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        """Run `work(*args)` beside everything else, in a context of its own."""
        if _in_trio():
            import trio  # noqa: PLC0415 - only those who run on trio have it

            trio.lowlevel.spawn_system_task(_guarded, work, args, name, name=name, context=Context())
            return
        # Not by the loop's task factory: an eager one would run it before its starter goes on.
        task = asyncio.Task(
            _guarded(work, args, name), loop=asyncio.get_running_loop(), name=name, context=Context()
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _guarded(work: Callable[..., Awaitable[None]], args: tuple[Any, ...], name: str) -> None:
    try:
        await work(*args)
    except Exception:  # a bug must end neither the loop nor, on trio, the program
        logger.exception("%s ended with an error", name)


def _in_trio() -> bool:
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may be importing it
    in_trio_run = getattr(lowlevel, "in_trio_run", None)
    return in_trio_run is not None and bool(in_trio_run())
