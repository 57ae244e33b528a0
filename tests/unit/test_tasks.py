"""Tasks that belong to no caller."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import types
from contextvars import ContextVar

import anyio

from wxtoken_asgi import tasks as module
from wxtoken_asgi.tasks import Tasks

from support.eager import EAGERLY

WHO = ContextVar("WHO", default="nobody")


async def test_a_task_outlives_whoever_started_it():
    tasks, done = Tasks(), anyio.Event()

    async def work(first, second):
        assert (first, second) == (1, 2)
        await anyio.sleep(0.02)
        done.set()

    with anyio.CancelScope() as scope:
        tasks.start(work, 1, 2, name="work")
        scope.cancel()
        await anyio.sleep(1)
    gc.collect()
    with anyio.fail_after(5):
        await done.wait()


async def test_a_task_has_a_context_of_its_own():
    seen, done = [], anyio.Event()

    async def work():
        seen.append(WHO.get())
        done.set()

    WHO.set("a request")
    Tasks().start(work, name="work")
    await done.wait()
    assert seen == ["nobody"]


async def test_a_task_that_fails_is_logged_and_nothing_more(caplog):
    tasks, begun = Tasks(), anyio.Event()

    async def work():
        begun.set()
        raise ValueError("a bug")

    tasks.start(work, name="wxtoken fetch")
    await begun.wait()
    await anyio.wait_all_tasks_blocked()
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "wxtoken fetch ended with an error")
    assert record.exc_info[0] is ValueError
    assert not tasks._running


def test_tasks_may_be_started_in_one_event_loop_after_another():
    tasks, done = Tasks(), []

    async def work():
        done.append(1)

    async def main():
        tasks.start(work, name="work")
        await anyio.wait_all_tasks_blocked()

    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(main, backend=backend)
    assert len(done) == 3


def test_without_trio_everything_runs_on_asyncio(monkeypatch):
    monkeypatch.delitem(sys.modules, "trio")
    assert not module._in_trio()


def test_trio_half_imported_by_another_thread_is_not_running(monkeypatch):
    monkeypatch.setitem(sys.modules, "trio", types.ModuleType("trio"))
    assert not module._in_trio()


def test_a_task_begins_after_its_starter_has_gone_on_whatever_the_loop_s_task_factory():
    seen = []

    async def work():
        seen.append("work")

    async def main():
        asyncio.get_running_loop().set_task_factory(EAGERLY)
        Tasks().start(work, name="work")
        seen.append("starter")
        await asyncio.sleep(0)

    asyncio.run(main())
    assert seen == ["starter", "work"]
