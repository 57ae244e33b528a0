"""A case in virtual time: on asyncio mostly, and on trio sometimes; the same again each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random

import anyio
import trio

from .chance import often
from support.virtual import virtual_backend

Play = Callable[[Random, int], Awaitable[int]]


def in_virtual_time(play: Play, rng: Random, steps: int) -> int:
    """Play it, on a backend that chance decides."""
    name = "trio" if often(rng, 0.15) else "asyncio"
    backend, options = virtual_backend(name)
    with _same_order():
        return anyio.run(play, rng, steps, backend=backend, backend_options=options)


@contextmanager
def _same_order() -> Iterator[None]:
    """Trio runs what is ready in an order that it draws: here it draws the same one each time."""
    core = trio._core._run
    before = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, Random(1)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before
