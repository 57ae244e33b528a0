"""Real processes on one SQLite file: one fetches, and each may die or stand still at any point."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores.contract import Supply
from wxtoken_asgi.stores.sqlite import transaction
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.testing.stage import KEY

from support.sqlite_store import quick_folder, sqlite_workers

WORKERS = 6
ROUNDS = 5


@pytest.fixture(scope="module")
def path():
    with quick_folder() as folder:
        yield folder / "tokens.db"


@pytest.fixture(scope="module")
def team(path):
    with sqlite_workers(path, WORKERS) as workers:
        yield workers


@pytest.fixture
def db(path):
    database = Database(path, Clock())
    database.remove([KEY])
    yield database
    database.close()


def value(db):
    return db.read([KEY])[0].value


def test_of_six_processes_one_fetches_in_each_of_five_rounds(db, team):
    seen = 0
    for _ in range(ROUNDS):
        for number, worker in enumerate(team):
            worker.say(f"calls('worker-{number}', {seen})")
        answers = [answer for worker in team for answer in eval(worker.hear())]
        assert len(answers) == WORKERS * 5
        assert sum(fetched for *_, fetched in answers) == 1
        [(text, version)] = {(text, version) for text, version, _ in answers}
        assert version > seen
        assert value(db) == text
        seen = version


def test_news_reach_every_process(db, team):
    cursor = db.cursor()
    for worker in team:
        worker.say(f"follow({cursor!r})")
    time.sleep(0.1)
    db.supply([Supply(KEY, "news", 100, 50)])
    assert [worker.hear() for worker in team] == ["1"] * WORKERS


def test_the_lease_of_one_who_stands_still_is_another_s_and_its_commit_is_refused(db, team):
    holder, other = team[:2]
    old = int(holder.ask("claim('one', lease_s=0.2).fence"))
    os.kill(holder.process.pid, signal.SIGSTOP)
    time.sleep(0.3)
    new = int(other.ask("claim('two').fence"))
    assert new > old
    assert other.ask(f"commit({new}, 'newer')") == "True"
    holder.say(f"commit({old}, 'older')")
    os.kill(holder.process.pid, signal.SIGCONT)
    assert holder.hear() == "False"
    assert value(db) == "newer"


def test_one_who_stands_still_while_it_writes_holds_up_writers_and_no_reader(db, team, monkeypatch):
    monkeypatch.setattr(transaction, "BUSY_S", 0.3)
    db.supply([Supply(KEY, "whole", 100, 50)])
    with sqlite_workers(db._path, 1) as [holder]:
        holder.say("pause_inside('one')")
        assert holder.hear() == "inside"
        os.kill(holder.process.pid, signal.SIGSTOP)
        with pytest.raises(StoreError, match="locked by another program"):
            db.supply([Supply(KEY, "newer", 100, 50)])
        assert db.peek([KEY])[0][0].value == "whole"
    assert db.supply([Supply(KEY, "newer", 100, 50)])[0].value == "newer"


@pytest.mark.parametrize("where", ["between claim and commit", "in the middle of a transaction"])
def test_one_that_is_killed_is_followed_within_its_lease(db, team, where):
    db.supply([Supply(KEY, "whole", 100, 50)])
    seen = db.read([KEY])[0].version
    with sqlite_workers(db._path, 1) as [holder]:
        fence = int(holder.ask(f"claim('one', seen={seen}, lease_s=0.3).fence"))
        if where == "in the middle of a transaction":
            holder.say("pause_inside('one')")
            assert holder.hear() == "inside"
        holder.process.kill()
        holder.process.wait()
    assert value(db) == "whole"
    text, version, fetched = eval(team[0].ask(f"call('two', {seen})"))
    assert (fetched, version > fence, value(db)) == (1, True, text)


def test_a_file_that_six_processes_make_at_once_is_one(team, path):
    fresh = path.with_name("fresh.db")
    with ThreadPoolExecutor(WORKERS) as pool:
        asked = [pool.submit(worker.ask, f"supply({str(fresh)!r}, {n})") for n, worker in enumerate(team)]
        made = [answer.result() for answer in asked]
    assert made == ["1"] * WORKERS
    database = Database(fresh, Clock())
    assert database.cursor().endswith(f"-{WORKERS}")
    database.close()
