"""What the users of the Node package `weixin-token` see after the move: each row of its observed behaviour.

Asked over real HTTP of `wxtoken serve`, by the clients that its users have: curl, requests, httpx, and the
bytes that Node's axios and request send.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
import requests

from wxtoken_asgi.jssdk import signature

from support.launcher import STABLE, TICKET, TOKEN, Launcher, SandboxServer, wechat_server
from support.servers import Service, wait_until

SHOP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = f"the shop got {scope['method']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
PAGE = "http%3A%2F%2Fhost.com%2Fa%23x"
OK = (200, "application/json", b'{"message":"ok"}')


@dataclass(frozen=True)
class Seen:
    """An answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def whole(self):
        return self.status, self.headers.get("content-type"), self.body

    @property
    def error(self):
        """Status and code of an answer in our error form."""
        content = json.loads(self.body)
        assert {"code", "errmsg"} <= set(content) <= {"code", "errmsg", "errcode"}
        assert self.headers["content-type"] == "application/json"
        return self.status, content["code"]


# Who asks


def by_curl(port, method, path, headers, body):
    url = f"http://127.0.0.1:{port}{path}"
    command = ["curl", "--silent", "--include", "--path-as-is", "--noproxy", "*", "--max-time", "20"]
    command += ["--head"] if method == "HEAD" else ["--request", method]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    if body is not None:
        command += ["--data-binary", body.decode()]
    out = subprocess.run([*command, url], capture_output=True, check=True).stdout
    head, _, rest = out.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return Seen(int(first.split()[1]), {name.lower(): value for name, value in pairs}, rest)


def by_requests(port, method, path, headers, body):
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            method, f"http://127.0.0.1:{port}{path}", headers=headers, data=body, timeout=20
        )
        return Seen(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.content,
        )


def by_httpx(port, method, path, headers, body):
    with httpx.Client(trust_env=False, timeout=20) as session:
        answer = session.request(method, f"http://localhost:{port}{path}", headers=headers, content=body)
        return Seen(answer.status_code, dict(answer.headers), answer.content)


def _by_bytes(port, method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall("\r\n".join(lines).encode() + (body or b""))
        with http.client.HTTPResponse(sock, method=method) as answer:
            answer.begin()
            pairs = {name.lower(): value for name, value in answer.getheaders()}
            return Seen(answer.status, pairs, answer.read())


def _with(own, headers):
    """The caller's headers go before the library's own, whatever their letter case."""
    given = {name.lower() for name in headers}
    return {name: value for name, value in own.items() if name.lower() not in given} | headers


def _axios(version, more):
    def ask(port, method, path, headers, body):
        own = {"Accept": "application/json, text/plain, */*"}
        if method in {"PUT", "POST", "PATCH"}:
            own["Content-Type"] = "application/x-www-form-urlencoded"
            own["Content-Length"] = str(len(body or b""))
        own |= {"User-Agent": f"axios/{version}", **more, "Host": f"localhost:{port}", "Connection": "close"}
        return _by_bytes(port, method, path, _with(own, headers), body)

    return ask


def _request(*, as_json):
    def ask(port, method, path, headers, body):
        own = {"host": f"localhost:{port}"}
        if as_json:
            own["accept"] = "application/json"
        if method in {"PUT", "POST", "PATCH"}:
            own["content-length"] = str(len(body or b""))
        return _by_bytes(port, method, path, _with(own | {"Connection": "close"}, headers), body)

    return ask


ASKERS = {
    "curl": by_curl,
    "requests": by_requests,
    "httpx": by_httpx,
    "axios 0.x": _axios("0.21.4", {}),
    "axios 1.x": _axios("1.7.9", {"Accept-Encoding": "gzip, compress, deflate, br"}),
    "request": _request(as_json=False),
    "request, json: true": _request(as_json=True),
}


@pytest.fixture(params=ASKERS)
def asker(request):
    return ASKERS[request.param]


# What is asked


@pytest.fixture(scope="module")
def launched(vault, tmp_path_factory):
    with Launcher(tmp_path_factory.mktemp("rows"), vault) as launcher:
        yield launcher


@dataclass(frozen=True)
class Center:
    """`wxtoken serve` and a sandbox of its own, with alpha on the stable endpoint and beta on the old one."""

    service: Service
    wechat: SandboxServer

    @property
    def port(self):
        return self.service.port

    def current(self, name):
        """The account's token, as WeChat knows it."""
        account = self.wechat.sandbox._wechat.account(self.wechat.accounts[name]["appid"])
        return (account.old if name == "beta" else account.stable).current.value.encode()


@pytest.fixture(scope="module")
def center(launched, vault):
    """Starts such pairs."""
    with ExitStack() as stack:

        def start(*argv, **settings):
            wechat = stack.enter_context(wechat_server(vault))
            wechat.add("alpha")
            wechat.add("beta", "token")
            return Center(launched.serve(wechat.accounts, *argv, **settings), wechat)

        yield start


@pytest.fixture(scope="module")
def shop_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "row_shop.py").write_text(SHOP)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def owner(center):
    """`wxtoken serve` alone."""
    return center()


@pytest.fixture(scope="module")
def guest(center, shop_path):
    """`wxtoken serve` in front of a shop."""
    return center("--app", "row_shop:app", environ=shop_path)


@pytest.fixture(scope="module")
def proxied(center):
    """`wxtoken serve` behind a proxy on this machine, for callers at 10.0.0.1."""
    return center(trusted=["10.0.0.1"], trusted_proxies=["127.0.0.1"])


@pytest.fixture(params=["owner", "guest"])
def served(request):
    """Both ways to serve, where they do not differ."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def ask(asker, served):
    def ask(method, path, headers=None, body=None):
        return asker(served.port, method, path, headers or {}, body)

    return ask


# Row by row


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}])
def test_get_token_is_the_bare_token(ask, served, name, headers):
    assert ask("GET", f"/token/{name}", headers).whole == (200, "text/plain", served.current(name))


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize(
    ("headers", "body"), [({}, None), ({"Content-Type": "application/json", "Content-Length": "2"}, b"{}")]
)
def test_put_token_says_ok(ask, served, name, headers, body):
    assert ask("PUT", f"/token/{name}", headers, body).whole == OK
    assert ask("GET", f"/token/{name}").body == served.current(name)


def test_get_ticket_is_the_bare_ticket(ask, served):
    answers = {ask("GET", "/ticket/alpha", headers).whole for headers in ({}, {"Accept": "application/json"})}
    ((status, content_type, body),) = answers
    assert (status, content_type) == (200, "text/plain")
    assert served.wechat.sandbox.accepts_ticket(body.decode())


@pytest.mark.parametrize(
    ("headers", "body"), [({}, None), ({"Content-Type": "application/json", "Content-Length": "2"}, b"{}")]
)
def test_put_ticket_says_ok(ask, headers, body):
    assert ask("PUT", "/ticket/alpha", headers, body).whole == OK


def test_js_config_signs_the_page(ask, served):
    answer = ask("GET", f"/js-config/alpha?url={PAGE}")
    config = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert set(config) == {"timestamp", "url", "signature", "appId", "nonceStr"}
    assert config["url"] == "http://host.com/a"
    assert config["appId"] == served.wechat.accounts["alpha"]["appid"]
    assert isinstance(config["timestamp"], int)
    assert abs(config["timestamp"] - time.time()) < 60
    assert served.wechat.sandbox.accepts_signature(
        config["appId"],
        url="http://host.com/a",
        noncestr=config["nonceStr"],
        timestamp=config["timestamp"],
        signature=config["signature"],
    )


@pytest.mark.parametrize("query", ["", "?url=", "?url=foo"])
def test_js_config_without_a_page_is_400(ask, query):
    answer = ask("GET", f"/js-config/alpha{query}")
    assert answer.error == (400, "bad_url")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_unknown_account_is_404_or_the_apps(asker, owner, guest):
    assert asker(owner.port, "GET", "/token/nope", {}, None).error == (404, "unknown_account")
    assert asker(guest.port, "GET", "/token/nope", {}, None).body == b"the shop got GET /token/nope"


def test_no_name_is_not_claimed(asker, owner, guest):
    assert asker(owner.port, "GET", "/token/", {}, None).error == (404, "not_found")
    assert asker(guest.port, "GET", "/token/", {}, None).body == b"the shop got GET /token/"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_other_methods_are_the_apps(asker, owner, guest, method):
    refused = asker(owner.port, method, "/token/alpha", {}, None)
    assert refused.error == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, PUT"
    assert (
        asker(guest.port, method, "/token/alpha", {}, None).body
        == f"the shop got {method} /token/alpha".encode()
    )


def test_head_has_no_body(ask):
    for path in ("/token/alpha", "/ticket/alpha"):
        answer = ask("HEAD", path)
        assert answer.whole == (200, "text/plain", b"")
        assert answer.headers["content-length"] == str(len(ask("GET", path).body))


def test_a_trailing_slash_is_accepted(ask, served):
    assert ask("GET", "/token/alpha/").whole == (200, "text/plain", served.current("alpha"))


def test_letter_case_counts(asker, owner, guest):
    assert asker(owner.port, "GET", "/TOKEN/alpha", {}, None).error == (404, "not_found")
    assert asker(guest.port, "GET", "/TOKEN/alpha", {}, None).body == b"the shop got GET /TOKEN/alpha"


FORWARDED = [
    {"X-Forwarded-For": "8.8.8.8"},
    {"X-Real-IP": "8.8.8.8"},
    {"X-Forwarded-For": "8.8.8.8,127.0.0.1"},
]


@pytest.mark.parametrize("headers", FORWARDED)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_stranger_behind_loopback_is_refused(ask, served, method, headers):
    answer = ask(method, "/token/alpha", headers)
    assert answer.whole == (
        403,
        "application/json",
        b'{"code":"not_allowed","errmsg":"not allowed from here"}',
    )
    served.service.says("refused: peer 127.0.0.1 is not in trusted_proxies, and names 8.8.8.8")


def test_the_end_of_an_address_is_no_address(asker, proxied):
    for address, status in (("210.0.0.1", 403), ("10.0.0.1", 200), ("10.0.0.10", 403), ("0.0.0.1", 403)):
        answer = asker(proxied.port, "GET", "/token/alpha", {"X-Forwarded-For": address}, None)
        assert answer.status == status
    assert asker(proxied.port, "GET", "/token/alpha", {}, None).error == (403, "not_allowed")


def test_no_server_header_tells_what_serves(ask):
    headers = ask("GET", "/token/alpha").headers
    assert set(headers) - {"connection"} == {
        "date",
        "content-type",
        "content-length",
        "cache-control",
        "etag",
    }
    assert re.fullmatch(r'"[\w-]{22}"', headers["etag"])


# What takes a server of its own


@pytest.fixture
def alone(launched, vault):
    """Starts a sandbox and `wxtoken serve` with one account."""
    with wechat_server(vault) as server:

        def start(endpoint="stable", arm=None, **options):
            table = server.add("alpha", endpoint) | options
            if arm is not None:
                server.sandbox.fail(**arm)
            return server, launched.serve({"alpha": table})

        yield start


@pytest.mark.parametrize(("endpoint", "path"), [("stable", STABLE), ("token", TOKEN)])
def test_put_fetches_but_shares_and_counts(alone, endpoint, path):
    server, service = alone(endpoint)
    first = service.get("/token/alpha").text
    for _ in range(3):
        assert service.put("/token/alpha").content == OK[2]
    second = service.get("/token/alpha").text
    assert second != first
    assert server.sandbox.accepts(second)
    assert server.count(path) == (3 if endpoint == "stable" else 2)


def test_put_of_a_ticket_fetches(alone):
    server, service = alone()
    service.get("/ticket/alpha")
    assert service.put("/ticket/alpha").content == OK[2]
    assert server.count(TICKET) == 2


def test_before_the_first_fetch_a_read_waits_a_little(alone):
    server, service = alone(arm={"kind": "slow", "seconds": 1, "path": STABLE})
    answer = service.get("/token/alpha")
    assert answer.status_code == 200
    assert server.sandbox.accepts(answer.text)
    assert server.count(STABLE) == 1


@pytest.mark.slow
def test_and_is_then_503(alone):
    _, service = alone(arm={"kind": "hang", "times": None})
    started = time.monotonic()
    answer = service.get("/token/alpha")
    assert 3 < time.monotonic() - started < 7
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1


def test_if_wechat_fails_once_it_is_asked_again(alone):
    server, service = alone(arm={"errcode": -1})
    assert server.sandbox.accepts(service.get("/token/alpha").text)
    assert wait_until(lambda: server.count(STABLE) == 2, "a second fetch")


FAILED_PUTS = [
    ({"kind": "errcode", "errcode": 40125}, {}, 502, "upstream_refused"),
    ({"kind": "errcode", "errcode": -1}, {}, 503, "not_ready"),
    ({"kind": "garbage"}, {}, 503, "not_ready"),
    ({"kind": "hang"}, {"timeout": 0.5}, 504, "upstream_timeout"),
    (None, {"daily_quota": 1}, 429, "budget_spent"),
]


@pytest.mark.parametrize(("fault", "options", "status", "code"), FAILED_PUTS)
def test_a_failed_put_says_why_and_leaves_the_token(alone, fault, options, status, code):
    server, service = alone("token", **options)
    token = service.get("/token/alpha").text
    if fault is not None:
        server.sandbox.fail(**fault)
    answer = service.put("/token/alpha")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert service.get("/token/alpha").text == token


def test_the_first_readmes_ticket_comes_by_option(center):
    service = center(js_config_ticket=True).service
    ticket = service.get("/ticket/alpha").text
    config = service.get(f"/js-config/alpha?url={PAGE}").json()
    assert config["jsapi_ticket"] == ticket
    signed = signature(ticket, config["nonceStr"], config["timestamp"], "http://host.com/a")
    assert config["signature"] == signed
    page = service.get(f"/js-config/alpha?url={PAGE}", headers={"origin": "http://host.com"})
    assert "jsapi_ticket" not in page.json()
