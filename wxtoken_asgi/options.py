"""Options of a manager, looked at before anything begins."""

from __future__ import annotations

import re

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import shown


def seconds(name: str, value: object, *, least: float, most: float) -> float:
    """A number of seconds.

    Raises:
        ConfigError: it is none, or out of its bounds.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and least <= value <= most:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise ConfigError(f"{name} must be {least:g} to {most:g} seconds, not {shown(value)}")


def count(name: str, value: object, *, most: int) -> int:
    """A whole number above 0.

    Raises:
        ConfigError: it is none, or too large.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most:
        return value
    raise ConfigError(f"{name} must be a whole number from 1 to {most}, not {shown(value)}")


def word(name: str, value: object) -> str:
    """A word that may stand in a key.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        return value
    raise ConfigError(f"{name} must be 1-64 letters, digits, '_', '-' or '.', not {shown(value)}")
