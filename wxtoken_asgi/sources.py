"""Where a credential's value comes from.

A source is an object with `fetch`; the manager knows no other. Those for access tokens are in
`wxtoken_asgi.liveness`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errcodes import ErrorClass, classify, explain
from wxtoken_asgi.policy import LONGEST_LIFE_S
from wxtoken_asgi.records import Account
from wxtoken_asgi.weixin import Request, Upstream, UpstreamError

LONGEST_VALUE = 2048


class Reason(enum.Enum):
    """Why a fetch takes place: `REPORTED` by a caller as dead, `FOUND` dead by this service itself."""

    DUE = "due"
    ASKED = "asked"
    REPORTED = "reported"
    FOUND = "found"

    @property
    def doubts(self) -> bool:
        """Whether the held value may be dead."""
        return self in {Reason.REPORTED, Reason.FOUND}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a source is asked for.

    Args:
        account: whose credential.
        reason: why.
        held: the value held now, if one is.
        parent: the parent credential's value, for kinds that have one.
    """

    account: Account
    reason: Reason
    held: str | None = field(default=None, repr=False)
    parent: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source brought.

    Args:
        value: the token or ticket.
        expires_in: seconds, as stated.
        sent_at: when (by `Clock.monotonic`) the call that brought it was about to be sent.
        forced: a forced refresh was spent.
        alive: the held value was checked and still works, and nothing was fetched.
        found: the number by which WeChat refused the held value before it was replaced; 0: it did not, or
            was not asked.
        parent_dead: WeChat does not take the parent's value any more.
        state: durable, opaque; kept with the record.
    """

    value: str = field(repr=False)
    expires_in: float
    sent_at: float
    forced: bool = False
    alive: bool = False
    found: int = 0
    parent_dead: bool = False
    state: str = field(default="", repr=False)


class RefusedError(Exception):
    """WeChat answered with an `errcode`.

    Args:
        errcode: its number.
        cls: the number's class at this place.
        message: what it means and what to do, without a secret.

    Attributes:
        found: the number by which WeChat had refused the held value before; 0: it had not, or was not asked.
        forced: what it refuses is only a forced refresh.
    """

    def __init__(self, errcode: int, cls: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.errcode = errcode
        self.cls = cls
        self.found = 0
        self.forced = False


class Source(Protocol):
    """Where a value comes from."""

    async def fetch(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """Bring a value.

        Raises:
            UpstreamError: no usable answer.
            RefusedError: WeChat said no.
        """
        ...


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One request, one value.

    Args:
        request: builds the request from the account and the parent's value.
        field: the answer's field that holds the value.
        token_endpoint: it is called with the AppSecret and not with a token (40001 means a wrong secret).
        wecom: WeCom's error table applies.
    """

    request: Callable[[Account, str], Request]
    field: str
    token_endpoint: bool = True
    wecom: bool = False

    async def fetch(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """Ask once. See `Source.fetch`."""
        return await self.send(self.request(ask.account, ask.parent or ""), ask, weixin, clock)

    async def send(self, request: Request, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """Send this request and read the value from its answer."""
        sent_at = clock.monotonic()
        answer = await weixin.call(ask.account, request)
        self.check(answer)
        return Answer(_value(answer, self.field), _expires_in(answer), sent_at)

    def check(self, answer: dict[str, Any]) -> None:
        """Raise `RefusedError` unless the answer's `errcode` is absent or 0."""
        errcode = errcode_of(answer)
        if errcode == 0:
            return
        cls = classify(errcode, at_token_endpoint=self.token_endpoint, wecom=self.wecom)
        errmsg = answer.get("errmsg")
        message = explain(
            errcode,
            errmsg if isinstance(errmsg, str) else "",
            at_token_endpoint=self.token_endpoint,
            wecom=self.wecom,
        )
        raise RefusedError(errcode, cls, message)


def errcode_of(answer: dict[str, Any]) -> int:
    """The answer's `errcode`; 0 where there is none.

    Raises:
        UpstreamError: it is no number.
    """
    errcode = answer.get("errcode", 0)
    if isinstance(errcode, int) and not isinstance(errcode, bool):
        return errcode
    msg = "the answer's errcode is no number"
    raise UpstreamError(msg, undecided=True)


def _value(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if isinstance(value, str) and 0 < len(value) <= LONGEST_VALUE and _is_word(value):
        return value
    msg = f"the answer has no usable {name}"
    raise UpstreamError(msg, undecided=True)


def _is_word(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def _expires_in(answer: dict[str, Any]) -> float:
    seconds = answer.get("expires_in")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST_LIFE_S:
        return float(seconds)
    msg = "the answer has no usable expires_in"
    raise UpstreamError(msg, undecided=True)
