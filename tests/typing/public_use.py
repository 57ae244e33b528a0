"""How users call the package; mypy checks it, nothing runs it."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from wxtoken_asgi import (
    Account,
    Budget,
    ConfigError,
    EarlyDeathEvent,
    ErrorEvent,
    JsConfig,
    Statistics,
    TokenEvent,
    TokenManager,
    UpstreamRefused,
    WxTokenError,
    WxTokenMiddleware,
)
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.kinds import KINDS, Kinds, ticket_kind
from wxtoken_asgi.sandbox import Sandbox
from wxtoken_asgi.stores import MemoryStore, Store


def saved(event: TokenEvent) -> None:
    value: str = event.value
    assert value


async def failed(event: ErrorEvent) -> None:
    errcode: int | None = event.errcode
    assert errcode
    if isinstance(event, EarlyDeathEvent):
        deaths: int = event.deaths
        assert deaths


def left(told: Statistics) -> list[int]:
    budgets: list[Budget] = [budget for one in told.credentials for budget in one.budgets]
    return [budget.limit - budget.used for budget in budgets if budget.limit is not None]


def build(app: ASGIApp, store: Store) -> WxTokenMiddleware:
    account = Account("alpha", appid="wx1", secret="s", tickets=("jsapi",), js_domains=("*.example.com",))
    kinds: Kinds = {**KINDS, "stable": (*KINDS["stable"], ticket_kind("wx_card"))}
    tokens = TokenManager(
        [account], store=store, on_token=saved, on_ticket=saved, on_error=failed, kinds=kinds
    )
    return WxTokenMiddleware(app, tokens, prefix="/wx", trusted=["10.0.0.0/8"], js_config_ticket=True)


def build_starlette(tokens: TokenManager) -> Starlette:
    app = Starlette()
    app.add_middleware(WxTokenMiddleware, tokens=tokens)
    app.mount("/wx", WxTokenMiddleware(tokens=tokens))
    return app


async def use(tokens: TokenManager) -> str:
    async with tokens as same:
        token: str = await same.access_token("alpha")
        ticket: str = await same.jsapi_ticket("alpha")
        config: JsConfig = await same.js_config("alpha", "https://www.example.com/")
        new: str = await same.refresh("alpha", "jsapi_ticket", dead=ticket)
        told: Statistics = same.statistics()
        return token + config.signature + new + repr(told)


async def catch(tokens: TokenManager) -> float | None:
    try:
        await tokens.access_token("alpha")
    except UpstreamRefused as error:
        return error.retry_in
    except (ConfigError, WxTokenError) as error:
        return error.retry_in
    return None


def sandboxed() -> TokenManager:
    sandbox = Sandbox(overlap="strict")
    sandbox.add("wx1", "secret")
    transport: httpx.AsyncBaseTransport = sandbox.transport()
    return TokenManager([Account("alpha", "wx1", "secret")], store=MemoryStore(), transport=transport)


def configured(path: str) -> WxTokenMiddleware:
    config: Config = load(path, environ={})
    return config.middleware()
