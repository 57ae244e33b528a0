"""SIGHUP, by which an operator asks for a reload: taken where it can be, and nowhere the end of a process.

It is blocked from the start, and in processes that are being started; one that comes then is not lost but
waits until somebody can take it. Where the system has no such signal, all of this does nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import anyio

from wxtoken_asgi.config.live import LiveConfig

HANGUP: Final = frozenset({signal.SIGHUP} if hasattr(signal, "SIGHUP") else ())


@contextmanager
def held_back() -> Iterator[None]:
    """One that comes waits; one that still waits at the end is dropped."""
    before = {number: signal.getsignal(number) for number in HANGUP}
    try:
        with _mask(signal.SIG_BLOCK):
            try:
                yield
            finally:
                for number in HANGUP:
                    signal.signal(number, signal.SIG_IGN)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def waiting() -> Iterator[None]:
    """One that comes waits for the end of this, and so it does in processes that are started meanwhile."""
    with _mask(signal.SIG_BLOCK):
        yield


@contextmanager
def let_through() -> Iterator[None]:
    """One that comes, or has waited, is delivered."""
    with _mask(signal.SIG_UNBLOCK):
        yield


@contextmanager
def _mask(how: int) -> Iterator[None]:
    if not HANGUP:
        yield
        return
    before = signal.pthread_sigmask(how, HANGUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def reload_at(live: LiveConfig) -> None:
    """Reload whenever it comes. To be run in the main thread, where signals are blocked."""
    with anyio.open_signal_receiver(*HANGUP) as signals, let_through():
        async for _ in signals:
            await live.try_reload()


def pass_on(pid: int | None) -> None:
    """Send it to a process, unless that has ended."""
    for number in HANGUP:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
