"""Event loops that run a task as soon as it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def eager_task_factory(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """As `asyncio.eager_task_factory` of Python 3.12: a task runs up to its first wait before it is there."""
    made: asyncio.Task[Any] = asyncio.tasks._PyTask(work, loop=loop, **options)  # type: ignore[attr-defined]
    first_step, starter = loop._ready.pop(), asyncio.current_task(loop)  # type: ignore[attr-defined]
    if starter is not None:
        asyncio.tasks._leave_task(loop, starter)
    try:
        first_step._run()
    finally:
        if starter is not None:
            asyncio.tasks._enter_task(loop, starter)
    return made


EAGERLY = getattr(asyncio, "eager_task_factory", eager_task_factory)
