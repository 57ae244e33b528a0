"""Headers, JSON, rids, and the ASGI side of the sandbox."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import httpx
import pytest

from wxtoken_asgi.sandbox import Sandbox
from wxtoken_asgi.sandbox.errcodes import text

APPID = "wx00000000000000aa"
HINT = ", could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"


class Wire:
    """The ASGI channels of one connection: what goes in, and what came out."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.sent = []

    async def receive(self):
        return self.messages.pop(0)

    async def send(self, message):
        self.sent.append(message)


def http_scope(**changes):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/cgi-bin/token",
        "query_string": b"appid=test",
        "client": ("127.0.0.1", 5),
        **changes,
    }


BODY = {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("path", "errcode"),
    [("/cgi-bin/token", 40013), ("/cgi-bin/stable_token", 43002), ("/cgi-bin/getcallbackip", 41001)],
)
async def test_a_business_error_is_http_200_with_wechats_headers_in_order(program, sandbox, path, errcode):
    response = await program.http.get(path, params={"appid": "test"})
    assert response.status_code == 200
    assert response.json()["errcode"] == errcode
    assert response.headers.raw == [
        (b"connection", b"keep-alive"),
        (b"date", b"Fri, 15 Jan 2027 08:00:00 GMT"),
        (b"content-type", b"application/json; encoding=utf-8"),
        (b"content-length", str(len(response.content)).encode()),
    ]


async def test_json_is_compact_and_ascii(program):
    for answer in (
        await program.http.get("/cgi-bin/token"),
        await program.http.post("/cgi-bin/stable_token"),
    ):
        assert answer.content.isascii()
        assert re.fullmatch(rb'\{"errcode":\d+,"errmsg":"[^"]+"\}', answer.content)


async def test_a_token_answer_has_no_errcode_and_a_ticket_answer_has_one(program):
    token = await program.token()
    assert list(token) == ["access_token", "expires_in"]
    ticket = await program.ticket(token["access_token"])
    assert list(ticket) == ["errcode", "errmsg", "ticket", "expires_in"]
    assert (ticket["errcode"], ticket["errmsg"]) == (0, "ok")


async def test_a_rid_begins_with_the_time_that_the_date_shows(program, sandbox):
    rids = set()
    for _ in range(3):
        response = await program.http.get("/cgi-bin/token", params={"appid": "test"})
        rid = response.json()["errmsg"].removeprefix("invalid appid rid: ")
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", rid)
        assert int(rid[:8], 16) == parsedate_to_datetime(response.headers["date"]).timestamp()
        assert int(rid[:8], 16) == sandbox.clock.time()
        rids.add(rid[9:])
        sandbox.advance(1000)
    assert len(rids) == 3


@pytest.mark.parametrize(
    ("errcode", "path", "expected"),
    [
        (-1, "/cgi-bin/token", "system error"),
        (45009, "/cgi-bin/stable_token", "reach max api daily quota limit"),
        (45011, "/cgi-bin/stable_token", "api minute-quota reach limit, must slower, retry next minute"),
        (40164, "/cgi-bin/token", "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist"),
        (
            45009,
            "/cgi-bin/token",
            f"reach max api daily quota limit{HINT}",
        ),
        (40243, "/cgi-bin/token", "error 40243"),
    ],
)
def test_the_words_of_an_error(errcode, path, expected):
    assert text(errcode, path=path, peer="1.2.3.4") == expected


@pytest.mark.parametrize(
    ("version", "first"), [("1.0", b"connection"), ("1.1", b"connection"), ("2", b"date")]
)
async def test_http_2_gets_no_connection_header(anyio_backend, version, first):
    wire = Wire(BODY)
    await Sandbox()(http_scope(http_version=version), wire.receive, wire.send)
    assert wire.sent[0]["headers"][0][0] == first


async def test_below_a_mount_the_paths_are_the_same(anyio_backend):
    sandbox = Sandbox()
    wire = Wire(BODY)
    await sandbox(http_scope(path="/wechat/cgi-bin/token", root_path="/wechat"), wire.receive, wire.send)
    assert b'{"errcode":40013,' in wire.sent[1]["body"]
    assert sandbox.calls[0].path == "/cgi-bin/token"


async def test_a_body_may_come_in_pieces(program):
    async def pieces():
        for piece in ('{"grant_type":"client_credential","appid":', f'"{APPID}",', '"secret":"secret-aa"}'):
            yield piece.encode()

    assert "access_token" in await program.call("POST", "/cgi-bin/stable_token", content=pieces())


async def test_a_caller_that_goes_away_while_sending_gets_nothing(anyio_backend):
    sandbox = Sandbox()
    wire = Wire({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})
    await sandbox(http_scope(method="POST"), wire.receive, wire.send)
    assert wire.sent == []
    assert sandbox.calls == []


async def test_lifespan_is_answered(anyio_backend):
    wire = Wire({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await Sandbox()({"type": "lifespan"}, wire.receive, wire.send)
    assert [message["type"] for message in wire.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_websocket_is_refused(anyio_backend):
    wire = Wire({"type": "websocket.connect"})
    await Sandbox()({"type": "websocket"}, wire.receive, wire.send)
    assert wire.sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_starlette_app_can_mount_it(anyio_backend, sandbox):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    transport = httpx.ASGITransport(app=Starlette(routes=[Mount("/wechat", app=sandbox)]))
    async with httpx.AsyncClient(transport=transport, base_url="https://shop") as http:
        assert (await http.get("/wechat/cgi-bin/token")).json()["errcode"] == 41002
