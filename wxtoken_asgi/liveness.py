"""Access tokens, which may die early: sources that try a token that is in doubt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import anyio

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errcodes import ErrorClass, classify, explain
from wxtoken_asgi.records import Account
from wxtoken_asgi.sources import Answer, Ask, HttpSource, Reason, RefusedError, errcode_of
from wxtoken_asgi.weixin import Request, Upstream, UpstreamError

CHECK_S: Final = 2.0
"""On the old endpoint what is said to be dead is replaced in any case; to try it may take so long."""

PROBED: Final = "probed"
"""The value of a probe: that there was one, whatever it showed."""

Probe = Callable[[str], Request]
"""Builds a cheap call that shows whether a token still works."""


@dataclass(frozen=True, slots=True)
class ClassicSource:
    """`GET /cgi-bin/token`: each call brings a new token and dooms the last.

    Args:
        normal: the endpoint.
        probe: builds the call that shows whether a token still works.
    """

    normal: HttpSource
    probe: Probe

    async def fetch(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """Fetch in any case; what is in doubt is tried before, to know whether it was dead. See `Source`."""
        found = 0
        if ask.held and ask.reason.doubts:
            found = await self._if_it_tells(ask.account, self.probe(ask.held), weixin)
        with _found(found):
            return replace(await self.normal.fetch(ask, weixin, clock), found=found)

    async def _if_it_tells(self, account: Account, probe: Request, weixin: Upstream) -> int:
        with contextlib.suppress(UpstreamError, RefusedError), anyio.move_on_after(CHECK_S):
            return await refused_with(account, probe, weixin)
        return 0


@dataclass(frozen=True, slots=True)
class StableSource:
    """`POST /cgi-bin/stable_token`: a normal call, and a forced one where a new value was asked for.

    Args:
        normal: the endpoint's normal mode.
        forced: builds the request of its forced mode, which kills the last token (20 a day, 30 s apart).
        probe: builds the call that shows whether a token still works.
    """

    normal: HttpSource
    forced: Callable[[Account, str], Request]
    probe: Probe

    async def fetch(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """What is in doubt is tried first; if it works, nothing else happens. See `Source.fetch`."""
        found = 0
        if ask.held and ask.reason.doubts:
            found = await refused_with(ask.account, self.probe(ask.held), weixin)
            if not found:
                return Answer(ask.held, 0, clock.monotonic(), alive=True)
        with _found(found):
            answer = await self.normal.fetch(ask, weixin, clock)
            if ask.reason is not Reason.DUE and answer.value == ask.held:
                answer = await self._force(ask, weixin, clock)
            return replace(answer, found=found)

    async def _force(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        try:
            answer = await self.normal.send(self.forced(ask.account, ""), ask, weixin, clock)
        except RefusedError as refusal:
            refusal.forced = True
            raise
        return replace(answer, forced=True)


@dataclass(frozen=True, slots=True)
class ProbeSource:
    """Tries the parent's value, and brings nothing but that it was tried.

    Args:
        probe: builds the call that shows whether it still works.
    """

    probe: Probe

    async def fetch(self, ask: Ask, weixin: Upstream, clock: Clock) -> Answer:
        """Try it. See `Source.fetch`."""
        sent_at = clock.monotonic()
        found = await refused_with(ask.account, self.probe(ask.parent or ""), weixin, strict=True)
        return Answer(PROBED, 0, sent_at, parent_dead=found != 0)


async def refused_with(account: Account, probe: Request, weixin: Upstream, *, strict: bool = False) -> int:
    """The number by which WeChat says that a token is dead; 0: it is not.

    Args:
        account: whose token.
        probe: the call that carries it.
        weixin: WeChat.
        strict: a refusal for any other reason is no answer either.

    Raises:
        UpstreamError, RefusedError: WeChat said neither. No token was asked for, so none is in doubt.
    """
    try:
        errcode = errcode_of(await weixin.call(account, probe))
    except UpstreamError as error:
        raise UpstreamError(str(error), cls=error.cls, undecided=False) from None
    if errcode == 0:
        return 0
    cls = classify(errcode, at_token_endpoint=False)
    if (strict and cls is not ErrorClass.DEAD_TOKEN) or cls is ErrorClass.TRANSIENT:
        raise RefusedError(errcode, cls, explain(errcode, at_token_endpoint=False))
    return errcode if cls is ErrorClass.DEAD_TOKEN else 0


@contextlib.contextmanager
def _found(errcode: int) -> Iterator[None]:
    """A refusal tells besides what was found before."""
    try:
        yield
    except RefusedError as refusal:
        refusal.found = errcode
        raise
