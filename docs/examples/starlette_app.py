"""Starlette: the token center in front of an app of your own, below /wx.

Run it: uvicorn starlette_app:app --no-proxy-headers
"""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from wxtoken_asgi import Account, TokenManager, WxTokenError, WxTokenMiddleware

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])


async def home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("the shop")


async def menu(_request: Request) -> JSONResponse:
    try:
        token = await tokens.access_token("shop")  # no I/O while it is fresh
    except WxTokenError as error:
        return JSONResponse({"error": error.code, "retry_in": error.retry_in}, status_code=503)
    return JSONResponse({"token_length": len(token)})  # here you would call WeChat with it


app = Starlette(routes=[Route("/", home), Route("/menu", menu)])
app.add_middleware(WxTokenMiddleware, tokens=tokens, prefix="/wx")
