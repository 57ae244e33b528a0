"""What a worker knows of the server's clock, so that a step of it is taken back.

Redis measures time by its machine's wall clock, which may step. A worker's boot-time clock does not: if the
server's `TIME` is more than 5 s off from what it said last plus what has passed here since, it has
stepped. The script then does nothing but say so; the worker judges, and its next call corrects the
namespace's offset. Several things could make a worker wrong, and each is met:

- A call may lie in a stopped server's socket for an hour. It is refused as a step, and nobody judges it,
  since the worker has long gone: only an answer that came back within 2 s is judged. The correction
  itself is a swap of one offset for another, which is right however late it is carried out.
- After an error or a new connection (failover to a host with another clock, a server restored from a
  snapshot) what was heard before proves nothing: it is forgotten.
- A worker that was frozen itself (a virtual machine that was paused) sees the server's clock jump ahead. If
  its own two clocks disagree about the time that has passed, it says nothing. If both stood still, other
  workers are its judges: each leaves in the store for how long it has seen the clock go evenly, and a
  step inside such a time was none. Where nobody else was there it is believed: then time has stood still
  for the service as a whole.
- Of several workers that see one step, the first corrects it; the others hear another offset than they
  were told, and believe it.

Without evidence store time never goes back: it goes on from the last one that was written.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wxtoken_asgi.clock import Clock, Moment
from wxtoken_asgi.stores.redis.codec import micros

PROMPT_S: Final = 2.0
"""An answer that took longer says too little about when the server spoke."""

DISAGREE_S: Final = 1.0


class _Heard(NamedTuple):
    raw: int
    offset: int
    at: Moment
    since: int


class Evidence:
    """What was heard of the server's clock over one connection.

    Args:
        clock: this machine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: _Heard | None = None
        self._fix: tuple[int, int] | None = None

    def forget(self) -> None:
        """The connection is another: what was heard proves nothing."""
        self._heard = self._fix = None

    def say(self) -> dict[str, Any]:
        """What the next call tells the server."""
        if self._fix is not None:
            return {"fix": self._fix}
        heard = self._heard
        if heard is None or not self._agrees(heard.at):
            return {}
        elapsed = micros(self._clock.monotonic() - heard.at.now)
        return {"seen": {"raw": heard.raw, "offset": heard.offset, "elapsed": elapsed, "since": heard.since}}

    def hear(self, raw: int, offset: int, sent: Moment) -> None:
        """The server did what it was asked."""
        heard, self._fix = self._heard, None
        if self._clock.monotonic() - sent.now > PROMPT_S:
            self._heard = None
            return
        since = heard.since if heard is not None and heard.offset == offset else raw
        self._heard = _Heard(raw, offset, sent, since)

    def judge(self, raw: int, offset: int, sent: Moment) -> None:
        """The server says that its clock is not where this worker's evidence puts it."""
        heard = self._heard
        if heard is None or self._clock.monotonic() - sent.now > PROMPT_S:
            self.forget()
            return
        step = raw - heard.raw - micros(sent.now - heard.at.now)
        self._heard = None
        self._fix = (offset, offset - step)

    def _agrees(self, then: Moment) -> bool:
        wall = self._clock.time() - then.wall
        return abs(wall - (self._clock.monotonic() - then.now)) < DISAGREE_S
