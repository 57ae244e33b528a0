"""The contract of what was fetched without a lease, and is told once the store is back."""

from __future__ import annotations

import pytest

from wxtoken_asgi.stores.contract import Committed, Cost, Cut, Record, Supply
from wxtoken_asgi.testing.stage import DOUBT, KEY, Later, StoreStage, Worker, about, key, restorable

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
        """Nobody knows how long it was on its way: "over for so long" is what it was when it was said."""
        held = await two.fetch("older")
        later(BEFORE_S)
        answer = await told(one, held.version - 1)
        assert (answer.taken, answer.newer) == (False, False)
        assert (answer.record.value, answer.record.ttl_s) == ("older", about(220))

    async def test_what_was_refused_once_is_refused_when_it_is_heard_again_much_later(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        """A second copy of the same words that was long on its way, after a newer value came."""
        fence = await two.lease()
        assert not (await told(one, fence - 20_000, over_s=9)).taken
        newer = (await two.commit(fence, "newer")).record
        later(60)
        answer = await told(one, fence - 20_000, over_s=9)
        assert (answer.taken, answer.record.value) == (False, "newer")
        assert answer.record.version == newer.version

    async def test_what_was_proved_without_a_lease_is_not_replaced_by_what_was_said_before(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("kept")
        later(BEFORE_S)
        assert (await told(one, held.version + 30_000, "kept", refused=None)).taken
        later(60)
        answer = await told(two, held.version + 10_000, over_s=9)
        assert (answer.taken, answer.record.value) == (False, "kept")

    async def test_of_two_calls_without_a_lease_the_later_one_s_value_is_taken_though_told_later(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        """The first one got a version beyond that of a lease that had failed just before."""
        later(BEFORE_S)
        fence = await two.lease()
        await two.fail(fence)
        first = await told(one, fence - 60_000, "earlier", over_s=60)
        second = await told(two, fence - 30_000, "later", over_s=30, refused=Cut(240, 0))
        assert (first.taken, second.taken) == (True, True)
        assert (second.record.value, second.record.ttl_s) == ("later", about(270))

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

    async def test_after_a_later_lease_that_failed_it_is_the_newest_and_the_failure_stays(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        """Its fence is of the time of its call, as clocks go that are right."""
        held = await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True)
        await two.fail(fence)
        cursor = await two.cursor()
        answer = await told(one, held.version + 1)
        record = answer.record
        assert (answer.taken, record.value, record.ttl_s) == (True, "alone", about(270))
        assert record.version == record.fence > fence
        assert (record.attempts, record.wait_s) == (1, about(100))
        assert record.error is not None
        assert await two.news(cursor) == (KEY,)

    async def test_what_failed_before_the_call_is_over(self, one: Worker, two: Worker, later: Later) -> None:
        await two.fail(await two.lease(), asked=True)
        later(BEFORE_S)
        record = (await told(one, 7)).record
        assert (record.error, record.attempts, record.wait_s) == (None, 0, 0)

    @pytest.mark.parametrize(
        ("doubts", "left_s"),
        [
            ([Cut(250, 0)], 250),  # of a call after its own
            ([Cut(200, 0)], 270),  # of one before
            ([Cut(200, 0), Cut(250, 0)], 220),  # of both: it may be that of the later one
            ([Cut(250, 0), Cut(230, 0)], 230),
        ],
    )
    async def test_it_is_trusted_as_far_as_the_doubts_of_later_calls_allow(
        self, one: Worker, two: Worker, later: Later, doubts: list[Cut], left_s: float
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        for doubt in doubts:
            await two.fail(await two.lease(asked=True), error=None, cut=doubt)
        answer = await told(one, held.version + 1)
        assert (answer.taken, answer.record.value, answer.record.ttl_s) == (True, "alone", about(left_s))

    async def test_a_later_lease_that_lapsed_leaves_it_what_that_has_said(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        await two.lease(asked=True, lapse=DOUBT)
        later(SINCE_S)
        answer = await told(one, held.version + 1)
        assert (answer.taken, answer.record.value) == (True, "alone")
        assert answer.record.ttl_s == about(DOUBT.ttl_s - SINCE_S)

    async def test_without_a_doubt_of_its_own_no_doubt_counts(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        """What dooms nothing is asked for again before a doubt could end it; and the doubt may be old."""
        held = await two.fetch("kept")
        await two.fail(await two.lease(asked=True), error=None, cut=Cut(30, 0))
        await two.fetch("kept", claim={"asked": True})
        later(BEFORE_S)
        for value in ("kept", "alone"):
            answer = await told(one, held.version + 1_000_000, value, refused=None)
            assert (answer.record.value, answer.record.good) == (value, True)

    async def test_a_lost_call_that_came_later_cuts_it(self, one: Worker, two: Worker, later: Later) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        await one.fail(0, error=None, refused=Cut(240, 0), over_s=20)
        assert (await told(one, held.version + 1)).record.ttl_s == about(240)

    @pytest.mark.parametrize("lost", [False, True])
    async def test_while_a_later_lease_runs_the_teller_hears_how_far_its_own_is_trusted(
        self, one: Worker, two: Worker, later: Later, lost: bool
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        fence = await two.lease(asked=True, lapse=DOUBT)
        later(5)
        if lost:
            await one.fail(0, error=None, refused=Cut(240, 0), over_s=20)
        answer = await told(one, held.version + 1)
        assert (answer.taken, answer.newer) == (False, False)
        assert answer.doubt == (about(240 if lost else DOUBT.ttl_s - 5), about(-5))
        assert (await two.commit(fence, "newest")).record.ttl_s == about(7000)

    async def test_while_a_harmless_lease_runs_nothing_is_said_of_it(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        await two.lease(asked=True)
        assert (await told(one, held.version + 1)).doubt is None

    async def test_an_earlier_lease_that_runs_and_has_a_higher_fence_is_put_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await two.lease()
        later(20)
        answer = await told(one, 7, over_s=10)
        assert (answer.taken, answer.newer, answer.doubt) == (False, False, None)
        assert (await two.commit(fence, "theirs")).record.ttl_s == about(220)

    async def test_heard_again_it_changes_nothing(self, one: Worker, two: Worker, later: Later) -> None:
        held = await two.fetch("older")
        later(BEFORE_S)
        await two.fail(await two.lease(asked=True), error=None)
        first = (await told(one, held.version + 1, costs=(Cost("calls"),))).record
        later(20)
        cursor = await two.cursor()
        again = await told(one, held.version + 1, over_s=OVER_S + 20, ttl_s=300, costs=(Cost("calls"),))
        assert again.taken
        assert (again.record.version, again.record.fence) == (first.version, first.fence)
        assert (again.record.ttl_s, again.record.used("calls")) == (about(250), 1)
        fence = await two.lease(asked=True, lapse=DOUBT)
        later(5)
        again = await told(one, held.version + 1, over_s=OVER_S + 25)
        assert (again.taken, again.record.ttl_s, again.record.fence) == (True, about(245), fence)
        assert await two.news(cursor) == ()

    @pytest.mark.parametrize("ahead", [1_000_000, -1_000_000])
    async def test_what_is_held_already_is_not_shortened(
        self, one: Worker, two: Worker, later: Later, ahead: int
    ) -> None:
        held = await two.fetch("kept")
        later(BEFORE_S)
        cursor = await two.cursor()
        answer = await told(one, held.version + ahead, "kept")
        record = answer.record
        assert (answer.taken, record.version) == (True, held.version)
        assert (record.ttl_s, record.ask_in_s) == (about(7000 - BEFORE_S), about(3600 - BEFORE_S))
        assert await two.news(cursor) == ()

    async def test_what_is_held_already_is_not_shortened_when_that_is_heard_again(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("kept")
        later(BEFORE_S)
        for late_s in (0, 20):
            later(late_s)
            record = (await told(one, held.version + 1, "kept", over_s=OVER_S + late_s)).record
            assert record.ttl_s == about(7000 - BEFORE_S - late_s)

    async def test_what_is_held_already_ends_when_it_did_however_long_the_proof_was_on_its_way(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("kept", ttl_s=300, ask_in_s=50)
        later(BEFORE_S)
        record = (await told(one, held.version + 1, "kept", ttl_s=600, ask_in_s=100, refused=None)).record
        assert (record.version, record.ttl_s) == (held.version, about(300 - BEFORE_S))
        assert record.ask_in_s == about(max(50 - BEFORE_S, 0))

    async def test_what_was_held_and_has_ended_may_be_proved(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        held = await two.fetch("kept", ttl_s=BEFORE_S - 1, ask_in_s=50)
        later(BEFORE_S)
        record = (await told(one, held.version + 1, "kept", ttl_s=600, ask_in_s=100, refused=None)).record
        assert (record.version, record.ttl_s, record.ask_in_s) == (held.version, about(600), about(100))

    async def test_what_failed_since_stays_however_many_calls_before_it_are_told(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        later(BEFORE_S)
        await two.fail(await two.lease())
        for fence in (1, 2):
            record = (await told(one, fence, f"value {fence}", over_s=60 - fence)).record
            assert (record.value, record.attempts) == (f"value {fence}", 1)
            assert record.wait_s > 0
        later(BEFORE_S)
        assert (await told(one, 3, "later")).record.error is None

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
        await two.lease(asked=True, lapse=DOUBT)
        answer = await told(one, record.version - 1)
        assert (answer.taken, answer.newer, answer.doubt) == (False, False, None)

    async def test_what_was_put_back_while_a_lease_fetched_it_again_is_no_new_ticket(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        """Its holder has not seen it, and a ticket says 7200 s of itself, however old it is."""
        fence = await two.lease()
        saved = Record(KEY, version=fence - 1, value="kept", ttl_s=270, ask_in_s=20)
        await one.store.restore([saved])
        later(5)
        record = (await two.commit(fence, "kept")).record
        assert (record.ttl_s, record.ask_in_s) == (about(265), about(15))
        later(20)
        assert (await two.fetch("kept")).ttl_s == about(7000)

    async def test_what_was_put_back_while_a_lease_fetched_a_new_value_says_nothing_of_that(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await two.lease()
        await one.store.restore([Record(KEY, version=fence - 1, value="older", ttl_s=270, ask_in_s=20)])
        later(5)
        assert (await two.commit(fence, "newer")).record.ttl_s == about(7000)

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
