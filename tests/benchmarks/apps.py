"""The apps that the benchmarks compare."""

from __future__ import annotations

import httpx

from wxtoken_asgi import TokenManager, WxTokenMiddleware

from benchmarks.in_process import bare_app
from support.world import World

TOKEN = b"1" * 150


def _tokens() -> TokenManager:
    world = World()
    transport = httpx.ASGITransport(world.sandbox)
    return TokenManager([world.account("alpha")], store="memory:", transport=transport)


def ours():
    return WxTokenMiddleware(tokens=_tokens(), prefix="/wx")


def guest():
    return WxTokenMiddleware(bare_item(), _tokens())


def owner():
    return WxTokenMiddleware(bare_item(), _tokens(), prefix="/wx")


def bare_token():
    return _serving(bare_app(TOKEN, b'"' + b"e" * 22 + b'"'))


def bare_item():
    return _serving(bare_app(b"x" * 150, b'"x"'))


def _serving(app):
    async def serve(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await app(scope, receive, send)

    return serve
