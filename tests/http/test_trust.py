"""Who may read and refresh, from end to end; the rules one by one are in test_access.py."""

from __future__ import annotations

import logging
import re

import pytest

from wxtoken_asgi import ConfigError, TokenManager, WxTokenMiddleware
from wxtoken_asgi.answers import json_answer
from wxtoken_asgi.door import NOT_ALLOWED

from support.center import exchange, running

LAN = {"trusted": ["127.0.0.1", "10.0.0.0/8", "::ffff:192.0.2.0/120"]}
PROXIED = {"trusted": ["127.0.0.1", "10.0.0.0/8"], "trusted_proxies": ["172.16.0.1", "127.0.0.1"]}
NAMED = {"hosts": ["tokens.internal"]}
BODY = b'{"code":"not_allowed","errmsg":"not allowed from here"}'

# peer, headers, settings, whether it may
ROWS = [
    ("127.0.0.1", {}, {}, True),
    ("::1", {"host": "[::1]:8000"}, {}, True),
    ("::ffff:127.0.0.1", {}, {}, True),
    ("10.0.0.1", {}, {}, False),
    ("127.0.0.1", {"host": "evil.example"}, {}, False),
    ("127.0.0.1", {"host": "tokens.internal:80"}, {}, False),
    ("127.0.0.1", {"host": "tokens.internal:80"}, NAMED, True),
    ("127.0.0.1", {"origin": "http://localhost"}, {}, False),
    ("127.0.0.1", {"sec-fetch-site": "same-origin"}, {}, False),
    ("127.0.0.1", {"sec-fetch-site": "none"}, {}, True),
    ("127.0.0.1", {"x-forwarded-for": "8.8.8.8"}, {}, False),
    ("127.0.0.1", {"x-real-ip": "8.8.8.8"}, {}, False),
    ("127.0.0.1", {"forwarded": "for=8.8.8.8"}, {}, False),
    ("127.0.0.1", {"x-forwarded-for": "8.8.8.8,127.0.0.1"}, {}, False),
    ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, {}, True),
    ("10.1.2.3", {"host": "any.name"}, LAN, True),
    ("210.0.0.1", {}, LAN, False),
    ("192.0.2.7", {}, LAN, True),
    ("10.1.2.3", {"x-forwarded-for": "10.9.9.9, 127.0.0.1"}, LAN, True),
    ("10.1.2.3", {"x-forwarded-for": "8.8.8.8"}, LAN, False),
    ("172.16.0.1", {"x-forwarded-for": "10.0.0.7"}, PROXIED, True),
    ("172.16.0.1", {"x-forwarded-for": "8.8.8.8, 10.0.0.7"}, PROXIED, True),
    ("172.16.0.1", {"x-forwarded-for": "10.0.0.7, 8.8.8.8"}, PROXIED, False),
    ("172.16.0.1", {}, PROXIED, False),
    ("127.0.0.1", {}, PROXIED, False),
    ("127.0.0.1", {"x-forwarded-for": "10.0.0.7", "host": "www.example.com"}, PROXIED, True),
    ("8.8.8.8", {}, {"trusted": ["0.0.0.0/0"]}, True),
]


@pytest.mark.parametrize(("peer", "headers", "options", "may"), ROWS)
@pytest.mark.parametrize(("method", "path"), [("GET", "/token/alpha"), ("PUT", "/ticket/alpha")])
async def test_trust_decides_over_reads_and_refreshes(
    world, *, peer, headers, options, may, method, path, anyio_backend
):
    async with running(world, **options) as center:
        answer = await center.ask(method, path, peer=peer, headers=headers)
    assert answer.status_code == (200 if may else 403)
    if not may:
        assert answer.content == BODY
        assert dict(answer.headers) == {
            "content-type": "application/json",
            "content-length": str(len(BODY)),
            "cache-control": "no-store",
        }


@pytest.mark.parametrize("client", [None, ("", 0), ("unix", 0), [None, 0]])
async def test_a_peer_without_an_address_may_nothing(world, client, anyio_backend):
    async with running(world) as center:

        async def app(scope, receive, send):
            await center.service(scope | {"client": client}, receive, send)

        assert (await exchange(app, "GET", "/token/alpha")).status == 403


async def test_http_1_0_from_loopback_may_be_a_proxy(world, anyio_backend):
    async with running(world) as center:

        async def app(scope, receive, send):
            await center.service(scope | {"http_version": "1.0"}, receive, send)

        assert (await exchange(app, "GET", "/token/alpha")).status == 403


LOGGED = [
    ("10.0.0.1", {}, {}, "refused: peer 10.0.0.1 is not in trusted"),
    (
        "127.0.0.1",
        {"x-real-ip": "8.8.8.8"},
        {},
        "peer 127.0.0.1 is not in trusted_proxies, and names 8.8.8.8",
    ),
    ("127.0.0.1", {"host": "evil.example"}, {}, "peer 127.0.0.1 sent a Host that .* not in hosts"),
    ("127.0.0.1", {"origin": "http://evil.example"}, {}, "peer 127.0.0.1 sent an Origin: trusted is not"),
    ("172.16.0.1", {}, PROXIED, "peer 172.16.0.1 is in trusted_proxies, but sent no forwarding header"),
]


@pytest.mark.parametrize(("peer", "headers", "options", "message"), LOGGED)
async def test_the_log_names_peer_and_setting_loudly_once(
    world, caplog, *, peer, headers, options, message, anyio_backend
):
    caplog.set_level(logging.DEBUG, "wxtoken_asgi")
    async with running(world, **options) as center:
        for _ in range(3):
            await center.get("/token/alpha", peer=peer, headers=headers)
    told = [record for record in caplog.records if record.getMessage().startswith("refused: ")]
    assert [record.levelname for record in told] == ["WARNING", "DEBUG", "DEBUG"]
    assert all(re.search(message, record.getMessage()) for record in told)
    assert not any("evil" in record.getMessage() for record in told)


async def test_a_flood_of_refused_addresses_does_not_flood_log_and_memory(world, caplog, anyio_backend):
    caplog.set_level(logging.WARNING, "wxtoken_asgi")
    async with running(world) as center:
        for number in range(1200):
            await center.raw("GET", "/token/alpha", peer=f"10.9.{number // 250}.{number % 250}")
        door = center.service._door
    told = [record for record in caplog.records if record.getMessage().startswith("refused: ")]
    assert len(told) == len(door._told) == 1000


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("path", ["/token/alpha", "/token/nope", "/ticket/alpha", "/ticket/nope"])
async def test_strangers_are_refused_before_an_account_is_looked_up(
    world, monkeypatch, method, path, anyio_backend
):
    def look(*arguments):
        raise AssertionError("an account was looked up")

    async with running(world) as center:
        monkeypatch.setattr(TokenManager, "entry", look)
        answer = await center.raw(method, path, peer="10.0.0.1")
        assert (answer.status, answer.body) == (403, b"" if method == "HEAD" else BODY)
        with pytest.raises(AssertionError, match="looked up"):
            await center.raw(method, path)


async def test_a_guests_app_sees_strangers_as_ever(world, anyio_backend):
    async def app(scope, receive, send):
        await json_answer(200, {"peer": scope["client"][0]}).send(scope, send)

    async with running(world, app=app) as center:
        refused = await center.get("/token/alpha", peer="10.0.0.1")
        passed = await center.get("/token/nope", peer="10.0.0.1")
    assert refused.status_code == 403
    assert passed.json() == {"peer": "10.0.0.1"}


async def test_a_304_is_for_trusted_callers_only(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/alpha", peer="10.0.0.1", headers={"if-none-match": "*"})
    assert answer.status_code == 403
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trusted": "127.0.0.1"}, "trusted: must be a list"),
        ({"trusted": ["10.0.0.1/8"]}, "trusted: '10.0.0.1/8' has host bits set"),
        ({"trusted_proxies": ["nginx"]}, "trusted_proxies: 'nginx' is no address"),
        ({"hosts": ["a:80"]}, "hosts: 'a:80' must be without port"),
    ],
)
def test_a_wrong_setting_is_named(world, options, message):
    with pytest.raises(ConfigError, match=message):
        WxTokenMiddleware(tokens=world.manager(), **options)


def test_the_refusal_says_no_more_than_that():
    assert (NOT_ALLOWED.status, NOT_ALLOWED.body) == (403, BODY)
