"""The sandbox under a real server, over real sockets."""

from __future__ import annotations

import logging
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from wxtoken_asgi.sandbox import Sandbox

OLD = "/cgi-bin/token"
PARAMS = {"grant_type": "client_credential", "appid": "wx00000000000000aa", "secret": "secret-aa"}


@pytest.fixture(
    scope="module", params=[("h11", "asyncio"), ("httptools", "uvloop")], ids=lambda pair: pair[0]
)
def served(request):
    """A sandbox and the address where uvicorn serves it."""
    http, loop = request.param
    if http == "httptools":
        pytest.importorskip("httptools")
        pytest.importorskip("uvloop")
    sandbox = Sandbox()
    sandbox.add("wx00000000000000aa", "secret-aa")
    config = uvicorn.Config(sandbox, http=http, loop=loop, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield sandbox, f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def http(served, caplog):
    sandbox, address = served
    sandbox.heal()
    with caplog.at_level(logging.ERROR), httpx.Client(base_url=address, timeout=5) as http:
        yield http
    assert [record.message for record in caplog.records] == []


@pytest.fixture
def sandbox(served):
    return served[0]


def test_it_answers_over_a_socket(http, sandbox):
    answer = http.get(OLD, params=PARAMS)
    assert sandbox.accepts(answer.json()["access_token"])
    assert answer.headers["content-type"] == "application/json; encoding=utf-8"
    assert answer.headers["connection"] == "keep-alive"


@pytest.mark.parametrize("before", [True, False])
def test_a_reset_is_a_reset(http, sandbox, before):
    http.get(OLD, params=PARAMS)
    sandbox.fail("reset", before=before)
    with pytest.raises(httpx.ReadError, match="reset"):
        http.get(OLD, params=PARAMS)
    assert sandbox.calls[-1].issued is not before
    assert http.get(OLD, params=PARAMS).status_code == 200


def read_into(received, answer):
    for part in answer.iter_bytes():
        received += part


@pytest.mark.parametrize("before", [True, False])
def test_half_an_answer_breaks_off(http, sandbox, before):
    sandbox.fail("half", before=before)
    received = bytearray()
    with http.stream("GET", OLD, params=PARAMS) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            read_into(received, answer)
    assert received.startswith(b'{"errcode":-1' if before else b'{"access_token"')
    assert len(received) == int(answer.headers["content-length"]) // 2
    assert http.get(OLD, params=PARAMS).status_code == 200


def test_a_hanging_call_runs_into_the_clients_time_out(http, sandbox):
    sandbox.fail("hang")
    with pytest.raises(httpx.ReadTimeout):
        http.get(OLD, params=PARAMS, timeout=0.1)
    assert http.get(OLD, params=PARAMS).status_code == 200


def test_a_slow_call_comes_late(http, sandbox):
    sandbox.fail("slow", seconds=0.2)
    started = time.monotonic()
    assert "access_token" in http.get(OLD, params=PARAMS).json()
    assert time.monotonic() - started >= 0.19


def test_away_is_503_where_a_server_is_there(http, sandbox):
    sandbox.away()
    assert http.get(OLD, params=PARAMS).status_code == 503


def test_it_is_controlled_from_this_machine(http, sandbox):
    assert http.post("/sandbox/fault", json={"kind": "status", "status": 500}).json() == {"faults": 1}
    assert http.get(OLD, params=PARAMS).status_code == 500
    assert http.post("/sandbox/heal").json() == {"faults": 0}
