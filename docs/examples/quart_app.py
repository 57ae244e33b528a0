"""Quart: the token center around the ASGI callable, below /wx.

Run it: uvicorn quart_app:app --no-proxy-headers
"""

import os

from quart import Quart

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])
shop = Quart(__name__)


@shop.before_serving
async def first_token() -> None:
    # The manager opens before the app starts and closes after it has stopped.
    shop.logger.info("a token of %d characters", len(await tokens.access_token("shop")))


@shop.get("/")
async def home() -> str:
    return "the shop"


app = WxTokenMiddleware(shop, tokens, prefix="/wx")
