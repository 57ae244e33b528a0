"""`GET`, `HEAD` and `OPTIONS {prefix}/js-config/{app}`: signed pages, for browsers."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from urllib.parse import quote

import anyio
import pytest

from wxtoken_asgi import jssdk
from wxtoken_asgi.stores.contract import Supply
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import STRANGER, running
from support.world import APPIDS

PAGE = "https://www.example.com/a?b=c"
ANYBODY = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "x-forwarded-for": "8.8.8.8"}


def asked(url, app="alpha"):
    """As a page asks: its address through encodeURIComponent."""
    return f"/js-config/{app}?url={quote(url, safe='')}"


async def test_a_page_gets_what_wx_config_wants(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get(asked(PAGE + "#x"))
        ticket = await center.tokens.jsapi_ticket("alpha")
    config = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert list(config) == ["appId", "timestamp", "nonceStr", "signature", "url"]
    assert config["appId"] == APPIDS["alpha"]
    assert config["timestamp"] == int(world.clock.time())
    assert type(config["timestamp"]) is int
    assert re.fullmatch(r"[0-9a-z]{16}", config["nonceStr"])
    assert config["url"] == PAGE
    text = f"jsapi_ticket={ticket}&noncestr={config['nonceStr']}&timestamp={config['timestamp']}&url={PAGE}"
    assert config["signature"] == hashlib.sha1(text.encode()).hexdigest()
    assert ticket not in answer.text


async def test_wechat_accepts_the_signature(world, anyio_backend):
    async with running(world) as center:
        config = (await center.get(asked(PAGE, "beta"))).json()
        del config["appId"]
        assert world.sandbox.accepts_signature(
            APPIDS["beta"], noncestr=config.pop("nonceStr"), **{**config, "url": PAGE + "#wechat_redirect"}
        )


VECTORS = [
    ("http://mp.weixin.qq.com?params=value", "0f9de62fce790f9a083d5c99e95740ceb90c27ed"),
    ("http://mp.weixin.qq.com?params=value#xxxx", "0f9de62fce790f9a083d5c99e95740ceb90c27ed"),
    ("http://mp.weixin.qq.com/?params=value", "f50191877b62b116ef830363a3a613ed652a2d5d"),
    ("https://example.com/", "171e7eafc556878f1faabe71f2a6462bef4e98bc"),
    ("https://example.com/a/b?x=1&y=%E4%B8%AD", "5bf80bf978c3b04eee7cab48c8f41a9900272618"),
    (
        "https://example.com/a?from=singlemessage&isappinstalled=0",
        "4ff8c6847a760fa5d2366b228ab13531415069a8",
    ),
    ("https://example.com/中文?q=值", "a6753e95306cf8a70ddb1449b530833cd69749dd"),
]


@pytest.mark.parametrize(("url", "signature"), VECTORS)
async def test_the_published_vectors_come_out(world, monkeypatch, url, signature, anyio_backend):
    ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
    monkeypatch.setattr(jssdk, "nonce", lambda: "Wm3WZYTPz0wzccnW")
    store = MemoryStore(world.clock)
    async with running(world, manager={"store": store}) as center:
        credential = center.tokens.entry("alpha", "jsapi_ticket").credential
        await store.supply([Supply(credential, ticket, ttl_s=7200, ask_in_s=7200)])
        await anyio.sleep(1)
        world.clock.wall_offset += 1414587457 - world.clock.time()
        config = (await center.get(asked(url))).json()
    assert config["signature"] == signature
    assert config["timestamp"] == 1414587457


async def test_no_two_answers_have_one_nonce(world, anyio_backend):
    async with running(world) as center:
        nonces = {(await center.get(asked(PAGE))).json()["nonceStr"] for _ in range(20)}
    assert len(nonces) == 20


SIGNED = [
    "http://host.com",
    "http://host.com?",
    "http://host.com/",
    "HTTP://Host.COM:80/",
    "https://host.com:443/a//b/../c/./d;e=f",
    "https://host.com:/",
    "https://host.com/%7Euser/%2f%2F?a=%e4%b8%ad&b=%20",
    "https://host.com/?z=1&a=2&&=&a=2",
    "https://host.com/?q=a+b%2Bc",
    "https://host.com/a%23b?c=%26d",
    "https://host.com/?u=http%3A%2F%2Fother.com%2F%3Fx%3Dy",
    "https://例子.中国/路径?查询=值",
    "https://xn--fsqu00a.xn--fiqs8s/",
    "http://[::1]:8080/x",
    "https://host.com/'\"<>|{}^`~!*()$,;:@&=",
]


@pytest.mark.parametrize("url", SIGNED)
async def test_nothing_is_encoded_again_or_normalised(world, url, anyio_backend):
    async with running(world) as center:
        for fragment in ("", "#", "#/route?x=1#y"):
            config = (await center.get(asked(url + fragment))).json()
            assert config["url"] == url


async def test_the_fragment_may_hold_anything(world, anyio_backend):
    async with running(world) as center:
        config = (await center.get(asked(PAGE + "#a b\\c\n@"))).json()
    assert config["url"] == PAGE


BAD = [
    ("", "url is required"),
    ("?", "url is required"),
    ("?url", "url is required"),
    ("?url=", "url is required"),
    ("?URL=https%3A%2F%2Fa.com", "url is required"),
    ("?page=https%3A%2F%2Fa.com", "url is required"),
    ("?url=foo", "absolute"),
    ("?url=/a/b", "absolute"),
    ("?url=//host.com/a", "absolute"),
    ("?url=host.com", "absolute"),
    ("?url=ftp://host.com/", "absolute"),
    ("?url=javascript:alert(1)", "absolute"),
    ("?url=https:/host.com", "absolute"),
    ("?url=https%253A%252F%252Fhost.com", "absolute"),
    ("?url=%23https://host.com", "missing"),
    ("?url=https://", "no host"),
    ("?url=https:///a", "no host"),
    ("?url=https://user@host.com/", "user name"),
    ("?url=https://user:password@host.com/", "user name"),
    ("?url=https://www.example.com%2540evil.com/", "host"),
    ("?url=https://host.com%5C@evil.com/", "U\\+005C"),
    ("?url=https://host.com/a%5Cb", "U\\+005C"),
    ("?url=https://host.com/a%20b", "U\\+0020"),
    ("?url=https://host.com/a+b", "U\\+0020"),
    ("?url=https://host.com/a%0Ab", "U\\+000A"),
    ("?url=https://host.com/a%0D%0Ab", "U\\+000D"),
    ("?url=https://host.com/%00", "U\\+0000"),
    ("?url=https://host.com/%7F", "U\\+007F"),
    ("?url=https://host.com/%C2%85", "U\\+0085"),
    ("?url=https://host.com/%E2%80%A8", "U\\+2028"),
    ("?url=https://host.com:99999/", "port"),
    ("?url=https://host.com:a/", "port"),
    ("?url=https://[::1/", "host"),
    ("?url=https://host.com/%FF", "UTF-8"),
    ("?url=https://host.com/%ED%A0%80", "UTF-8"),
    ("?url=https://host.com/&x=%FF", "UTF-8"),
    ("?url=https://a.com&url=https://a.com", "more than once"),
    ("?" + "a=b&" * 101 + "url=https://a.com", "query"),
    ("?url=https://host.com/" + "a" * 4096, "longer than 4096"),
]


@pytest.mark.parametrize(("query", "reason"), BAD)
async def test_a_bad_url_is_400_with_the_reason_and_cors(world, query, reason, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/js-config/alpha{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_url")
    assert re.search(reason, answer.json()["errmsg"])
    assert answer.headers["access-control-allow-origin"] == "*"
    assert world.count("ticket/getticket") == 0


async def test_bytes_that_no_url_may_hold_are_400(world, anyio_backend):
    async with running(world) as center:
        answer = await center.raw("GET", "/js-config/alpha", query="url=https://host.com/é".encode())
    assert answer.status == 400


async def test_a_message_does_not_repeat_the_url(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/js-config/alpha?url=https://me:pass-word@host.com/private")
    assert "pass-word" not in answer.text
    assert "private" not in answer.text


async def test_a_page_that_forgot_to_encode_its_url_is_told_of_once_in_the_log(world, caplog, anyio_backend):
    caplog.set_level(logging.WARNING, "wxtoken_asgi")
    async with running(world) as center:
        for _ in range(3):
            config = (await center.get("/js-config/alpha?url=https://host.com/?a=1&b=2")).json()
        await center.get(asked(PAGE, "beta"))
    assert config["url"] == "https://host.com/?a=1"
    told = [record.getMessage() for record in caplog.records if "encodeURIComponent" in record.getMessage()]
    assert len(told) == 1
    assert "account alpha" in told[0]


async def test_head_is_get_without_the_body(world, anyio_backend):
    async with running(world) as center:
        answer = await center.ask("HEAD", asked(PAGE))
        bad = await center.ask("HEAD", "/js-config/alpha")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 100
    assert (bad.status_code, bad.content) == (400, b"")


# who may


async def test_pages_need_no_trust(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get(asked(PAGE), peer=STRANGER, headers=ANYBODY | {"host": "evil.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "vary" not in answer.headers


DOMAINS = ("www.example.com", "*.wild.example", "例子.中国")
HOSTS = [
    ("www.example.com", True),
    ("WWW.Example.COM", True),
    ("www.example.com:8443", True),
    ("www.example.com.", True),
    ("example.com", False),
    ("a.www.example.com", False),
    ("evilwww.example.com", False),
    ("www.example.com.evil.example", False),
    ("a.wild.example", True),
    ("a.b.wild.example", True),
    ("wild.example", False),
    ("evilwild.example", False),
    (".wild.example", False),
    ("例子.中国", True),
    ("xn--fsqu00a.xn--fiqs8s", True),
    ("127.0.0.1", False),
]


@pytest.mark.parametrize(("host", "allowed"), HOSTS)
async def test_js_domains_say_which_hosts_are_signed(world, host, allowed, anyio_backend):
    async with running(world, world.account("alpha", js_domains=DOMAINS)) as center:
        answer = await center.get(asked(f"https://{host}/x"), headers={"origin": "https://www.example.com"})
    if allowed:
        assert answer.json()["url"] == f"https://{host}/x"
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")
        assert answer.headers["access-control-allow-origin"] == "https://www.example.com"
        assert world.count("ticket/getticket") == 0


ORIGINS = [
    ([b"https://www.example.com"], True),
    ([b"http://www.example.com:8080"], True),
    ([b"https://a.wild.example"], True),
    ([b"https://xn--fsqu00a.xn--fiqs8s"], True),
    ([b"https://evil.example"], False),
    ([b"https://www.example.com.evil.example"], False),
    ([b"null"], False),
    ([b""], False),
    ([b"\xff"], False),
    ([b"https://www.example.com", b"https://www.example.com"], False),
    ([], False),
]


@pytest.mark.parametrize(("origins", "allowed"), ORIGINS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
async def test_js_domains_say_which_origins_may_read(world, origins, allowed, method, anyio_backend):
    async with running(world, world.account("alpha", js_domains=DOMAINS)) as center:
        headers = [(b"origin", origin) for origin in origins]
        query = b"url=https://www.example.com/"
        answer = await center.raw(method, "/js-config/alpha", query=query, headers=headers)
    signed = 200 if allowed or not origins else 403
    assert answer.status == {"GET": signed, "OPTIONS": 204, "DELETE": 405}[method]
    assert (b"signature" in answer.body) == (answer.status == 200)
    assert answer.headers.get(b"access-control-allow-origin") == (origins[0] if allowed else None)
    assert answer.headers[b"vary"] == b"origin"


@pytest.mark.parametrize("domains", [[], DOMAINS])
@pytest.mark.parametrize("options", [{}, {"js_config_ticket": True}, {"js_config_open": False}], ids=str)
async def test_no_answer_takes_or_gives_what_a_browser_keeps(world, domains, options, anyio_backend):
    async with running(world, world.account("alpha", js_domains=domains), **options) as center:
        for method in ("GET", "OPTIONS", "DELETE"):
            answer = await center.ask(method, f"/js-config/alpha?url={PAGE}", headers={"cookie": "a=b"})
            assert "set-cookie" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["cache-control"] == "no-store"
            vary = [name.strip() for name in answer.headers.get("vary", "").split(",")]
            tells = method == "GET" or options.get("js_config_open", True)
            assert ("origin" in vary) == (bool(domains) and tells)
            assert ("authorization" in vary) == (bool(options) and method == "GET")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_preflight_is_answered_to_anybody(world, method, anyio_backend):
    headers = ANYBODY | {
        "access-control-request-method": method,
        "access-control-request-headers": "x-requested-with",
    }
    async with running(world) as center:
        answer = await center.ask("OPTIONS", "/js-config/alpha", peer=STRANGER, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert dict(answer.headers) == {
        "cache-control": "no-store",
        "allow": "GET, HEAD, OPTIONS",
        "access-control-allow-methods": "GET, HEAD, OPTIONS",
        "access-control-allow-headers": "*",
        "access-control-max-age": "600",
        "access-control-allow-origin": "*",
    }
    assert world.count("ticket/getticket") == 0


async def test_tokens_and_tickets_have_no_cors(world, anyio_backend):
    async with running(world) as center:
        for path in ("/token/alpha", "/ticket/alpha", "/health/live"):
            for method in ("GET", "OPTIONS"):
                answer = await center.ask(method, path, headers={"origin": "https://www.example.com"})
                assert not any(name.startswith("access-control") for name in answer.headers)


# errors


async def test_errors_can_be_read_by_pages(world, anyio_backend):
    async with running(world, world.account("alpha"), world.account("mini")) as center:
        unknown = await center.get(asked(PAGE, "nope"), peer=STRANGER)
        mini = await center.get(asked(PAGE, "mini"), peer=STRANGER)
        world.sandbox.fail("hang", times=None)
        slow = await center.get(asked(PAGE), peer=STRANGER)
    found = [(answer.status_code, answer.json()["code"]) for answer in (unknown, mini, slow)]
    assert found == [(404, "unknown_account"), (404, "no_such_credential"), (503, "not_ready")]
    assert int(slow.headers["retry-after"]) >= 1
    for answer in (unknown, mini, slow):
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_ticket_of_an_account_is_fetched_once_for_all_pages(world, anyio_backend):
    async with running(world) as center, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(center.get, asked(f"https://host.com/{number}"))
    assert world.count("ticket/getticket") == 1


# js_config_ticket


async def test_the_option_js_config_ticket_gives_the_ticket_to_those_who_may_read_tickets(
    world, anyio_backend
):
    async with running(world, js_config_ticket=True) as center:
        trusted = (await center.get(asked(PAGE))).json()
        ticket = (await center.get("/ticket/alpha")).text
        others = [
            await center.get(asked(PAGE), peer=STRANGER),
            await center.get(asked(PAGE), headers={"origin": "https://www.example.com"}),
            await center.get(asked(PAGE), headers={"sec-fetch-site": "same-origin"}),
            await center.get(asked(PAGE), headers={"x-forwarded-for": "8.8.8.8"}),
            await center.get(asked(PAGE), headers={"host": "www.example.com"}),
        ]
    assert list(trusted) == ["appId", "timestamp", "nonceStr", "signature", "url", "jsapi_ticket"]
    assert trusted["jsapi_ticket"] == ticket
    for answer in others:
        assert "jsapi_ticket" not in json.loads(answer.content)
