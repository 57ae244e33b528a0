"""Calls to WeChat: what is sent, and what becomes of every way in which no usable answer comes."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import threading
import traceback
import tracemalloc

import anyio
import httpx
import pytest

from wxtoken_asgi import weixin
from wxtoken_asgi.records import Account
from wxtoken_asgi.weixin import Request, UpstreamError, Weixin

from support.connect_proxy import connect_proxy

SECRET = "0123456789abcdef-appsecret"
TOKEN = "90_held-token-xyz"
OLD = Request("/cgi-bin/token", params={"appid": "wx01", "secret": SECRET})
STABLE = Request("/cgi-bin/stable_token", body={"appid": "wx01", "secret": SECRET})
GOOD = b'{"access_token": "t", "expires_in": 7200}'


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    monkeypatch.setattr(weixin, "proxy_bypass", lambda host: host.endswith(".direct"))


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        shown = record.getMessage() + str(record.exc_text)
        assert not any(secret in shown for secret in (SECRET, TOKEN, "proxy-password"))


def account(**more):
    return Account("alpha", "wx01", SECRET, **more)


async def call(transport=None, request=OLD, **more):
    async with Weixin(transport) as wechat:
        return await wechat.call(account(**more), request)


async def trouble(transport=None, request=OLD, **more):
    with pytest.raises(UpstreamError) as caught:
        await call(transport, request, **more)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert "proxy-password" not in shown
    return caught.value


def answering(body=GOOD, status=200, **more):
    return httpx.MockTransport(lambda request: httpx.Response(status, content=body, **more))


def raising(error, seen=None):
    def handle(request):
        if seen is not None:
            seen.append(request.url.host)
        raise error

    return httpx.MockTransport(handle)


@contextlib.contextmanager
def listener(answer=None):
    """A server on loopback that answers each connection with these bytes, or never; its port and heads."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        heads.append(client.recv(65536))
                        client.sendall(answer)

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], heads
        server.shutdown(socket.SHUT_RDWR)


def refusing_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def http(body=GOOD, status="200 OK"):
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status.encode(),
        len(body),
        body,
    )


# what is sent


async def test_a_request_without_a_body_is_a_get_with_its_query():
    seen = []
    transport = httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200, content=GOOD))
    assert await call(transport) == {"access_token": "t", "expires_in": 7200}
    [request] = seen
    assert (request.method, request.url.path) == ("GET", "/cgi-bin/token")
    assert dict(request.url.params) == {"appid": "wx01", "secret": SECRET}
    assert request.headers["user-agent"] == "wxtoken-asgi"
    assert request.content == b""


async def test_a_request_with_a_body_is_a_post_and_holds_no_secret_in_its_url():
    seen = []
    transport = httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200, content=GOOD))
    await call(transport, STABLE, api_base="http://127.0.0.1:1/base/")
    [request] = seen
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:1/base/cgi-bin/stable_token")
    assert request.headers["content-type"] == "application/json"
    assert SECRET.encode() in request.content


@pytest.mark.parametrize("request_", [OLD, STABLE])
def test_the_repr_of_a_request_shows_no_secret(request_):
    assert SECRET not in repr(request_)
    assert request_.path in repr(request_)


async def test_an_answer_over_a_real_socket_leaves_no_secret_in_any_log(caplog):
    with listener(http()) as (port, heads):
        assert (await call(api_base=f"http://127.0.0.1:{port}"))["expires_in"] == 7200
    assert SECRET.encode() in heads[0], "the secret was on the wire"
    assert any(record.name.startswith("httpcore") for record in caplog.records), "and httpcore was logging"


async def test_connections_are_shared_until_the_end():
    async with Weixin() as wechat:
        first = wechat._transport(account())
        assert wechat._transport(account()) is first
        assert wechat._transport(account(proxy="http://127.0.0.1:1")) is not first
    assert not wechat._own


async def test_a_given_transport_is_not_closed():
    class Given(httpx.MockTransport):
        async def aclose(self):
            pytest.fail("it was closed")

    transport = Given(lambda request: httpx.Response(200, content=GOOD))
    assert await call(transport)
    assert await call(transport)


# answers that cannot be used


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the answer is empty"),
        (b" \r\n", "the answer is empty"),
        (b"<html><title>502</title></html>", "the answer is not JSON"),
        (b'{"access_token": "' + TOKEN.encode(), "the answer is not JSON"),
        (b"\xff\xfe\xfa", "the answer is not JSON"),
        (b'{"expires_in": 1' + b"0" * 5000 + b"}", "the answer is not JSON"),
        (b"[" * 60_000, "the answer is not JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "the answer is not JSON"),
        (b"[]", "the answer is no JSON object"),
        (b'["access_token"]', "the answer is no JSON object"),
        (b"7200", "the answer is no JSON object"),
        (b"NaN", "the answer is no JSON object"),
        (b'"text"', "the answer is no JSON object"),
        (b"null", "the answer is no JSON object"),
        (b"true", "the answer is no JSON object"),
        (b" " * 65_537, "the answer is larger than any answer of WeChat's"),
        (b'{"a": "' + b"x" * 66_560 + b'"}', "the answer is larger than any answer of WeChat's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_is_no_object_is_transient_and_undecided(body, message):
    error = await trouble(answering(body))
    assert (str(error), error.cls, error.undecided) == (message, "transient", True)


async def test_an_answer_of_64_kib_is_read():
    body = b'{"a": "' + b"x" * (65_536 - 9) + b'"}'
    assert len(body) == 65_536
    assert len((await call(answering(body)))["a"]) == 65_536 - 9


async def test_an_answer_without_an_end_is_cut_off():
    with listener(http(b" " * 10_000_000)) as (port, _):
        error = await trouble(api_base=f"http://127.0.0.1:{port}")
    assert str(error) == "the answer is larger than any answer of WeChat's"


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json; encoding=utf-8"])
async def test_the_content_type_does_not_matter(content_type):
    assert await call(answering(headers={"content-type": content_type}))


async def test_a_compressed_answer_is_read_and_a_broken_one_is_undecided():
    headers = {"content-encoding": "gzip"}
    zipped = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=headers, stream=_Bytes(gzip.compress(GOOD)))
    )
    assert await call(zipped)
    broken = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=headers, stream=_Bytes(b"\x1f\x8b\xffbroken"))
    )
    error = await trouble(broken)
    assert (error.cls, error.undecided) == ("transient", True)


@pytest.mark.parametrize(("coding", "rounds"), [("gzip", 1), ("gzip, gzip, gzip", 3), ("x-gzip", 1)])
async def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused_before_it_is_unpacked(coding, rounds):
    body = b" " * (32 * 1024 * 1024)
    for _ in range(rounds):
        body = gzip.compress(body)
    headers = {"content-encoding": coding}
    bomb = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=_Bytes(body)))
    tracemalloc.start()
    error = await trouble(bomb)
    assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    tracemalloc.stop()
    assert (error.cls, error.undecided) == ("transient", True)


class _Bytes(httpx.AsyncByteStream):
    def __init__(self, body):
        self.body = body

    async def __aiter__(self):
        yield self.body


@pytest.mark.parametrize(
    ("status", "undecided"),
    [
        (301, False), (302, False), (403, False), (404, False), (429, False),
        (500, True), (502, True), (503, False), (504, True), (201, False),
    ],
)  # fmt: skip
async def test_another_status_than_200_is_transient(status, undecided):
    error = await trouble(answering(GOOD, status, headers={"location": "https://evil.example/"}))
    assert (str(error), error.cls, error.undecided) == (f"HTTP status {status}", "transient", undecided)


# calls that bring no answer


@pytest.mark.parametrize(
    ("raised", "cls", "undecided"),
    [
        (httpx.ConnectError, "connect", False),
        (httpx.ConnectTimeout, "connect", False),
        (httpx.PoolTimeout, "connect", False),
        (httpx.ProxyError, "connect", False),
        (httpx.ReadTimeout, "timeout", True),
        (httpx.WriteTimeout, "timeout", True),
        (httpx.ReadError, "transient", True),
        (httpx.WriteError, "transient", True),
        (httpx.RemoteProtocolError, "transient", True),
        (httpx.LocalProtocolError, "transient", True),
        (OSError, "transient", True),
    ],
)
async def test_only_a_failed_connect_is_decided(raised, cls, undecided):
    error = await trouble(raising(raised(f"GET https://api.weixin.qq.com/?secret={SECRET}")))
    assert (error.cls, error.undecided) == (cls, undecided)
    assert raised.__name__ in str(error)


async def test_a_port_that_refuses_decides_that_nothing_was_sent():
    error = await trouble(api_base=f"http://127.0.0.1:{refusing_port()}")
    assert (str(error), error.cls, error.undecided) == ("no connection (ConnectError)", "connect", False)


@pytest.mark.parametrize("request_", [OLD, STABLE])
async def test_a_server_that_never_answers_may_have_done_it(request_):
    with listener() as (port, _):
        error = await trouble(request=request_, api_base=f"http://127.0.0.1:{port}", timeout=0.8)
    assert (error.cls, error.undecided) == ("timeout", True)


async def test_a_server_that_hangs_up_may_have_done_it():
    with listener(b"") as (port, _):
        error = await trouble(api_base=f"http://127.0.0.1:{port}")
    assert (error.cls, error.undecided) == ("transient", True)


async def test_a_server_that_stops_in_the_middle_may_have_done_it():
    with listener(http()[:-5]) as (port, _):
        error = await trouble(api_base=f"http://127.0.0.1:{port}")
    assert (error.cls, error.undecided) == ("transient", True)


async def test_a_handshake_that_takes_too_long_decides_that_nothing_was_sent(monkeypatch):
    monkeypatch.setattr(weixin, "CONNECT_S", 0.1)
    with listener() as (port, _):
        error = await trouble(api_base=f"https://127.0.0.1:{port}", timeout=5)
    assert (str(error), error.cls, error.undecided) == ("no connection (ConnectTimeout)", "connect", False)


async def test_a_deadline_before_the_sending_decides_that_nothing_was_sent(monkeypatch):
    async def connect_slowly(self, request):
        await anyio.sleep(5)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect_slowly)
    error = await trouble(timeout=0.05)
    assert (str(error), error.cls, error.undecided) == ("no answer within 0.05 s", "timeout", False)


async def test_a_transport_that_does_not_tell_what_it_sent_may_have_sent_it():
    async def never(request):
        await anyio.sleep(5)

    error = await trouble(httpx.MockTransport(never), timeout=0.05)
    assert (error.cls, error.undecided) == ("timeout", True)


async def test_an_answer_that_drips_meets_the_deadline_of_the_whole_call():
    class Drip(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self):
            while True:
                yield b" "
                await anyio.sleep(0.01)

        async def aclose(self):
            self.closed = True

    drip = Drip()
    error = await trouble(httpx.MockTransport(lambda request: httpx.Response(200, stream=drip)), timeout=0.1)
    assert (str(error), error.cls, error.undecided) == ("no answer within 0.1 s", "timeout", True)
    assert drip.closed


# the second address


@pytest.mark.parametrize("raised", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
async def test_the_second_address_is_tried_after_a_failed_connect(raised):
    def handle(request):
        if request.url.host == "api.weixin.qq.com":
            raise raised("no")
        assert (request.url.scheme, request.url.host) == ("https", "api2.weixin.qq.com")
        return httpx.Response(200, content=GOOD)

    assert (await call(httpx.MockTransport(handle)))["access_token"] == "t"


async def test_where_both_fail_the_call_fails():
    seen = []
    error = await trouble(raising(httpx.ConnectError("no"), seen))
    assert seen == ["api.weixin.qq.com", "api2.weixin.qq.com"]
    assert (error.cls, error.undecided) == ("connect", False)


async def test_what_becomes_of_the_second_address_counts():
    def handle(request):
        raise (
            httpx.ConnectError("no") if request.url.host == "api.weixin.qq.com" else httpx.ReadTimeout("late")
        )

    error = await trouble(httpx.MockTransport(handle))
    assert (error.cls, error.undecided) == ("timeout", True)


@pytest.mark.parametrize("raised", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, OSError])
async def test_nothing_else_leads_to_the_second_address(raised):
    seen = []
    await trouble(raising(raised("no"), seen))
    assert seen == ["api.weixin.qq.com"]


@pytest.mark.parametrize("api_base", ["https://sh.api.weixin.qq.com", "http://127.0.0.1:1"])
async def test_another_api_base_has_no_second_address(api_base):
    seen = []
    await trouble(raising(httpx.ConnectError("no"), seen), api_base=api_base)
    assert len(seen) == 1


@pytest.mark.parametrize("status", [403, 500, 502, 503, 504])
async def test_a_bad_answer_does_not_lead_to_the_second_address(status):
    seen = []
    transport = httpx.MockTransport(lambda request: seen.append(request.url.host) or httpx.Response(status))
    await trouble(transport)
    assert seen == ["api.weixin.qq.com"]


# proxies


async def test_an_accounts_proxy_is_used():
    with listener(http(status="403 Forbidden")) as (port, heads):
        error = await trouble(proxy=f"http://user:proxy-password@127.0.0.1:{port}")
    wanted = [head.partition(b" HTTP")[0] for head in heads]
    assert wanted == [b"CONNECT api.weixin.qq.com:443", b"CONNECT api2.weixin.qq.com:443"]
    assert b"proxy-authorization: basic" in heads[0].lower()
    assert (str(error), error.cls, error.undecided) == ("no connection (ProxyError)", "connect", False)


async def test_the_environments_proxy_is_used(monkeypatch):
    with listener(http(status="403 Forbidden")) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        await trouble()
    assert heads[0].startswith(b"CONNECT api.weixin.qq.com:443")


async def test_an_accounts_proxy_goes_before_the_environments(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{refusing_port()}")
    with listener(http(status="403 Forbidden")) as (port, heads):
        await trouble(proxy=f"http://127.0.0.1:{port}")
    assert heads


async def test_loopback_is_reached_without_the_environments_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refusing_port()}")
    with listener(http()) as (port, _):
        assert await call(api_base=f"http://127.0.0.1:{port}")


async def test_a_proxy_that_never_answers_decides_that_nothing_was_sent():
    with listener() as (port, _):
        error = await trouble(proxy=f"http://127.0.0.1:{port}", timeout=0.3)
    assert (error.cls, error.undecided) == ("timeout", False)


async def test_through_a_tunnel_it_counts_what_was_sent_to_wechat(monkeypatch, tmp_path):
    with listener(http()) as (port, heads), connect_proxy(port, tmp_path) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
        assert await call(proxy=proxy.url)
        assert heads[0].startswith(b"GET /cgi-bin/token?appid=wx01&secret=")
    with listener() as (port, _), connect_proxy(port, tmp_path) as proxy:
        error = await trouble(proxy=proxy.url, timeout=1)
        assert proxy.tunnels
    assert (error.cls, error.undecided) == ("timeout", True)


@pytest.mark.parametrize(
    ("environment", "api_base", "proxy"),
    [
        ({}, "https://api.weixin.qq.com", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.weixin.qq.com", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://api.weixin.qq.com", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://api.weixin.qq.com", "http://p:1"),
        ({"HTTPS_PROXY": "user:pw@p:1"}, "https://api.weixin.qq.com", "http://user:pw@p:1"),
        ({"HTTPS_PROXY": ""}, "https://api.weixin.qq.com", None),
        ({"HTTP_PROXY": "http://p:1"}, "https://api.weixin.qq.com", None),
        ({"ALL_PROXY": "socks5://p:1"}, "https://api.weixin.qq.com", "socks5://p:1"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://p:1"}, "https://api.weixin.qq.com", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://wechat.direct", None),
        ({"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, "http://localhost:1", None),
        ({"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, "http://127.0.0.2:1", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:1", None),
    ],
)
def test_the_environment_says_which_proxy(monkeypatch, environment, api_base, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert weixin._environment_proxy(api_base) == proxy


@pytest.mark.parametrize(
    "proxy", ["ftp://user:proxy-password@p:1", "user://proxy-password", "http://user:proxy-password@p:port"]
)
async def test_an_environments_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = await trouble()
    assert str(error) == "no connection: the address of the proxy cannot be used"
    assert (error.cls, error.undecided) == ("connect", False)


async def test_a_socks_proxy_without_its_package_is_told(monkeypatch):
    def no_package(**_):
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", no_package)
    error = await trouble(proxy="socks5://user:proxy-password@127.0.0.1:1")
    assert "socksio" in str(error)
    assert (error.cls, error.undecided) == ("connect", False)


def test_the_credentials_of_a_socks_proxy_are_not_logged(caplog, monkeypatch):
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: None)
    weixin._open_transport("socks5://user:proxy-password@127.0.0.1:1")
    logger = logging.getLogger("httpcore.socks")
    logger.debug("setup_socks5_connection.started host='h' auth=(b'user', b'proxy-password')")
    logger.debug("setup_socks5_connection.complete return_value=None")
    assert [record.getMessage() for record in caplog.records if record.name == logger.name] == [
        "setup_socks5_connection.complete return_value=None"
    ]
