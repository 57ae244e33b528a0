"""The contract of what was fetched without a lease, and is told once the store is back."""

from __future__ import annotations

from wxtoken_asgi.stores.contract import Committed, Cut, Supply
from wxtoken_asgi.testing.stage import KEY, Later, StoreStage, Worker, about, key, restorable

OVER_S = 50.0
"""A call without a lease was over so long ago."""

SINCE_S = 31.0
"""A lease was granted so long ago, after that call."""

BEFORE_S = 100.0
"""A lease was granted so long ago, before that call."""

CUT = Cut(220, 0)


async def told(one: Worker, fence: int, value: str = "alone", **commit: object) -> Committed:
    """What became of a value that was fetched without a lease."""
    fetched = {"ttl_s": 270, "ask_in_s": 0, "over_s": OVER_S, "refused": CUT, **commit}
    return await one.commit(fence, value, **fetched)


class UnleasedRules(StoreStage):
    async def test_what_a_later_lease_has_brought_is_newer_whatever_the_version(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("newer")
        later(SINCE_S)
        cursor = await two.cursor()
        for ahead in (1_000_000, -1_000_000):
            answer = await told(one, held.version + ahead)
            assert (answer.taken, answer.newer) == (False, True)
            assert (answer.record.value, answer.record.version) == ("newer", held.version)
            assert answer.record.ttl_s == about(7000 - SINCE_S)
        assert await two.news(cursor) == ()

    async def test_what_a_later_lease_has_proved_is_newer(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("kept")
        later(BEFORE_S)
        await two.fetch("kept", claim={"asked": True})
        later(SINCE_S)
        answer = await told(one, held.version + 1_000_000)
        assert (answer.taken, answer.newer) == (False, True)
        assert (answer.record.value, answer.record.version) == ("kept", held.version)

    async def test_what_an_earlier_lease_has_brought_is_replaced(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        answer = await told(one, held.version + 1_000_000)
        assert (answer.taken, answer.newer) == (True, False)
        assert (answer.record.value, answer.record.ttl_s, answer.record.ask_in_s) == ("alone", about(270), 0)

    async def test_what_an_earlier_lease_has_brought_is_cut_if_its_version_is_higher(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        answer = await told(one, held.version - 1)
        assert (answer.taken, answer.newer) == (False, False)
        assert (answer.record.value, answer.record.ttl_s) == ("older", about(220))

    async def test_a_later_lease_that_runs_brings_what_is_newer_and_only_what_was_held_is_cut(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True)
        later(5)
        answer = await told(one, fence + 1_000_000)
        assert (answer.taken, answer.newer) == (False, False)
        assert (answer.record.value, answer.record.fence) == ("older", fence)
        assert answer.record.version == held.version
        assert answer.record.ttl_s == about(220)
        brought = await two.commit(fence, "newest")
        assert (brought.taken, brought.record.ttl_s) == (True, about(7000))

    async def test_a_later_lease_that_runs_and_brings_nothing_leaves_the_cut(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True)
        await told(one, fence + 1_000_000)
        assert (await two.fail(fence)).ttl_s == about(220)

    async def test_a_lease_that_was_granted_before_the_call_is_void(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await two.lease()
        later(20)
        answer = await told(one, fence + 1_000_000, over_s=10)
        assert answer.taken
        assert not (await two.commit(fence, "older")).taken

    async def test_a_later_lease_that_failed_brought_nothing_that_is_newer(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True)
        await two.fail(fence)
        answer = await told(one, fence + 1_000_000)
        assert (answer.taken, answer.record.value) == (True, "alone")

    async def test_of_two_calls_without_a_lease_the_later_one_s_value_stays(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await two.lease()
        await two.fail(fence)
        later(5)
        first = await told(one, fence + 1, "later", over_s=1)
        second = await told(two, fence + 1_000_000)
        assert (first.taken, second.taken, second.newer) == (True, False, True)
        assert (second.record.value, second.record.ttl_s) == ("later", about(270))

    async def test_of_two_calls_without_a_lease_at_about_the_same_time_nobody_knows(
        self, one: Worker, two: Worker
    ) -> None:
        """No two clocks go alike: each may have doomed what the other brought."""
        await told(one, 7, "first", over_s=1000)
        second = await told(two, 6, over_s=1001)
        assert (second.taken, second.newer) == (False, False)
        assert (second.record.value, second.record.ttl_s) == ("first", about(220))

    async def test_lost_calls_cut_nothing_that_a_later_lease_has_brought(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await two.fetch("newer")
        later(SINCE_S)
        record = await one.fail(0, error=None, refused=CUT, over_s=OVER_S)
        assert record.ttl_s == about(7000 - SINCE_S)

    async def test_lost_calls_cut_what_an_earlier_lease_has_brought(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await two.fetch("older")
        later(BEFORE_S)
        assert (await one.fail(0, error=None, refused=CUT, over_s=OVER_S)).ttl_s == about(220)

    async def test_lost_calls_cut_what_is_held_while_a_later_lease_runs_and_not_what_that_brings(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True)
        assert (await one.fail(0, error=None, refused=CUT, over_s=OVER_S)).ttl_s == about(220)
        assert (await two.commit(fence, "newest")).record.ttl_s == about(7000)

    async def test_what_was_supplied_is_no_lease_s(self, one: Worker, two: Worker, later: Later) -> None:
        later(1)
        await two.fetch()
        record = (await two.store.supply([_supply("theirs")]))[0]
        answer = await told(one, record.version - 1)
        assert (answer.taken, answer.newer) == (False, False)
        assert answer.record.ttl_s == about(220)

    async def test_what_was_restored_keeps_the_lease_that_brought_it(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        later(1)
        fence = await two.lease(key(1))
        await two.store.restore([restorable(fence, fence=fence, ttl_s=7000)])
        later(SINCE_S)
        answer = await told(one, fence + 1_000_000, credential=key(1))
        assert (answer.newer, answer.record.value) == (True, "saved")

    async def test_what_was_restored_with_another_version_is_no_lease_s(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await two.lease(key(1))
        await two.fail(fence, credential=key(1))
        await two.store.restore([restorable(fence + 1, fence=fence + 1, ttl_s=7000)])
        later(SINCE_S)
        answer = await told(one, fence + 1_000_000, credential=key(1))
        assert (answer.taken, answer.record.value) == (True, "alone")


def _supply(value: str) -> Supply:
    return Supply(KEY, value, ttl_s=7000, ask_in_s=3600)
