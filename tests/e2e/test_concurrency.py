"""Crowds over real sockets: however many ask, report or go away, there is one fetch."""

from __future__ import annotations

import socket
import struct
from itertools import count
from pathlib import Path

import pytest

from support.launcher import PROBE, STABLE, TICKET, TOKEN, Launcher, wechat_server
from support.servers import answer_on, burst, raw_request, wait_until

CROWD = 500
PATHS = {"stable": STABLE, "token": TOKEN}
OK = (200, '{"message":"ok"}')
LEAVING = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


@pytest.fixture(scope="module")
def wechat(vault):
    """One WeChat with many accounts, so that each test finds one that nobody has touched."""
    with wechat_server(vault) as server:
        for number in range(8):
            server.add(f"stable-{number}", "stable")
            server.add(f"token-{number}", "token")
        yield server


@pytest.fixture(scope="module")
def served(vault, wechat, tmp_path_factory):
    with Launcher(tmp_path_factory.mktemp("crowds"), vault) as launcher:
        served = launcher.serve(wechat.accounts)
        yield served
        assert served.end() == 0
        assert "Traceback" not in served.err


@pytest.fixture(scope="module")
def numbers():
    return count()


class Target:
    """An account of its own, of which a token is held."""

    def __init__(self, served, wechat, endpoint, number):
        self.served, self.wechat, self.endpoint = served, wechat, endpoint
        self.app = f"{endpoint}-{number}"
        self.path = PATHS[endpoint]
        self.token = self.read()
        assert self.fetches() == 1

    def read(self):
        return self.served.get(f"/token/{self.app}").text

    def renewed(self):
        """The token, once it is another."""

        def another():
            token = self.read()
            return token if token != self.token else None

        return wait_until(another, "a new token")

    def report(self, token=None):
        return raw_request("PUT", f"/token/{self.app}", self.served.port, (token or self.token).encode())

    def fetches(self):
        return self.wechat.fetches(self.app)


@pytest.fixture(params=["stable", "token"])
def target(request, served, wechat, numbers):
    return Target(served, wechat, request.param, next(numbers) // 2)


@pytest.fixture(params=["wxtoken serve", "uvicorn --lifespan off"])
def start(request, launch, wechat):
    """Start a cold server with two accounts that nobody else uses, in one of two ways."""
    accounts = {"stable": wechat.accounts["stable-7"], "token": wechat.accounts["token-7"]}

    def on_demand():
        folder = str(Path(__file__).parent / "programs")
        argv = ("-m", "uvicorn", "ondemand:app", "--lifespan", "off", "--port", "0", "--app-dir", folder)
        return launch.service(*argv, marker="running on", name="ondemand", CONFIG=launch.config(accounts))

    return (lambda: launch.serve(accounts)) if request.param == "wxtoken serve" else on_demand


def crowd(port, request, *, meanwhile=lambda: None):
    """All answers to a request that many send; none is read before `meanwhile` is done."""
    with burst(port, request, CROWD) as sockets:
        meanwhile()
        return [answer_on(sock) for sock in sockets]


def leave(sockets):
    """Half of them close, half of them reset their connection."""
    for sock in sockets[::2]:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVING)
    for sock in sockets:
        sock.close()


def test_500_cold_readers_get_one_token_for_one_fetch_and_those_who_leave_change_nothing(start, wechat):
    before = {endpoint: wechat.fetches(f"{endpoint}-7") for endpoint in PATHS}
    wechat.close_gate(TOKEN, STABLE)
    served = start()
    for arrived, endpoint in enumerate(PATHS, 1):
        with burst(served.port, raw_request("GET", f"/token/{endpoint}", served.port), 50) as sockets:
            wait_until(lambda: wechat.arrived >= arrived, "a fetch")  # noqa: B023 - used in this turn only
            leave(sockets)
    assert served.get("/health/live").status_code == 200
    for endpoint in PATHS:
        request = raw_request("GET", f"/token/{endpoint}", served.port)
        answers = crowd(served.port, request, meanwhile=wechat.open_gate)
        assert {status for status, _ in answers} == {200}
        (token,) = {body for _, body in answers}
        assert wechat.sandbox.accepts(token)
        assert wechat.fetches(f"{endpoint}-7") - before[endpoint] == 1
    assert wechat.arrived == 2


def test_500_readers_of_a_ticket_that_nobody_had_asked_for_make_one_fetch(target, wechat):
    wechat.close_gate(TICKET)

    def let_one_fetch_begin():
        wait_until(lambda: wechat.arrived, "a fetch")
        wechat.open_gate()

    port = target.served.port
    request = raw_request("GET", f"/ticket/{target.app}", port)
    answers = crowd(port, request, meanwhile=let_one_fetch_begin)
    assert {status for status, _ in answers} == {200}
    (ticket,) = {body for _, body in answers}
    assert wechat.sandbox.accepts_ticket(ticket)
    assert wechat.count(TICKET, app=target.app) == wechat.arrived == 1
    assert target.fetches() == 1


def test_500_reports_of_the_same_dead_token_make_one_fetch(target, wechat):
    wechat.sandbox.revoke(target.token)
    assert set(crowd(target.served.port, target.report())) == {OK}
    calls = [(call.path, call.forced, call.issued) for call in wechat.calls(target.app)][1:]
    # A cheap call shows that it is dead; stable's normal one still brings it, and then a forced one another.
    stable = [(STABLE, False, False), (STABLE, True, True)]
    fetches = stable if target.endpoint == "stable" else [(TOKEN, False, True)]
    assert calls == [(PROBE, False, False), *fetches]
    assert target.read() != target.token
    assert wechat.sandbox.accepts(target.read())


def test_500_reports_of_a_token_that_is_not_the_current_one_make_no_call(target, wechat):
    calls = wechat.calls(target.app)
    assert set(crowd(target.served.port, target.report("a-token-of-yesterday"))) == {OK}
    assert wechat.calls(target.app) == calls
    wechat.sandbox.revoke(target.token)
    assert target.served.put(f"/token/{target.app}", content=target.token).status_code == 200
    renewed, calls = target.read(), wechat.calls(target.app)
    assert renewed != target.token
    assert set(crowd(target.served.port, target.report())) == {OK}
    assert wechat.calls(target.app) == calls
    assert target.read() == renewed


def test_500_who_ask_for_a_new_token_without_a_report_make_one_fetch(target):
    port = target.served.port
    assert set(crowd(port, raw_request("PUT", f"/token/{target.app}", port))) == {OK}
    assert target.fetches() - 1 == (2 if target.endpoint == "stable" else 1)
    assert target.read() != target.token


def test_those_who_report_and_go_away_get_their_refresh_all_the_same(target, wechat):
    wechat.sandbox.revoke(target.token)
    wechat.close_gate(target.path)
    with burst(target.served.port, target.report(), 50) as sockets:
        wait_until(lambda: wechat.arrived, "a fetch")
        leave(sockets)
    assert target.read() == target.token
    wechat.open_gate()
    assert wechat.sandbox.accepts(target.renewed())
    assert target.fetches() - 1 == (2 if target.endpoint == "stable" else 1)


def test_a_report_that_breaks_off_is_none(target, wechat):
    calls = wechat.calls(target.app)
    with burst(target.served.port, target.report()[:-1], 50) as sockets:
        leave(sockets)
    assert target.served.put(f"/token/{target.app}", content="an-older-token_0").status_code == 200
    assert target.read() == target.token
    assert wechat.calls(target.app) == calls
