"""The Lua scripts of the Redis store: one for each operation, each with what all begin with."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

_COMMON: Final = ("base", "ledger", "row")


class Script(NamedTuple):
    """A script, and the digest by which Redis knows it.

    Args:
        text: the source.
        sha: its SHA-1, in hexadecimal digits.
    """

    text: str
    sha: str


def script(operation: str) -> Script:
    """The script of an operation of the store contract."""
    folder = files(__name__)
    parts = [(folder / f"{name}.lua").read_text(encoding="utf-8") for name in (*_COMMON, operation)]
    text = "\n".join(parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
