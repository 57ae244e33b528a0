"""A thread that does jobs on one database, one after another, and looks for news in between."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token

from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores.sqlite.database import Database
from wxtoken_asgi.stores.sqlite.transaction import BUSY_S

POLL_S: Final = 0.07
"""How often a file is looked at for what others wrote, while somebody waits for it."""

HOLD_S: Final = BUSY_S + 1.0
"""How long a fork waits for what a thread is in the middle of."""

T = TypeVar("T")
Job = Callable[[Database], T]


class Reply(Generic[T]):
    """What a thread will answer to a task of an event loop.

    Attributes:
        gone: nobody waits for it any more.
    """

    def __init__(self) -> None:
        self.gone = False
        self._done = anyio.Event()
        self._soon = _from_any_thread()
        self._answer: Any = None
        self._error: Exception | None = None

    def settle(self, answer: T | None = None, *, error: Exception | None = None) -> None:
        """Answer, from any thread."""
        self._answer, self._error = answer, error
        with contextlib.suppress(RuntimeError):  # that event loop has ended
            self._soon(self._done.set)

    async def wait(self) -> T:
        """The answer."""
        try:
            await self._done.wait()
        finally:
            self.gone = True
        if self._error is not None:
            raise self._error
        answer: T = self._answer
        return answer


class Lane:
    """Runs jobs on a database in a thread of its own, the only one that ever touches it.

    A task that is cancelled goes at once. Its job is finished if it has begun, and dropped if it has not.

    Args:
        database: makes the database, in the thread.
        name: the thread's.
    """

    def __init__(self, database: Callable[[], Database], name: str) -> None:
        self._make = database
        self._bell = threading.Condition()
        self._jobs: deque[tuple[Reply[Any], Job[Any]]] = deque()
        self._followers: dict[Reply[None], str] = {}
        self._next_poll = 0.0
        self._stopping = self._over = False
        self._ended: list[Reply[None]] = []
        self._holders = 0
        self._let_go = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, job: Job[T]) -> T:
        """What the job answers or raises."""
        reply: Reply[T] = Reply()
        self._post(reply, job)
        return await reply.wait()

    async def follow(self, cursor: str) -> None:
        """Return as soon as the database's cursor is another."""
        reply: Reply[None] = Reply()
        self._post(Reply(), lambda database: self._add(database, reply, cursor))
        await reply.wait()

    def stop(self) -> None:
        """End the thread after what it has to do; do not wait for it."""
        with self._bell:
            self._stopping = True
            self._bell.notify_all()

    async def ended(self) -> None:
        """Wait for its end."""
        reply: Reply[None] = Reply()
        with self._bell:
            if self._over:
                return
            self._ended.append(reply)
        await reply.wait()

    def hold(self) -> bool:
        """Let go of the file and rest until `release`: SQLite's locks must not be inherited by a fork.

        Returns:
            Whether the thread did, within `HOLD_S` seconds.
        """
        with self._bell:
            self._holders += 1
            self._bell.notify_all()
            return self._bell.wait_for(lambda: self._let_go or self._over, HOLD_S)

    def release(self) -> None:
        """Go on."""
        with self._bell:
            self._holders -= 1
            self._bell.notify_all()

    def _post(self, reply: Reply[Any], job: Job[Any]) -> None:
        with self._bell:
            if self._stopping:
                raise StoreError("store: it was closed meanwhile")
            self._jobs.append((reply, job))
            self._bell.notify_all()

    # in the thread

    def _work(self) -> None:
        database = self._make()  # a name in this frame: whatever becomes of a forked child, it stays there
        while self._turn(database):
            pass
        database.close()
        self._tell_all(StoreError("store: it was closed"))
        with self._bell:
            self._over = True
            self._bell.notify_all()
        for reply in self._ended:
            reply.settle()

    def _turn(self, database: Database) -> bool:
        """Do what is next.

        Returns:
            Whether there may be more to do.
        """
        with self._bell:
            self._rest(database)
            if not self._jobs and self._stopping:
                return False
            task = self._jobs.popleft() if self._jobs else None
        if task is not None and not task[0].gone:
            _do(database, *task)
        if self._followers and time.monotonic() >= self._next_poll:
            self._poll(database)
            self._next_poll = time.monotonic() + POLL_S
        return True

    def _rest(self, database: Database) -> None:
        """Wait until there is something to do: a job, a look for news, the end."""
        while self._holders:
            database.close()
            self._let_go = True
            self._bell.notify_all()
            self._bell.wait()
        self._let_go = False
        if not self._jobs and not self._stopping:
            pause_s = max(self._next_poll - time.monotonic(), 0.0)
            self._bell.wait(pause_s if self._followers else None)

    def _add(self, database: Database, reply: Reply[None], cursor: str) -> None:
        try:
            changed = database.cursor() != cursor
        except Exception as error:  # noqa: BLE001 - whatever it is, the follower must hear of it
            reply.settle(error=error)
            return
        if changed:
            reply.settle()
        else:
            self._followers[reply] = cursor

    def _poll(self, database: Database) -> None:
        for reply in [reply for reply in self._followers if reply.gone]:
            del self._followers[reply]
        try:
            if not database.stirred():
                return
            now = database.cursor()
        except Exception as error:  # noqa: BLE001 - the same
            self._tell_all(error)
            return
        for reply in [reply for reply, cursor in self._followers.items() if cursor != now]:
            del self._followers[reply]
            reply.settle()

    def _tell_all(self, error: Exception) -> None:
        for reply in self._followers:
            reply.settle(error=error)
        self._followers.clear()


def _do(database: Database, reply: Reply[T], job: Job[T]) -> None:
    try:
        answer = job(database)
    except Exception as error:  # noqa: BLE001 - it is the caller's, whatever it is
        reply.settle(error=error)
    else:
        reply.settle(answer)


def _from_any_thread() -> Callable[[Callable[[], object]], object]:
    """What has this event loop call a function soon, without waiting for it.

    `anyio.from_thread` waits for the loop, which may be busy, or stopped for good.
    """
    native: Any = current_token().native_token
    soon: Callable[[Callable[[], object]], object]
    soon = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon  # asyncio's, or trio's
    return soon
