"""SIGHUP in a process: taken where it can be, the end of it nowhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import anyio
import pytest

from wxtoken_asgi.command import hangup

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")


def blocked():
    return signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.fixture
def heard():
    """Hears the signal instead of being ended by it."""
    heard = []
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append(1))
    yield heard
    signal.signal(signal.SIGHUP, before)
    assert not blocked()


def test_one_that_comes_while_it_is_held_back_is_dropped_at_the_end(heard):
    with hangup.held_back():
        assert blocked()
        signal.raise_signal(signal.SIGHUP)
    assert heard == []
    signal.raise_signal(signal.SIGHUP)
    assert heard == [1]


def test_an_error_ends_the_holding_back_too(heard):
    def fail():
        with hangup.held_back():
            signal.raise_signal(signal.SIGHUP)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert heard == []


def test_one_that_waits_is_delivered_where_it_is_let_through(heard):
    with hangup.held_back():
        signal.raise_signal(signal.SIGHUP)
        with hangup.let_through():
            assert heard == [1]
            with hangup.waiting():
                signal.raise_signal(signal.SIGHUP)
                assert heard == [1]
            assert heard == [1, 1]
        assert blocked()


class Live:
    reloads = 0

    async def try_reload(self):
        self.reloads += 1


async def test_each_one_is_a_reload(anyio_backend):
    live = Live()
    with hangup.held_back():
        signal.raise_signal(signal.SIGHUP)
        async with anyio.create_task_group() as group:
            group.start_soon(hangup.reload_at, live)
            for wanted in (1, 2):
                with anyio.fail_after(20):
                    while live.reloads < wanted:  # noqa: ASYNC110 - who reloads is not to know of it
                        await anyio.sleep(0.01)
                if wanted == 1:
                    os.kill(os.getpid(), signal.SIGHUP)
            group.cancel_scope.cancel()
        signal.raise_signal(signal.SIGHUP)  # after the loop's end it ends nothing
    assert live.reloads == 2


def test_it_is_passed_on_to_a_process_unless_that_has_ended():
    # Whoever runs the tests by nohup ignores the signal, and children inherit that.
    program = "import signal; signal.signal(1, signal.SIG_DFL); print('up', flush=True); signal.pause()"
    with subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        try:
            hangup.pass_on(child.pid)
            assert child.wait(20) == -signal.SIGHUP
        finally:
            child.kill()
    hangup.pass_on(child.pid)
    hangup.pass_on(None)


def test_where_there_is_no_such_signal_nothing_happens(monkeypatch, heard):
    monkeypatch.setattr(hangup, "HANGUP", frozenset())
    with hangup.held_back(), hangup.waiting(), hangup.let_through():
        assert not blocked()
    hangup.pass_on(1)
