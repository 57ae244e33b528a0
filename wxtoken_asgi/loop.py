"""The background loop of a manager: fetches what is due, follows what others changed, never gives up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import anyio

from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.flights import Flights
from wxtoken_asgi.keeper import Keeper
from wxtoken_asgi.policy import State
from wxtoken_asgi.records import Credential

logger = logging.getLogger("wxtoken_asgi")

LONGEST_SLEEP_S: Final = 30.0
SHORTEST_SLEEP_S: Final = 0.05
STORE_AWAY_S: Final = 1.0
LOADED_AT_ONCE: Final = 500


class Loop:
    """Keeps the credentials of one manager fresh.

    Args:
        entries: all that the manager can have, by credential.
        wanted: those to be kept fresh from the start.
        keeper: speaks with the store.
        flights: where fetches are begun.
    """

    def __init__(
        self,
        entries: Mapping[Credential, Entry],
        wanted: Iterable[Entry],
        *,
        keeper: Keeper,
        flights: Flights,
    ) -> None:
        self._entries = entries
        self._wanted = list(wanted)
        self._first: deque[Entry] = deque()
        self._keeper = keeper
        self._flights = flights
        self._cursor = ""
        self._tired: set[Entry] = set()
        self._foreign = 0
        self._wake = anyio.Event()
        self._stop = anyio.Event()
        self.ended = anyio.Event()

    def wake(self) -> None:
        """Something has changed: look again soon."""
        self._wake.set()

    def stop(self) -> None:
        """End, without waiting for it."""
        self._stop.set()

    async def warm_up(self) -> None:
        """Take over what the store holds, so that a restart costs no fetch."""
        try:
            await self._catch_up()
        except StoreError:
            logger.debug("the store is away at the start")
        self._queue_missing()

    async def run(self) -> None:
        """Run until `stop`."""
        try:
            if self._stop.is_set():
                return
            async with anyio.create_task_group() as group:
                group.start_soon(self._forever, self._schedule)
                group.start_soon(self._forever, self._follow)
                await self._stop.wait()
                group.cancel_scope.cancel()
        finally:
            self.ended.set()

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreError:
                logger.debug("the store is away; asking it again in %g s", STORE_AWAY_S)
            except Exception:
                logger.exception("the background loop failed and goes on")
            await anyio.sleep(STORE_AWAY_S)

    # what is due

    async def _schedule(self) -> None:
        while True:
            self._wake = anyio.Event()
            sleep_s = await self._begin_due()
            with anyio.move_on_after(sleep_s):
                await self._wake.wait()
            await anyio.sleep(SHORTEST_SLEEP_S)

    async def _begin_due(self) -> float:
        """Begin as many fetches as there are places; seconds until there may be more to do."""
        rest_s = self._rest()
        while self._first and self._flights.room > 0:
            self._begin(self._first.popleft())
        room = self._flights.room
        if room <= 0:
            return LONGEST_SLEEP_S
        try:
            due = await self._keeper.ask(self._keeper.store.due(room + len(self._tired) + self._foreign))
            await self._keeper.save()
        except StoreError:
            self._begin_without_store()
            return STORE_AWAY_S
        ours = [self._entries[key] for key in due.credentials if key in self._entries]
        self._foreign = len(due.credentials) - len(ours)
        for entry in ours[:room]:
            self._begin(entry)
        return min(rest_s, LONGEST_SLEEP_S if due.next_in_s is None else due.next_in_s)

    def _begin(self, entry: Entry) -> None:
        self._tired.add(entry)
        if entry.flight is not None or entry.rests_until > self._keeper.clock.monotonic():
            return
        self._flights.join(entry, urgent=False)

    def _rest(self) -> float:
        """Those begun lately that failed rest, due or not; seconds until one may go on."""
        now = self._keeper.clock.monotonic()
        tired = {entry for entry in self._tired if entry.flight is not None or entry.rests_until > now}
        self._queue_missing(self._tired - tired)
        self._tired = tired
        rests = (entry.rests_until - now for entry in tired if entry.flight is None)
        return min(rests, default=LONGEST_SLEEP_S)

    def _queue_missing(self, entries: Iterable[Entry] | None = None) -> None:
        """Those that have no good value and no back-off: the store may not know that they are due."""
        clock = self._keeper.clock
        for entry in self._wanted if entries is None else entries:
            if entry.good(clock) is None and entry.waits(clock) <= 0:
                self._first.append(entry)

    def _begin_without_store(self) -> None:
        """The store is away: this process goes by what it remembers."""
        clock = self._keeper.clock
        for entry in self._entries.values():
            if self._flights.room <= 0:
                return
            if entry.tried and entry.waits(clock) <= 0 and _is_due_alone(entry, entry.state(clock)):
                self._begin(entry)

    # what others changed

    async def _follow(self) -> None:
        store = self._keeper.store
        await self._catch_up()
        while True:
            with anyio.move_on_after(2 * LONGEST_SLEEP_S) as overdue:
                changes = await store.changes(self._cursor, LONGEST_SLEEP_S)
            if overdue.cancelled_caught:
                msg = "the store does not tell what has changed"
                raise StoreError(msg)
            await self._load(changes.credentials)
            self._cursor = changes.cursor
            if changes.credentials is None:
                self._queue_missing()
                self.wake()

    async def _catch_up(self) -> None:
        """Begin to follow: the cursor first, then all records, so that nothing falls between."""
        if self._cursor:
            return
        changes = await self._keeper.ask(self._keeper.store.changes("", 0.0))
        await self._load(None)
        self._cursor = changes.cursor

    async def _load(self, credentials: Iterable[Credential] | None) -> None:
        """Take over what the store holds of these credentials, or of all."""
        keys = self._entries.keys() if credentials is None else credentials
        entries = [self._entries[key] for key in keys if key in self._entries]
        for start in range(0, len(entries), LOADED_AT_ONCE):
            await self._keeper.load(entries[start : start + LOADED_AT_ONCE])


def _is_due_alone(entry: Entry, state: State) -> bool:
    if entry.kind.policy.destructive:
        return state not in {State.FRESH, State.DUE}
    return state is not State.FRESH
