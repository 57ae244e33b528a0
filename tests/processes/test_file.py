"""The file of a SQLite store is locked for long, or removed, under several processes."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from http import HTTPStatus

import pytest

from support.callers import calling
from support.launcher import Launcher
from support.servers import wait_until
from support.workers import Team, WeChat

BACK_WITHIN_S = 10.0
NOTICED_S = 1.5


@pytest.fixture(scope="module")
def launch(tmp_path_factory, vault):
    with Launcher(tmp_path_factory.mktemp("file"), vault) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def path(launch):
    return launch.folder / "tokens.db"


@pytest.fixture(scope="module")
def team(launch, wechat, path):
    team = Team(launch, wechat.accounts, f"sqlite://{path}")
    team.begin(2)
    yield team
    team.end()


@pytest.fixture(scope="module")
def wechat(launch, vault):
    wechat = WeChat(launch, vault)
    for app in ("locked", "removed"):
        wechat.add(app, "token")
    return wechat


def refreshed(team, app):
    return team.workers[0].service.put(f"/token/{app}").status_code == HTTPStatus.OK


def check(seen):
    for one in seen.values():
        assert (one.refused, one.broken) == ([], 0)
        assert one.reads > 20
        assert one.slowest_s < 3


def test_readers_do_not_notice_that_another_process_keeps_the_file_locked(wechat, team, path):
    old = team.agree("locked")
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        calling(team.workers, "locked") as seen,
    ):
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        answer = team.workers[0].service.put("/token/locked")
        assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert "retry-after" in answer.headers
        assert time.monotonic() - begun < 8
        other.execute("ROLLBACK")
        wait_until(lambda: refreshed(team, "locked"), "a refresh succeeds again", BACK_WITHIN_S)
        team.agree("locked", but=old)
    check(seen)
    assert wechat.calls("locked") == 2


def test_readers_do_not_notice_that_the_file_is_removed_and_what_was_in_it_is_restored(wechat, team, path):
    old = team.agree("removed")
    with calling(team.workers, "removed") as seen:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        time.sleep(NOTICED_S)
        (late,) = team.begin(1)
        assert late.read("removed") == team.agree("removed") == old
        assert wechat.calls("removed") == 1
        wait_until(lambda: refreshed(team, "removed"), "a refresh succeeds", BACK_WITHIN_S)
        team.agree("removed", but=old)
    check(seen)
    assert wechat.calls("removed") == 2
