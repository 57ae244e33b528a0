"""A manager that is made before the server forks: the children share the store, and nothing else."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from support.launcher import STABLE, TICKET, TOKEN
from support.servers import answer_on, burst, raw_request, wait_until
from support.workers import start

WORKERS = 4
STARTED = "Application startup complete"
HERE = str(Path(__file__).parent)


ENDPOINTS = ("token", "stable")


def test_preloaded_workers_make_one_fetch_and_see_what_one_refreshes(launch, wechat, store):
    for endpoint in ENDPOINTS:
        wechat.slow(wechat.add(endpoint, endpoint, tickets=["jsapi"]), 1.5)
    server = start_preloaded(launch, wechat, store)
    tokens = {app: agreed(server, app, 100) for app in ENDPOINTS}
    wait_until(lambda: wechat.count(TICKET) >= len(ENDPOINTS), "the tickets that are kept from the start")
    assert (wechat.count(TOKEN), wechat.count(STABLE), wechat.count(TICKET)) == (1, 1, 2)
    for app, token in tokens.items():
        assert server.put(f"/token/{app}").status_code == HTTPStatus.OK
        assert_all_have_left(server, app, token)
    # The stable endpoint is asked once more with force, since the same token comes back.
    assert (wechat.count(TOKEN), wechat.count(STABLE)) == (2, 3)
    assert server.end(20) == 0
    assert "Traceback" not in server.err, server.err


def start_preloaded(launch, wechat, store):
    argv = ("-m", "gunicorn", "preloaded:app", "--preload", "-k", "uvicorn_worker.UvicornWorker")
    options = ("-w", str(WORKERS), "-b", "127.0.0.1:0", "--chdir", HERE, "--graceful-timeout", "10")
    config = launch.config(wechat.accounts, store=store)
    server = start(launch, *argv, *options, name="gunicorn", CONFIG=config, HOME=str(launch.folder))
    wait_until(lambda: server.err.count(STARTED) == WORKERS, "all workers' start")
    server.listens("Listening at")
    return server


def assert_all_have_left(server, app, old):
    """All connections get another token, all of them the same."""
    wait_until(lambda: agreed(server, app, 40) not in {old, ""}, "all workers give the new token", 3)


def agreed(server, app, callers):
    """The one token that all who ask at once get, or nothing if they get several."""
    with burst(server.port, raw_request("GET", f"/token/{app}", server.port), callers) as sockets:
        answers = {answer_on(sock) for sock in sockets}
    assert {status for status, _ in answers} == {HTTPStatus.OK}
    return answers.pop()[1] if len(answers) == 1 else ""
