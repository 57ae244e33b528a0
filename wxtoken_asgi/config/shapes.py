"""What settings are like, and the sorts of values that they take, in a TOML file and in a variable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from wxtoken_asgi.keys import shown


@dataclass(frozen=True, slots=True)
class Shape:
    """What sort of value a setting takes.

    Args:
        name: how messages call it.
        fits: whether a value of a TOML file is of this sort.
        read: makes such a value of an environment variable's text; raises ValueError.
    """

    name: str
    fits: Callable[[object], bool]
    read: Callable[[str], object]


def sort(value: object) -> str:
    """What sort of value this is, in words."""
    # The sort and not the value: a value in the wrong place may be a secret.
    names = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else f"a {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Args:
        name: the key in a TOML file.
        shape: what sort of value it takes.
        doc: one line for the reference.
        top: whether it may stand at the top.
        account: whether it may stand in an account's table.
        client: whether it may stand in a client's table.
        default: what holds where it stands nowhere.
        check: what a value of the right sort must fulfil beyond that.
        must: the same in words, for messages.
        secret: whether its value is never shown.
    """

    name: str
    shape: Shape
    doc: str
    top: bool = False
    account: bool = False
    client: bool = False
    default: object = None
    check: Callable[[Any], bool] = lambda _: True
    must: str = ""
    secret: bool = False

    @property
    def where(self) -> str:
        """Where it may stand, in words."""
        return " and ".join(place for place in ("top", "account", "client") if getattr(self, place))

    def complaint(self, value: object) -> str | None:
        """Why this value cannot stand, with the setting's name, or None if it can."""
        if not self.shape.fits(value):
            return f"{self.name} must be {self.shape.name}, not {sort(value)}"
        if not self.check(value):
            return f"{self.name} must be {self.must}" + ("" if self.secret else f", not {shown(value)}")
        return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_words(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def _read_words(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    words: list[str] = json.loads(text)
    if not _is_words(words):
        raise ValueError
    return words


def _read_switch(text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError


TEXT: Final = Shape("text in quotes", lambda value: isinstance(value, str), str)
WHOLE: Final = Shape("a whole number", _is_whole, int)
NUMBER: Final = Shape("a number", _is_number, float)
SWITCH: Final = Shape("true or false", lambda value: isinstance(value, bool), _read_switch)
WORDS: Final = Shape("a list of texts", _is_words, _read_words)
