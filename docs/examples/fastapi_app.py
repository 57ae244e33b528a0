"""FastAPI: handlers get the current token through a dependency, other programs read it below /wx.

Run it: uvicorn fastapi_app:app --no-proxy-headers
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

from wxtoken_asgi import Account, TokenManager, WxTokenError, WxTokenMiddleware

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])


async def shop_token() -> str:
    """Give a handler the access token that is valid now."""
    try:
        return await tokens.access_token("shop")
    except WxTokenError as error:
        raise HTTPException(503, detail=error.code) from error


ShopToken = Annotated[str, Depends(shop_token)]

app = FastAPI()
app.add_middleware(WxTokenMiddleware, tokens=tokens, prefix="/wx")


@app.get("/menu")
async def menu(token: ShopToken) -> dict[str, int]:
    return {"token_length": len(token)}  # here you would call WeChat with it
