"""Callers who do harm, and those who must not feel it."""

from __future__ import annotations

import inspect

import anyio
import pytest

from wxtoken_asgi import waiter
from wxtoken_asgi.clients import Client
from wxtoken_asgi.keys import Key, new_key

from support.asking import answered, asked, key
from support.center import running

KEY = new_key()
CLIENTS = [Client("crm", keys=[Key.of(KEY).line])]
STRANGER, LOCAL, PROXY, HOST = "203.0.113.9", "127.0.0.1", "192.0.2.1", {"host": "localhost"}
READ = ("GET", "/token/alpha")


class Once:
    """Headers that can be read once, as ASGI allows."""

    def __init__(self, pairs):
        self._pairs = iter(pairs)

    def __iter__(self):
        return self._pairs


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 200), ({"origin": "https://a.example"}, 403), (key("wrong"), 401)]
)
async def test_headers_that_can_be_read_once_are_read_once(world, headers, status, anyio_backend):
    async with running(world) as center:
        for _ in range(3):
            scope = asked(LOCAL, HOST | headers, *READ)
            scope["headers"] = Once(scope["headers"])
            assert (await answered(center.service, scope)).status == status
        scope = asked(LOCAL, HOST, "GET", "/health/live")
        scope["headers"] = Once(scope["headers"])
        assert (await answered(center.service.pages, scope)).status == 200


@pytest.mark.parametrize("number", [30, 100, 250])
async def test_a_request_of_many_headers_is_not_remembered(world, number, anyio_backend):
    async with running(world) as center:
        await answered(center.service, asked("127.0.0.2", HOST, *READ))
        headers = HOST | {f"x-{one}": "" for one in range(number)}
        for _ in range(3):
            scope = asked(LOCAL, headers, *READ)
            assert (await answered(center.service, scope)).status == (200 if number < 200 else 431)
        seen = inspect.getclosurevars(center.service._ready).nonlocals["seen_at"].__self__
        assert len(seen) == (number < 40)


async def test_who_may_refresh_only_is_never_let_through_the_short_way(world, anyio_backend):
    client = Client("renewer", networks=["10.0.0.0/8"], may=["refresh"])
    async with running(world, clients=[client]) as center:
        for _ in range(2):
            await answered(center.service, asked(LOCAL, HOST, *READ))
            assert (
                await answered(center.service, asked("10.0.0.1", {}, "PUT", "/token/alpha"))
            ).status == 200
            assert (await answered(center.service, asked("10.0.0.1", {}, *READ))).status == 403


async def test_a_guests_app_gets_the_headers_unread(world, anyio_backend):
    seen = []

    async def app(scope, receive, send):
        seen.append(list(scope["headers"]))

    async with running(world, app=app) as center:
        scope = asked(LOCAL, HOST, "POST", "/token/alpha")
        scope["headers"] = Once(scope["headers"])
        await center.service(scope, None, None)
    assert seen == [[(b"host", b"localhost")]]


async def test_reloads_at_once_undo_nothing_of_each_other(world, anyio_backend):
    async with running(world, clients=CLIENTS) as center:
        accounts = list(center.tokens.accounts)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: center.service.reload(accounts, clients=()))
            group.start_soon(lambda: center.service.reload(accounts, hosts=["tokens.lan"]))
        assert (await answered(center.service, asked(STRANGER, key(KEY), *READ))).status == 401
        assert (await answered(center.service, asked(LOCAL, {"host": "tokens.lan"}, *READ))).status == 200


async def test_pages_that_wait_leave_room_for_others(world, monkeypatch, anyio_backend):
    monkeypatch.setattr(waiter, "MOST_PAGES", 5)
    monkeypatch.setattr(waiter, "MOST_WAITING", 6)
    world.sandbox.fail("hang", path="/cgi-bin/ticket/getticket", times=None)
    page = asked(STRANGER, {}, "GET", "/js-config/alpha?url=https://www.example.com/")
    statuses = []
    async with running(world, clients=CLIENTS) as center, anyio.create_task_group() as group:

        async def ask():
            statuses.append((await answered(center.service, page | {"headers": []})).status)

        for _ in range(8):
            group.start_soon(ask)
        await anyio.sleep(1)
        assert statuses == [503] * 3
        ticket = await answered(center.service, asked(STRANGER, key(KEY), "GET", "/ticket/alpha"))
        assert b"too_many_waiting" not in ticket.body
        assert (await answered(center.service, asked(STRANGER, key(KEY), *READ))).status == 200
    assert statuses == [503] * 8


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "GET"])
async def test_a_closed_js_config_tells_nobody_which_accounts_there_are(world, method, anyio_backend):
    account = world.account("alpha", js_domains=["www.example.com"])
    async with running(world, account, js_config_open=False, clients=CLIENTS) as center:
        answers = [
            await answered(center.service, asked(STRANGER, {}, method, f"/js-config/{app}"))
            for app in ("alpha", "nope")
        ]
    assert answers[0] == answers[1]


async def test_wrong_keys_of_one_caller_of_a_proxy_are_not_counted_for_the_others(world, anyio_backend):
    async with running(world, trusted_proxies=[PROXY], clients=CLIENTS) as center:

        async def status(whom):
            scope = asked(PROXY, key("wrong") | {"x-forwarded-for": whom}, *READ)
            return (await answered(center.service, scope)).status

        assert [await status(STRANGER) for _ in range(25)][-1] == 429
        assert await status("203.0.113.10") == 401


async def test_wrong_keys_are_counted_for_a_whole_network_of_ipv6(world, anyio_backend):
    async with running(world, clients=CLIENTS) as center:

        async def status(peer):
            return (await answered(center.service, asked(peer, key("wrong"), *READ))).status

        assert [await status(f"2001:db8::{number:x}") for number in range(25)][-1] == 429
        assert await status("2001:db8:0:1::1") == 401


async def test_a_key_that_is_revoked_while_the_body_comes_brings_nothing(world, anyio_backend):
    async with running(world, clients=CLIENTS) as center:
        accounts, sent = list(center.tokens.accounts), []

        async def receive():
            await center.service.reload(accounts, clients=())
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message)

        headers = key(KEY) | {"prefer": "return=representation"}
        calls = len(world.sandbox.calls)
        await center.service(asked(STRANGER, headers, "PUT", "/token/alpha"), receive, send)
        assert sent[0]["status"] == 401
        assert len(world.sandbox.calls) == calls
