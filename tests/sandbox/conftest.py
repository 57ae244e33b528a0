"""A sandbox on a clock that stands still, and a client that speaks to it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest

from wxtoken_asgi.sandbox import Sandbox

APPID = "wx00000000000000aa"
SECRET = "secret-aa"


class StandingClock:
    def __init__(self, now=1_800_000_000.0):
        self.now = now

    def time(self):
        return self.now


class Program:
    """A program that uses WeChat: each method is one call and gives the JSON of its answer."""

    def __init__(self, http):
        self.http = http

    async def call(self, method, path, **options):
        return (await self.http.request(method, path, **options)).json()

    async def token(self, **changes):
        params = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, **changes}
        params = {name: value for name, value in params.items() if value is not None}
        return await self.call("GET", "/cgi-bin/token", params=params)

    async def stable(self, **changes):
        body = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET, **changes}
        body = {name: value for name, value in body.items() if value is not None}
        return await self.call("POST", "/cgi-bin/stable_token", json=body)

    async def ticket(self, token, kind="jsapi"):
        params = {"access_token": token, "type": kind}
        return await self.call("GET", "/cgi-bin/ticket/getticket", params=params)

    async def try_out(self, token, path="/cgi-bin/get_api_domain_ip"):
        return await self.call("GET", path, params={"access_token": token})


@asynccontextmanager
async def _program(sandbox, client=("127.0.0.1", 123)):
    transport = httpx.ASGITransport(app=sandbox, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="https://api.weixin.qq.com") as http:
        yield Program(http)


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture(params=["grace"])
def overlap(request):
    """Tests that are about it parametrize it."""
    return request.param


@pytest.fixture
def sandbox(clock, overlap):
    sandbox = Sandbox(clock=clock, overlap=overlap, seed=1)
    sandbox.add(APPID, SECRET, ticket_age=0)
    return sandbox


@pytest.fixture
def program_from(sandbox):
    """A program that calls from another address: `async with program_from("10.0.0.1") as program`."""
    return lambda host: _program(sandbox, client=(host, 5))


@pytest.fixture
async def program(sandbox, anyio_backend):
    async with _program(sandbox) as program:
        yield program
