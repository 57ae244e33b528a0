"""A bare ASGI app: no framework, and as a guest, so that the paths are those of weixin-token.

Run it: uvicorn bare_asgi:app --no-proxy-headers
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])


async def shop(scope: Message, _receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("this app speaks http only")  # so servers know that it has no lifespan
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"the shop"})


app = WxTokenMiddleware(shop, tokens)
