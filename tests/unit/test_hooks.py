"""Hooks: told at most once and in order; one that raises or hangs harms nothing."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from wxtoken_asgi import hooks as module
from wxtoken_asgi.hooks import ErrorEvent, Hooks, TokenEvent
from wxtoken_asgi.tasks import Tasks

VALUE = "90_s3cret-token"


def event(number=1):
    return TokenEvent("alpha", "wx01", "access_token", VALUE, 7000, number)


TROUBLE = ErrorEvent("alpha", "wx01", "access_token", "transient", -1, "WeChat is away", 2.0)


def hooks(**functions):
    wanted = dict.fromkeys(("on_token", "on_ticket", "on_error")) | functions
    return Hooks(**wanted, tasks=Tasks())


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def no_value_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    assert VALUE not in caplog.text


# who is told what


@pytest.mark.parametrize(("hook", "told"), [("token", event()), ("ticket", event()), ("error", TROUBLE)])
async def test_each_hook_hears_its_own_events(hook, told):
    heard = []
    hearing = hooks(
        on_token=lambda it: heard.append(("token", it)),
        on_ticket=lambda it: heard.append(("ticket", it)),
        on_error=lambda it: heard.append(("error", it)),
    )
    hearing.tell(hook, told)
    await hearing.settle(5)
    assert heard == [(hook, told)]


async def test_where_there_is_no_hook_nothing_happens():
    silent = hooks()
    for hook in ("token", "ticket", "error", "unheard-of"):
        silent.tell(hook, event())
    await silent.settle(5)
    assert silent._worker is None


@pytest.mark.parametrize("told", [event(), TROUBLE])
def test_the_repr_of_an_event_shows_no_value(told):
    assert VALUE not in repr(told)
    assert "alpha" in repr(told)


class AsyncObject:
    def __init__(self, heard):
        self.heard = heard

    async def __call__(self, it):
        self.heard.append(it)

    async def method(self, it):
        self.heard.append(it)


async def _two(heard, it):
    heard.append(it)


@pytest.mark.parametrize("shape", ["function", "object", "method", "partial"])
async def test_async_hooks_are_awaited(shape):
    heard = []

    async def function(it):
        heard.append(it)

    shapes = {
        "function": function,
        "object": AsyncObject(heard),
        "method": AsyncObject(heard).method,
        "partial": functools.partial(_two, heard),
    }
    hearing = hooks(on_token=shapes[shape])
    hearing.tell("token", event())
    await wait_all_tasks_blocked()
    assert heard == [event()]
    assert hearing._worker is None


async def test_an_async_callable_that_returns_nothing_to_await_is_well():
    heard = []

    class Odd:
        async def __call__(self, it): ...

    odd = Odd()
    await module._call_async(heard.append, event())
    await module._call_async(odd, event())
    assert heard == [event()]


async def test_plain_functions_are_called_in_order_in_a_thread_of_their_own():
    heard, threads = [], set()

    def hear(it):
        heard.append(it.version)
        threads.add(threading.current_thread())

    hearing = hooks(on_token=hear)
    for number in range(200):
        hearing.tell("token", event(number))
    await hearing.settle(5)
    assert heard == list(range(200))
    [thread] = threads
    assert thread.daemon
    assert thread is not threading.current_thread()


# hooks that misbehave


async def test_a_hook_that_raises_is_logged_and_the_next_event_arrives(caplog):
    heard = []

    def hear(it):
        heard.append(it.version)
        if it.version == 1:
            raise ValueError("the user's bug")
        if it.version == 2:
            raise SystemExit

    hearing = hooks(on_token=hear)
    for number in (1, 2, 3):
        hearing.tell("token", event(number))
    await hearing.settle(5)
    assert heard == [1, 2, 3]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError, SystemExit]
    assert messages(caplog).count(f"hook {hear.__qualname__} failed") == 2


async def test_an_async_hook_that_raises_is_logged(caplog):
    async def hear(it):
        raise TimeoutError("the user's own deadline")

    hearing = hooks(on_error=hear)
    hearing.tell("error", TROUBLE)
    await wait_all_tasks_blocked()
    [record] = [record for record in caplog.records if record.name == "wxtoken_asgi"]
    assert record.getMessage() == f"hook {hear.__qualname__} failed"
    assert record.exc_info[0] is TimeoutError


async def test_an_async_hook_that_hangs_is_given_up(caplog, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    cancelled = anyio.Event()

    async def hang(it):
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    hearing = hooks(on_token=hang)
    hearing.tell("token", event())
    with anyio.fail_after(5):
        await cancelled.wait()
    await wait_all_tasks_blocked()
    assert f"hook {hang.__qualname__} took longer than 0.05 s and was given up" in messages(caplog)


async def test_a_hook_that_hangs_is_given_up_and_the_next_events_arrive_by_themselves(caplog, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    gate, heard = threading.Event(), []

    def hear(it):
        if it.version == 1:
            gate.wait(10)
        heard.append(it.version)

    hearing = hooks(on_token=hear)
    for number in (1, 2, 3):
        hearing.tell("token", event(number))
    await hearing.settle(5)
    assert heard == [2, 3]
    assert f"hook {hear.__qualname__} took longer than 0.05 s and was given up" in messages(caplog)
    gate.set()
    hearing.tell("token", event(4))
    await hearing.settle(5)
    assert heard.index(2) < heard.index(3) < heard.index(4)


async def test_the_thread_of_a_hook_that_was_given_up_ends_with_it(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    gate, threads = threading.Event(), []

    def hear(it):
        threads.append(threading.current_thread())
        gate.wait(10 if it.version == 1 else 0)

    hearing = hooks(on_token=hear)
    hearing.tell("token", event(1))
    hearing.tell("token", event(2))
    await hearing.settle(5)
    gate.set()
    await anyio.to_thread.run_sync(threads[0].join, 5)
    assert not threads[0].is_alive()
    assert threads[1].is_alive()


async def test_events_for_a_hook_that_hangs_are_dropped_when_too_many_wait(caplog, monkeypatch):
    monkeypatch.setattr(module, "BACKLOG", 3)
    gate, begun, heard = threading.Event(), threading.Event(), []

    def hear(it):
        begun.set()
        gate.wait(10)
        heard.append(it.version)

    hearing = hooks(on_token=hear)
    hearing.tell("token", event(1))
    assert begun.wait(5)
    for number in range(2, 8):
        hearing.tell("token", event(number))
    assert messages(caplog).count(f"hook {hear.__qualname__} hangs: an event was dropped") == 3
    gate.set()
    await hearing.settle(5)
    assert heard == [1, 2, 3, 4]


async def test_settling_waits_for_a_hook_that_is_slow_and_not_for_one_that_hangs():
    gate, begun, heard = threading.Event(), threading.Event(), []

    def hear(it):
        begun.set()
        gate.wait(10)
        heard.append(it)

    hearing = hooks(on_token=hear)
    hearing.tell("token", event())
    assert begun.wait(5)
    with anyio.fail_after(5):
        await hearing.settle(0.05)
    assert not heard
    gate.set()
    await hearing.settle(5)
    assert heard


async def test_a_plain_function_that_returns_a_coroutine_is_told_about(caplog):
    async def save(it): ...

    def hear(it):
        return save(it)

    hearing = hooks(on_token=hear)
    hearing.tell("token", event())
    await hearing.settle(5)
    assert any("returned a coroutine: make it an async function" in message for message in messages(caplog))


async def test_an_object_that_raises_is_named_by_its_class(caplog):
    class Saver:
        def __call__(self, it):
            raise ValueError

    hearing = hooks(on_token=Saver())
    hearing.tell("token", event())
    await hearing.settle(5)
    assert "hook Saver failed" in messages(caplog)


# the process


def run(program, within_s=20):
    """Run a program of its own, which must end."""
    head = """
        import os, sys, threading, time
        import anyio
        from wxtoken_asgi.hooks import Hooks, TokenEvent
        from wxtoken_asgi.tasks import Tasks

        def event(number):
            return TokenEvent("alpha", "wx01", "access_token", "value", 7000, number)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(program)],
        timeout=within_s, capture_output=True, text=True, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "hook", ["def hear(it):\n    time.sleep(1000)", "async def hear(it):\n    await anyio.sleep(1000)"]
)
def test_a_hook_that_hangs_does_not_keep_the_process_from_ending(hook, backend):
    program = f"""
async def main():
    hooks = Hooks(on_token=hear, on_ticket=None, on_error=None, tasks=Tasks())
    hooks.tell("token", event(1))
    await hooks.settle(0.1)
    print("settled")

anyio.run(main, backend={backend!r})
"""
    assert run(f"{hook}\n{program}").stdout == "settled\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="nothing forks here")
def test_after_a_fork_the_child_has_a_thread_of_its_own():
    program = """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def hear(it):
            print(os.getpid() == parent, it.version, flush=True)

        async def tell(number):
            hooks.tell("token", event(number))
            await hooks.settle(5)

        parent = os.getpid()
        hooks = Hooks(on_token=hear, on_ticket=None, on_error=None, tasks=Tasks())
        anyio.run(tell, 1)
        child = os.fork()
        if not child:
            anyio.run(tell, 2)
            os._exit(0)
        os.waitpid(child, 0)
    """
    assert run(program).stdout.splitlines() == ["True 1", "False 2"]
