"""What WeChat, or whoever stands in its place, may answer: one call at a time, and a manager for hours."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import anyio
import httpx

from wxtoken_asgi import Account, WxTokenError
from wxtoken_asgi.kinds import CLASSIC_TOKEN, JSAPI_TICKET, STABLE_TOKEN
from wxtoken_asgi.sources import Ask, Reason, RefusedError
from wxtoken_asgi.weixin import UpstreamError, Weixin

from .backends import in_virtual_time
from .chance import often
from .tally import BrokenError, Target, must
from .upstream import AT_ONCE, GOOD, WORDS, Odd
from support.virtual import VirtualClock
from support.world import SECRETS, World

PAUSES_S: Final = (0.0, 0.5, 2.0, 8.0, 40.0)
TRIED_S: Final = 900.0
"""By then whatever was refused is tried again (a day's quota: after 780 s)."""

HANGS_S: Final = 60.0
SOURCES: Final = (STABLE_TOKEN, CLASSIC_TOKEN, JSAPI_TICKET)


class Logged(logging.Handler):
    """Hears what the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.crashes: list[str] = []
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if record.exc_info:
            self.crashes.append(f"{said}: {record.exc_info[1]!r}")
        if any(secret in said for secret in SECRETS.values()) or GOOD[0] in said:
            self.leaks.append(said)


class Manager:
    """A manager whose WeChat answers by chance, and what must hold for it."""

    def __init__(self, rng: Random, steps: int) -> None:
        self.rng, self.steps = rng, steps
        self.world = World(seed=rng.randint(0, 9))
        self.wechat = Odd(rng, httpx.ASGITransport(self.world.sandbox))
        alpha, beta = (
            self.world.account(name, tickets=rng.choice(((), ("jsapi",)))) for name in ("alpha", "beta")
        )
        self.tokens = self.world.manager(alpha, beta, transport=self.wechat)
        self.logged = Logged()

    async def play(self) -> int:
        """Trouble for some time, with callers; then WeChat is well, and so is the manager."""
        logger = logging.getLogger("wxtoken_asgi")
        logger.addHandler(self.logged)
        try:
            if often(self.rng, 0.85):
                async with self.tokens:
                    await self._trouble()
                    await self._recovers()
            else:
                await self._trouble()
                await self._recovers()
        finally:
            logger.removeHandler(self.logged)
        must(not self.logged.crashes, "nothing is an exception that nobody foresaw", self.logged.crashes)
        must(not self.logged.leaks, "no secret is logged", self.logged.leaks)
        return len(self.wechat.calls)

    async def _trouble(self) -> None:
        rng, tokens = self.rng, self.tokens
        while len(self.wechat.calls) < self.steps and anyio.current_time() < 60 * self.steps:
            app = rng.choice(("alpha", "beta"))
            asks: list[Callable[[], Awaitable[Any]]] = [
                lambda app=app: tokens.access_token(app),
                lambda app=app: tokens.access_token(app),
                lambda app=app: tokens.jsapi_ticket(app),
                lambda app=app: tokens.js_config(app, "https://www.example.com/"),
                lambda app=app: tokens.refresh(app),
                lambda app=app: tokens.refresh(app, dead=rng.choice(WORDS)),
                lambda app=app: tokens.refresh(app, "jsapi_ticket"),
            ]
            await self._ask(rng.choice(asks))
            await anyio.sleep(rng.choice(PAUSES_S))
            self._no_hot_loop()

    async def _ask(self, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            with anyio.fail_after(HANGS_S):
                answer = await ask()
        except WxTokenError as error:
            said = str(error)
            must(said.isprintable() and len(said) < 6000, "an error is one clean line", said)
            must(not any(secret in said for secret in SECRETS.values()), "it tells no secret", said)
            retry_in = error.retry_in
            must(retry_in is None or 0 <= retry_in < 86_400, "it says when to come again", said, retry_in)
            return
        if isinstance(answer, str):
            must(re.fullmatch(r"[!-~]{1,2048}", answer), "a value looks like one", answer)
        else:
            must(re.fullmatch(r"[0-9a-f]{40}", answer.signature), "a page is signed", answer)

    def _no_hot_loop(self) -> None:
        calls = self.wechat.calls
        hot = [at for at in range(AT_ONCE, len(calls)) if calls[at] - calls[at - AT_ONCE] < 1]
        must(not hot, "there is a pause between two calls", calls[-AT_ONCE:])

    async def _recovers(self) -> None:
        self.wechat.well = True
        await anyio.sleep(TRIED_S)
        for app in ("alpha", "beta"):
            try:
                must(await self.tokens.access_token(app), "it recovers", app)
            except WxTokenError as error:
                raise BrokenError("it recovers", (app, error)) from None
        must(not any(secret in repr(self.tokens.statistics()) for secret in SECRETS.values()), "no secret")


async def _play(rng: Random, steps: int) -> int:
    return await Manager(rng, steps).play()


def case(rng: Random, steps: int) -> int:
    """On asyncio mostly, and on trio sometimes; the inputs are WeChat's answers."""
    return in_virtual_time(_play, rng, steps)


# without a manager


async def _read(rng: Random, steps: int) -> int:
    """Each answer by itself, through the sources alone."""
    wechat = Odd(rng, httpx.ASGITransport(World().sandbox))
    weixin, clock = Weixin(wechat), VirtualClock()
    account = Account("alpha", "wx1", SECRETS["alpha"])
    for _ in range(steps):
        kind, reason = rng.choice(SOURCES), rng.choice(list(Reason))
        held = rng.choice((None, *GOOD))
        wechat.calls.clear()
        try:
            got = await kind.source.fetch(Ask(account, reason, held, "parent"), weixin, clock)
        except (UpstreamError, RefusedError) as error:
            said = str(error)
            must(said.isprintable() and len(said) < 6000, "an error is one clean line", said)
            must(SECRETS["alpha"] not in said and GOOD[0] not in said, "it tells no secret", said)
            continue
        must(re.fullmatch(r"[!-~]{1,2048}", got.value), "a value looks like one", got)
        must(got.alive or 0 < got.expires_in <= 86_400, "a life is in bounds", got)
    return steps


def answers(rng: Random, steps: int) -> int:
    """Many answers, quickly."""
    return in_virtual_time(_read, rng, steps)


TARGETS: Final = (Target("answers", answers, 100), Target("wechat", case, 300))
