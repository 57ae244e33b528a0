"""The wall clock of a host steps by an hour either way, under a store in a file."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest

from support.callers import calling
from support.launcher import Launcher
from support.servers import wait_until
from support.workers import Team, WeChat

LEASE_S = 2.5
HOUR = 3600.0
STEPS = {"an hour on": HOUR, "an hour back": -HOUR}
APPS = ("alpha", "beta")


@pytest.fixture(scope="module")
def launch(tmp_path_factory, vault):
    with Launcher(tmp_path_factory.mktemp("clock"), vault) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def wechat(launch, vault):
    wechat = WeChat(launch, vault)
    wechat.add("alpha", "token")
    wechat.add("beta", "stable")
    for number in range(len(STEPS)):
        wechat.add(f"leased-{number}", "token")
    return wechat


@pytest.fixture(scope="module")
def all_workers(launch, wechat):
    team = Team(launch, wechat.accounts, f"sqlite://{launch.folder / 'tokens.db'}", LEASE_S)
    team.begin(3)
    yield team
    team.end()


@pytest.fixture
def team(all_workers):
    yield all_workers
    all_workers.step_wall(0)


@pytest.mark.parametrize("step", [*STEPS.values(), 3 * HOUR], ids=[*STEPS, "beyond all ends"])
def test_a_step_of_the_clock_makes_no_fetch_and_refuses_nobody(wechat, team, step):
    tokens = {app: team.agree(app) for app in APPS}
    with calling(team.workers, "alpha") as alpha, calling(team.workers, "beta") as beta:
        for offset in (step, 0.0):
            team.step_wall(offset)
            time.sleep(0.5)
            assert all(wechat.told(token).left >= keep - 1 for token, keep in beliefs(team.workers))
    for seen in (*alpha.values(), *beta.values()):
        assert (seen.refused, seen.broken, len(seen.tokens)) == ([], 0, 1)
        assert seen.slowest_s < 3
    assert {app: team.agree(app) for app in APPS} == tokens
    assert [wechat.calls(app) for app in APPS] == [1, 1]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_who_starts_under_another_clock_takes_over_what_is_there(wechat, team, step):
    tokens = {app: team.agree(app) for app in APPS}
    team.step_wall(step)
    (late,) = team.begin(1)
    assert {app: late.read(app) for app in APPS} == tokens
    assert all(wechat.told(token).left >= keep - 1 for token, keep in beliefs([late]))
    assert [wechat.calls(app) for app in APPS] == [1, 1]


@pytest.mark.parametrize("number", range(len(STEPS)), ids=STEPS)
def test_a_lease_neither_lapses_nor_hangs_when_the_clock_steps(wechat, team, number):
    app, step = f"leased-{number}", list(STEPS.values())[number]
    old = team.agree(app)
    holder, other, third, *_ = team.workers
    holder.trap("answered", signal.SIGSTOP)
    with ThreadPoolExecutor(2) as pool, calling([other, third], app) as seen:
        begun = time.monotonic()
        pool.submit(holder.service.put, f"/token/{app}")
        wait_until(lambda: holder.stopped, "the holder stands still")
        team.step_wall(step)
        assert other.service.put(f"/token/{app}").status_code == HTTPStatus.OK
        took = time.monotonic() - begun
        new = team.agree(app, but=old)
        holder.signal(signal.SIGCONT)
        assert team.agree(app, but=old) == new
    assert 0.9 * LEASE_S < took < LEASE_S + 3
    assert wechat.calls(app) == 3
    assert all((one.refused, one.broken) == ([], 0) and one.slowest_s < 3 for one in seen.values())


def beliefs(workers):
    return [worker.believes(app) for worker in workers for app in APPS]
