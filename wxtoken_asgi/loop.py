"""The background loop of a manager: fetches what is due, follows what others changed, never gives up.

What it costs while nothing is due does not grow with the number of credentials: no list of them is walked,
and the store is asked a fixed number of times an hour.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import count, cycle, islice
from typing import Final

import anyio

from wxtoken_asgi import policy
from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.flights import Flight, Flights
from wxtoken_asgi.keeper import Keeper
from wxtoken_asgi.policy import State
from wxtoken_asgi.records import Credential
from wxtoken_asgi.registry import Registry
from wxtoken_asgi.stores.contract import Changes

logger = logging.getLogger("wxtoken_asgi")

LONGEST_SLEEP_S: Final = 30.0
SHORTEST_SLEEP_S: Final = 0.05
STORE_AWAY_S: Final = 1.0
LOADED_AT_ONCE: Final = 500
COMPARE_S: Final = 60.0
"""About so often a slice of at most `LOADED_AT_ONCE` records is compared with a shared store."""

NEWS_PAUSE_S: Final = 0.02
"""News that follow upon each other are read together."""

FIRST_SPREAD_S: Final = 0.25
FIRST_STRIDE: Final = 16
"""At the start so many at a time, then more or fewer."""


class Loop:
    """Keeps the credentials of one manager fresh.

    Args:
        registry: all that the manager can have.
        keeper: speaks with the store.
        flights: where fetches are begun.
        beside: what else runs as long as it does.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        keeper: Keeper,
        flights: Flights,
        beside: Iterable[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._registry = registry
        self._beside = tuple(beside)
        self._new: list[Entry] = []
        self._replaced = anyio.Event()
        self._first: deque[Entry] = deque()
        self._keeper = keeper
        self._link = keeper.link
        self._flights = flights
        self._cursor = ""
        self._listening: anyio.CancelScope | None = None
        self._listens_since = keeper.link.returns
        self._spread = keeper.link.store.shared
        self._resting: list[tuple[float, int, Entry]] = []
        self._turn = cycle(registry.entries.values())
        self._order = count()
        self._passed = 0
        self._crowded = False
        self._crossed = False
        self._stride = FIRST_STRIDE
        self._looks_at = float("inf")
        self._wake = anyio.Event()
        self._stop = anyio.Event()
        self.ended = anyio.Event()

    def wake(self) -> None:
        """Something has changed: look again soon."""
        self._wake.set()

    def landed(self, entry: Entry, flight: Flight) -> None:
        """A flight has ended. What failed rests before it is begun again, due or not."""
        self._crossed = self._crossed or flight.crossed
        if entry.rests_until > self._keeper.clock.monotonic():
            heapq.heappush(self._resting, (entry.rests_until, next(self._order), entry))
        else:
            self._queue_missing((entry,))
            if self._spread and not self._hurries(entry):
                return  # it would look for what others look for too
        self.wake()

    def _hurries(self, entry: Entry) -> bool:
        """Whether there is more to do, or a look is planned too late for this one."""
        if self._crowded or self._first or self._keeper.behind:
            return True
        return entry.held is not None and entry.held.ask_at < self._looks_at

    def stop(self) -> None:
        """End, without waiting for it."""
        self._stop.set()

    async def warm_up(self) -> None:
        """Take over what the store holds, so that a restart costs no fetch."""
        try:
            await self._catch_up()
        except StoreError:
            logger.debug("the store is away at the start")
        self._queue_missing(self._registry.wanted)

    def replace(self, registry: Registry, new: Iterable[Entry]) -> None:
        """Keep what this registry has, and nothing else. What rested under the old rules may be tried now.

        Args:
            registry: all that the manager can have from now on.
            new: those of its entries that there were not before.
        """
        self._registry = registry
        self._turn = cycle(registry.entries.values())
        for entry in registry.entries.values():
            entry.stumbles, entry.rests_until = 0, float("-inf")  # the store's back-offs hold all the same
        self._new.extend(new)
        self._replaced.set()

    async def run(self) -> None:
        """Run until `stop`."""
        try:
            if self._stop.is_set():
                return
            async with anyio.create_task_group() as group:
                group.start_soon(self._forever, self._schedule)
                group.start_soon(self._forever, self._follow)
                group.start_soon(self._forever, self._welcome)
                if self._spread:
                    group.start_soon(self._forever, self._compare)
                for work in self._beside:
                    group.start_soon(self._forever, work)
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
        if self._spread:  # those that start together do not all begin with what is due first
            self._begin_first()
            await anyio.sleep(self._draw() * FIRST_SPREAD_S)
        while True:
            self._wake = anyio.Event()
            looked_at = self._keeper.clock.monotonic()
            sleep_s = await self._begin_due()
            self._looks_at = self._keeper.clock.monotonic() + sleep_s
            with anyio.move_on_after(sleep_s):
                await self._wake.wait()
            await anyio.sleep(self._pause(looked_at))

    def _pause(self, looked_at: float) -> float:
        """Seconds until the next look, after something has happened or come due.

        Processes that share a store look at instants of their own, at most once a second or so, unless
        there is more to do than one look shows and nobody else does it.
        """
        if not self._spread or ((self._crowded or self._first) and not self._crossed):
            return SHORTEST_SLEEP_S
        return policy.look_after(self._draw(), self._keeper.clock.monotonic() - looked_at)

    def _draw(self) -> float:
        return self._keeper.clock.random.random()

    async def _begin_due(self) -> float:
        """Begin as many fetches as there are places; seconds until there may be more to do."""
        rest_s = self._rest()
        self._begin_first()
        self._crossed = False
        room = self._flights.room
        self._crowded = room <= 0
        if self._crowded:
            return LONGEST_SLEEP_S
        limit = room + self._passed
        try:
            due = await self._link.ask(self._link.store.due(limit))
            await self._keeper.save()
        except StoreError:
            self._begin_without_store()
            return STORE_AWAY_S
        self._listen_again()
        entries = self._registry.entries
        known = [entries[key] for key in due.credentials if key in entries]
        ours = [entry for entry in known if self._idle(entry)]
        self._passed = len(due.credentials) - len(ours)
        self._crowded = len(due.credentials) >= limit
        for entry in ours[:room]:
            self._begin(entry)
        if self._first or (self._crowded and len(ours) < room):
            return 0.0
        return min(rest_s, LONGEST_SLEEP_S if due.next_in_s is None else due.next_in_s)

    def _begin(self, entry: Entry) -> None:
        self._flights.join(entry, urgent=False)

    def _begin_first(self) -> None:
        """Where others may be at the same, go on by the more at a time the less they cross us."""
        stride = self._flights.room
        if self._spread and self._first:
            stride = min(stride, self._stride)
            self._stride = max(self._stride // 2, 4) if self._crossed else min(self._stride * 2, 1024)
        while self._first and stride > 0:
            entry = self._first.popleft()
            if self._missing(entry) and self._idle(entry):  # else it has come by the news meanwhile
                self._begin(entry)
                stride -= 1

    def _rest(self) -> float:
        """Those that have rested may be begun again; seconds until the next one has."""
        now = self._keeper.clock.monotonic()
        while self._resting and self._resting[0][0] <= now:
            self._queue_missing((heapq.heappop(self._resting)[2],))
        return self._resting[0][0] - now if self._resting else LONGEST_SLEEP_S

    def _queue_missing(self, entries: Iterable[Entry]) -> None:
        """Those that have no good value and no back-off: the store may not know that they are due.

        Processes that share a store each take an order of their own; what hangs on another comes last.
        """
        missing = [entry for entry in entries if self._missing(entry)]
        if self._spread:
            self._keeper.clock.random.shuffle(missing)
            missing.sort(key=lambda entry: entry.parent is not None)
        self._first.extend(missing)

    def _missing(self, entry: Entry) -> bool:
        """Whether it has neither a good value of its own nor a back-off, or is due after another secret's."""
        clock = self._keeper.clock
        if not self._registry.holds(entry) or entry.waits(clock) > 0:
            return False
        held = entry.good(clock)
        return held is None or held.lent or (entry.outdated and held.ask_in(clock) <= 0)

    def _idle(self, entry: Entry) -> bool:
        return entry.flight is None and entry.rests_until <= self._keeper.clock.monotonic()

    def _begin_without_store(self) -> None:
        """The store is away: this process goes by what it remembers."""
        clock = self._keeper.clock
        for entry in self._registry.entries.values():
            if self._flights.room <= 0:
                return
            if not entry.tried or entry.waits(clock) > 0 or not self._idle(entry):
                continue
            if _is_due_alone(entry, entry.state(clock)):
                self._begin(entry)

    # what others changed

    async def _follow(self) -> None:
        await self._catch_up()
        while True:
            await self._take(await self._listen())

    async def _take(self, changes: Changes | None) -> None:
        """Take over what is news, and wait a moment for more."""
        if changes is None:
            return
        await self._load(changes.credentials)
        self._cursor = changes.cursor
        if changes.credentials is None:
            self._queue_missing(self._registry.wanted)
            self.wake()
        await anyio.sleep(NEWS_PAUSE_S)

    async def _listen(self) -> Changes | None:
        """The next news, or None if it is to be asked for anew."""
        self._listens_since = self._link.returns
        with anyio.move_on_after(2 * LONGEST_SLEEP_S) as self._listening:
            return await self._link.store.changes(self._cursor, LONGEST_SLEEP_S)
        if self._link.returns > self._listens_since:
            return None
        raise StoreError("the store does not tell what has changed")

    def _listen_again(self) -> None:
        """A store that was away and is back may have lost who waits for its news."""
        if self._link.returns > self._listens_since and self._listening is not None:
            self._listening.cancel()

    async def _welcome(self) -> None:
        """After a reload: take over what the store holds of new entries, then begin what is missing."""
        while True:
            await self._replaced.wait()
            self._replaced = anyio.Event()
            new, self._new = self._new, []
            try:
                await self._load([entry.credential for entry in new])
            finally:
                lent = (entry for entry in new if entry.held is not None and not entry.wanted)
                self._queue_missing([*self._registry.wanted, *lent])
                self.wake()

    async def _catch_up(self) -> None:
        """Begin to follow: the cursor first, then all records, so that nothing falls between."""
        if self._cursor:
            return
        changes = await self._link.ask(self._link.store.changes("", 0.0))
        await self._load(None)
        self._cursor = changes.cursor

    async def _load(self, credentials: Iterable[Credential] | None) -> None:
        """Take over what the store holds of these credentials, or of all."""
        known = self._registry.entries
        entries = [known[key] for key in (known if credentials is None else credentials) if key in known]
        for start in range(0, len(entries), LOADED_AT_ONCE):
            await self._keeper.load(entries[start : start + LOADED_AT_ONCE])
        self._flights.tell(entries)
        refused = [entry for entry in entries if entry.outdated]
        if refused:  # of a process that does not have our secret yet, or has another one
            self._queue_missing(refused)
            self.wake()

    async def _compare(self) -> None:
        """A second line behind the news: all records are compared with the store, a slice a minute or so.

        A change whose message was missed is found within 75 s where there are up to 500 credentials, and
        within 75 s for each 500 of them where there are more: 25 minutes for 10,000. A caller who reports a
        dead value finds it at once, and so does a fetch, which claims first.
        """
        while True:
            await anyio.sleep(COMPARE_S * (0.75 + 0.5 * self._draw()))
            entries = islice(self._turn, min(LOADED_AT_ONCE, len(self._registry.entries)))
            await self._load([entry.credential for entry in entries if entry.wanted or entry.tried])


def _is_due_alone(entry: Entry, state: State) -> bool:
    if entry.kind.policy.destructive:
        return state not in {State.FRESH, State.DUE}
    return state is not State.FRESH
