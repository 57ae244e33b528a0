"""Litestar: the token center around the app, below /wx, and a dependency for handlers.

Run it: uvicorn litestar_app:app --no-proxy-headers
"""

import os

from litestar import Litestar, get
from litestar.di import NamedDependency, Provide  # Litestar 2.23 or later

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])


async def shop_token() -> str:
    """Give a handler the access token that is valid now."""
    return await tokens.access_token("shop")


@get("/menu", dependencies={"token": Provide(shop_token)})
async def menu(token: NamedDependency[str]) -> dict[str, int]:
    return {"token_length": len(token)}  # here you would call WeChat with it


app = WxTokenMiddleware(Litestar(route_handlers=[menu]), tokens, prefix="/wx")
