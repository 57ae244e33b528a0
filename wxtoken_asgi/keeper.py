"""Keeps the entries in memory and the records in the store in step, and goes on when the store is away."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import anyio

from wxtoken_asgi import policy
from wxtoken_asgi.batches import MOST_AT_ONCE
from wxtoken_asgi.clock import Clock, Moment
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.link import Link
from wxtoken_asgi.policy import State
from wxtoken_asgi.stores.contract import (
    Behind,
    Busy,
    Claim,
    Commit,
    Committed,
    Cut,
    Fail,
    Newer,
    Record,
    Spent,
    Wait,
)
from wxtoken_asgi.troubles import spent, trouble
from wxtoken_asgi.untold import Untold, aged, aged_fail

logger = logging.getLogger("wxtoken_asgi")

ENDS: Final = 2 / 3
"""Everything under a lease ends within this part of it, counted from before the claim."""

LAST_WORD: Final = 0.1
"""What a fetch brought is told to the store in any case, for at least this part of its lease."""

TRIES: Final = 3
"""What ends a lease is said so often: one lost message must cost neither a value nor the trust in one."""

RESTORED_S: Final = 0.05
UNLEASED_SPREAD_S: Final = 20.0
"""Processes that fetch without a lease spread over so long."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to fetch: a lease, or the need to do without one while the store is away.

    Args:
        record: what was held when it was given.
        fence: the lease's, or a version that is newer than any known.
        since: when it was asked for, by the monotonic clock; no lease began earlier.
        leased: whether the store gave it.
    """

    record: Record
    fence: int
    since: float
    leased: bool = True


class Keeper:
    """Says and hears for the entries of a process what the store has to know of them.

    Args:
        link: the line to the store.
        clock: time and chance.

    Attributes:
        unsaved: entries whose held value the store does not know yet.
        untold: calls without a lease that the store does not know of yet.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self.unsaved: set[Entry] = set()
        self.untold: dict[Entry, Untold] = {}

    @property
    def behind(self) -> bool:
        """Whether there is something that the store does not know yet."""
        return bool(self.unsaved or self.untold)

    async def claim(self, entry: Entry, make: Callable[[], Claim]) -> Permit | Busy | None:
        """Ask for the right to fetch.

        Args:
            entry: the credential.
            make: the claim, by what is known when it is called: what the store is told late, and what it
                says then, may show that another value is the newest.

        Returns:
            The permit; or that another worker fetches; or None: there is something newer already.

        Raises:
            UpstreamRefused, NotReady, NoSuchCredential: a back-off runs, for the reason given.
            BudgetSpent: a budget has no room.
            StoreError: the store is away, and this fetch may not do without it.
        """
        try:
            return await self._claim(entry, make)
        except StoreError as error:
            self._check_alone(entry, make(), error)
        if entry.kind.policy.destructive:
            await anyio.sleep(self.clock.random.uniform(0.0, UNLEASED_SPREAD_S))
            try:  # the store may be back: perhaps this process was stopped meanwhile, for hours
                return await self._claim(entry, make)
            except StoreError as error:
                self._check_alone(entry, make(), error)  # its news may have come meanwhile
        return self._permit_alone(entry)

    async def _claim(self, entry: Entry, make: Callable[[], Claim]) -> Permit | Busy | None:
        at = self.clock.moment()
        await self._own_up([entry])
        claimed = await self.link.claims.ask(make())
        if isinstance(claimed, Behind) and await self.restore([entry]):
            at = self.clock.moment()
            claimed = await self.link.claims.ask(make())
        if isinstance(claimed, Behind):
            return Busy(claimed.record, RESTORED_S)
        entry.adopt(claimed.record, at)
        if isinstance(claimed, Wait):
            raise trouble(entry, claimed.error, claimed.retry_in_s)
        if isinstance(claimed, Spent):
            raise spent(entry, claimed)
        if isinstance(claimed, Newer):
            return None
        return claimed if isinstance(claimed, Busy) else Permit(claimed.record, claimed.fence, at.now)

    def _check_alone(self, entry: Entry, claim: Claim, error: StoreError) -> None:
        """Without a lease a harmless fetch goes on; one that dooms the last token waits until it must.

        What is asked for has a budget, which only the store can count, and a probe waits for better times.

        Raises:
            WxTokenError: this fetch may not do without a lease now.
        """
        waits = entry.waits(self.clock)
        if waits > 0 and entry.error is not None:
            raise trouble(entry, entry.error, waits) from None
        if claim.asked or entry.kind.watches or (entry.kind.policy.destructive and self._can_wait(entry)):
            raise error

    def _permit_alone(self, entry: Entry) -> Permit:
        logger.warning("the store is away: %s is fetched without a lease (degraded)", entry)
        held = entry.held
        ended = (
            Record(entry.credential) if held is None else Record(entry.credential, held.version, held.value)
        )
        record = replace(entry.record(self.clock) or ended, attempts=entry.attempts, error=entry.error)
        fence = max(record.version + 1, int(self.clock.time() * 1000))
        return Permit(record, fence, self.clock.monotonic(), leased=False)

    def _can_wait(self, entry: Entry) -> bool:
        """Whether there is a value that is not about to end."""
        return entry.state(self.clock) in {State.FRESH, State.DUE}

    def left(self, permit: Permit, part: float = ENDS) -> float:
        """Seconds until this part of a permit's lease is over; negative once it is."""
        return permit.since + self.link.lease_s * part - self.clock.monotonic()

    async def _in_time(self, answer: Awaitable[T], permit: Permit) -> T:
        """An answer while the lease has time left, or `StoreError`."""
        try:
            with anyio.fail_after(max(self.left(permit), self.link.lease_s * LAST_WORD)):
                return await answer
        except TimeoutError:
            raise StoreError("the store did not answer before the lease's time was over") from None

    async def commit(self, entry: Entry, commit: Commit, permit: Permit) -> Held | None:
        """Write a fetched value; while the store is away it is held here, and restored later.

        It is said at least once, however late it is: the store refuses what comes too late, and cuts
        what it holds instead if that may have been doomed.

        Returns:
            What is held now, if it is new and this fetch brought it.
        """
        at = self.clock.moment()

        def say(said_at: Moment) -> Awaitable[Committed]:
            late = aged(commit, said_at.now - at.now)
            late = replace(late, refused=_if_refused(late.refused), left_s=self.left(permit, 1.0))
            return self.link.commits.ask(late)

        heard = await self._insist(say, permit)
        if heard is None:
            return self._hold_unsaved(entry, commit, permit, at)
        committed, said_at = heard
        if not committed.taken:
            logger.warning("%s came too late: another worker has fetched it since", entry)
        entry.adopt(committed.record, said_at)
        return _brought(entry, commit, permit) if committed.taken else None

    async def _insist(self, say: Callable[[Moment], Awaitable[T]], permit: Permit) -> tuple[T, Moment] | None:
        """Say something under a lease, again if need be while there is time.

        Returns:
            The store's answer, and when it was asked; None: it gave none.
        """
        for attempt in range(TRIES if permit.leased else 0):
            if attempt:
                if self.left(permit) <= 2 * policy.SHORTEST_WAIT_S:
                    break
                await anyio.sleep(policy.SHORTEST_WAIT_S)
            said_at = self.clock.moment()
            with contextlib.suppress(StoreError):
                return await self._in_time(say(said_at), permit), said_at
        return None

    def _hold_unsaved(self, entry: Entry, commit: Commit, permit: Permit, at: Moment) -> Held | None:
        record = Record(entry.credential, commit.fence, commit.value, commit.ttl_s, commit.ask_in_s)
        new = entry.adopt(replace(record, spent=entry.spent), at)
        if new and not permit.leased and entry.held is not None:
            entry.held = replace(entry.held, unleased=True)
        if not permit.leased and self.link.store.shared:
            self.untold[entry] = self.untold.get(entry, Untold()).with_value(commit, at.now)
        self.unsaved.add(entry)
        logger.warning("the store is away: %s is held in memory until it is back", entry)
        return _brought(entry, commit, permit) if new else None

    async def fail(self, entry: Entry, fail: Fail, permit: Permit) -> None:
        """Say that a fetch brought nothing; while the store is away only this process knows."""
        at = self.clock.moment()

        def say(said_at: Moment) -> Awaitable[Record]:
            late = aged_fail(fail, said_at.now - at.now)
            return self.link.fails.ask(replace(late, refused=_if_refused(late.cut)))

        heard = await self._insist(say, permit)
        if heard is not None:
            entry.adopt(*heard)
            return
        if not permit.leased and fail.cut is not None and self._dooms(entry):
            untold = self.untold.get(entry, Untold())
            self.untold[entry] = untold.with_loss(permit.since, self.clock.monotonic())
        self._fail_alone(entry, fail, at)

    def fail_alone(self, entry: Entry, fail: Fail) -> None:
        """Remember a failure that no lease was for, until the store tells something else."""
        self._fail_alone(entry, fail, self.clock.moment())

    def _fail_alone(self, entry: Entry, fail: Fail, at: Moment) -> None:
        if entry.held is not None and fail.cut is not None:
            entry.held = entry.held.cut(fail.cut, at)
        entry.error, entry.wait_until = fail.error, at.now + fail.wait_s
        entry.attempts += fail.error is not None

    async def load(self, entries: list[Entry]) -> None:
        """Take over what the store holds, and give back what it has lost.

        Raises:
            StoreError: it did not answer.
        """
        await self._own_up(entries)
        at = self.clock.moment()
        held = [entry.held for entry in entries]
        records = await self.link.ask(self.link.store.read([entry.credential for entry in entries]))
        lost: list[Entry] = []
        for entry, before, record in zip(entries, held, records, strict=True):
            if _lacks(record, before, at):
                lost.append(entry)
            else:
                entry.adopt(record, at)
        await self.restore(lost)

    async def save(self) -> None:
        """Give the store what it does not know yet.

        Raises:
            StoreError: it did not answer.
        """
        for entries in _slices(self.untold):
            await self._own_up(entries)
        for entries in _slices(self.unsaved):
            self.unsaved.difference_update(entries)  # what comes meanwhile is for the next time
            try:
                await self.restore(entries)
            except BaseException:
                self.unsaved.update(entries)
                raise

    async def _own_up(self, entries: Iterable[Entry]) -> None:
        """Tell the store of calls without a lease, before anything that it says is believed.

        Raises:
            StoreError: it did not answer.
        """
        silent = [entry for entry in entries if entry in self.untold]
        await self._own_up_to_losses(silent)
        await self._own_up_to_values(silent)

    async def _own_up_to_losses(self, silent: list[Entry]) -> None:
        """They are told once: heard again after the value that came later, they would cut that."""
        at = self.clock.moment()
        told = {entry.credential: (entry, self.untold[entry]) for entry in silent}
        fails = [fail for name, (_, untold) in told.items() for fail in untold.fails(name, at.now)]
        for record in await self.link.write(self.link.store.fail(fails)) if fails else ():
            entry, untold = told[record.credential]
            if untold.brought is None:
                entry.adopt(record, at)
            self._is_told(entry, untold, replace(untold, lost=None))

    async def _own_up_to_values(self, silent: list[Entry]) -> None:
        at = self.clock.moment()
        told = {entry.credential: (entry, self.untold[entry]) for entry in silent if entry in self.untold}
        commits = [
            commit
            for entry, untold in told.values()
            for commit in untold.commits(at.now, self._trusted(entry))
        ]
        for committed in await self.link.write(self.link.store.commit(commits)) if commits else ():
            entry, untold = told[committed.record.credential]
            self._is_told(entry, untold, Untold())
            if entry in self.untold:
                continue  # it has fetched another since: what the store says is older
            _hear(entry, untold, committed, at)
            if entry.held is not None and not entry.held.unleased:  # it is the store's own
                self.unsaved.discard(entry)

    def _is_told(self, entry: Entry, untold: Untold, rest: Untold) -> None:
        """The store knows it, and what is left to tell; unless there is more by now."""
        if self.untold.get(entry) is not untold:
            return
        if rest.brought is None:
            del self.untold[entry]
        else:
            self.untold[entry] = rest

    def _dooms(self, entry: Entry) -> bool:
        """Whether a fetch of this process alone may doom what others hold."""
        return entry.kind.policy.destructive and self.link.store.shared

    def _trusted(self, entry: Entry) -> Callable[[float, float], tuple[float, float]]:
        """How far what was fetched without a lease is trusted: it is to be replaced, or proved, soon.

        Other processes may have done the same, and only WeChat knows whose call it heard last: the others'
        tokens die five minutes after that. And what this process took for a new ticket may be the one that
        the others have had for long: it is trusted no further than a caller may trust it.
        """
        rules = entry.kind.policy

        def trusted(ttl_s: float, ask_in_s: float) -> tuple[float, float]:
            if self._dooms(entry):
                return min(ttl_s, policy.OVERLAP_TRUST_S), 0.0
            kept_s = rules.may_keep(ttl_s, ask_in_s)
            return kept_s, min(ask_in_s, kept_s / 2)

        return trusted

    async def restore(self, entries: list[Entry]) -> bool:
        """Put back what the store has lost, as far as it is still good.

        Returns:
            Whether there was anything to put back.

        Raises:
            StoreError: it did not answer.
        """
        at = self.clock.moment()
        lost = {entry.credential: entry for entry in entries}
        records = [record for entry in entries if (record := self._to_restore(entry)) is not None]
        if not records:
            return False
        restored = await self.link.write(self.link.store.restore(records))
        logger.warning("%d records that the store did not have are restored", len(records))
        for record in restored:
            lost[record.credential].adopt(record, at)
        return True

    def _to_restore(self, entry: Entry) -> Record | None:
        """What is held, if it is good; what was fetched without a lease is to be replaced soon."""
        record = entry.record(self.clock)
        if record is None or entry.held is None or not entry.held.unleased:
            return record
        ttl_s, ask_in_s = self._trusted(entry)(record.ttl_s, record.ask_in_s)
        return replace(record, ttl_s=ttl_s, ask_in_s=ask_in_s)


def _slices(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """All of them, so many at a time as the store can be told of at once."""
    rest = deque(entries)
    while rest:
        yield [rest.popleft() for _ in range(min(len(rest), MOST_AT_ONCE))]


def _lacks(record: Record, before: Held | None, at: Moment) -> bool:
    """Whether the store has an older value than this process had when it asked."""
    return before is not None and record.version < before.version and not before.outlived(record, at)


def _hear(entry: Entry, untold: Untold, told: Committed, at: Moment) -> None:
    """What the store holds after it was told of a call without a lease, which may be older."""
    held = entry.held
    if held is not None and held.value == told.record.value:
        entry.renumber(told.record.version)
    elif told.newer:
        entry.give_way(told.record.version)
    else:
        entry.give_way(told.record.fence, (told.doubt or untold.doubt(at.now), at))
    entry.adopt(told.record, at)


def _if_refused(cut: Cut | None) -> Cut | None:
    """What becomes of a later lease's value, as it is told under a lease."""
    return None if cut is None else Cut(*policy.refused_cut(cut.ttl_s))


def _brought(entry: Entry, commit: Commit, permit: Permit) -> Held | None:
    """What is held, if this fetch brought it; news from the store may have told of it before the answer."""
    held = entry.held
    own = held is not None and held.version == commit.fence
    return held if own and commit.value != permit.record.value else None
