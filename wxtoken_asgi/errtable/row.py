"""One line of WeChat's error table."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ErrorClass(enum.StrEnum):
    """What an error number asks of whoever receives it."""

    PERMANENT = "permanent"
    """The same call fails until somebody changes the configuration or the code."""

    OPERATOR = "operator"
    """The call is right, but somebody has to do something on WeChat's platform first."""

    DEAD_TOKEN = "dead_token"  # noqa: S105  the name of a class of errors
    """The token (or ticket) that was sent is dead: get the new one, then try once more."""

    TRANSIENT = "transient"
    """WeChat could not do it just now: wait, and try again."""

    QUOTA = "quota"
    """A quota is used up: wait for the next minute or day, or clear it."""

    STATE = "state"
    """Another party has to act: who authorised a third-party platform, or the user concerned."""


@dataclass(frozen=True, slots=True)
class ErrCode:
    """What is known of one error number.

    Args:
        code: WeChat's number, the `errcode` of its answer.
        cls: what the number asks for.
        text: the constant part of the `errmsg`, as WeChat serves or documents it; empty where none is known.
        meaning: what went wrong, in English, without a full stop.
        action: what an operator does about it, in English, without a full stop.
        meaning_zh: the meaning in Chinese.
        action_zh: the action in Chinese.
    """

    code: int
    cls: ErrorClass
    text: str
    meaning: str
    action: str
    meaning_zh: str
    action_zh: str
