"""One connection to Redis, on which one thing is said at a time.

redis-py's own pool and retries are left aside: whoever is cancelled or waits too long gives up the
connection with its late answer, so that nobody else can get it; and what is new must be known, since what
was heard over an old connection proves nothing about the server behind a new one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import anyio
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, ResponseError

Words = Sequence[str | bytes | int]

ANSWER_S: Final = 2.0
"""The longest that one call may take, a new connection included."""


class Connection(Protocol):
    """What is used of redis-py's connections."""

    async def connect(self) -> None:
        """Connect, and log in."""

    async def disconnect(self, nowait: bool = ...) -> None:
        """Close the socket."""

    async def send_command(self, *words: Any, **options: Any) -> Any:
        """Send a command."""

    async def read_response(self, disable_decoding: bool = ...) -> Any:
        """Its answer; bytes stay bytes."""


Dial = Callable[[], Awaitable[Connection]]
"""Makes a connection that is not connected yet, or asks first where to."""


class Wire:
    """One connection, made when it is needed and made anew after an error.

    Args:
        dial: makes connections.
        renewed: called when the connection is another.
    """

    def __init__(self, dial: Dial, renewed: Callable[[], None] = lambda: None) -> None:
        self._dial = dial
        self._renewed = renewed
        self._connection: Connection | None = None
        self._lock = anyio.Lock()

    async def ask(self, words: Callable[[], Words], within_s: float = ANSWER_S) -> Any:
        """The answer to a command.

        An idle connection that the server has closed meanwhile is replaced, and the command said again.

        Args:
            words: gives the command when it is about to be sent.
            within_s: seconds after which waiting ends.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: there is none.
        """
        async with self._lock:
            with anyio.fail_after(within_s):
                if self._connection is not None:
                    try:
                        return await self._say(self._connection, words)
                    except NoConnection:
                        pass
                return await self._say(None, words)

    async def _say(self, connection: Connection | None, words: Callable[[], Words]) -> Any:
        try:
            if connection is None:
                connection = await self._connect()
            await connection.send_command(*words())
            return await connection.read_response(disable_decoding=True)
        except ResponseError as error:
            if isinstance(error, ReadOnlyError):  # a master no more: look for the new one
                await self.drop()
            raise
        except BaseException:
            await self.drop()
            raise

    async def _connect(self) -> Connection:
        self._renewed()
        connection = self._connection = await self._dial()
        await connection.connect()
        return connection

    async def drop(self) -> None:
        """Close the connection, without waiting for anything."""
        connection, self._connection = self._connection, None
        self._renewed()
        if connection is not None:
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)
