"""What somebody meant who wrote a name that is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this word, if one is much like it."""
    plain = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def meant(word: str, known: Iterable[str], what: str = "") -> str:
    """The end of a message about such a word: a question, or nothing if no name is much like it.

    Args:
        word: what was written.
        known: the names that there are.
        what: what they are names of, with a space behind it.
    """
    name = closest(word, known)
    return f"; did you mean {what}{name}?" if name else ""
