"""The wrapped apps of the matrix: which one, and how it behaves, is read from the environment.

`WX_MATRIX_APP` names the framework, `WX_MATRIX_MODE` the behaviour (`starts`, `refuses`, `no-lifespan`,
`dies`), and what happens is written to the file `WX_MATRIX_JOURNAL`, a line each. WeChat is the sandbox at
`WX_MATRIX_API_BASE`.
"""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager

import anyio

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

APP = os.environ["WX_MATRIX_APP"]
MODE = os.environ["WX_MATRIX_MODE"]
API_BASE = os.environ["WX_MATRIX_API_BASE"]
JOURNAL = os.environ["WX_MATRIX_JOURNAL"]
GREETING = f"hello from {APP}"

urlpatterns: list[object] = []  # Django finds its routes here


class Boom(Exception):
    """What apps of this matrix die of."""


def note(line: str) -> None:
    """Append a line to the journal; one write, so that processes do not mix theirs."""
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


class JournalHandler(logging.Handler):
    """Writes down what the lifespan logs, and all warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "lifespan" or record.levelno >= logging.WARNING:
            note(f"log {record.levelname} {record.module}")


async def die() -> None:
    await anyio.sleep(0.2)
    note("app died")
    raise Boom("later")


@asynccontextmanager
async def lifespan(app):
    """For the frameworks that take a context manager."""
    if MODE == "refuses":
        raise Boom("no database")
    note("app started")
    async with anyio.create_task_group() as tasks:
        if MODE == "dies":
            tasks.start_soon(die)
        yield
    note("app stopped")


def starlette_app():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def hello(request):
        return PlainTextResponse(GREETING)

    return Starlette(routes=[Route("/hello", hello)], lifespan=lifespan)


def fastapi_app():
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI(lifespan=lifespan)

    @app.get("/hello", response_class=PlainTextResponse)
    async def hello():
        return GREETING

    return app


def litestar_app():
    from litestar import Litestar, MediaType, get

    @get("/hello", media_type=MediaType.TEXT)
    async def hello() -> str:
        return GREETING

    return Litestar(route_handlers=[hello], lifespan=[lifespan])


def with_quarts_hooks(app):
    @app.before_serving
    async def start():
        if MODE == "refuses":
            raise Boom("no database")
        note("app started")

    @app.after_serving
    async def stop():
        note("app stopped")

    @app.get("/hello")
    async def hello():
        return GREETING

    return app


def quart_app():
    from quart import Quart

    return with_quarts_hooks(Quart("apps"))


def quart_trio_app():
    from quart_trio import QuartTrio

    app = with_quarts_hooks(QuartTrio("apps"))

    @app.before_serving
    async def die_later():
        if MODE == "dies":
            app.nursery.start_soon(die)

    return app


def django_app():
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    urlpatterns.append(path("hello", lambda request: HttpResponse(GREETING)))
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="-")
    return get_asgi_application()


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [GREETING.encode()]


def wsgi_app():
    """a2wsgi answers the lifespan for the app, asgiref does not."""
    if MODE == "no-lifespan":
        from asgiref.wsgi import WsgiToAsgi

        return WsgiToAsgi(wsgi)
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(wsgi)


async def answer(send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def bare_lifespan(receive, send):
    await receive()
    if MODE == "refuses":
        await send({"type": "lifespan.startup.failed", "message": "Boom: no database"})
        await receive()
    note("app started")
    await send({"type": "lifespan.startup.complete"})
    if MODE == "dies":
        await die()
    await receive()
    note("app stopped")
    await send({"type": "lifespan.shutdown.complete"})


async def bare(scope, receive, send):
    if scope["type"] == "lifespan" and MODE != "no-lifespan":
        await bare_lifespan(receive, send)
        return
    assert scope["type"] == "http"
    await answer(send, GREETING.encode())


def bare_app():
    return bare


class Tokens(TokenManager):
    """The real manager, with a journal."""

    async def __aenter__(self):
        await super().__aenter__()
        note("open")
        return self

    async def __aexit__(self, *exc_info):
        await super().__aexit__(*exc_info)
        note("closed")


BUILDERS = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "quart": quart_app,
    "quart-trio": quart_trio_app,
    "litestar": litestar_app,
    "django": django_app,
    "bare": bare_app,
    "wsgi": wsgi_app,
}

logging.getLogger("wxtoken_asgi").setLevel(logging.INFO)
logging.getLogger("wxtoken_asgi").addHandler(JournalHandler())
alpha = Account("alpha", appid="wx00000000000000a1", secret="sandbox-secret", api_base=API_BASE)
app = WxTokenMiddleware(BUILDERS[APP](), tokens=Tokens([alpha], store="memory:"), prefix="/wx")
