"""Stands in for the middleware until there is one: the lifespan, two pages, the rest passed on."""

from __future__ import annotations

from wxtoken_asgi.lifespan import run_lifespan


class WxTokenMiddleware:
    def __init__(self, app, tokens, prefix):
        self.app = app
        self.tokens = tokens
        self.prefix = prefix

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await run_lifespan(self.app, scope, receive, send, manager=self.tokens)
        elif scope["type"] == "http" and scope["path"] == f"{self.prefix}/health/live":
            await self._answer(send, "ok")
        elif scope["type"] == "http" and scope["path"] == f"{self.prefix}/token/alpha":
            await self._answer(send, await self.tokens.access_token("alpha"))
        else:
            await self.app(scope, receive, send)

    async def _answer(self, send, text):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})
