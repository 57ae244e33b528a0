"""Stores that break one promise each; the contract's tests must catch every one of them.

Run by `test_the_contract_bites.py` in a process of its own: most of these tests fail, as they should.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Changes, Charge, Spent

from support.virtual import VirtualClock, virtual_backend
from support.virtual_stage import VirtualStage


class Broken(MemoryStore):
    """A memory store of which each process has an object, and all of them the same records."""

    def __init__(self, clock, other=None):
        super().__init__(clock)
        self.other = other or MemoryStore(clock)

    async def read(self, credentials):
        return await self.other.read(credentials)

    async def claim(self, claims, *, owner, lease_s):
        return await self.other.claim(claims, owner=owner, lease_s=lease_s)

    async def commit(self, commits):
        return await self.other.commit(commits)

    async def fail(self, fails):
        return await self.other.fail(fails)

    async def restore(self, records):
        return await self.other.restore(records)

    async def supply(self, supplies):
        return await self.other.supply(supplies)

    async def remove(self, credentials):
        await self.other.remove(credentials)

    async def due(self, limit):
        return await self.other.due(limit)

    async def changes(self, cursor, wait_s):
        return await self.other.changes(cursor, wait_s)

    def wipe(self):
        self.other.wipe()


class NoFenceCheck(Broken):
    async def commit(self, commits):
        records = await self.other.read([commit.credential for commit in commits])
        latest = {record.credential: record.fence for record in records}
        return await self.other.commit(
            [replace(commit, fence=max(commit.fence, latest[commit.credential])) for commit in commits]
        )


class NoDoubleCheck(Broken):
    async def claim(self, claims, *, owner, lease_s):
        records = await self.other.read([claim.credential for claim in claims])
        held = {record.credential: record.version for record in records}
        blind = [
            claim
            if held[claim.credential] < claim.seen
            else replace(claim, asked=True, seen=held[claim.credential])
            for claim in claims
        ]
        return await self.other.claim(blind, owner=owner, lease_s=lease_s)


class LeaseNeverEnds(Broken):
    async def claim(self, claims, *, owner, lease_s):
        return await self.other.claim(claims, owner=owner, lease_s=1e9)


class ChargesPerProcess(Broken):
    def _mine(self, name):
        return f"{id(self)}-{name}"

    async def claim(self, claims, *, owner, lease_s):
        own = [
            replace(claim, charges=tuple(Charge(self._mine(name), limit) for name, limit in claim.charges))
            for claim in claims
        ]
        claimed = await self.other.claim(own, owner=owner, lease_s=lease_s)
        return [self._named(answer) for answer in claimed]

    def _named(self, answer):
        if not isinstance(answer, Spent):
            return answer
        name = answer.charge.name.removeprefix(self._mine(""))
        return replace(answer, charge=Charge(name, answer.charge.limit))

    async def commit(self, commits):
        return await self.other.commit(
            [replace(commit, refund=tuple(map(self._mine, commit.refund))) for commit in commits]
        )

    async def fail(self, fails):
        return await self.other.fail(
            [replace(fail, refund=tuple(map(self._mine, fail.refund))) for fail in fails]
        )


class ChangesLost(Broken):
    """As pub/sub does it: who does not listen just then misses it."""

    async def changes(self, cursor, wait_s):
        now = await self.other.changes("", 0)
        return await self.other.changes(now.cursor, wait_s) if cursor else now


class ChangesOfThisProcessOnly(Broken):
    def __init__(self, clock, other=None):
        super().__init__(clock, other)
        self.own = MemoryStore(clock)

    async def commit(self, commits):
        committed = await self.other.commit(commits)
        await self.own.restore([answer.record for answer in committed])
        return committed

    async def changes(self, cursor, wait_s):
        return await self.own.changes(cursor, wait_s)


class EverythingAlwaysChanges(Broken):
    async def changes(self, cursor, wait_s):
        changes = await self.other.changes(cursor, wait_s)
        return Changes(changes.cursor, None if cursor else ())


class ByTheWallClock(Broken):
    """Leases and ends by a clock that steps."""

    def __init__(self, clock, other=None):
        super().__init__(clock, other)
        moved = VirtualClock()
        moved.monotonic = clock.time
        self.other = other or MemoryStore(moved)


class FencesBeginAnew(Broken):
    """A counter, and no time in it."""

    def __init__(self, clock, other=None):
        super().__init__(clock, other)
        counting = VirtualClock()
        counting.monotonic, counting.time = clock.monotonic, lambda: 0.0
        self.other = other or MemoryStore(counting)


class LocksItsOwnerOut(Broken):
    """The same owner asking again is told that somebody has the lease."""

    def __init__(self, clock, other=None):
        super().__init__(clock, other)
        self.asked = 0

    async def claim(self, claims, *, owner, lease_s):
        self.asked += 1
        return await self.other.claim(claims, owner=f"{owner}-{self.asked}", lease_s=lease_s)


class BackOffIsOnesOwn(Broken):
    async def claim(self, claims, *, owner, lease_s):
        forgetful = [replace(claim, fingerprint=owner) for claim in claims]
        return await self.other.claim(forgetful, owner=owner, lease_s=lease_s)

    async def fail(self, fails):
        own = [
            fail if fail.error is None else replace(fail, error=replace(fail.error, fingerprint="nobody's"))
            for fail in fails
        ]
        return await self.other.fail(own)


class ForgetsCosts(Broken):
    """As a store does that was written before there were any."""

    async def commit(self, commits):
        return await self.other.commit([replace(commit, costs=()) for commit in commits])


class CountsCostsAgain(Broken):
    """Costs on an account of its own, to which whatever is said is added."""

    async def commit(self, commits):
        committed = await self.other.commit([replace(commit, costs=()) for commit in commits])
        now = self.other._clock.monotonic()
        for commit, answer in zip(commits, committed, strict=True):
            self.other._rows[commit.credential]._count(commit.costs if answer.taken else (), now)
        records = await self.other.read([commit.credential for commit in commits])
        return [replace(answer, record=new) for answer, new in zip(committed, records, strict=True)]


class BeginsLivesAnew(Broken):
    """What is said again counts from now."""

    async def commit(self, commits):
        committed = await self.other.commit(commits)
        now = self.other._clock.monotonic()
        for commit in (commit for commit, answer in zip(commits, committed, strict=True) if answer.taken):
            row = self.other._rows[commit.credential]
            row.ends_at, row.ask_at = now + commit.ttl_s, now + commit.ask_in_s
        records = await self.other.read([commit.credential for commit in commits])
        return [replace(answer, record=new) for answer, new in zip(committed, records, strict=True)]


class BelievesWhatIsLate(Broken):
    """As a store does that was written before commits said how much of their lease was left."""

    async def commit(self, commits):
        return await self.other.commit([replace(commit, left_s=None) for commit in commits])


class BelievesWhatIsGivenBack(Broken):
    """Whatever was called since, and never heard of."""

    async def restore(self, records):
        return await self.other.restore([replace(record, fence=0) for record in records])


class SpendingIsOnesOwn(Broken):
    """Each process tells of what it has spent itself."""

    def __init__(self, clock, other=None):
        super().__init__(clock, other)
        self.own = {}

    async def commit(self, commits):
        committed = await self.other.commit(commits)
        self.own |= {answer.record.credential: answer.record.spent for answer in committed}
        return committed

    async def read(self, credentials):
        records = await self.other.read(credentials)
        return [replace(record, spent=self.own.get(record.credential, ())) for record in records]


class Right(Broken):
    """Breaks nothing: what the others are measured against."""


class Bench(VirtualStage):
    """The contract for one of the stores above.

    Attributes:
        broken: its class.
    """

    broken = Broken

    @pytest.fixture
    def anyio_backend(self):
        return virtual_backend("asyncio")

    @pytest.fixture
    def make(self, clock):
        first = self.broken(clock)
        made = iter([first])
        return lambda: next(made, None) or self.broken(clock, first.other)

    @pytest.fixture
    def wipe(self, store):
        async def empty():
            store.wipe()

        return empty


class TestRight(Bench):
    broken = Right


class TestNoFenceCheck(Bench):
    broken = NoFenceCheck


class TestNoDoubleCheck(Bench):
    broken = NoDoubleCheck


class TestLeaseNeverEnds(Bench):
    broken = LeaseNeverEnds


class TestChargesPerProcess(Bench):
    broken = ChargesPerProcess


class TestChangesLost(Bench):
    broken = ChangesLost


class TestChangesOfThisProcessOnly(Bench):
    broken = ChangesOfThisProcessOnly


class TestEverythingAlwaysChanges(Bench):
    broken = EverythingAlwaysChanges


class TestByTheWallClock(Bench):
    broken = ByTheWallClock


class TestFencesBeginAnew(Bench):
    broken = FencesBeginAnew


class TestLocksItsOwnerOut(Bench):
    broken = LocksItsOwnerOut


class TestBackOffIsOnesOwn(Bench):
    broken = BackOffIsOnesOwn


class TestForgetsCosts(Bench):
    broken = ForgetsCosts


class TestCountsCostsAgain(Bench):
    broken = CountsCostsAgain


class TestBeginsLivesAnew(Bench):
    broken = BeginsLivesAnew


class TestBelievesWhatIsLate(Bench):
    broken = BelievesWhatIsLate


class TestBelievesWhatIsGivenBack(Bench):
    broken = BelievesWhatIsGivenBack


class TestSpendingIsOnesOwn(Bench):
    broken = SpendingIsOnesOwn
