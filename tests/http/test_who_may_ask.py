"""Who may ask for what: peers, headers, proxies, keys and paths, each with its answer."""

from __future__ import annotations

import itertools
import logging

import pytest

from wxtoken_asgi import ConfigError, WxTokenMiddleware
from wxtoken_asgi.clients import Client
from wxtoken_asgi.keys import Key, new_key

from support.asking import answered, asked, key
from support.center import running

ALL, SHOP, READER, BOUND, ENDED, OLD, NEW, PAGES = (new_key() for _ in range(8))
FRIEND, STRANGER, PROXY, LOCAL = "10.1.2.3", "203.0.113.9", "192.0.2.1", "127.0.0.1"
CLIENTS = (
    Client("all", keys=[Key.of(ALL).line]),
    Client("shop", keys=[Key.of(SHOP).line], accounts=["alpha"]),
    Client("reader", keys=[Key.of(READER).line], may=["read"]),
    Client("bound", keys=[Key.of(BOUND).line], networks=["10.1.0.0/16", "127.0.0.1"]),
    Client("ended", keys=[Key.of(ENDED, 1_790_000_000.0).line]),
    Client("two", keys=[Key.of(OLD, 1_800_000_000.0).line, Key.of(NEW).line]),
    Client("pages", keys=[Key.of(PAGES).line], may=["js-config"]),
    Client("lan", networks=["10.2.0.0/16"], may=["read"], accounts=["wx00000000000000a1"]),
    Client("office", networks=["10.2.3.0/24"], may=["refresh"], accounts=["beta"]),
)
RULES = {"trusted": ["127.0.0.0/8", "10.1.2.0/24"], "trusted_proxies": [PROXY], "clients": CLIENTS}
UNIX = RULES | {"trusted": ["unix"]}
BEHIND = RULES | {"trusted_proxies": ["unix", "127.0.0.1"]}
READ, PUT = ("GET", "/token/alpha"), ("PUT", "/token/alpha")
OTHER, OTHER_PUT = ("GET", "/token/beta"), ("PUT", "/token/beta")
NOWHERE, TICKET = ("GET", "/token/nope"), ("GET", "/ticket/alpha")
HOST = {"host": "localhost"}

# who, from where, with which headers, asks for what, and the answer's status
ROWS = [
    # trusted addresses
    ("trusted", LOCAL, HOST, READ, 200),
    ("trusted", LOCAL, HOST, PUT, 200),
    ("trusted", LOCAL, HOST, OTHER, 200),
    ("trusted", LOCAL, HOST, TICKET, 200),
    ("trusted", LOCAL, HOST, NOWHERE, 404),
    ("trusted in the LAN", FRIEND, {}, READ, 200),
    ("trusted in the LAN", FRIEND, {}, PUT, 200),
    ("a stranger", STRANGER, {}, READ, 403),
    ("a stranger", STRANGER, {}, PUT, 403),
    ("a stranger", STRANGER, {}, NOWHERE, 403),
    ("a stranger", STRANGER, {}, TICKET, 403),
    ("a web page at a trusted address", LOCAL, HOST | {"origin": "https://a.example"}, READ, 403),
    ("a web page in the LAN", FRIEND, {"sec-fetch-site": "cross-site"}, PUT, 403),
    ("a rebound name", LOCAL, {"host": "evil.example"}, READ, 403),
    # clients known by their networks
    ("the LAN's client", "10.2.9.9", {}, READ, 200),
    ("the LAN's client", "10.2.9.9", {}, TICKET, 200),
    ("the LAN's client by appid", "10.2.9.9", {}, ("GET", "/token/wx00000000000000a1"), 200),
    ("the LAN's client", "10.2.9.9", {}, PUT, 403),
    ("the LAN's client", "10.2.9.9", {}, OTHER, 403),
    ("the LAN's client", "10.2.9.9", {}, NOWHERE, 403),
    ("the LAN's client in a page", "10.2.9.9", {"origin": "null"}, READ, 403),
    ("one that is two clients", "10.2.3.4", {}, READ, 200),
    ("one that is two clients", "10.2.3.4", {}, OTHER_PUT, 200),
    ("one that is two clients", "10.2.3.4", {}, PUT, 403),
    ("one that is two clients", "10.2.3.4", {}, OTHER, 403),
    ("the LAN's client names another", "10.2.9.9", {"x-forwarded-for": FRIEND}, READ, 403),
    ("the LAN's client names its like", "10.2.9.9", {"x-forwarded-for": "10.2.9.8"}, READ, 200),
    # keys
    ("a key", STRANGER, key(ALL), READ, 200),
    ("a key", STRANGER, key(ALL), PUT, 200),
    ("a key", STRANGER, key(ALL), OTHER, 200),
    ("a key", STRANGER, key(ALL), OTHER_PUT, 200),
    ("a key", STRANGER, key(ALL), TICKET, 200),
    ("a key", STRANGER, key(ALL), NOWHERE, 404),
    ("a key in lower case", STRANGER, {"authorization": f"bearer {ALL}"}, READ, 200),
    ("a key with blanks", STRANGER, {"authorization": f"Bearer   {ALL} "}, READ, 200),
    ("a key at a trusted address", LOCAL, HOST | key(ALL), READ, 200),
    ("a key and a strange host", LOCAL, {"host": "evil.example"} | key(ALL), READ, 200),
    ("a key and an Origin", STRANGER, key(ALL) | {"origin": "https://a.example"}, READ, 200),
    ("a key and a forwarding header", STRANGER, key(ALL) | {"x-forwarded-for": FRIEND}, READ, 200),
    ("a key through the proxy", PROXY, key(ALL) | {"x-forwarded-for": STRANGER}, READ, 200),
    ("a key through a silent proxy", PROXY, key(ALL), READ, 200),
    ("a key of one account", STRANGER, key(SHOP), READ, 200),
    ("a key of one account", STRANGER, key(SHOP), PUT, 200),
    ("a key of one account by appid", STRANGER, key(SHOP), ("GET", "/token/wx00000000000000a1"), 200),
    ("a key of one account", STRANGER, key(SHOP), TICKET, 200),
    ("a key of one account", STRANGER, key(SHOP), OTHER, 403),
    ("a key of one account", STRANGER, key(SHOP), OTHER_PUT, 403),
    ("a key of one account", STRANGER, key(SHOP), NOWHERE, 403),
    ("a key of one account where trusted", LOCAL, HOST | key(SHOP), OTHER, 403),
    ("a key that may read", STRANGER, key(READER), READ, 200),
    ("a key that may read", STRANGER, key(READER), OTHER, 200),
    ("a key that may read", STRANGER, key(READER), PUT, 403),
    ("a key that may read where trusted", LOCAL, HOST | key(READER), PUT, 403),
    ("a key for pages", STRANGER, key(PAGES), READ, 403),
    ("a key for pages", STRANGER, key(PAGES), PUT, 403),
    ("a bound key at home", "10.1.9.9", key(BOUND), READ, 200),
    ("a bound key at home", "10.1.9.9", key(BOUND), PUT, 200),
    ("a bound key elsewhere", STRANGER, key(BOUND), READ, 403),
    ("a bound key at a loopback", LOCAL, HOST | key(BOUND), READ, 200),
    ("a bound key at a loopback that may be a proxy", LOCAL, {"host": "a.example"} | key(BOUND), READ, 403),
    ("a bound key that names its home", STRANGER, key(BOUND) | {"x-forwarded-for": "10.1.9.9"}, READ, 403),
    ("a bound key that names another", "10.1.9.9", key(BOUND) | {"x-forwarded-for": STRANGER}, READ, 403),
    ("a bound key through the proxy", PROXY, key(BOUND) | {"x-forwarded-for": "10.1.9.9"}, READ, 200),
    ("a bound key through it from outside", PROXY, key(BOUND) | {"x-real-ip": STRANGER}, READ, 403),
    ("a bound key through a silent proxy", PROXY, key(BOUND), READ, 403),
    ("an old key that ends later", STRANGER, key(OLD), READ, 200),
    ("its new key", STRANGER, key(NEW), READ, 200),
    ("an ended key", STRANGER, key(ENDED), READ, 401),
    ("an ended key", STRANGER, key(ENDED), PUT, 401),
    ("an ended key where trusted", LOCAL, HOST | key(ENDED), READ, 401),
    # wrong keys
    ("a wrong key", STRANGER, key(new_key()), READ, 401),
    ("a wrong key", STRANGER, key(new_key()), PUT, 401),
    ("a wrong key", STRANGER, key(new_key()), NOWHERE, 401),
    ("a wrong key where trusted", LOCAL, HOST | key(new_key()), READ, 401),
    ("a wrong key where trusted", LOCAL, HOST | key(new_key()), PUT, 401),
    ("a key with one more letter", STRANGER, key(ALL + "x"), READ, 401),
    ("a key with one letter less", STRANGER, key(ALL[:-1]), READ, 401),
    ("a key in other case", STRANGER, key(ALL.swapcase()), READ, 401),
    ("a key's hash", STRANGER, key(Key.of(ALL).digest.hex()), READ, 401),
    ("a key's line", STRANGER, key(Key.of(ALL).line), READ, 401),
    ("an empty key", STRANGER, {"authorization": "Bearer "}, READ, 401),
    ("an empty key where trusted", LOCAL, HOST | {"authorization": "Bearer"}, READ, 401),
    ("a key with a blank in it", STRANGER, key("a b"), READ, 401),
    ("a key in quotes", STRANGER, key(f'"{ALL}"'), READ, 401),
    ("a very long key", STRANGER, key("a" * 5000), READ, 401),
    ("two keys in one header", STRANGER, key(f"{ALL}, {ALL}"), READ, 401),
    ("another scheme is no key", STRANGER, {"authorization": "Basic dXNlcjpwYXNz"}, READ, 403),
    ("another scheme is no key", LOCAL, HOST | {"authorization": "Basic dXNlcjpwYXNz"}, READ, 200),
    ("a key in another scheme", STRANGER, {"authorization": f"Token {ALL}"}, READ, 403),
    ("a key alone", STRANGER, {"authorization": ALL}, READ, 401),
    ("a key behind a tab", STRANGER, {"authorization": f"Bearer\t{ALL}"}, READ, 200),
    ("a wrong key behind a tab where trusted", LOCAL, HOST | {"authorization": "Bearer\tx"}, READ, 401),
    ("a key in another header", STRANGER, {"x-api-key": ALL}, READ, 403),
    ("a key in the query", STRANGER, {}, ("GET", f"/token/alpha?key={ALL}"), 403),
    # proxies
    ("a friend through the proxy", PROXY, {"x-forwarded-for": FRIEND}, READ, 200),
    ("a friend through the proxy", PROXY, {"x-real-ip": FRIEND}, READ, 200),
    ("a friend through the proxy", PROXY, {"forwarded": f"for={FRIEND}"}, READ, 200),
    ("a friend with a port", PROXY, {"x-forwarded-for": f"{FRIEND}:4444"}, READ, 200),
    ("a friend in brackets", PROXY, {"forwarded": f'for="[::ffff:{FRIEND}]:4444"'}, READ, 200),
    ("a friend in two", PROXY, {"x-real-ip": FRIEND, "forwarded": f"for={FRIEND}"}, READ, 200),
    ("a friend in one of two", PROXY, {"x-forwarded-for": FRIEND, "x-real-ip": STRANGER}, READ, 403),
    ("a stranger through the proxy", PROXY, {"x-forwarded-for": STRANGER}, READ, 403),
    ("a stranger through the proxy", PROXY, {"forwarded": f"for={STRANGER}"}, PUT, 403),
    ("a stranger who names a friend", PROXY, {"x-forwarded-for": f"{FRIEND}, {STRANGER}"}, READ, 403),
    ("a friend who names a stranger", PROXY, {"x-forwarded-for": f"{STRANGER}, {FRIEND}"}, READ, 200),
    ("somebody hidden", PROXY, {"forwarded": "for=_hidden"}, READ, 403),
    ("somebody unknown", PROXY, {"forwarded": "for=unknown"}, READ, 403),
    ("nonsense", PROXY, {"x-forwarded-for": ";;%s;"}, READ, 403),
    ("nothing", PROXY, {"x-forwarded-for": ""}, READ, 403),
    ("the proxy itself", PROXY, {}, READ, 403),
    ("the proxy in its own name", PROXY, {"x-forwarded-for": PROXY}, READ, 403),
    ("the LAN's client through the proxy", PROXY, {"x-forwarded-for": "10.2.9.9"}, READ, 200),
    ("the LAN's client through the proxy", PROXY, {"x-forwarded-for": "10.2.9.9"}, PUT, 403),
    ("a stranger plays proxy", STRANGER, {"x-forwarded-for": FRIEND}, READ, 403),
    ("a stranger plays proxy", STRANGER, {"x-real-ip": LOCAL}, READ, 403),
    ("a friend names a stranger", FRIEND, {"x-forwarded-for": STRANGER}, READ, 403),
    ("a local proxy that is not listed", LOCAL, HOST | {"x-forwarded-for": STRANGER}, READ, 403),
    ("its sign without an address", LOCAL, HOST | {"x-forwarded-proto": "https"}, READ, 403),
    ("its sign without an address", LOCAL, HOST | {"x-forwarded-host": "a.example"}, PUT, 403),
    ("its sign in the LAN says nothing", FRIEND, {"x-forwarded-proto": "https"}, READ, 200),
]  # fmt: skip


def test_the_table_is_long_enough():
    assert len(ROWS) + len(SOCKETS) + len(PUT_THERE) >= 120


@pytest.mark.parametrize("rules", [RULES])
async def test_each_row_of_the_table_is_answered_as_it_says(world, rules, anyio_backend):
    async with running(world, **rules) as center:
        for way in ("cold", "warm"):  # the second time, what is plain goes the short way
            wrong = []
            for number, (who, peer, headers, (method, path), status) in enumerate(ROWS):
                center.service._furnish() if way == "cold" else center.service._door._access._wrong.clear()
                got, _, _ = await answered(center.service, asked(peer, headers, method, path))
                wrong += [] if got == status else [(number, who, method, path, got, status)]
            assert not wrong, way


SOCKETS = [
    ("a peer on a socket", RULES, HOST, 403),
    ("a trusted socket", UNIX, HOST, 200),
    ("a trusted socket with a strange host", UNIX, {"host": "a.example"}, 403),
    ("a trusted socket that forwards for a stranger", UNIX, HOST | {"x-forwarded-for": STRANGER}, 403),
    ("a proxy on a socket", BEHIND, {"x-forwarded-for": FRIEND}, 200),
    ("a proxy on a socket for a stranger", BEHIND, {"x-forwarded-for": STRANGER}, 403),
    ("a silent proxy on a socket", BEHIND, HOST, 403),
]


@pytest.mark.parametrize(
    ("client", "server"), [(None, None), (("", 0), ("/run/wx.sock", None)), (("", "0"), ("", 0))]
)
@pytest.mark.parametrize(("who", "rules", "headers", "status"), SOCKETS)
async def test_a_unix_socket_is_trusted_by_name_only(
    world, *, who, rules, headers, status, client, server, anyio_backend
):
    async with running(world, **rules) as center:
        for _ in range(2):
            scope = asked("", headers, *READ, client=client, server=server)
            assert (await answered(center.service, scope))[0] == status, who


async def test_a_connection_that_was_reset_is_no_unix_socket(world, anyio_backend):
    async with running(world, **UNIX) as center:
        for server in (("127.0.0.1", 8000), ["::1", 8000]):
            scope = asked("", HOST, *PUT, client=None, server=server)
            assert (await answered(center.service, scope))[0] == 403


async def test_a_scope_may_lack_its_client(world, anyio_backend):
    async with running(world, **UNIX) as center:
        scope = asked("", HOST, *READ, server=None)
        del scope["client"]
        assert (await answered(center.service, scope))[0] == 200


# peers that a server's own proxy handling has put there

PUT_THERE = [
    ("by its port", RULES, (FRIEND, 0), {"x-forwarded-for": FRIEND}, 403),
    ("by its port, the header stripped", RULES, (FRIEND, 0), {}, 403),
    ("by its name", RULES, (FRIEND, 5555), {"x-forwarded-for": f"{FRIEND}:5555"}, 403),
    ("by its name in Forwarded", RULES, (FRIEND, 80), {"forwarded": f"for={FRIEND}"}, 403),
    ("a loopback by its port", RULES, (LOCAL, 0), HOST | {"x-forwarded-for": LOCAL}, 403),
    (
        "a loopback by the header's port",
        RULES,
        (LOCAL, 5555),
        HOST | {"x-forwarded-for": "127.0.0.1:05555"},
        403,
    ),
    ("a loopback behind a proxy that says so", RULES, (LOCAL, 5555), HOST | {"x-forwarded-for": LOCAL}, 200),
    ("a friend, the local proxy listed", BEHIND, (FRIEND, 0), {"x-forwarded-for": FRIEND}, 200),
    ("a friend who named a stranger", BEHIND, (FRIEND, 0), {"x-forwarded-for": f"{STRANGER}, {FRIEND}"}, 403),
    ("a stranger, the local proxy listed", BEHIND, (STRANGER, 0), {"x-forwarded-for": STRANGER}, 403),
    (
        "a stranger who named a friend",
        BEHIND,
        (STRANGER, 0),
        {"x-forwarded-for": f"{FRIEND}, {STRANGER}"},
        403,
    ),
    (
        "a friend by name, the proxy listed",
        BEHIND,
        (FRIEND, 5555),
        {"x-forwarded-for": f"{FRIEND}:5555"},
        200,
    ),
]


@pytest.mark.parametrize(("who", "rules", "client", "headers", "status"), PUT_THERE)
async def test_a_peer_that_the_server_put_there_counts_only_behind_a_listed_local_proxy(
    world, *, who, rules, client, headers, status, anyio_backend
):
    async with running(world, **rules) as center:
        for first in (None, 50_000):  # the second time the peer has been here by itself before
            if first is not None:
                await answered(center.service, asked(client[0], HOST, *READ))
            scope = asked("", headers, *READ, client=client)
            assert (await answered(center.service, scope))[0] == status, who


# answers


async def test_a_wrong_key_is_401_with_a_challenge_and_tells_nothing(world, anyio_backend):
    async with running(world, **RULES) as center:
        wrong = [new_key(), ENDED, ALL[:-1], ""]
        answers = [await answered(center.service, asked(STRANGER, key(text), *READ)) for text in wrong]
    assert answers[0][1][b"www-authenticate"] == b'Bearer realm="wxtoken", error="invalid_token"'
    assert answers[0][2] == b'{"code":"bad_key","errmsg":"this key is not valid"}'
    assert all(answer == answers[0] for answer in answers)


async def test_two_lines_of_keys_are_refused_though_both_are_right(world, anyio_backend):
    async with running(world, **RULES) as center:
        pairs = [(b"authorization", f"Bearer {ALL}".encode())] * 2
        scope = asked(STRANGER, {}, *READ) | {"headers": pairs}
        assert (await answered(center.service, scope))[0] == 401


async def test_wrong_keys_are_limited_for_each_peer_and_a_right_one_is_always_heard(world, anyio_backend):
    async with running(world, **RULES) as center:
        ask = center.service

        async def status(peer, text):
            return (await answered(ask, asked(peer, key(text), *READ)))[0]

        assert [await status(STRANGER, new_key()) for _ in range(22)] == [401] * 20 + [429] * 2
        _, headers, _ = await answered(ask, asked(STRANGER, key(new_key()), *READ))
        assert headers[b"retry-after"] == b"60"
        assert await status("203.0.113.10", new_key()) == 401
        assert await status(STRANGER, ALL) == 200
        world.clock.slept += 61
        assert await status(STRANGER, new_key()) == 401


async def test_peers_with_wrong_keys_are_remembered_up_to_a_bound(world, anyio_backend):
    async with running(world, **RULES) as center:
        for number in range(5000):
            peer = f"2001:db8:0:{number:x}::1"
            await answered(center.service, asked(peer, key("wrong"), *READ))
        assert 0 < len(center.service._door._access._wrong) <= 4096


async def test_no_store_is_asked_for_a_wrong_key(world, anyio_backend, monkeypatch):
    async with running(world, **RULES) as center:
        monkeypatch.setattr(type(center.tokens), "entry", lambda *_: pytest.fail("an account was looked up"))
        assert (await answered(center.service, asked(STRANGER, key("wrong"), *READ)))[0] == 401


@pytest.mark.parametrize("text", [ALL, None], ids=["with a key", "without"])
async def test_too_many_headers_and_too_long_a_query_are_refused(world, text, anyio_backend):
    async with running(world, **RULES) as center:
        headers = key(text) if text else {}
        many = headers | {f"x-{number}": "" for number in range(200 if text else 201)}
        for _ in range(2):
            assert (await answered(center.service, asked(FRIEND, many, *READ)))[0] == 431
            long = ("GET", "/token/alpha?" + "a" * 20_000)
            assert (await answered(center.service, asked(FRIEND, headers, *long)))[0] == 414
            page = ("GET", "/js-config/alpha?url=" + "a" * 20_000)
            assert (await answered(center.service, asked(FRIEND, headers, *page)))[0] == 414


async def test_a_key_ends_on_its_second_also_where_it_was_heard_just_before(world, anyio_backend):
    one = new_key()
    client = Client("brief", keys=[Key.of(one, int(world.clock.time()) + 10).line])
    async with running(world, clients=[client]) as center:
        for ahead, status in ((0, 200), (9, 200), (11, 401)):
            world.clock.wall_offset = ahead
            for _ in range(2):
                assert (await answered(center.service, asked(STRANGER, key(one), *READ)))[0] == status


async def test_a_key_is_rotated_without_a_refusal(world, anyio_backend):
    old, new = new_key(), new_key()

    def clients(*lines):
        return [Client("crm", keys=lines)]

    async with running(world, clients=clients(Key.of(old).line)) as center:
        accounts = list(center.tokens.accounts)

        async def status(text):
            return (await answered(center.service, asked(STRANGER, key(text), *READ)))[0]

        assert [await status(old), await status(new)] == [200, 401]
        end = world.clock.time() + 3600
        await center.service.reload(accounts, clients=clients(Key.of(old, end).line, Key.of(new).line))
        assert [await status(old), await status(new)] == [200, 200]
        world.clock.slept += 3601
        assert [await status(old), await status(new)] == [401, 200]
        await center.service.reload(accounts, clients=[])
        assert [await status(old), await status(new)] == [401, 401]


async def test_who_may_refresh_but_not_read_is_not_given_the_value(world, anyio_backend):
    clients = [Client("renewer", keys=[Key.of(ALL).line], may=["refresh"])]
    async with running(world, clients=clients) as center:
        for headers, told in ((key(ALL), b'{"message":"ok"}'), (HOST, None)):
            scope = asked(LOCAL, headers | {"prefer": "return=representation"}, *PUT)
            status, answer, body = await answered(center.service, scope)
            assert status == 200
            assert body == told if told else center.world.sandbox.accepts(body.decode())
            assert (b"preference-applied" in answer) == (told is None)


# js-config


PAGE = ("GET", "/js-config/alpha?url=https%3A%2F%2Fwww.example.com%2F")


@pytest.mark.parametrize(
    ("headers", "peer", "status"),
    [
        ({}, STRANGER, 403),
        ({"origin": "https://www.example.com"}, LOCAL, 403),
        (key("wrong"), STRANGER, 401),
        (key(READER), STRANGER, 403),
        (key(PAGES), STRANGER, 200),
        (key(ALL), STRANGER, 200),
        (HOST, LOCAL, 200),
    ],
    ids=itertools.count(),
)
async def test_js_config_may_be_closed(world, headers, peer, status, anyio_backend):
    async with running(world, js_config_open=False, **RULES) as center:
        got, told, _ = await answered(center.service, asked(peer, headers, *PAGE))
        assert got == status
        assert told[b"access-control-allow-origin"] == b"*"
        assert (await answered(center.service, asked(peer, headers, "OPTIONS", PAGE[1])))[0] == 204


async def test_js_config_is_open_by_default_whatever_key_comes_with_it(world, anyio_backend):
    async with running(world, **RULES) as center:
        for headers in ({}, key("wrong"), key(READER)):
            assert (await answered(center.service, asked(STRANGER, headers, *PAGE)))[0] == 200


async def test_the_ticket_beside_a_signature_is_for_those_who_may_read_it(world, anyio_backend):
    async with running(world, js_config_ticket=True, **RULES) as center:
        for headers, with_ticket in (
            (key(READER), True),
            (key(PAGES), False),
            (key("no"), False),
            ({}, False),
        ):
            _, _, body = await answered(center.service, asked(STRANGER, headers, *PAGE))
            assert (b"jsapi_ticket" in body) == with_ticket


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        (asked(LOCAL, HOST, *READ), 404),
        (asked(LOCAL, HOST, *PUT), 404),
        (asked(LOCAL, HOST, "GET", "/health/ready"), 404),
        (asked(STRANGER, {}, "GET", "/health/live"), 200),
        (asked(STRANGER, {}, *PAGE), 200),
        (asked(STRANGER, {}, "POST", PAGE[1]), 405),
        (asked(STRANGER, {}, "GET", "/"), 404),
    ],
)
async def test_the_public_part_answers_pages_and_nothing_else(world, scope, status, anyio_backend):
    async with running(world, **RULES) as center:
        assert (await answered(center.service.pages, scope))[0] == status


async def test_the_public_part_hands_on_the_lifespan_and_refuses_websockets(world, anyio_backend):
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive():
        return next(messages, {"type": "websocket.connect"})

    async def send(message):
        sent.append(message["type"])

    service = WxTokenMiddleware(tokens=world.manager())
    await service.pages({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    await service.pages({"type": "websocket", "path": "/js-config/alpha", "headers": []}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


# settings


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ("crm", "clients: must be a list of Client objects"),
        (["crm"], "clients: must be a list of Client objects"),
        (
            [Client("trusted", networks=["10.0.0.1"])],
            "client trusted: the setting trusted is called so; choose another name",
        ),
        ([Client("a", networks=["10.0.0.1"])] * 2, "client a: another client has this name"),
        (
            [Client("a", keys=[Key.of(ALL).line]), Client("b", keys=[Key.of(ALL).line])],
            "is a key of client a already",
        ),
        (
            [Client("a", networks=["::1"], accounts=["shop"])],
            "client a: accounts: 'shop' is no account",
        ),
    ],
)
async def test_wrong_clients_are_refused_at_the_start_and_at_a_reload(world, clients, words, anyio_backend):
    with pytest.raises(ConfigError, match=words):
        WxTokenMiddleware(tokens=world.manager(), clients=clients)
    async with running(world) as center:
        with pytest.raises(ConfigError, match=words):
            await center.service.reload(list(center.tokens.accounts), clients=clients)
        assert (await center.get("/token/alpha")).status_code == 200


async def test_a_client_whose_account_a_reload_removes_may_no_longer_use_it(world, anyio_backend):
    async with running(world, clients=CLIENTS) as center:
        assert (await answered(center.service, asked(STRANGER, key(SHOP), *READ)))[0] == 200
        await center.tokens.reload([world.account("beta")])
        assert (await answered(center.service, asked(STRANGER, key(SHOP), *READ)))[0] == 403
        assert (await answered(center.service, asked(STRANGER, key(ALL), *READ)))[0] == 404


# records


async def test_who_asked_stands_in_the_audit_records_and_no_key_does(world, caplog, anyio_backend):
    caplog.set_level(logging.INFO)
    async with running(world, **RULES) as center:
        for headers, (method, path) in itertools.product(
            (key(ALL), key(SHOP), key("wrong")), (READ, OTHER_PUT)
        ):
            await answered(center.service, asked(STRANGER, headers | {"x-request-id": "r-1"}, method, path))
        center.service._audit.flush()
    told = [record.audit for record in caplog.records if hasattr(record, "audit")]
    short = {(one["event"], one["client"], one["account"], one["result"]) for one in told}
    assert {
        ("read", "all", "alpha", "ok"),
        ("read", "shop", "alpha", "ok"),
        ("refresh", "all", "beta", "ok"),
        ("refused", "shop", "beta", "not_allowed"),
        ("refused", "", "alpha", "bad_key"),
    } <= short
    assert {one["key"] for one in told} == {Key.of(ALL).id, Key.of(SHOP).id, ""}
    assert {one["address"] for one in told} == {STRANGER}
    assert {one.get("request_id") for one in told if one["event"] != "read"} == {"r-1"}
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert ALL not in text
    assert SHOP not in text
