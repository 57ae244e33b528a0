"""The sandbox's time: a clock that is given, and an offset that is moved."""

from __future__ import annotations

import math
from typing import Protocol

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError


class WallClock(Protocol):
    """What the sandbox asks of a clock; `wxtoken_asgi.clock.Clock` is one."""

    def time(self) -> float:
        """Seconds since 1970."""
        ...


class SandboxClock:
    """The time by which all tokens, tickets and quotas of a sandbox live.

    Args:
        base: the clock below; the machine's own if none is given.
    """

    def __init__(self, base: WallClock | None = None) -> None:
        self._base = Clock() if base is None else base
        self._offset = 0.0

    def time(self) -> float:
        """Seconds since 1970, in the sandbox."""
        return self._base.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the sandbox's time on; the clock below stays where it is.

        Args:
            seconds: how far; not negative.

        Raises:
            ConfigError: `seconds` is not such a number.
        """
        self._offset += duration(seconds)


def duration(seconds: object, name: str = "seconds") -> float:
    """Check a length of time.

    Args:
        seconds: the value to check.
        name: what it is called in the error.

    Raises:
        ConfigError: it is not a finite number, or it is below 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigError(f"{name} must be a number of seconds, not {seconds!r}")
    if not math.isfinite(seconds) or seconds < 0:
        raise ConfigError(f"{name} must be finite and not negative, not {seconds!r}")
    return seconds


def is_whole(value: object) -> bool:
    """Whether this is an int; a bool is none here."""
    return isinstance(value, int) and not isinstance(value, bool)
