"""The bell: wakes those who follow what changes, and says nothing more than that something has.

Each change leaves its number in a stream of one entry; `XREAD BLOCK` waits for a higher one than the
follower has seen, so nothing falls between asking and waiting. What has changed is then asked for; a ring
that was missed costs only time.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio
from redis.exceptions import RedisError, ResponseError

from wxtoken_asgi.stores.redis.wire import Dial, Wire

logger = logging.getLogger("wxtoken_asgi")

SLICE_S: Final = 5.0
"""An emptied store rings no bell, nor does a connection that is dead without a word: look after so long."""

LATE_S: Final = 1.5
POLL_S: Final = 0.5
DEAF_S: Final = 600.0
MISSED: Final = 2


class Bell:
    """Waits for changes, on connections of its own.

    Args:
        dial: makes connections.
        key: the stream's.
        place: the server's name for the log.
    """

    def __init__(self, dial: Dial, key: str, place: str) -> None:
        self._dial = dial
        self._key = key
        self._place = place
        self._idle: list[Wire] = []
        self._missed = 0
        self._deaf_until = float("-inf")
        self._told = False

    async def wait(self, seq: int, within_s: float, *, mute: bool) -> None:
        """Wait until something has changed since `seq`, or it is time to look whether it has.

        Args:
            seq: the number of the last change known.
            within_s: seconds that may pass.
            mute: the server may not ring.
        """
        if mute or anyio.current_time() < self._deaf_until:
            if mute:
                self._tell("it may not write to the stream")
            await anyio.sleep(min(within_s, POLL_S))
            return
        wire = self._idle.pop() if self._idle else Wire(self._dial)
        try:
            await self._listen(wire, seq, min(within_s, SLICE_S))
        finally:
            self._idle.append(wire)

    async def _listen(self, wire: Wire, seq: int, within_s: float) -> None:
        words = ("XREAD", "BLOCK", max(int(within_s * 1000), 1), "STREAMS", self._key, f"{seq}-1")
        try:
            await wire.ask(lambda: words, within_s + LATE_S)
        except ResponseError:
            self._go_deaf("it refuses XREAD BLOCK")
        except (RedisError, OSError, TimeoutError):
            self._missed += 1
            if self._missed >= MISSED:
                self._go_deaf("answers to XREAD BLOCK do not come")
            else:
                await anyio.sleep(POLL_S)
        else:
            self._missed = 0

    def _go_deaf(self, why: str) -> None:
        self._deaf_until = anyio.current_time() + DEAF_S
        self._missed = 0
        self._tell(why)

    def _tell(self, why: str) -> None:
        if not self._told:
            logger.info("Redis at %s: %s; asking for changes every %g s instead", self._place, why, POLL_S)
            self._told = True

    async def close(self) -> None:
        """Let go of its connections."""
        while self._idle:
            await self._idle.pop().drop()
