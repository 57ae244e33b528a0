"""Crowds at several processes that have all just started: one fetch, and none after a restart."""

from __future__ import annotations

from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path

import pytest

from processes.news import BOUND_S, Service
from processes.places import shared_store
from support.launcher import STABLE, TICKET, TOKEN
from support.servers import answer_on, burst, raw_request, wait_until
from support.workers import connect_to_each, start, start_servers

CROWD = 500
WORKERS = 8
SLOW_S = 2.0
"""WeChat takes so long for the first tokens that all processes have started and all callers have asked. Of
the five seconds that a caller waits for a ticket, that much is gone before it can be fetched."""

ROUNDS = 5
NOT_READY = '"code":"not_ready"'

HERE = str(Path(__file__).parent)
STARTED = "Application startup complete"


@pytest.fixture
def wechat(wechat):
    """With an account of each endpoint that nobody has asked for."""
    for endpoint, path in {"token": TOKEN, "stable": STABLE}.items():
        wechat.slow(wechat.add(endpoint, endpoint), SLOW_S, path)
    return wechat


def ask_all(ports, app):
    """Ask all of these ports at once for the token and for the ticket, 500 times together."""
    share = CROWD // (2 * len(ports))
    with ExitStack() as stack:
        send = lambda port, path: stack.enter_context(  # noqa: E731
            burst(port, raw_request("GET", f"{path}/{app}", port), share)
        )
        asked = {path: [send(port, path) for port in ports] for path in ("/token", "/ticket")}
        return {
            path: {answer_on(sock) for sockets in bursts for sock in sockets}
            for path, bursts in asked.items()
        }


def ask_until_ready(ports, app):
    """All answers of a crowd. A machine too slow for it says so in five seconds; then all ask again."""
    given = {"/token": set(), "/ticket": set()}
    for _ in range(ROUNDS):
        answers = ask_all(ports, app)
        ready = {path: {one for one in told if NOT_READY not in one[1]} for path, told in answers.items()}
        given = {path: given[path] | told for path, told in ready.items()}
        if ready == answers:
            return given
    raise AssertionError(f"not ready after {ROUNDS} rounds: {answers}")


def gather(wechat, ports):
    """Each crowd gets one token and one ticket, which WeChat takes; it is asked once for each. Gives them."""
    values = []
    for app in wechat.accounts:
        answers = ask_until_ready(ports, app)
        ((token_status, token),) = answers["/token"]
        ((ticket_status, ticket),) = answers["/ticket"]
        assert token_status == ticket_status == HTTPStatus.OK
        assert wechat.told(token).errcode == 0
        assert wechat.takes_ticket(ticket)
        values += [token, ticket]
    assert (wechat.count(TOKEN), wechat.count(STABLE), wechat.count(TICKET)) == (1, 1, 2)
    return values


def end(servers):
    for server in servers:
        server.signal()
    for server in servers:
        assert server.wait(30) == 0, server.err
        assert "Traceback" not in server.err, server.err


def start_workers(launch, wechat, store, line):
    """One server of 8 workers, which all start at the same instant."""
    line.mkdir()
    config = launch.config(wechat.accounts, hooks="starting_line:Hooks")
    argv = ("-m", "wxtoken_asgi.command.cli", "serve", "--config", config, "--port", "0")
    server = start(
        launch,
        *argv,
        "--store",
        store,
        "--workers",
        str(WORKERS),
        name="serve",
        STARTING_LINE=str(line),
        PYTHONPATH=HERE,
    )
    wait_until(lambda: len(list(line.glob("*.here"))) == WORKERS, "all workers", 60)
    (line / "go").touch()
    wait_until(lambda: server.err.count(STARTED) == WORKERS, "all workers' start")
    server.listens("listening on")
    return server


def test_500_callers_of_8_cold_workers_make_one_fetch_and_a_restart_none(launch, wechat, tmp_path):
    store = f"sqlite://{tmp_path / 'tokens.db'}"
    server = start_workers(launch, wechat, store, tmp_path / "first")
    assert wechat.count(TICKET) == 0
    values = gather(wechat, [server.port])
    end([server])
    server = start_workers(launch, wechat, store, tmp_path / "second")
    assert gather(wechat, [server.port]) == values
    with closing(Service(wechat, connect_to_each(server))) as service:
        assert len(service.connections) == WORKERS
        delay = service.measure("token", 0)
    assert delay.within(BOUND_S["sqlite"]), delay
    end([server])


def test_500_callers_of_3_cold_servers_make_one_fetch_and_a_restart_none(launch, wechat, vault, tmp_path):
    with shared_store("redis", tmp_path, vault) as store:
        servers = start_servers(launch, wechat.accounts, store, 3)
        values = gather(wechat, [server.port for server in servers])
        end(servers)
        servers = start_servers(launch, wechat.accounts, store, 3)
        assert gather(wechat, [server.port for server in servers]) == values
        end(servers)
