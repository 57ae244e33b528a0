"""The way to WeChat, and WeChat: what goes wrong there, and who fetched what."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import trio
from anyio.lowlevel import checkpoint

from wxtoken_asgi.sandbox import Fault, Sandbox

from simulation.chance import Rates, Tally, duration
from simulation.spans import Spans

TOKEN_PATHS = {"/cgi-bin/token": "token", "/cgi-bin/stable_token": "stable"}
NONSENSE = (
    Fault(kind="errcode", errcode=-1),
    Fault(kind="errcode", errcode=45011),
    Fault(kind="status", status=502),
    Fault(kind="garbage"),
    Fault(kind="empty"),
    Fault(kind="body", body={"access_token": "", "expires_in": 7200}),
    Fault(kind="body", body=[]),
)
STOPPED_S = 0.5
"""A call that takes longer to be sent was held up with its process."""

AWAY = ("refuses", "hangs", "nonsense", "resets")


@dataclass(slots=True)
class Call:
    """One call that reached the way to WeChat.

    Args:
        key: appid and kind.
        process: whose it is.
        begun: when it was sent, in true time.
        ended: when its answer came; None: it is on its way, or was lost.
        late: its process was stopped just before it, and sent it all the same when it went on.
        forced: it makes WeChat give out another token.
    """

    key: tuple[str, str]
    process: Any
    begun: float
    ended: float | None = None
    late: bool = False
    forced: bool = False


class Way:
    """WeChat as the simulated processes see it.

    Args:
        sandbox: the WeChat.
        rates: how often a call goes wrong.
        random: where that is drawn from.
        tally: what was exercised.

    Attributes:
        away: how WeChat is away now (one of `AWAY`), if it is.
        calls: all calls so far.
        healthy_since: since when WeChat was never away, in true time.
        loses: every answer is lost on its way back.
        spoiled: by appid, when a single call went wrong last.
        spoils: by appid, when one went wrong.
    """

    def __init__(self, sandbox: Sandbox, rates: Rates, random: Random, tally: Tally) -> None:
        self.sandbox = sandbox
        self.rates = rates
        self.random = random
        self.tally = tally
        self.away: str | None = None
        self.calls: list[Call] = []
        self.healthy_since = 0.0
        self.loses = False
        self.spoiled: dict[str, float] = {}
        self.spoils: defaultdict[str, Spans] = defaultdict(Spans)
        self.on_call: Callable[[Call], None] = lambda _: None

    def transport(self, process: Any, point: Callable[[str], Awaitable[None]]) -> httpx.AsyncBaseTransport:
        """A process's connections to it."""
        return _Transport(self, process, point)

    def called(self, call: Call) -> None:
        """A call is sent."""
        self.calls.append(call)
        self.on_call(call)

    def spoil(self, appid: str) -> None:
        """A call goes wrong."""
        now = self.spoiled[appid] = trio.current_time()
        self.spoils[appid].add(now, now)

    def leave(self, how: str) -> None:
        self.away = how
        self.tally.add(f"wechat {how}")

    def come_back(self) -> None:
        self.away = None
        self.healthy_since = trio.current_time()

    def trouble(self) -> str | None:
        """What happens to a single call."""
        if self.away is not None:
            return self.away
        if self.loses:
            return "lost"
        if self.random.random() >= self.rates.call:
            return None
        trouble = self.random.choice(("refuses", "hangs", "nonsense", "resets", "lost", "slow"))
        self.tally.add(f"call {trouble}")
        return trouble


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, way: Way, process: Any, point: Callable[[str], Awaitable[None]]) -> None:
        self._way = way
        self._process = process
        self._point = point
        self._inner = httpx.ASGITransport(way.sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        late = await self._reached()
        with anyio.CancelScope(shield=late):  # a call is written before its process looks at the time again
            answer = await self._send(request, late=late)
        await checkpoint()
        return answer

    async def _reached(self) -> bool:
        """Whether the process was stopped just before the call."""
        with anyio.CancelScope(shield=True):
            reached = trio.current_time()
            await self._point("before the call")
            return trio.current_time() > reached

    async def _send(self, request: httpx.Request, *, late: bool) -> httpx.Response:
        way = self._way
        trouble = way.trouble()
        if late:
            way.tally.add("call sent after a stop")
            trouble = "resets" if trouble == "hangs" else trouble
        begun = trio.current_time()
        await anyio.sleep(way.random.uniform(0.02, 0.3))
        late = late or trio.current_time() - begun > STOPPED_S
        key = _key(way.sandbox, request)
        if trouble is not None or late:  # what is late has no time left for its answer
            way.spoil(key[0])
        if trouble == "refuses":
            raise httpx.ConnectError("refused", request=request)
        forced = b"force_refresh" in request.content
        call = Call(key, self._process, trio.current_time(), late=late, forced=forced)
        way.called(call)
        try:
            return await self._carry(request, trouble)
        except BaseException:  # perhaps its process was stopped meanwhile
            way.spoil(key[0])
            raise
        finally:  # a process that was killed never comes here
            call.ended = trio.current_time()

    async def _carry(self, request: httpx.Request, trouble: str | None) -> httpx.Response:
        way = self._way
        if trouble == "hangs":
            await anyio.sleep_forever()
        if trouble == "resets":
            raise httpx.ReadError("reset", request=request)
        faults = way.sandbox.faults
        faults._armed = [one for one in faults._armed if one.left is None]  # what another call has left over
        if trouble == "nonsense":
            faults.add(way.random.choice(NONSENSE))
        if trouble == "slow":
            await anyio.sleep(duration(way.random, 0.5, 15))
        answer = await self._inner.handle_async_request(request)
        await self._point("after the call")
        await anyio.sleep(way.random.uniform(0.02, 0.3))
        if trouble == "lost":
            raise httpx.ReadError("reset after the answer was made", request=request)
        return answer


def _key(sandbox: Sandbox, request: httpx.Request) -> tuple[str, str]:
    url = urlsplit(str(request.url))
    if url.path == "/cgi-bin/token":
        return parse_qs(url.query)["appid"][0], "access_token"
    if url.path == "/cgi-bin/stable_token":
        return json.loads(request.content)["appid"], "access_token"
    token = sandbox._wechat.token(parse_qs(url.query)["access_token"][0])
    kind = "jsapi_ticket" if url.path == "/cgi-bin/ticket/getticket" else "probe"
    return token.appid if token is not None else "?", kind
