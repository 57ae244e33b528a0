"""A fresh read touches no store, no lock, no thread and no network."""

from __future__ import annotations

import inspect
import logging
import re
import socket
import sys
import threading
from pathlib import Path

import anyio
import pytest

import wxtoken_asgi
from wxtoken_asgi.stores.contract import Store
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import running, scope_of

PACKAGE = Path(wxtoken_asgi.__file__).parent
ROOMS = {"middleware.py", "routes.py", "access.py", "endpoints.py", "answers.py", "manager.py"} | {
    "shortcut.py",
    "door.py",
    "peers.py",
    "networks.py",
    "audit.py",
    "accounts.py",
    "entries.py",
    "clock.py",
    "policy.py",
}
OPERATIONS = sorted(Store.__abstractmethods__)


class Counting(Store):
    """A store around another that counts what it is asked."""

    shared = False
    news_s = 0.0

    def __init__(self, inner):
        self.inner = inner
        self.calls = []


def _counted(name):
    async def operation(self, *arguments, **options):
        self.calls.append(name)
        return await getattr(self.inner, name)(*arguments, **options)

    return operation


for _name in OPERATIONS:
    setattr(Counting, _name, _counted(_name))
Counting.__abstractmethods__ = frozenset()


def run_without_a_loop(coroutine):
    """Run a coroutine that must never wait: there is nobody here who could wake it."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def traced(function):
    """The files of all Python functions and the names of all C functions that a call enters."""
    files, natives = set(), set()

    def note(frame, event, argument):
        if event == "call":
            files.add(frame.f_code.co_filename)
        elif event == "c_call":
            natives.add(f"{getattr(argument, '__module__', None)}.{argument.__qualname__}")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return files, natives


def forbidden(natives):
    """What of this is a lock, a thread or a socket."""
    return {
        name for name in natives if re.search(r"\.lock\.|RLock|allocate_lock|start_new_thread|socket", name)
    }


def test_locks_threads_and_sockets_would_be_seen():
    lock = threading.Lock()
    found = (
        traced(lambda: lock.acquire() and lock.release())[1],
        traced(threading.Lock)[1],
        traced(threading.Thread(target=int).start)[1],
        traced(lambda: socket.socket().close())[1],
    )
    assert all(map(forbidden, found))


@pytest.mark.parametrize("path", ["/token/alpha", "/token/beta", "/ticket/alpha"])
@pytest.mark.parametrize("query", [b"", b"format=json"])
@pytest.mark.parametrize("store", ["memory:", "counting"])
@pytest.mark.parametrize("recorded", [False, True], ids=["", "recorded"])
async def test_a_fresh_read_asks_nobody_and_waits_for_nothing(
    world, caplog, *, path, query, store, recorded, anyio_backend
):
    caplog.set_level(logging.INFO if recorded else logging.WARNING, "wxtoken_asgi.audit")
    counting = Counting(MemoryStore(world.clock))
    async with running(world, manager={"store": counting if store == "counting" else store}) as center:
        await center.get(path)
        calls, fetches, threads = len(counting.calls), len(world.sandbox.calls), threading.active_count()
        sent = []

        async def send(message):
            sent.append(message)

        def read():
            run_without_a_loop(center.service(scope_of("GET", path, query=query), None, send))

        for _ in range(100):
            read()
        files, natives = traced(read)
        assert len(counting.calls) == calls
        assert len(world.sandbox.calls) == fetches
        assert threading.active_count() == threads
        assert [message["status"] for message in sent[::2]] == [200] * 101
        assert not forbidden(natives)
        ours = {Path(file).name for file in files if Path(file).parent == PACKAGE}
        assert ours <= ROOMS
        short = {"middleware.py", "shortcut.py"} | ({"audit.py"} if recorded else set())
        assert ("endpoints.py" in ours) if query else (ours == short)


# who asks as before is not examined again; whoever asks otherwise is

OTHERWISE = {
    "another peer": ({"client": ("203.0.113.9", 1)}, 403),
    "no peer": ({"client": None}, 403),
    "HTTP/1.0": ({"http_version": "1.0"}, 403),
    "no version": ({"http_version": None}, 403),
    "another host": ({"headers": [(b"host", b"evil.example")]}, 403),
    "two hosts": ({"headers": [(b"host", b"localhost"), (b"host", b"localhost")]}, 403),
    "no host": ({"headers": []}, 403),
    "an origin": ({"headers": [(b"host", b"localhost"), (b"origin", b"https://evil.example")]}, 403),
    "forwarded": ({"headers": [(b"host", b"localhost"), (b"x-forwarded-for", b"203.0.113.9")]}, 403),
    "one more header": ({"headers": [(b"host", b"localhost"), (b"accept", b"*/*")]}, 200),
    "lists for pairs": ({"headers": [[b"host", b"localhost"]]}, 200),
    "a tuple of pairs": ({"headers": ((b"host", b"localhost"),)}, 200),
    "a query": ({"query_string": b"format=json"}, 200),
    "another method": ({"method": "POST"}, 405),
}


@pytest.mark.parametrize("change", OTHERWISE)
async def test_who_was_known_to_ask_plainly_is_examined_when_it_asks_otherwise(world, change, anyio_backend):
    different, status = OTHERWISE[change]
    plain = scope_of("GET", "/token/alpha")
    async with running(world) as center:
        await center.get("/token/alpha")
        sent = []

        async def send(message):
            sent.append(message)

        for scope in (plain, plain | different, plain, plain | different, plain):
            await center.service(scope, None, send)
        assert [message["status"] for message in sent[::2]] == [200, status, 200, status, 200]


async def test_what_becomes_of_a_requests_headers_afterwards_makes_nobody_known(world, anyio_backend):
    async with running(world) as center:
        await center.get("/token/alpha")
        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost")]
        await center.service(scope_of("GET", "/token/alpha") | {"headers": headers}, None, send)
        headers.append((b"origin", b"https://evil.example"))
        await center.service(scope_of("GET", "/token/alpha") | {"headers": list(headers)}, None, send)
        assert [message["status"] for message in sent[::2]] == [200, 403]


async def test_no_more_callers_are_remembered_than_a_bound(world, anyio_backend):
    async with running(world, trusted=["10.0.0.0/8"]) as center:
        await center.get("/token/alpha", peer="10.0.0.1")
        sent = []

        async def send(message):
            sent.append(message)

        for number in range(1500):
            peer = f"10.0.{number // 250}.{number % 250 + 1}"
            for _ in range(2):  # met, then known
                await center.service(scope_of("GET", "/token/alpha", peer=peer), None, send)
        assert {message["status"] for message in sent[::2]} == {200}
        seen = inspect.getclosurevars(center.service._ready).nonlocals["seen_at"].__self__
        assert 0 < len(seen) <= 1024


def test_the_rooms_of_a_read_hold_no_lock_of_their_own():
    for name in ROOMS - {"manager.py", "audit.py"}:
        text = (PACKAGE / name).read_text(encoding="utf-8")
        assert "Lock(" not in text
        assert "Semaphore(" not in text
        assert "to_thread" not in text


def test_of_the_manager_a_read_uses_two_functions_that_hold_no_lock():
    for function in (wxtoken_asgi.TokenManager.entry, wxtoken_asgi.TokenManager.fresh):
        assert not inspect.iscoroutinefunction(function)
        assert "_gate" not in inspect.getsource(function)


async def test_a_304_and_a_refusal_wait_for_nothing_either(world, anyio_backend):
    async with running(world) as center:
        etag = (await center.get("/token/alpha")).headers["etag"].encode()
        await anyio.sleep(1)
        sent = []

        async def send(message):
            sent.append(message)

        for scope in (
            scope_of("GET", "/token/alpha", headers=[(b"if-none-match", etag)]),
            scope_of("GET", "/token/alpha", peer="10.0.0.1"),
            scope_of("GET", "/health/live"),
            scope_of("GET", "/health/ready"),
        ):
            run_without_a_loop(center.service(scope, None, send))
        assert [message["status"] for message in sent[::2]] == [304, 403, 200, 200]


async def test_reads_go_on_while_the_store_hangs(world, anyio_backend):
    class Hanging(MemoryStore):
        hangs = False

        async def due(self, limit):
            if self.hangs:
                await anyio.sleep_forever()
            return await super().due(limit)

        async def read(self, credentials):
            if self.hangs:
                await anyio.sleep_forever()
            return await super().read(credentials)

    store = Hanging(world.clock)
    async with running(world, manager={"store": store}) as center:
        token = (await center.get("/token/alpha")).text
        store.hangs = True
        for _ in range(10):
            started = anyio.current_time()
            assert (await center.get("/token/alpha")).text == token
            assert anyio.current_time() == started
            await anyio.sleep(7)
