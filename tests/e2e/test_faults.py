"""What goes wrong between us and WeChat, and what a reader sees of it: a real process, real sockets."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.launcher import STABLE, TOKEN
from support.servers import answer_on, burst, raw_request, wait_until

PROGRAMS = str(Path(__file__).parent / "programs")
PATHS = {"stable": STABLE, "token": TOKEN}
HOOKS = {"hooks": "told", "environ": {"PYTHONPATH": PROGRAMS}}

# What a reader sees of each fault while nothing is held: status, code, errcode.
SEEN = {
    "garbage": (503, "not_ready", None),
    "empty": (503, "not_ready", None),
    "half": (503, "not_ready", None),
    "reset": (503, "not_ready", None),
    "html": (503, "not_ready", None),
    "busy": (503, "not_ready", -1),
    "hang": (504, "upstream_timeout", None),
    "quota": (502, "upstream_refused", 45009),
    "wrong-secret": (502, "upstream_refused", 40125),
    "not-listed": (502, "upstream_refused", 40164),
}
ARMED = {
    "garbage": {"kind": "garbage"},
    "empty": {"kind": "empty"},
    "half": {"kind": "half"},
    "reset": {"kind": "reset"},
    "html": {"kind": "status", "status": 502},
    "busy": {"errcode": -1},
    "hang": {"kind": "hang"},
    "quota": {"errcode": 45009},
}
PERMANENT = {"quota", "wrong-secret", "not-listed"}


@pytest.fixture(params=["stable", "token"])
def endpoint(request):
    return request.param


@pytest.fixture
def alpha(wechat, endpoint):
    return {"alpha": wechat.accounts["alpha"] | {"endpoint": endpoint}}


def test_a_reader_without_a_token_hears_what_is_wrong_and_gets_one_when_wechat_is_well(
    launch, wechat, vault, endpoint
):
    accounts = {name: faulty(wechat, vault, name, endpoint) for name in SEEN}
    served = launch.serve(accounts)
    with ThreadPoolExecutor(len(SEEN)) as crowd:
        answers = dict(zip(SEEN, crowd.map(lambda name: served.get(f"/token/{name}"), SEEN), strict=True))
    for name, answer in answers.items():
        told = answer.json()
        assert (answer.status_code, told["code"], told.get("errcode")) == SEEN[name], name
        assert int(answer.headers["retry-after"]) >= 1, name
        assert f"account {name}" in told["errmsg"]
        vault.hear(f"the answer of {name}", answer.text)
    assert "127.0.0.1" in answers["not-listed"].json()["errmsg"]
    asked = {name: wechat.fetches(name) for name in PERMANENT}
    wechat.sandbox.heal()
    for name in SEEN.keys() - PERMANENT:
        wait_until(lambda name=name: served.get(f"/token/{name}").status_code == 200, name)
    for name in PERMANENT:  # answered from memory
        assert served.get(f"/token/{name}").status_code == 502
        assert wechat.fetches(name) == asked[name] == 1
    assert served.get("/health/ready").status_code == 200
    assert served.end() == 0
    assert "Traceback" not in served.err


def faulty(wechat, vault, name, endpoint):
    table = wechat.add(name, endpoint, whitelist=["203.0.113.1"] if name == "not-listed" else ())
    if name in ARMED:
        wechat.sandbox.fail(appid=table["appid"], times=None, **ARMED[name])
    if name == "wrong-secret":
        return table | {"secret": vault.new("a wrong secret")}
    return table | {"timeout": 0.5}


def test_a_failed_refresh_takes_nothing_away_and_wechats_return_is_noticed(launch, wechat, alpha):
    served = launch.serve(alpha)
    token = served.get("/token/alpha").text
    for fault in ("garbage", "half", "reset"):
        wechat.sandbox.fail(fault, path=PATHS[alpha["alpha"]["endpoint"]], times=None)
    wechat.stop()
    refused = served.put("/token/alpha")
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert served.get("/token/alpha").text == token
    wechat.sandbox.heal()
    wechat.start()
    again = wait_until(lambda: served.put("/token/alpha").status_code == 200, "a refresh", 90)
    assert again
    assert wechat.sandbox.accepts(served.get("/token/alpha").text)


def test_who_comes_while_wechat_is_away_waits_for_its_return(launch, wechat, alpha):
    wechat.stop()
    served = launch.serve(alpha, **HOOKS)
    served.says("told of error connect")
    with burst(served.port, raw_request("GET", "/token/alpha", served.port), 3) as sockets:
        wechat.start()
        answers = {answer_on(sock) for sock in sockets}
    ((status, token),) = answers
    assert status == 200
    assert wechat.sandbox.accepts(token)
    assert wechat.fetches() == 1


def test_a_refresh_that_sigterm_meets_is_finished_and_told(launch, wechat, alpha, endpoint):
    served = launch.serve(alpha, **HOOKS)
    token = served.get("/token/alpha").text
    wechat.sandbox.revoke(token)
    wechat.close_gate(PATHS[endpoint])
    report = raw_request("PUT", "/token/alpha", served.port, token.encode())
    with burst(served.port, report, 5) as sockets:
        wait_until(lambda: wechat.arrived, "a fetch")
        served.signal(signal.SIGTERM)
        served.says("Shutting down")
        wechat.open_gate()
        assert {answer_on(sock) for sock in sockets} == {(200, '{"message":"ok"}')}
    assert served.wait(10) == 0
    assert served.out.count("told of access_token") == 2
    assert wechat.fetches() == (3 if endpoint == "stable" else 2)
    assert "Traceback" not in served.err


def test_a_first_fetch_for_which_nobody_waits_is_finished_too(launch, wechat, alpha, endpoint):
    wechat.close_gate(PATHS[endpoint])
    served = launch.serve(alpha, **HOOKS)
    wait_until(lambda: wechat.arrived, "a fetch")
    served.signal(signal.SIGTERM)
    served.says("Shutting down")
    wechat.open_gate()
    assert served.wait(10) == 0
    assert served.out.count("told of access_token") == wechat.fetches() == 1


def test_a_wechat_that_hangs_does_not_keep_the_process_from_ending(launch, wechat, alpha, endpoint):
    wechat.sandbox.fail("hang", path=PATHS[endpoint], times=None)
    served = launch.serve(alpha)
    wait_until(lambda: wechat.fetches(), "a fetch")
    begun = time.monotonic()
    assert served.end(15) == 0
    assert time.monotonic() - begun < 8
    assert "Traceback" not in served.err


def test_after_a_sigkill_in_a_fetch_the_next_process_has_a_token(launch, wechat, alpha, endpoint):
    served = launch.serve(alpha)
    token = served.get("/token/alpha").text
    wechat.close_gate(PATHS[endpoint])
    with burst(served.port, raw_request("PUT", "/token/alpha", served.port), 5) as sockets:
        wait_until(lambda: wechat.arrived, "a fetch")
        served.kill()
        assert {sock.recv(1) for sock in sockets} == {b""}
    wechat.open_gate()
    heir = launch.serve(alpha, port=served.port)
    found = heir.get("/token/alpha").text
    assert wechat.sandbox.accepts(found)
    assert (found == token) is (endpoint == "stable")
    assert heir.end() == 0
