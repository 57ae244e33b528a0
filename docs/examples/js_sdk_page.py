"""A page that uses the JS-SDK, and the token center that signs its address.

Run it: uvicorn js_sdk_page:app --no-proxy-headers
"""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

PAGE = Path(__file__).with_name("js_sdk_page.html").read_text(encoding="utf-8")

shop = Account(
    "shop",
    appid=os.environ["WX_APPID"],
    secret=os.environ["WX_SECRET"],
    tickets=("jsapi",),  # kept fresh from the start, so that the first visitor does not wait
    js_domains=("www.example.com", "localhost"),  # only pages of these hosts are signed
)


async def page(_request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


app = WxTokenMiddleware(Starlette(routes=[Route("/", page)]), TokenManager([shop]))
