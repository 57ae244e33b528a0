"""Files of keys: a key's line each, as `wxtoken key` prints them; `#` begins a comment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wxtoken_asgi.keys import Key


class Line(NamedTuple):
    """A line of such a file.

    Args:
        text: the line as it stands there.
        written: the key's line in it; empty: there is none.
        key: the key.
    """

    text: str
    written: str
    key: Key | None


def lines(text: str) -> Iterator[Line]:
    """Read a file's content.

    Args:
        text: the content.

    Raises:
        ConfigError: a line is wrong. It is named by its number and not repeated: it may be a key itself.
    """
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        written = line.partition("#")[0].strip()
        yield Line(line.rstrip("\r"), written, Key.parse(f"line {number}", written) if written else None)


def written_keys(text: str) -> list[str]:
    """The lines of a file's keys, as the setting `keys` would list them.

    Args:
        text: the content.

    Raises:
        ConfigError: a line is wrong.
    """
    return [line.written for line in lines(text) if line.key is not None]


def rotated(text: str, key: Key, now: float, overlap_s: float) -> str:
    """The content with a new key, after whose beginning the others live no longer than `overlap_s`.

    Args:
        text: the content before.
        key: the new key.
        now: in seconds since 1970. Keys that have ended then are left out; comments stay.
        overlap_s: seconds in which old and new ones are good.

    Raises:
        ConfigError: a line is wrong.
    """
    kept = [_ending(line, now, now + overlap_s) for line in lines(text)] if text else []
    return "\n".join([*(line for line in kept if line is not None), key.line]) + "\n"


def _ending(line: Line, now: float, end: float) -> str | None:
    """The line with an end at `end` at the latest; None if its key has ended."""
    if line.key is None:
        return line.text
    until = end if line.key.until is None else min(line.key.until, end)
    if until <= now:
        return None
    if until == line.key.until:
        return line.text
    return line.text.replace(line.written, Key(line.key.digest, until).line, 1)
