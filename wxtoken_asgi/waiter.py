"""How callers wait for a value: for a fetch that is under way, bounded in time and number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import (
    BudgetSpent,
    NoSuchCredential,
    NotReady,
    TooManyWaiting,
    UnknownAccount,
    UpstreamRefused,
    UpstreamTimeout,
    WxTokenError,
)
from wxtoken_asgi.flights import Flights
from wxtoken_asgi.sources import Reason
from wxtoken_asgi.troubles import trouble

MOST_WAITING: Final = 10_000
MOST_PAGES: Final = 1_000
"""So many of them may be pages, which anybody can open: others are not sent away because of them."""
REST_S: Final = 1.0
_FINAL: Final = (UpstreamRefused, BudgetSpent, NoSuchCredential, UnknownAccount)


class Waiter:
    """Waits for values on behalf of callers.

    Args:
        flights: where fetches are begun.
        clock: time.
        current: the entry that now stands for a credential's account and kind; a reload may exchange it.

    Attributes:
        waiting: how many callers wait now.
    """

    def __init__(self, flights: Flights, clock: Clock, current: Callable[[Entry], Entry]) -> None:
        self._flights = flights
        self._clock = clock
        self._current = current
        self.waiting = 0
        self._pages = 0

    async def wait(self, entry: Entry, within_s: float, *, page: bool = False) -> Held:
        """The value, as soon as there is a good one.

        Args:
            entry: the credential.
            within_s: seconds after which the caller is told to come back.
            page: a page waits, which anybody can open.

        Raises:
            WxTokenError: there is none, and why.
        """
        with self._counted(entry, page=page):
            with anyio.move_on_after(within_s) as scope:
                return await self._until_good(entry, scope)
            held = self._current(entry).good(self._clock)
            if held is None:
                raise self._still_waiting(entry)
            return held

    async def renew(
        self, entry: Entry, within_s: float, *, dead: str | None = None, found: bool = False
    ) -> None:
        """A new value, because somebody asked for it.

        Args:
            entry: the credential.
            within_s: seconds after which the caller is told to come back.
            dead: the value that does not work any more, if the caller names it. Unless it is the
                current one, nothing is fetched.
            found: no caller says so: this service has found it dead.

        Raises:
            WxTokenError: there is no new value, and why.
        """
        ended = entry.held.value if entry.held is not None else None
        held = entry.good(self._clock)
        if held is None:
            held = await self.wait(entry, within_s)
            if held.value not in {ended, dead}:  # else only this host's clock had ended it
                return
        if dead is not None and held.value != dead:
            return
        with self._counted(entry):
            with anyio.move_on_after(within_s):
                await self._until_renewed(entry, held, _reason(dead, found=found))
                return
            message = f"{entry}: the refresh takes longer than {within_s:g} s and goes on"
            raise UpstreamTimeout(message, account=entry.account.name, retry_in=REST_S)

    async def _until_good(self, entry: Entry, scope: anyio.CancelScope) -> Held:
        while True:
            entry = self._current(entry)
            held = entry.good(self._clock)  # it may have come while this one slept
            if held is not None:
                return held
            await self._back_off(entry, scope)
            flight = self._flights.join(entry)
            for something in (flight.brought, flight.done):
                await something.wait()
                held = entry.good(self._clock)
                if held is not None:
                    return held
            if not flight.asked:  # what an asked-for refresh met may not concern a reader
                await self._sleep_or_raise(flight.error or self._still_waiting(entry), scope)

    async def _back_off(self, entry: Entry, scope: anyio.CancelScope) -> None:
        waits = entry.waits(self._clock)
        if waits > 0 and entry.error is not None and entry.flight is None:
            await self._sleep_or_raise(trouble(entry, entry.error, waits), scope)

    async def _until_renewed(self, entry: Entry, seen: Held, reason: Reason) -> None:
        while True:
            flight = self._flights.join(entry, reason, blind=reason is Reason.ASKED)
            await flight.done.wait()
            if entry.held is not None and entry.held.value != seen.value:
                return
            if not flight.asked:  # it was under way before, and brought nothing new
                continue
            if flight.error is not None:
                raise flight.error
            return

    async def _sleep_or_raise(self, error: WxTokenError, scope: anyio.CancelScope) -> None:
        """Sleep until another attempt makes sense, unless the caller's time is over before that."""
        retry_in = max(error.retry_in or 0.0, 0.05)
        over = anyio.current_time() + retry_in >= scope.deadline
        if over or self._flights.closed or isinstance(error, _FINAL):
            raise error
        await anyio.sleep(retry_in)

    def _still_waiting(self, entry: Entry) -> WxTokenError:
        if entry.error is not None:
            return trouble(entry, entry.error, max(entry.waits(self._clock), REST_S))
        message = f"{entry}: no value yet, it is being fetched"
        return NotReady(message, account=entry.account.name, retry_in=REST_S)

    @contextmanager
    def _counted(self, entry: Entry, *, page: bool = False) -> Iterator[None]:
        if self.waiting >= MOST_WAITING or (page and self._pages >= MOST_PAGES):
            message = f"{self._pages if page else self.waiting} callers wait already"
            raise TooManyWaiting(message, account=entry.account.name, retry_in=REST_S)
        self.waiting += 1
        self._pages += page
        try:
            yield
        finally:
            self.waiting -= 1
            self._pages -= page


def _reason(dead: str | None, *, found: bool) -> Reason:
    if dead is None:
        return Reason.ASKED
    return Reason.FOUND if found else Reason.REPORTED
