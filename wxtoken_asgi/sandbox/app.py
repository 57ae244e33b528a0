"""The sandbox as an ASGI application."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import anyio

from wxtoken_asgi.sandbox.control import PREFIX, Control
from wxtoken_asgi.sandbox.faults import Fault, strike
from wxtoken_asgi.sandbox.handles import Handles
from wxtoken_asgi.sandbox.ledger import Call
from wxtoken_asgi.sandbox.wechat import STABLE_PATH, Outcome
from wxtoken_asgi.sandbox.wire import Exchange, Receive, Reply, Request, Send, read

if TYPE_CHECKING:
    import httpx

_NOTHING = Outcome(Reply(200, b""), None)


class Sandbox(Handles):
    """A WeChat that runs on your machine: an ASGI 3 application for http and lifespan.

    It has `/cgi-bin/token`, `/cgi-bin/stable_token`, `/cgi-bin/ticket/getticket`, `/cgi-bin/clear_quota`, and
    two APIs to try a token on: `/cgi-bin/get_api_domain_ip` and `/cgi-bin/getcallbackip`. Below `/sandbox/`
    it can be controlled over HTTP, see `wxtoken_asgi.sandbox.control`.

        sandbox = Sandbox(overlap="strict")
        sandbox.add("wx0000000000000001", "sandbox-secret")
        sandbox.fail(path="/cgi-bin/stable_token", errcode=-1, times=3)
        async with httpx.AsyncClient(transport=sandbox.transport()) as client:
            ...

    For its arguments and methods see `Handles`.
    """

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        request = await read(scope, receive)
        if request is None:
            return
        exchange = Exchange(scope, receive, send, self.clock)
        if request.path.startswith(PREFIX):
            await exchange.answer(Control(self).answer(request))
            return
        await self._meet(request, exchange)

    def transport(self, client: tuple[str, int] = ("127.0.0.1", 123)) -> httpx.ASGITransport:
        """A transport for an `httpx.AsyncClient` that leads here.

        Args:
            client: the address and port that the calls come from.
        """
        import httpx  # noqa: PLC0415 - the sandbox itself, and each start of pytest, does without it

        return httpx.ASGITransport(app=self, client=client)

    async def _meet(self, request: Request, exchange: Exchange) -> None:
        """Let a call meet the fault that waits for it, or WeChat."""
        fault = self.faults.take(request.path, self._wechat.appid_of(request))
        if fault is None:
            outcome = self._wechat.answer(request)
            self._enter(request, outcome)
            await exchange.answer(outcome.reply)
        elif fault.kind == "slow":
            await self._be_late(fault, request, exchange)
        else:
            await self._go_wrong(fault, request, exchange)

    async def _be_late(self, fault: Fault, request: Request, exchange: Exchange) -> None:
        outcome = _NOTHING
        try:
            if fault.before:
                await anyio.sleep(fault.seconds or 0)
            outcome = self._wechat.answer(request)
        finally:  # a caller in this process may cancel the wait; its call came in all the same
            self._enter(request, outcome, fault)
        if not fault.before:
            await anyio.sleep(fault.seconds or 0)
        await exchange.answer(outcome.reply)

    async def _go_wrong(self, fault: Fault, request: Request, exchange: Exchange) -> None:
        done = None if fault.before else self._wechat.answer(request)
        refusal = self._wechat.refusal(request, fault.errcode)
        answered = refusal.errcode if fault.kind == "errcode" else None
        issued = done is not None and done.issued
        self._enter(request, Outcome(refusal.reply, answered, issued), fault)
        usual = done if done is not None and fault.kind == "half" else refusal
        await strike(fault, exchange, usual.reply)

    def _enter(self, request: Request, outcome: Outcome, fault: Fault | None = None) -> None:
        forced = request.path == STABLE_PATH and (request.json or {}).get("force_refresh") is True
        self._ledger.add(
            Call(
                path=request.path,
                appid=self._wechat.appid_of(request),
                errcode=outcome.errcode,
                at=self.clock.time(),
                forced=forced,
                issued=outcome.issued,
                fault=fault.kind if fault else None,
            )
        )


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def demo() -> Sandbox:
    """The sandbox of the command `wxtoken sandbox`: any well-formed appid is taken, with any secret."""
    return Sandbox(open=True)
