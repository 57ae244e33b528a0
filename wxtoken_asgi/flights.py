"""Single flight: at most one fetch per credential is under way in a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import NotReady, WxTokenError
from wxtoken_asgi.slots import Slots
from wxtoken_asgi.sources import Reason
from wxtoken_asgi.tasks import Tasks

SHORTEST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 30.0


class Flight:
    """A fetch under way, which nobody's leaving ends.

    Attributes:
        reason: why it was begun.
        seen: the version that was held when it was asked for.
        urgent: a caller waits for it.
        placed: it has a place among the fetches in flight.
        crossed: another process fetches it, so this one left it alone.
        brought: set at its end, or as soon as other processes have brought a good value.
        done: set at its end.
        error: what went wrong, once it is done.
    """

    __slots__ = (
        "blind",
        "brought",
        "crossed",
        "done",
        "error",
        "loop",
        "news",
        "placed",
        "reason",
        "scope",
        "seen",
        "urgent",
    )

    def __init__(self, reason: Reason, *, seen: int, blind: bool, urgent: bool) -> None:
        self.reason = reason
        self.seen = seen
        self.blind = blind
        self.urgent = urgent
        self.placed = False
        self.crossed = False
        self.news = anyio.Event()
        self.brought = anyio.Event()
        self.done = anyio.Event()
        self.error: WxTokenError | None = None
        self.loop: EventLoopToken = current_token()
        self.scope = anyio.CancelScope()

    @property
    def asked(self) -> bool:
        """Whether somebody asked for a new value."""
        return self.reason is not Reason.DUE

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for it."""
        return self.urgent or self.asked

    def listen(self) -> anyio.Event:
        """Set at the next news of its credential from other processes."""
        self.news = anyio.Event()
        return self.news


class Flights:
    """All flights of a manager.

    Args:
        fly: what a flight does.
        clock: time.
        tasks: where flights are started.
        total: how many may fetch at a time.
        landed: called after each, with its credential.

    Attributes:
        closed: no new flight is begun.
    """

    def __init__(
        self,
        fly: Callable[[Entry, Flight], Awaitable[None]],
        *,
        clock: Clock,
        tasks: Tasks,
        total: int,
        landed: Callable[[Entry, Flight], None],
    ) -> None:
        self._fly = fly
        self._clock = clock
        self._tasks = tasks
        self._total = total
        self._landed = landed
        self._slots: tuple[EventLoopToken, Slots] | None = None
        self._flying: set[Flight] = set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._flying)

    @property
    def room(self) -> int:
        """How many more may be begun before one has to wait for a place."""
        return self._total - len(self._flying)

    @property
    def slots(self) -> Slots:
        """The places of this event loop."""
        here = current_token()
        if self._slots is None or self._slots[0] != here:
            self._slots = (here, Slots(self._total))
        return self._slots[1]

    def join(
        self, entry: Entry, reason: Reason = Reason.DUE, *, blind: bool = False, urgent: bool = True
    ) -> Flight:
        """The flight of this credential that is under way, or a new one.

        Args:
            entry: the credential.
            reason: of a new flight; the caller looks at the `reason` of what it gets.
            blind: a new value is asked for without a report.
            urgent: a caller waits for it.

        Raises:
            NotReady: the manager is closing.
        """
        self._check_open(entry)
        flight = entry.flight
        if flight is not None and flight.loop == current_token():
            if urgent and not flight.urgent:
                flight.urgent = True
                self.slots.promote(flight)
            return flight
        seen = entry.held.version if entry.held is not None else 0
        flight = entry.flight = Flight(reason, seen=seen, blind=blind, urgent=urgent)
        entry.rests_until = float("-inf")
        self._flying.add(flight)
        self._tasks.start(self._run, entry, flight, name=f"wxtoken fetch of {entry}")
        return flight

    @asynccontextmanager
    async def place(self, entry: Entry, flight: Flight) -> AsyncIterator[None]:
        """A place among the fetches in flight.

        Raises:
            NotReady: the manager is closing; what has not begun yet does not begin.
        """
        async with self.slots.hold(flight, urgent=flight.urgent):
            self._check_open(entry)
            flight.placed = True
            try:
                yield
            finally:
                flight.placed = False

    def tell(self, entries: Iterable[Entry]) -> None:
        """Other processes have changed these."""
        for entry in entries:
            flight = entry.flight
            if flight is None or flight.loop != current_token():
                continue
            flight.news.set()
            if entry.good(self._clock) is not None:  # whatever this flight is held up by
                flight.brought.set()

    def _check_open(self, entry: Entry) -> None:
        if self.closed:
            raise NotReady(f"{entry}: the manager is closing", account=entry.account.name, retry_in=1.0)

    async def settle(self, within_s: float) -> None:
        """Let the running fetches end, and end those that take longer than `within_s` seconds."""
        for flight in self._flying:
            if not flight.placed:
                flight.scope.cancel()
        with anyio.move_on_after(within_s):
            await self._all_done()
        for flight in self._flying:
            flight.scope.cancel()
        with anyio.move_on_after(1):
            await self._all_done()

    async def _all_done(self) -> None:
        for flight in [flight for flight in self._flying if flight.loop == current_token()]:
            await flight.done.wait()

    def _rest(self, entry: Entry, retry_in: float) -> None:
        """A failure without a back-off of its own that comes again and again rests longer."""
        if entry.waits(self._clock) <= 0:
            retry_in = max(retry_in, min(SHORTEST_REST_S * 2.0 ** min(entry.stumbles, 10), LONGEST_REST_S))
            entry.stumbles += 1
        entry.rests_until = self._clock.monotonic() + max(retry_in, SHORTEST_REST_S)

    async def _run(self, entry: Entry, flight: Flight) -> None:
        try:
            with flight.scope:
                await self._fly(entry, flight)
            if flight.scope.cancelled_caught:
                flight.error = NotReady(
                    f"{entry}: the manager is closing", account=entry.account.name, retry_in=1.0
                )
        except WxTokenError as error:
            flight.error = error
            if not flight.asked:  # what was asked for too often does not hold up what is due
                self._rest(entry, error.retry_in or 0.0)
        else:
            entry.stumbles = 0
        finally:
            if not flight.crossed:  # what another process fetches has been tried once that one tells
                entry.tried = True
            self._flying.discard(flight)
            if entry.flight is flight:
                entry.flight = None
            flight.brought.set()
            flight.done.set()
            self._landed(entry, flight)
