"""Faults on request, as a client in the same process meets them."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import httpx
import pytest

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.sandbox import Fault, Sandbox

APPID = "wx00000000000000aa"
OLD, STABLE = "/cgi-bin/token", "/cgi-bin/stable_token"
GOOD = {"params": {"grant_type": "client_credential", "appid": APPID, "secret": "secret-aa"}}


async def fetch(program):
    return await program.http.get(OLD, **GOOD)


@pytest.mark.parametrize(
    ("errcode", "text"),
    [
        (-1, "system error rid: "),
        (40164, "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: "),
        (45009, "reach max api daily quota limit, could get"),
        (99999, "error 99999 rid: "),
    ],
)
async def test_an_errcode_comes_in_wechats_words(program, sandbox, errcode, text):
    sandbox.fail(errcode=errcode)
    response = await fetch(program)
    assert response.status_code == 200
    assert response.json()["errcode"] == errcode
    assert response.json()["errmsg"].startswith(text)
    assert response.headers["content-type"] == "application/json; encoding=utf-8"
    assert (sandbox.calls[0].errcode, sandbox.calls[0].fault) == (errcode, "errcode")
    assert "access_token" in (await fetch(program)).json()


@pytest.mark.parametrize(("status", "expected"), [(None, 502), (500, 500), (404, 404)])
async def test_a_status_comes_with_a_page(program, sandbox, status, expected):
    sandbox.fail("status", **({"status": status} if status else {}))
    response = await fetch(program)
    assert response.status_code == expected
    assert response.headers["content-type"] == "text/html"
    assert f"<title>{expected}</title>" in response.text


@pytest.mark.parametrize(
    ("body", "expected"), [(None, b'\x1f\x8b\xff{"access_token'), (b"\x00", b"\x00"), ("<xml>", b"<xml>")]
)
async def test_garbage_is_no_json(program, sandbox, body, expected):
    sandbox.fail("garbage", body=body)
    response = await fetch(program)
    assert (response.status_code, response.content) == (200, expected)
    assert response.headers["content-type"] == "application/json; encoding=utf-8"
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's or Unicode's own
        response.json()


async def test_an_empty_answer_looks_as_wechats_did(program, sandbox):
    sandbox.fail("empty")
    response = await fetch(program)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "text/html; charset=gbk"
    assert response.headers["content-length"] == "0"


@pytest.mark.parametrize(
    "body", [[], "text", None, {"access_token": 5, "expires_in": "7200"}, {"expires_in": 7200}]
)
async def test_an_odd_body_comes_as_it_was_given(program, sandbox, body):
    sandbox.fail("body", body=body)
    assert (await fetch(program)).json() == body


@pytest.mark.parametrize(
    ("kind", "error", "system"),
    [
        ("reset", httpx.ReadError, ConnectionResetError),
        ("half", httpx.RemoteProtocolError, ConnectionResetError),
        ("away", httpx.ConnectError, ConnectionRefusedError),
    ],
)
async def test_a_broken_connection_raises_what_httpx_raises(program, sandbox, kind, error, system):
    sandbox.fail(kind)
    with pytest.raises(error) as caught:
        await fetch(program)
    assert isinstance(caught.value, system)
    assert caught.value.request.url.path == OLD
    assert (sandbox.calls[0].errcode, sandbox.calls[0].fault) == (None, kind)
    sandbox.heal()
    assert "access_token" in (await fetch(program)).json()


@pytest.mark.parametrize(
    ("kind", "error"),
    [("reset", ConnectionResetError), ("half", ConnectionResetError), ("away", None)],
)
async def test_under_an_unknown_server_an_exception_drops_the_connection(anyio_backend, kind, error):
    sandbox = Sandbox()
    sandbox.fail(kind)
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": OLD, "query_string": b""}
    if error is None:
        await sandbox(scope, receive, send)
        assert sent[0]["status"] == 503
        return
    with pytest.raises(error):
        await sandbox(scope, receive, send)
    length = int(dict(sent[0]["headers"])[b"content-length"])
    received = sum(len(message["body"]) for message in sent[1:])
    assert received < length
    assert (received > 0) is (kind == "half")


async def test_a_hanging_call_never_ends(program, sandbox):
    sandbox.fail("hang", before=False)
    with anyio.move_on_after(0.05) as waited:
        await fetch(program)
    assert waited.cancelled_caught
    assert sandbox.calls[0].fault == "hang"
    assert sandbox.calls[0].issued


async def test_a_hanging_call_ends_when_its_caller_goes_away(anyio_backend):
    sandbox = Sandbox()
    sandbox.fail("hang")
    nothing = {"type": "http.request", "body": b""}
    messages = [nothing, nothing, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    scope = {"type": "http", "method": "GET", "path": OLD, "query_string": b""}
    await sandbox(scope, receive, sent.append)
    assert messages == sent == []


class Sleeps:
    """`anyio.sleep` that ends when it is told to."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.end = anyio.Event()
        monkeypatch.setattr(anyio, "sleep", self)

    async def __call__(self, seconds):
        self.asked.append(seconds)
        await self.end.wait()


@pytest.mark.parametrize(("before", "issued_meanwhile"), [(True, []), (False, [True])])
async def test_a_slow_call_is_right_in_the_end(program, sandbox, monkeypatch, before, issued_meanwhile):
    sleeps = Sleeps(monkeypatch)
    sandbox.fail("slow", seconds=3, before=before)
    answers = []

    async def call():
        answers.append((await fetch(program)).json())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert sleeps.asked == [3]
        assert [call.issued for call in sandbox.calls] == issued_meanwhile
        sleeps.end.set()
    assert sandbox.accepts(answers[0]["access_token"])
    assert [(call.errcode, call.issued, call.fault) for call in sandbox.calls] == [(0, True, "slow")]


@pytest.mark.parametrize(("before", "issued", "errcode"), [(True, False, None), (False, True, 0)])
async def test_a_slow_call_that_is_given_up_came_in_all_the_same(program, sandbox, before, issued, errcode):
    sandbox.fail("slow", seconds=100, before=before)
    with anyio.move_on_after(0.02):
        await fetch(program)
    assert [(call.issued, call.errcode) for call in sandbox.calls] == [(issued, errcode)]


@pytest.mark.parametrize("kind", ["errcode", "status", "garbage", "empty", "body", "half", "reset", "away"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_fault_after_the_work_has_issued_a_token_and_lost_it(program, sandbox, kind, before):
    held = (await fetch(program)).json()["access_token"]
    sandbox.fail(kind, before=before)
    try:
        await fetch(program)
    except httpx.TransportError:
        assert kind in {"half", "reset", "away"}
    assert sandbox.calls[-1].issued is not before
    sandbox.advance(300)
    assert sandbox.accepts(held) is before


async def test_a_refused_call_issues_nothing_though_its_answer_is_lost(program, sandbox):
    sandbox.fail("empty", before=False)
    await program.http.get(OLD, params={**GOOD["params"], "secret": "wrong"})
    assert [(call.errcode, call.issued) for call in sandbox.calls] == [(None, False)]


@pytest.mark.parametrize(("before", "beginning"), [(True, b'{"errcode":-1,'), (False, b'{"access_token":"')])
async def test_half_an_answer_is_half_of_the_right_one_if_wechat_did_its_work(
    anyio_backend, sandbox, before, beginning
):
    sandbox.fail("half", before=before)
    parts = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        parts.append(message.get("body", b""))

    query = f"grant_type=client_credential&appid={APPID}&secret=secret-aa".encode()
    scope = {"type": "http", "method": "GET", "path": OLD, "query_string": query}
    with pytest.raises(ConnectionResetError):
        await sandbox(scope, receive, send)
    assert b"".join(parts).startswith(beginning)


@pytest.mark.parametrize(("times", "expected"), [(1, [-1, 0, 0]), (2, [-1, -1, 0]), (None, [-1, -1, -1])])
async def test_a_fault_hits_so_many_calls(program, sandbox, times, expected):
    sandbox.fail(times=times)
    codes = [(await fetch(program)).json().get("errcode", 0) for _ in range(3)]
    assert codes == expected
    assert len(sandbox.faults) == (times is None)


async def test_a_fault_hits_its_path_alone(program, sandbox):
    sandbox.fail(path=STABLE, errcode=-1)
    assert "access_token" in await program.token()
    assert (await program.stable())["errcode"] == -1


async def test_a_fault_hits_its_account_alone_by_appid_or_token(program, sandbox):
    sandbox.add("wx00000000000000bb", "secret-bb")
    mine, theirs = await program.token(), sandbox.outside_fetch("wx00000000000000bb")
    sandbox.fail(appid="wx00000000000000bb", errcode=50004, times=3)
    assert "access_token" in await program.token()
    assert "access_token" in await program.stable()
    assert "ip_list" in await program.try_out(mine["access_token"])
    assert (await program.try_out("made-up"))["errcode"] == 40001
    assert (await program.stable(appid=["wx00000000000000bb"]))["errcode"] == 40013
    assert (await program.try_out(theirs))["errcode"] == 50004
    assert (await program.token(appid="wx00000000000000bb"))["errcode"] == 50004
    assert (await program.stable(appid="wx00000000000000bb"))["errcode"] == 50004


async def test_faults_hit_in_the_order_in_which_they_were_added(program, sandbox):
    for errcode in (-1, 40001, 45009):
        sandbox.faults.add(Fault(errcode=errcode))
    assert [(await program.token())["errcode"] for _ in range(3)] == [-1, 40001, 45009]


async def test_heal_removes_all_faults(program, sandbox):
    sandbox.fail(times=None)
    sandbox.away()
    sandbox.heal()
    assert len(sandbox.faults) == 0
    assert "access_token" in await program.token()


async def test_away_lasts_for_its_time(program, sandbox):
    sandbox.away(60)
    for seconds in (0, 59.9):
        sandbox.advance(seconds)
        with pytest.raises(httpx.ConnectError):
            await program.token()
    sandbox.advance(0.1)
    assert "access_token" in await program.token()
    assert len(sandbox.faults) == 0


async def test_away_without_a_time_lasts_until_healed(program, sandbox):
    sandbox.away()
    for _ in range(3):
        sandbox.advance(86_400)
        with pytest.raises(httpx.ConnectError):
            await program.token()


async def test_a_client_of_the_fork_of_httpx_gets_its_own_errors(anyio_backend, sandbox):
    httpx2 = pytest.importorskip("httpx2")
    sandbox.away()
    transport = httpx2.ASGITransport(app=sandbox)
    async with httpx2.AsyncClient(transport=transport, base_url="https://wechat") as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(OLD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fire"}, "kind must be one of errcode, status, .* not 'fire'"),
        ({"kind": []}, "kind must be one of"),
        ({"path": 5}, "path must be text"),
        ({"appid": []}, "appid must be text"),
        ({"times": 0}, "times must be a whole number above 0"),
        ({"times": 1.5}, "times must be a whole number above 0"),
        ({"times": True}, "times must be a whole number above 0"),
        ({"errcode": "x"}, "errcode must be a whole number"),
        ({"status": 99}, "status must be from 200 to 599"),
        ({"status": "502"}, "status must be from 200 to 599"),
        ({"kind": "slow"}, "slow needs seconds"),
        ({"kind": "slow", "seconds": -1}, "seconds must be finite and not negative"),
        ({"kind": "slow", "seconds": float("nan")}, "seconds must be finite and not negative"),
        ({"kind": "slow", "seconds": "3"}, "seconds must be a number of seconds"),
        ({"kind": "slow", "seconds": True}, "seconds must be a number of seconds"),
    ],
)
def test_a_wrong_fault_is_refused_in_words(sandbox, changes, message):
    with pytest.raises(ConfigError, match=message):
        sandbox.fail(**changes)
    assert len(sandbox.faults) == 0


def test_a_faults_body_stays_out_of_its_repr():
    assert "84_token" not in repr(Fault("body", body={"access_token": "84_token"}))
