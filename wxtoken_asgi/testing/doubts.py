"""The contract of doubts: how far a value is trusted that a call may have doomed unseen."""

from __future__ import annotations

from dataclasses import replace

from wxtoken_asgi.stores.contract import Cut, Granted, Newer, Record
from wxtoken_asgi.testing.stage import (
    DOUBT,
    KEY,
    Later,
    StoreStage,
    Worker,
    about,
    key,
    restorable,
)


async def lease_met_by_late_news(one: Worker, two: Worker, later: Later) -> int:
    """The fence of a lease that is over, and in which an earlier one's failure was heard 31 seconds ago."""
    old = await one.lease(key(1))
    later(31)
    new = await two.lease(key(1))
    await one.fail(old, credential=key(1), refused=Cut(200, 140))
    later(31)
    return new


class DoubtRules(StoreStage):
    # a lease that lapsed

    async def test_a_lease_that_lapses_leaves_the_held_value_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fetch()
        await one.lease(asked=True, lapse=DOUBT)
        cursor = await two.cursor()
        later(31)
        record = await two.read()
        assert record.value == "value-1"
        assert record.ttl_s == about(270 - 31)
        assert record.ask_in_s == 0
        assert await two.due() == (KEY,)
        assert await two.news(cursor) == (KEY,)

    async def test_a_lapse_without_a_cut_leaves_the_value_as_it_was(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fetch()
        await one.lease(asked=True)
        cursor = await two.cursor()
        later(31)
        assert (await two.read()).ttl_s == about(7000 - 31)
        assert isinstance(await two.claim(), Newer)
        assert await two.news(cursor) == ()

    async def test_a_lapse_lengthens_nothing(self, one: Worker, two: Worker, later: Later) -> None:
        await one.fetch(ttl_s=50)
        await one.lease(asked=True, lapse=DOUBT)
        later(31)
        assert (await two.read()).ttl_s == about(19)

    async def test_a_lapse_of_a_record_without_a_value_leaves_none(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.lease(lapse=DOUBT)
        later(31)
        record = await two.read()
        assert (record.value, record.ttl_s) == (None, 0)
        assert isinstance(await two.claim(lapse=DOUBT), Granted)

    async def test_a_lapse_is_applied_once(self, one: Worker, two: Worker, later: Later) -> None:
        await one.fetch()
        await one.lease(asked=True, lapse=DOUBT)
        later(31)
        await two.fetch("value-2")
        later(31)
        assert (await two.read()).ttl_s == about(7000 - 31)

    # what is heard too late

    async def test_a_refused_commit_puts_the_stored_value_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        await two.fetch("newer")
        cursor = await two.cursor()
        late = await one.commit(old, "older", refused=Cut(200, 140))
        assert (late.record.value, late.record.ttl_s, late.record.ask_in_s) == (
            "newer",
            about(200),
            about(140),
        )
        assert await two.news(cursor) == (KEY,)

    async def test_a_refused_commit_of_the_stored_value_doubts_nothing(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        await two.fetch("same")
        assert (await one.commit(old, "same", refused=Cut(200, 140))).record.ttl_s == about(7000)

    async def test_a_refused_commit_puts_what_a_running_lease_brings_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        new = await two.lease()
        await one.commit(old, refused=Cut(200, 140))
        record = (await two.commit(new, "newer")).record
        assert (record.value, record.ttl_s, record.ask_in_s) == ("newer", about(200), about(140))
        assert (await one.fetch("newest", claim={"asked": True, "seen": new})).ttl_s == about(7000)

    async def test_a_failure_that_comes_too_late_puts_the_stored_value_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        await two.fetch()
        cursor = await two.cursor()
        failed = await one.fail(old, refused=Cut(200, 140))
        assert (failed.error, failed.ttl_s, failed.ask_in_s) == (None, about(200), about(140))
        assert await two.news(cursor) == (KEY,)

    async def test_a_failure_that_comes_too_late_puts_what_a_running_lease_brings_in_doubt(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        new = await two.lease()
        await one.fail(old, refused=Cut(200, 140))
        assert (await two.commit(new)).record.ttl_s == about(200)

    async def test_of_several_failures_that_come_too_late_the_first_one_s_doubt_counts(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        first = await one.lease()
        later(31)
        second = await two.lease()
        later(31)
        new = await one.lease()
        await one.fail(first, refused=Cut(200, 140))
        later(5)
        await two.fail(second, refused=Cut(200, 140))
        assert (await one.commit(new)).record.ttl_s == about(195)

    async def test_what_was_doubted_before_takes_nothing_from_what_a_running_lease_brings(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fail(await one.lease(), cut=Cut(270, 0))
        later(300)
        old = await one.lease()
        later(31)
        new = await two.lease()
        await one.fail(old, refused=Cut(200, 140))
        assert (await two.commit(new)).record.ttl_s == about(200)

    async def test_a_call_without_a_lease_that_is_told_of_is_like_a_late_failure(
        self, one: Worker, two: Worker
    ) -> None:
        held = await two.fetch()
        told = await one.fail(0, refused=Cut(200, 0))
        assert (told.value, told.ttl_s, told.ask_in_s) == (held.value, about(200), 0)
        assert (told.error, told.attempts, told.fence) == (None, 0, held.fence)

    async def test_a_call_without_a_lease_leaves_an_empty_record_empty(
        self, one: Worker, two: Worker
    ) -> None:
        cursor = await two.cursor()
        assert await one.fail(0, refused=Cut(200, 0)) == Record(KEY)
        assert await two.read() == Record(KEY)
        assert await two.news(cursor) == ()

    # what is restored

    async def test_what_a_later_lease_may_have_doomed_is_restored_with_its_cut(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease(key(1))
        later(31)
        await two.lease(key(1), lapse=Cut(270, 40))
        later(31)
        [record] = await one.store.restore([restorable(old, fence=old)])
        assert (record.value, record.ttl_s, record.ask_in_s) == ("saved", about(270 - 31), about(40 - 31))

    async def test_what_a_later_lease_that_failed_may_have_doomed_is_restored_with_its_cut(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease(key(1))
        later(31)
        await two.fail(await two.lease(key(1)), credential=key(1), cut=Cut(200, 0))
        [record] = await one.store.restore([restorable(old, fence=old)])
        assert (record.ttl_s, record.ask_in_s) == (about(200), 0)

    async def test_each_later_lease_that_lapsed_cuts_what_is_restored(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease(key(1))
        for _ in range(3):
            later(31)
            await two.lease(key(1), lapse=Cut(270, 40))
        later(31)
        [record] = await one.store.restore([restorable(old, fence=old)])
        assert (record.ttl_s, record.ask_in_s) == (about(270 - 93), 0)

    async def test_what_a_later_lease_did_not_doom_is_restored_whole(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease(key(1))
        later(31)
        await two.fail(await two.lease(key(1), lapse=Cut(270, 0)), credential=key(1))
        [record] = await one.store.restore([restorable(old, fence=old)])
        assert (record.ttl_s, record.ask_in_s) == (about(500), about(50))

    async def test_what_the_latest_lease_brought_is_restored_whole_after_it_lapsed(
        self, one: Worker, later: Later
    ) -> None:
        fence = await one.lease(key(1), lapse=Cut(270, 0))
        later(31)
        [record] = await one.store.restore([restorable(fence, fence=fence)])
        assert (record.ttl_s, record.ask_in_s) == (about(500), about(50))

    async def test_what_a_late_failure_may_have_doomed_is_restored_with_its_cut(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        new = await lease_met_by_late_news(one, two, later)
        [record] = await one.store.restore([restorable(new, fence=new)])
        assert (record.ttl_s, record.ask_in_s) == (about(200 - 31), about(50))

    async def test_it_is_also_when_another_lease_has_come_and_gone(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        new = await lease_met_by_late_news(one, two, later)
        await one.fail(await one.lease(key(1)), credential=key(1), error=None)
        [record] = await one.store.restore([restorable(new, fence=new)])
        assert (record.ttl_s, record.ask_in_s) == (about(200 - 31), about(50))

    async def test_a_doubt_about_earlier_leases_ends_no_later_value(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await one.lease(key(1), lapse=Cut(270, 0))
        later(31)
        await one.store.restore([restorable(fence, fence=fence, ttl_s=7000)])
        later(3000)
        fence = await two.lease(key(1))
        record = await two.fail(fence, credential=key(1), error=None, cut=Cut(250, 0))
        assert (record.value, record.ttl_s) == ("saved", about(250))
        fence = await one.lease(key(1), lapse=Cut(270, 0))
        later(31)
        [record] = await one.store.restore([restorable(fence, fence=fence, ttl_s=7000, value="newer")])
        assert record.ttl_s == about(7000)

    async def test_a_doubt_about_what_is_older_than_the_held_value_is_void(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fail(await one.lease(), cut=Cut(270, 0))
        later(300)
        held = await one.fetch(claim={"asked": True})
        lost = await one.lease(asked=True, seen=held.version)
        later(31)
        await two.fail(await two.lease(asked=True, seen=held.version), cut=Cut(200, 0))
        [record] = await one.store.restore([replace(held, version=lost, value="newer", fence=lost)])
        assert (record.value, record.ttl_s) == ("newer", about(200))

    async def test_what_was_fetched_without_a_lease_is_doomed_by_none(
        self, one: Worker, later: Later
    ) -> None:
        """Its version was made of a host's time and tells nothing about leases."""
        fence = await one.lease(key(1), lapse=Cut(270, 0))
        later(31)
        [record] = await one.store.restore([restorable(fence - 1)])
        assert (record.ttl_s, record.ask_in_s) == (about(500), about(50))
