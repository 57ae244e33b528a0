"""What the deployment page says of certificates: WeChat's is always checked, and how a CA is added."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

import wxtoken_asgi
from wxtoken_asgi import Account, TokenManager
from wxtoken_asgi.weixin import Request, UpstreamError, Weixin, _open_transport

SECRET = "the-secret-of-the-tls-tests"
TOKEN = "110_" + "t" * 100


class _WeChat(BaseHTTPRequestHandler):
    """Gives out one token, and notes that it was asked."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"access_token": TOKEN, "expires_in": 7200}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that does not believe the certificate hangs up; that is what is tested."""


@contextlib.contextmanager
def wechat(authority, name):
    """A WeChat on loopback with a certificate for this name; gives its address and what it was asked."""
    handler = type("Handler", (_WeChat,), {"asked": []})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with _Server(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}", handler.asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A CA that nobody knows; its certificate is in `ca.pem`."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    return authority


def account_at(api_base):
    return Account("shop", appid="wx0123456789abcdef", secret=SECRET, api_base=api_base)


async def refused(api_base):
    """The error of a call that is not made since the certificate is not believed."""
    request = Request("/cgi-bin/stable_token", body={"secret": SECRET})
    async with Weixin() as calls:
        with pytest.raises(UpstreamError) as caught:
            await calls.call(account_at(api_base), request)
    assert SECRET not in str(caught.value)
    return caught.value


async def test_a_certificate_of_an_unknown_ca_is_refused_and_nothing_is_sent(authority, anyio_backend):
    with wechat(authority, "127.0.0.1") as (api_base, asked):
        error = await refused(api_base)
        assert (error.cls, error.undecided) == ("connect", False)
        assert not asked


async def test_ssl_cert_file_adds_a_ca(authority, monkeypatch, anyio_backend):
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    with wechat(authority, "127.0.0.1") as (api_base, asked):
        async with TokenManager([account_at(api_base)]) as tokens:
            assert await tokens.access_token("shop") == TOKEN
        assert len(asked) == 1


async def test_a_certificate_for_another_name_is_refused_whatever_ca_it_is_of(
    authority, monkeypatch, anyio_backend
):
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    with wechat(authority, "wechat.example.com") as (api_base, asked):
        await refused(api_base)
        assert not asked


def known_cas():
    return _open_transport(None)._pool._ssl_context.cert_store_stats()["x509_ca"]


def test_ssl_cert_file_takes_the_place_of_the_usual_cas(authority, monkeypatch):
    assert known_cas() > 10
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    assert known_cas() == 1


def test_no_line_of_the_package_switches_the_checking_off():
    off = re.compile(r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False")
    for path in Path(wxtoken_asgi.__file__).parent.rglob("*.py"):
        assert not off.search(path.read_text(encoding="utf-8")), path
