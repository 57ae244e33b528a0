"""Django in one file: the token center around its ASGI application, below /wx.

Django has no lifespan of its own; the middleware opens and closes the manager all the same.
Run it: uvicorn django_app:app --no-proxy-headers
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY=os.urandom(32).hex())

tokens = TokenManager([Account("shop", appid=os.environ["WX_APPID"], secret=os.environ["WX_SECRET"])])


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("the shop")


async def menu(_request: HttpRequest) -> JsonResponse:
    token = await tokens.access_token("shop")
    return JsonResponse({"token_length": len(token)})  # here you would call WeChat with it


urlpatterns = [path("", home), path("menu", menu)]

app = WxTokenMiddleware(get_asgi_application(), tokens, prefix="/wx")
