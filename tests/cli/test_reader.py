"""`wxtoken token`: what it asks, and what it makes of the answer."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import httpx
import pytest

from wxtoken_asgi.command.cli import main
from wxtoken_asgi.command.serve import address_of, listen, sandbox_beside
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.stores.contract import Claim, Commit, Supply

TOKEN = "84_" + "Ab-_" * 34


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.keys.append(self.headers["authorization"])
        status, body = self.server.answer
        if status is None:
            return
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.keys = [], []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name in [name for name in os.environ if name.startswith("WXTOKEN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def nobody():
    """A port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def said(capsys):
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    return err


def test_a_token_is_printed_alone(server, capsys):
    server.answer = (200, json.dumps({"access_token": TOKEN, "expires_in": 7000}))
    assert main(["token", "alpha", "--server", server.url + "/wx/"]) == 0
    assert capsys.readouterr() == (TOKEN + "\n", "")
    assert server.asked == ["/wx/token/alpha?format=json"]


def test_a_ticket_is_printed_as_json(server, capsys):
    server.answer = (200, json.dumps({"ticket": "t" * 86, "expires_in": 600, "more": 1}))
    assert main(["token", "a/b", "--server", server.url, "--kind", "ticket", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ticket": "t" * 86, "expires_in": 600}
    assert server.asked == ["/ticket/a%2Fb?format=json"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_configuration_says_where_the_server_is(server, capsys, monkeypatch, host):
    monkeypatch.setenv("WXTOKEN_HOST", host)
    monkeypatch.setenv("WXTOKEN_PORT", str(server.server_port))
    monkeypatch.setenv("WXTOKEN_PREFIX", "/wx")
    server.answer = (200, json.dumps({"access_token": TOKEN}))
    assert main(["token", "alpha"]) == 0
    assert capsys.readouterr().out == TOKEN + "\n"
    assert server.asked == ["/wx/token/alpha?format=json"]


def test_no_proxy_of_the_environment_is_asked_for_loopback(server, capsys, monkeypatch, nobody):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{nobody}")
    server.answer = (200, json.dumps({"access_token": TOKEN}))
    assert main(["token", "alpha", "--server", server.url]) == 0


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (
            404,
            '{"code": "unknown_account", "errmsg": "no account\\nis named \\u001b[31m"}',
            "no account is named  [31m",
        ),
        (403, '{"errmsg": "not allowed from here"}', "not allowed from here"),
        (200, "<html>", "{} answered 200, and not as wxtoken does"),
        (200, "[]", "{} answered 200, and not as wxtoken does"),
        (200, '{"ticket": "t"}', "{} answered 200, and not as wxtoken does"),
        (201, '{"access_token": "t"}', "{} answered 201, and not as wxtoken does"),
        (302, '{"errmsg": 1}', "{} answered 302, and not as wxtoken does"),
        (None, "", "{} gave no answer: RemoteProtocolError"),
    ],
)
def test_a_refusal_is_shown_in_one_line(server, capsys, status, body, line):
    server.answer = (status, body)
    user = server.url.replace("http://", "http://user:password@")
    assert main(["token", "alpha", "--server", user]) == 1
    assert said(capsys) == f"wxtoken: {line.format(server.url)}\n"


@pytest.mark.parametrize(
    ("key", "sent"), [(None, None), ("", None), ("wxk_of-a-client", "Bearer wxk_of-a-client")]
)
def test_a_key_of_the_environment_is_sent(server, monkeypatch, key, sent):
    server.answer = (200, json.dumps({"access_token": TOKEN}))
    if key is not None:
        monkeypatch.setenv("WXTOKEN_KEY", key)
    assert main(["token", "alpha", "--server", server.url]) == 0
    assert server.keys == [sent]


def test_a_key_that_is_none_is_refused_and_not_shown(server, monkeypatch, capsys):
    monkeypatch.setenv("WXTOKEN_KEY", "wxk_of a client")
    assert main(["token", "alpha", "--server", server.url]) == 2
    assert said(capsys) == "wxtoken: WXTOKEN_KEY must be a key as `wxtoken key` prints it\n"
    assert server.asked == []


def test_a_server_that_is_not_there_is_named(nobody, capsys):
    assert main(["token", "alpha", "--server", f"http://127.0.0.1:{nobody}/wx"]) == 1
    assert said(capsys) == f"wxtoken: nothing listens on http://127.0.0.1:{nobody}/wx\n"


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:8000", "ftp://h", "http://h:x", "http://[::1", "http://\x00"]
)
def test_an_address_that_is_none_is_refused(capsys, address):
    assert main(["token", "alpha", "--server", address]) == 2
    assert said(capsys) == "wxtoken: --server must be an address such as http://127.0.0.1:8000/wx\n"


# Nothing listens there


def configure(monkeypatch, nobody, **more):
    account = {"appid": "wx00000000000000c3", "secret": "not-to-be-shown", **more}
    for name, value in account.items():
        monkeypatch.setenv(f"WXTOKEN_ACCOUNTS__GAMMA__{name.upper()}", value)
    monkeypatch.setenv("WXTOKEN_PORT", str(nobody))


def test_an_unknown_account_is_said_to_be_unknown(nobody, capsys, monkeypatch):
    configure(monkeypatch, nobody)
    assert main(["token", "delta"]) == 1
    assert said(capsys) == "wxtoken: no account is named 'delta', nor has it as appid\n"


@pytest.mark.parametrize("kind", ["token", "ticket"])
def test_a_token_of_others_is_not_doomed(nobody, capsys, monkeypatch, kind):
    configure(monkeypatch, nobody, endpoint="token")
    monkeypatch.setenv("WXTOKEN_STORE", "memory:")
    assert main(["token", "gamma", "--kind", kind]) == 2
    line = said(capsys)
    assert line.startswith(f"wxtoken: account gamma: nothing listens on http://127.0.0.1:{nobody}, and with")
    assert "doom" in line


def test_a_wrong_configuration_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("WXTOKEN_PORT", "x")
    assert main(["token", "alpha"]) == 2
    assert said(capsys) == "wxtoken: WXTOKEN_PORT: port must be a whole number, not 'x'\n"


@pytest.fixture
def sandbox():
    with listen("127.0.0.1", 0) as sock, sandbox_beside(sock):
        yield address_of(sock)


@pytest.mark.parametrize("kind", ["token", "ticket"])
def test_the_stable_endpoint_is_asked_where_that_harms_nobody(nobody, capsys, monkeypatch, sandbox, kind):
    key = {"token": "access_token", "ticket": "ticket"}[kind]
    configure(monkeypatch, nobody, api_base=sandbox, tickets="jsapi")
    assert main(["token", "gamma", "--kind", kind, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == (
        f"wxtoken: nothing listens on http://127.0.0.1:{nobody}; WeChat's stable endpoint was asked instead\n"
    )
    answer = json.loads(out)
    assert len(answer[key]) > 80
    assert 0 < answer["expires_in"] <= 7200
    accepts = {"token": "accepts", "ticket": "accepts-ticket"}[kind]
    asked = httpx.get(f"{sandbox}/sandbox/{accepts}", params={kind: answer[key]}, trust_env=False)
    assert "true" in asked.text


def test_only_the_asked_account_is_fetched_and_no_ticket(nobody, capsys, monkeypatch, sandbox):
    configure(monkeypatch, nobody, api_base=sandbox, tickets="jsapi")
    monkeypatch.setenv("WXTOKEN_STORE", "memory:")
    other = {"appid": "wx00000000000000d4", "secret": "s", "endpoint": "token", "api_base": sandbox}
    for name, value in other.items():
        monkeypatch.setenv(f"WXTOKEN_ACCOUNTS__DELTA__{name.upper()}", value)
    assert main(["token", "gamma"]) == 0
    calls = httpx.get(f"{sandbox}/sandbox/calls", trust_env=False).json()
    assert "stable_token" in str(calls)
    assert "/cgi-bin/token" not in str(calls)
    assert "getticket" not in str(calls)


# with a store


def calls(sandbox):
    found = httpx.get(f"{sandbox}/sandbox/calls", trust_env=False).json()
    return {path: sum(times.values()) for path, times in found.items()}


def accepted(sandbox, token):
    asked = httpx.get(f"{sandbox}/sandbox/accepts", params={"token": token}, trust_env=False)
    return "true" in asked.text


def test_with_a_shared_store_a_token_of_the_old_endpoint_is_fetched_once_and_kept_there(
    nobody, capsys, monkeypatch, sandbox, tmp_path
):
    configure(monkeypatch, nobody, api_base=sandbox, endpoint="token")
    monkeypatch.setenv("WXTOKEN_STORE", f"sqlite://{tmp_path}/tokens.db")
    answers = []
    for _ in range(3):
        assert main(["token", "gamma", "--json"]) == 0
        out, err = capsys.readouterr()
        answers.append(json.loads(out))
        assert err == ""
    assert len({answer["access_token"] for answer in answers}) == 1
    assert accepted(sandbox, answers[0]["access_token"])
    assert 0 < answers[0]["expires_in"] < 7200
    assert calls(sandbox)["/cgi-bin/token"] == 1


def credential(sandbox):
    return Credential("wxtoken", sandbox, "wx00000000000000c3", "token", "access_token")


def in_store(url, do):
    async def use():
        store = open_store(url)
        await store.open()
        try:
            return await do(store)
        finally:
            await store.close()

    return anyio.run(use)


def test_while_another_process_fetches_its_token_is_waited_for_and_not_doomed(
    nobody, capsys, monkeypatch, sandbox, tmp_path
):
    url = f"sqlite://{tmp_path}/tokens.db"
    configure(monkeypatch, nobody, api_base=sandbox, endpoint="token")
    monkeypatch.setenv("WXTOKEN_STORE", url)

    async def fetch_slowly(store):
        [granted] = await store.claim([Claim(credential(sandbox))], owner="another", lease_s=30)
        leased.set()
        await anyio.sleep(1)
        await store.commit([Commit(credential(sandbox), granted.fence, TOKEN, 7000, 3600)])

    leased = threading.Event()
    other = threading.Thread(target=in_store, args=(url, fetch_slowly))
    other.start()
    assert leased.wait(10)
    assert main(["token", "gamma"]) == 0
    other.join()
    assert capsys.readouterr().out == TOKEN + "\n"
    assert calls(sandbox) == {}


def test_with_a_store_that_cannot_be_used_nothing_is_fetched(nobody, capsys, monkeypatch, sandbox, tmp_path):
    (tmp_path / "tokens.db").write_text("no database " * 400)
    configure(monkeypatch, nobody, api_base=sandbox, endpoint="token")
    monkeypatch.setenv("WXTOKEN_STORE", f"sqlite://{tmp_path}/tokens.db")
    assert main(["token", "gamma"]) == 1
    assert said(capsys).startswith("wxtoken: store: ")
    assert calls(sandbox) == {}


@pytest.fixture
def left(state):
    """Puts a value into the file that `wxtoken serve` keeps where no store is written out."""

    def put(sandbox, ttl_s):
        async def supply(store):
            await store.supply([Supply(credential(sandbox), TOKEN, ttl_s, ttl_s / 2)])

        file = state / "wxtoken" / "tokens.db"
        file.parent.mkdir(parents=True)
        if ttl_s is None:
            file.write_text("no database " * 400)
        else:
            in_store(f"sqlite://{file}", supply)

    return put


def test_what_serve_has_left_in_its_own_store_is_read_there(nobody, capsys, monkeypatch, sandbox, left):
    configure(monkeypatch, nobody, api_base=sandbox, endpoint="token")
    left(sandbox, 7000.0)
    assert main(["token", "gamma", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["access_token"] == TOKEN
    assert 0 < json.loads(out)["expires_in"] < 7000
    assert calls(sandbox) == {}


@pytest.mark.parametrize("there", [(), (0.0,), (None,)], ids=["nothing", "a dead token", "no database"])
def test_a_store_that_nobody_wrote_out_is_no_leave_to_fetch(request, capsys, monkeypatch, left, there):
    nobody, sandbox = map(request.getfixturevalue, ("nobody", "sandbox"))
    configure(monkeypatch, nobody, api_base=sandbox, endpoint="token")
    for ttl_s in there:
        left(sandbox, ttl_s)
    assert main(["token", "gamma"]) == 2
    assert "no shared store written out a fetch would doom" in said(capsys)
    assert calls(sandbox) == {}


def test_a_refusal_of_wechat_is_one_line(nobody, capsys, monkeypatch, sandbox):
    configure(monkeypatch, nobody, api_base=sandbox, appid="malformed")
    assert main(["token", "gamma"]) == 1
    assert "account gamma" in capsys.readouterr().err.splitlines()[-1]
