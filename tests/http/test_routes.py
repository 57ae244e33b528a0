"""Which requests are ours, and what becomes of those that are not."""

from __future__ import annotations

import copy

import anyio
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from wxtoken_asgi import Account, ConfigError, TokenManager, WxTokenMiddleware
from wxtoken_asgi.routes import checked_prefix, route_path

from support.center import STRANGER, client, exchange, running, scope_of
from support.world import APPIDS

ALPHA = APPIDS["alpha"]
SHOP = 418


async def shop(scope, receive, send):
    """The app behind us."""
    await send({"type": "http.response.start", "status": SHOP, "headers": []})
    await send({"type": "http.response.body", "body": b"the shop"})


def built(app=None, **options):
    """The service with the accounts alpha and 服务号.1, never opened: a stranger's 403 shows a claim."""
    accounts = [Account("alpha", ALPHA, "x"), Account("服务号.1", "wx1", "x")]
    return WxTokenMiddleware(app, TokenManager(accounts), **options)


async def status_for_a_stranger(service, method, path, **options):
    return (await exchange(service, method, path, peer=STRANGER, **options)).status


# method, path, as guests, as owners below /wx, alone; 403, 400 and 204 are ours for a stranger
TABLE = [
    ("GET", "/token/alpha", 403, 403, 403),
    ("HEAD", "/token/alpha", 403, 403, 403),
    ("PUT", "/token/alpha", 403, 403, 403),
    ("POST", "/token/alpha", SHOP, 405, 405),
    ("DELETE", "/token/alpha", SHOP, 405, 405),
    ("PATCH", "/token/alpha", SHOP, 405, 405),
    ("OPTIONS", "/token/alpha", SHOP, 405, 405),
    ("TRACE", "/token/alpha", SHOP, 405, 405),
    ("get", "/token/alpha", SHOP, 405, 405),
    ("GET", "/ticket/alpha", 403, 403, 403),
    ("HEAD", "/ticket/alpha", 403, 403, 403),
    ("PUT", "/ticket/alpha", 403, 403, 403),
    ("POST", "/ticket/alpha", SHOP, 405, 405),
    ("OPTIONS", "/ticket/alpha", SHOP, 405, 405),
    ("GET", "/js-config/alpha", 400, 400, 400),
    ("HEAD", "/js-config/alpha", 400, 400, 400),
    ("OPTIONS", "/js-config/alpha", 204, 204, 204),
    ("PUT", "/js-config/alpha", SHOP, 405, 405),
    ("POST", "/js-config/alpha", SHOP, 405, 405),
    ("GET", "/health/live", SHOP, 200, 200),
    ("HEAD", "/health/live", SHOP, 200, 200),
    ("GET", "/health/live/", SHOP, 200, 200),
    ("GET", "/health/ready", SHOP, 200, 200),
    ("HEAD", "/health/ready", SHOP, 200, 200),
    ("PUT", "/health/live", SHOP, 405, 405),
    ("OPTIONS", "/health/ready", SHOP, 405, 405),
    ("GET", "/health", SHOP, SHOP, 404),
    ("GET", "/health/", SHOP, SHOP, 404),
    ("GET", "/health/liveness", SHOP, SHOP, 404),
    ("GET", "/health/live/x", SHOP, SHOP, 404),
    ("GET", "/health/live//", SHOP, SHOP, 404),
    ("GET", "/token/alpha/", 403, 403, 403),
    ("GET", "/js-config/alpha/", 400, 400, 400),
    ("GET", f"/token/{ALPHA}", 403, 403, 403),
    ("GET", "/token/服务号.1", 403, 403, 403),
    ("GET", "/token/nope", SHOP, 403, 403),
    ("POST", "/token/refresh", SHOP, 405, 405),
    ("GET", "/token/Alpha", SHOP, 403, 403),
    ("GET", "/token/..", SHOP, 403, 403),
    ("GET", "/token/alpha ", SHOP, 403, 403),
    ("GET", "/token/alpha;x=1", SHOP, 403, 403),
    ("GET", "/TOKEN/alpha", SHOP, SHOP, 404),
    ("GET", "/Token/alpha", SHOP, SHOP, 404),
    ("GET", "/token", SHOP, SHOP, 404),
    ("GET", "/token/", SHOP, SHOP, 404),
    ("GET", "/token//", SHOP, SHOP, 404),
    ("GET", "/tokens/alpha", SHOP, SHOP, 404),
    ("GET", "/tokens/x", SHOP, SHOP, 404),
    ("GET", "/tokenalpha", SHOP, SHOP, 404),
    ("GET", "/token/alpha/b", SHOP, SHOP, 404),
    ("GET", "/token/alpha//", SHOP, SHOP, 404),
    ("GET", "/token//alpha", SHOP, SHOP, 404),
    ("GET", "//token/alpha", SHOP, SHOP, 404),
    ("GET", "/x/token/alpha", SHOP, SHOP, 404),
    ("GET", "/token/../token/alpha", SHOP, SHOP, 404),
    ("GET", "/./token/alpha", SHOP, SHOP, 404),
    ("GET", "/", SHOP, SHOP, 404),
    ("GET", "/js-config", SHOP, SHOP, 404),
    ("GET", "/js_config/alpha", SHOP, SHOP, 404),
    ("OPTIONS", "*", SHOP, SHOP, 404),
]


@pytest.mark.parametrize(("method", "path", "guest", "owner", "alone"), TABLE)
async def test_whole_segments_decide_who_answers(method, path, *, guest, owner, alone, anyio_backend):
    assert await status_for_a_stranger(built(shop), method, path) == guest
    assert await status_for_a_stranger(built(shop, prefix="/wx"), method, "/wx" + path) == owner
    assert await status_for_a_stranger(built(), method, path) == alone
    assert await status_for_a_stranger(built(prefix="/wx"), method, "/wx" + path) == alone


@pytest.mark.parametrize(
    "path", ["/token/alpha", "/wxtoken/alpha", "/wxx/token/alpha", "/wx", "/wx/", "/WX/x"]
)
async def test_what_lies_beside_the_prefix_goes_to_the_app(path, anyio_backend):
    assert await status_for_a_stranger(built(shop, prefix="/wx"), "GET", path) == SHOP


@pytest.mark.parametrize("prefix", ["/a/b", "/服务", "/a.b-c_d~e"])
async def test_a_prefix_may_have_several_segments_of_any_script(prefix, anyio_backend):
    assert await status_for_a_stranger(built(shop, prefix=prefix), "GET", f"{prefix}/token/alpha") == 403


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/token/%61lpha", 403),
        ("/token/%E6%9C%8D%E5%8A%A1%E5%8F%B7.1", 403),
        ("/%74oken/alpha", 403),
        ("/token/alpha%2F", 403),
        ("/token/alpha%2Fb", SHOP),
        ("/token%2Falpha", 403),
        ("/token/%2561lpha", SHOP),
        ("/token/alpha%00", SHOP),
        ("/token/alpha%20", SHOP),
    ],
)
async def test_paths_are_matched_as_the_server_decoded_them_once(url, status, anyio_backend):
    async with client(built(shop), STRANGER) as http:
        assert (await http.get(url)).status_code == status


async def test_owners_tell_callers_who_may_know_that_an_account_is_unknown(anyio_backend):
    for app in ("nope", "Alpha", "服务号", ".."):
        answer = await exchange(built(), "GET", f"/token/{app}")
        assert answer.status == 404
        assert b'"code":"unknown_account"' in answer.body


async def test_a_path_that_nobody_has_is_404_in_our_form(anyio_backend):
    async with client(built()) as http:
        answer = await http.get("/nothing")
    assert (answer.status_code, answer.json()) == (
        404,
        {"code": "not_found", "errmsg": "there is nothing here"},
    )


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/token/alpha", "GET, HEAD, PUT"),
        ("/ticket/nope", "GET, HEAD, PUT"),
        ("/js-config/alpha", "GET, HEAD, OPTIONS"),
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_says_which_are_allowed(path, allow, anyio_backend):
    async with client(built(), STRANGER) as http:
        answer = await http.post(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert answer.json()["code"] == "method_not_allowed"
    assert allow in answer.json()["errmsg"]


async def test_a_pages_405_can_be_read_by_the_page_and_a_tokens_cannot(anyio_backend):
    page = await exchange(built(), "POST", "/js-config/alpha")
    token = await exchange(built(), "POST", "/token/alpha")
    assert page.headers[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-origin" not in token.headers


# root_path


ROOTS = [
    pytest.param("/api", "/api/token/alpha", 403, id="not stripped"),
    pytest.param("/api", "/token/alpha", 403, id="stripped by the proxy"),
    pytest.param("", "/token/alpha", 403, id="empty"),
    pytest.param("/api", "/api/api/token/alpha", SHOP, id="doubled"),
    pytest.param("/product", "/products/token/alpha", SHOP, id="product is not products"),
    pytest.param("/token", "/token/alpha", SHOP, id="root_path eats the word"),
    pytest.param("/token", "/token/token/alpha", 403, id="a word as root_path"),
    pytest.param("/a/b", "/a/b/token/alpha", 403, id="two segments"),
    pytest.param("/a/b", "/a/token/alpha", SHOP, id="half of it"),
    pytest.param("/API", "/api/token/alpha", SHOP, id="letter case"),
    pytest.param("/api/", "/api/token/alpha", SHOP, id="a slash at its end, as Starlette sees it"),
    pytest.param("/api/", "/api//token/alpha", 403, id="a slash at its end, as uvicorn joins it"),
    pytest.param("/api", "/api", SHOP, id="the root itself"),
    pytest.param("/", "/token/alpha", 403, id="a slash alone"),
]


@pytest.mark.parametrize(("root_path", "path", "status"), ROOTS)
async def test_paths_are_looked_at_below_root_path(root_path, path, status, anyio_backend):
    assert await status_for_a_stranger(built(shop), "GET", path, root_path=root_path) == status


async def test_a_prefix_equal_to_root_path_is_found_below_it(anyio_backend):
    service = built(shop, prefix="/wx")
    assert await status_for_a_stranger(service, "GET", "/wx/wx/token/alpha", root_path="/wx") == 403
    assert await status_for_a_stranger(service, "GET", "/wx/token/alpha", root_path="/wx") == SHOP
    assert await status_for_a_stranger(service, "GET", "/wx/token/alpha") == 403


_paths = st.lists(st.sampled_from(["", "/", "a", "ab", "/a", "/ab", "/b", "//"]), max_size=5).map("".join)


@given(path=_paths, root_path=_paths)
@settings(deadline=None, max_examples=500)
def test_the_path_below_root_path_is_the_one_that_starlette_sees(path, root_path):
    assert route_path(path, root_path) == get_route_path({"path": path, "root_path": root_path})


# the prefix


@pytest.mark.parametrize(
    ("prefix", "wanted"),
    [("", ""), ("/", ""), ("/wx", "/wx"), ("/wx/", "/wx"), ("/a/b/", "/a/b"), ("/服务", "/服务")],
)
def test_a_prefix_is_empty_or_a_path(prefix, wanted):
    assert checked_prefix(prefix) == wanted


@pytest.mark.parametrize(
    "prefix", ["wx", "/wx//", "//", "/a//b", "/a b", "/a?b", "/a#b", "/a\n", None, 7, b"/wx"]
)
def test_any_other_prefix_is_refused_and_shown(prefix):
    with pytest.raises(ConfigError, match=r"^prefix: .* a path such as '/wx', not ") as caught:
        built(prefix=prefix)
    assert repr(prefix) in str(caught.value)


@pytest.mark.parametrize("tokens", [None, "alpha", TokenManager])
def test_the_middleware_needs_a_manager(tokens):
    with pytest.raises(
        ConfigError, match=r"^tokens: a TokenManager is needed, not (NoneType|str|ABCMeta|type)$"
    ):
        WxTokenMiddleware(shop, tokens)


def test_the_middlewares_repr_says_how_many_accounts_and_no_more():
    assert repr(built()) == "<WxTokenMiddleware of <TokenManager of 2 accounts>>"


async def test_an_app_that_is_falsy_is_an_app_all_the_same(anyio_backend):
    class Empty(dict):
        async def __call__(self, scope, receive, send):
            await shop(scope, receive, send)

    assert await status_for_a_stranger(built(Empty()), "GET", "/") == SHOP


# pass-through


class Recorder:
    """An app that keeps what it was called with."""

    def __init__(self):
        self.calls = []

    async def __call__(self, *call):
        self.calls.append(call)


@pytest.mark.parametrize("prefix", ["", "/wx"])
@pytest.mark.parametrize(
    "scope",
    [
        scope_of("GET", "/"),
        scope_of("POST", "/token/refresh", root_path="/api"),
        scope_of("GET", "/wxtoken/alpha", root_path=""),
        scope_of("GET", "/token/") | {"state": {"a": 1}, "extensions": {"x": {}}},
        {"type": "websocket", "path": "/token/alpha", "headers": []},
        {"type": "websocket", "path": "/wx/token/alpha", "headers": [], "root_path": "/wx"},
        {"type": "something.new"},
    ],
)
async def test_what_is_not_ours_is_handed_on_as_the_same_objects(scope, prefix, anyio_backend):
    async def receive():
        raise AssertionError

    async def send(message):
        raise AssertionError

    inner = Recorder()
    before = copy.deepcopy(scope)
    await built(inner, prefix=prefix)(scope, receive, send)
    ((got_scope, got_receive, got_send),) = inner.calls
    assert got_scope is scope
    assert got_receive is receive
    assert got_send is send
    assert scope == before


async def test_streams_and_disconnects_pass_untouched(anyio_backend):
    log = []
    arrived = [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            message = await receive()
            log.append(message)
            await send({"type": "http.response.body", "body": b"echo", "more_body": True})

    messages = iter(arrived)

    async def receive():
        return next(messages)

    answer = await exchange(built(app), "POST", "/upload", receive=receive)
    assert [id(message) for message in log] == [id(message) for message in arrived]
    assert [message.get("more_body") for message in answer.sent] == [None, True, True, True]


async def test_an_error_of_the_app_is_not_caught(anyio_backend):
    async def app(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await exchange(built(app), "GET", "/")


async def test_a_websocket_that_nobody_takes_is_closed(anyio_backend):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await built()({"type": "websocket", "path": "/token/alpha", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_the_lifespan_opens_the_manager_for_the_app_and_closes_it(world, anyio_backend):
    log = []
    orders = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def app(scope, receive, send):
        log.append((await receive())["type"])
        log.append(await scope["state"]["wxtoken"].access_token("alpha"))
        await send({"type": "lifespan.startup.complete"})
        log.append((await receive())["type"])
        log.append(tokens.draining)
        await send({"type": "lifespan.shutdown.complete"})

    async def receive():
        return next(orders)

    async def send(message):
        log.append(message["type"])

    tokens = world.manager()
    await WxTokenMiddleware(app, tokens)({"type": "lifespan", "state": {}}, receive, send)
    assert world.sandbox.accepts(log.pop(1))
    assert log == [
        "lifespan.startup",
        "lifespan.startup.complete",
        "lifespan.shutdown",
        True,
        "lifespan.shutdown.complete",
    ]
    assert not tokens.statistics().open


# inside and around other apps


async def test_two_middlewares_answer_for_their_own_accounts(world, anyio_backend):
    async with world.manager(world.account("alpha")) as first, world.manager(world.account("beta")) as second:
        app = WxTokenMiddleware(WxTokenMiddleware(shop, second), first)
        async with client(app) as http:
            assert (await http.get("/token/alpha")).text == await first.access_token("alpha")
            assert (await http.get("/token/beta")).text == await second.access_token("beta")
            assert (await http.get("/token/mini")).status_code == SHOP


async def test_two_prefixes_may_share_one_manager(world, anyio_backend):
    async with world.manager() as tokens:
        app = WxTokenMiddleware(WxTokenMiddleware(shop, tokens, prefix="/b"), tokens, prefix="/a")
        async with client(app) as http:
            answers = [await http.get(f"/{prefix}/token/alpha") for prefix in "ab"]
            assert {answer.text for answer in answers} == {await tokens.access_token("alpha")}
            assert (await http.get("/c/token/alpha")).status_code == SHOP


@pytest.mark.parametrize(
    ("prefix", "url", "passed"),
    [("", "/wx/token/alpha", "/wx/nothing"), ("/inner", "/wx/inner/token/alpha", "/wx/token/alpha")],
)
async def test_it_can_be_mounted(prefix, url, passed, world, anyio_backend):
    async with running(world, prefix=prefix) as center:
        app = Starlette(
            routes=[Mount("/wx", center.service), Route("/", lambda _: PlainTextResponse("shop"))]
        )
        async with client(app) as http:
            assert (await http.get(url)).text == await center.tokens.access_token("alpha")
            assert (await http.get(passed)).json()["code"] == "not_found"
            assert (await http.get("/")).text == "shop"
            assert (await http.get("/token/alpha")).status_code == 404


async def test_it_can_be_mounted_in_what_is_mounted(world, anyio_backend):
    async with running(world) as center:
        app = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", center.service)]))])
        async with client(app) as http:
            assert (await http.get("/a/b/token/alpha")).text == await center.tokens.access_token("alpha")
            assert (await http.get("/a/token/alpha")).status_code == 404


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("prefix", ["", "/wx"])
async def test_it_can_be_added_to_starlette_and_fastapi(framework, prefix, world, anyio_backend):
    async def login(request):
        return PlainTextResponse("logged in")

    async with world.manager() as tokens:
        app = framework()
        app.router.routes.append(Route(f"{prefix}/token/refresh", login, methods=["POST"]))
        app.add_middleware(WxTokenMiddleware, tokens=tokens, prefix=prefix)
        async with client(app) as http:
            assert (await http.get(f"{prefix}/token/alpha")).text == await tokens.access_token("alpha")
            posted = await http.post(f"{prefix}/token/refresh")
            assert posted.status_code == (405 if prefix else 200)
            assert "Not Found" in (await http.get("/nothing")).text


async def test_the_token_of_one_request_does_not_wait_for_another_of_the_app(world, anyio_backend):
    async def slow(scope, receive, send):
        await anyio.sleep_forever()

    async with running(world, app=slow) as center, anyio.create_task_group() as group:
        group.start_soon(center.get, "/slow")
        await anyio.sleep(1)
        assert (await center.get("/token/alpha")).status_code == 200
        group.cancel_scope.cancel()
