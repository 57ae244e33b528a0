"""The contract of `claim`, `fail` and the lease."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi.stores import Store
from wxtoken_asgi.stores.contract import (
    Behind,
    Busy,
    Charge,
    Claim,
    Claimed,
    Cut,
    Fail,
    Granted,
    LastError,
    Newer,
    Spent,
    Wait,
)
from wxtoken_asgi.testing.stage import (
    DOUBT,
    ERROR,
    KEY,
    OTHER_ERROR,
    Later,
    StoreStage,
    Wall,
    Wipe,
    Worker,
    about,
    asks_anew,
    key,
)


class LeaseRules(StoreStage):
    # the rules of `claim`, in their order

    async def test_what_nobody_knows_is_granted(self, one: Worker, wall: Wall) -> None:
        granted = await one.claim()
        assert isinstance(granted, Granted)
        assert (granted.record.version, granted.record.value, granted.record.good) == (0, None, False)
        assert granted.fence >= int(wall() * 1000) - 1000
        assert (await one.read()).fence == granted.fence

    async def test_a_lost_record_goes_before_everything(self, one: Worker, two: Worker) -> None:
        assert isinstance(await one.claim(seen=5), Behind)
        assert (await one.store.due(10)).credentials == ()
        await one.lease()
        assert isinstance(await one.claim(seen=5), Behind)
        assert isinstance(await two.claim(seen=5), Behind)

    async def test_the_version_seen_is_no_lost_record(self, one: Worker, later: Later) -> None:
        record = await one.fetch(ask_in_s=10)
        later(11)
        assert isinstance(await one.claim(seen=record.version), Granted)

    async def test_ones_own_lease_goes_before_news(self, one: Worker) -> None:
        await one.fetch()
        fence = await one.lease(asked=True)
        assert (await one.claim()).fence == fence

    async def test_the_same_owner_is_granted_again_without_another_charge(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        charges = (Charge("asked", 2),)
        first = await one.claim(charges=charges)
        later(20)
        again = await one.claim(charges=charges)
        assert again.fence == first.fence
        later(20)
        assert isinstance(await two.claim(), Busy), "the lease runs from the second answer on"
        await one.commit(again.fence)
        await one.lease(asked=True, charges=charges)

    async def test_the_lapse_of_a_lease_granted_again_counts_from_then(
        self, one: Worker, later: Later
    ) -> None:
        await one.fetch(ask_in_s=0)
        await one.lease(lapse=DOUBT)
        later(20)
        await one.lease(lapse=DOUBT)
        later(31)
        assert (await one.read()).ttl_s == about(270 - 31)

    async def test_news_go_before_a_lease(self, one: Worker, two: Worker) -> None:
        await one.fetch()
        await two.lease(asked=True)
        newer = await one.claim()
        assert isinstance(newer, Newer)
        assert newer.record.value == "value-1"

    async def test_a_lease_goes_before_a_back_off(self, one: Worker, two: Worker) -> None:
        await one.fail(await one.lease(), error=OTHER_ERROR)
        await two.lease(fingerprint="after")
        busy = await one.claim(fingerprint="before")
        assert isinstance(busy, Busy)
        assert busy.retry_in_s == about(30)

    async def test_a_back_off_goes_before_the_budgets(self, one: Worker) -> None:
        charges = (Charge("asked", 1),)
        await one.fail(await one.lease(charges=charges))
        assert isinstance(await one.claim(charges=charges), Wait)

    async def test_the_budgets_go_last(self, one: Worker) -> None:
        charges = (Charge("asked", 1),)
        await one.fail(await one.lease(charges=charges), error=None, wait_s=0)
        spent = await one.claim(charges=charges)
        assert isinstance(spent, Spent)
        assert spent.charge == charges[0]
        assert spent.record.credential == KEY

    # what settles a claim

    async def test_what_is_not_due_is_not_fetched_on_schedule(self, one: Worker, later: Later) -> None:
        await one.fetch(ask_in_s=100)
        later(98)
        assert isinstance(await one.claim(), Newer)
        later(4)
        assert isinstance(await one.claim(), Granted)

    async def test_what_has_ended_is_fetched_though_it_is_not_due(self, one: Worker, later: Later) -> None:
        await one.fetch(ttl_s=10, ask_in_s=100)
        later(11)
        assert isinstance(await one.claim(), Granted)

    async def test_what_is_asked_for_is_fetched_though_it_is_not_due(self, one: Worker) -> None:
        record = await one.fetch()
        assert isinstance(await one.claim(asked=True, seen=record.version), Granted)

    async def test_whoever_asks_for_news_that_are_there_gets_them(self, one: Worker) -> None:
        record = await one.fetch()
        newer = await one.claim(asked=True, seen=record.version - 1)
        assert isinstance(newer, Newer)
        assert newer.record.version == record.version

    async def test_news_that_have_ended_are_none(self, one: Worker, later: Later) -> None:
        record = await one.fetch(ttl_s=10)
        later(11)
        assert isinstance(await one.claim(asked=True, seen=record.version - 1), Granted)

    # asked-for outcomes

    async def test_an_asked_for_success_settles_a_minute(self, one: Worker, later: Later) -> None:
        record = await one.fetch(claim={"asked": True}, asked=True)
        wish = asks_anew(record)
        later(58)
        assert isinstance(await one.claim(**wish), Newer)
        later(4)
        assert isinstance(await one.claim(**wish), Granted)

    async def test_a_scheduled_success_settles_nothing(self, one: Worker) -> None:
        record = await one.fetch()
        assert isinstance(await one.claim(asked=True, seen=record.version, settled_s=60), Granted)

    async def test_an_asked_for_success_settles_nothing_once_the_value_has_ended(
        self, one: Worker, later: Later
    ) -> None:
        record = await one.fetch(asked=True, ttl_s=10)
        later(11)
        assert isinstance(await one.claim(asked=True, seen=record.version, settled_s=60), Granted)

    async def test_an_asked_for_fetch_that_found_nothing_wrong_settles_a_minute(
        self, one: Worker, later: Later
    ) -> None:
        record = await one.fetch()
        wish = asks_anew(record)
        await one.fail(await one.lease(**wish), error=None, wait_s=0, asked=True)
        assert isinstance(await one.claim(**wish), Newer)
        later(62)
        assert isinstance(await one.claim(**wish), Granted)

    async def test_an_asked_for_failure_is_repeated_for_a_minute(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        record = await one.fetch()
        wish = asks_anew(record)
        await one.fail(await one.lease(**wish), wait_s=2, asked=True)
        later(20)
        waits = await two.claim(**wish)
        assert isinstance(waits, Wait)
        assert waits.error == ERROR
        assert waits.retry_in_s == about(40)
        later(42)
        assert isinstance(await two.claim(**wish), Granted)

    async def test_an_asked_for_failure_does_not_hold_up_the_schedule(
        self, one: Worker, later: Later
    ) -> None:
        await one.fetch(ask_in_s=0)
        await one.fail(await one.lease(asked=True), wait_s=2, asked=True)
        later(4)
        assert isinstance(await one.claim(), Granted)

    async def test_the_longer_of_two_waits_is_told(self, one: Worker) -> None:
        record = await one.fetch()
        wish = asks_anew(record)
        await one.fail(await one.lease(**wish), wait_s=300, asked=True)
        assert (await one.claim(**wish)).retry_in_s == about(300)

    async def test_a_success_ends_the_memory_of_an_asked_for_failure(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fail(await one.lease(asked=True), wait_s=2, asked=True)
        later(4)
        record = await one.fetch()
        wish = asks_anew(record)
        assert isinstance(await two.claim(**wish), Granted), "neither failed nor settled"

    async def test_an_asked_for_failure_of_another_configuration_is_not_repeated(self, one: Worker) -> None:
        record = await one.fetch()
        wish = asks_anew(record)
        await one.fail(await one.lease(**wish, fingerprint="before"), error=OTHER_ERROR, asked=True)
        assert isinstance(await one.claim(**wish, fingerprint="before"), Wait)
        assert isinstance(await one.claim(**wish, fingerprint="after"), Granted)

    # leases

    async def test_of_100_claimers_one_is_granted(self, store: Store) -> None:
        claimed: list[Claimed] = []

        async def ask(number: int) -> None:
            claimed.append(await Worker(store, f"worker-{number}").claim())

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(ask, number)
        assert [type(one) for one in claimed].count(Granted) == 1
        assert [type(one) for one in claimed].count(Busy) == 99

    async def test_a_lease_ends_by_itself(self, one: Worker, two: Worker, later: Later) -> None:
        first = await one.lease()
        later(28)
        busy = await two.claim()
        assert isinstance(busy, Busy)
        assert busy.retry_in_s == about(2)
        later(4)
        assert (await two.claim()).fence > first

    async def test_fences_grow_with_every_lease(self, one: Worker, two: Worker) -> None:
        fences = []
        for worker in (one, two, one, one):
            fences.append(await worker.lease())
            await worker.fail(fences[-1], error=None, wait_s=0)
        assert fences == sorted(set(fences))

    async def test_fences_grow_over_a_wipe(self, one: Worker, two: Worker, wipe: Wipe, later: Later) -> None:
        first = await one.lease()
        later(1)
        await wipe()
        assert await two.lease() > first

    async def test_fences_grow_while_the_wall_clock_steps_back(self, one: Worker, step: Later) -> None:
        first = await one.lease()
        await one.fail(first, error=None, wait_s=0)
        step(-3600)
        assert await one.lease() > first

    async def test_leases_back_offs_and_ends_do_not_heed_the_wall_clock(
        self, one: Worker, two: Worker, step: Later
    ) -> None:
        for seconds in (3600, -7200):
            await one.lease(key(1))
            fence = await one.lease()
            await one.commit(fence)
            await one.fail(await one.lease(asked=True))
            step(seconds)
            assert isinstance(await two.claim(key(1)), Busy)
            record = await two.read()
            assert (record.ttl_s, record.ask_in_s, record.wait_s) == (about(7000), about(3600), about(100))
            await one.store.remove([KEY])

    # failures

    async def test_a_failure_is_shared(self, one: Worker, two: Worker, later: Later) -> None:
        failed = await one.fail(await one.lease())
        assert (failed.error, failed.attempts, failed.wait_s) == (ERROR, 1, about(100))
        later(40)
        waits = await two.claim()
        assert isinstance(waits, Wait)
        assert (waits.error, waits.retry_in_s) == (ERROR, about(60))
        later(62)
        record = (await two.claim()).record
        assert (record.error, record.attempts, record.wait_s) == (ERROR, 1, 0)

    async def test_failures_are_counted_until_a_fetch_succeeds(self, one: Worker, later: Later) -> None:
        for expected in (1, 2, 3):
            assert (await one.fail(await one.lease())).attempts == expected
            later(101)
        record = await one.fetch()
        assert (record.attempts, record.error, record.wait_s) == (0, None, 0)

    async def test_a_failure_leaves_the_value_good(self, one: Worker) -> None:
        await one.fetch(ask_in_s=0)
        failed = await one.fail(await one.lease())
        assert (failed.value, failed.ttl_s, failed.good) == ("value-1", about(7000), True)

    async def test_a_failure_with_a_cut_shortens_the_value(self, one: Worker, two: Worker) -> None:
        await one.fetch()
        cursor = await two.cursor()
        failed = await one.fail(await one.lease(asked=True), cut=Cut(200, 50))
        assert (failed.ttl_s, failed.ask_in_s) == (about(200), about(50))
        assert await two.news(cursor) == (KEY,)

    async def test_a_cut_lengthens_nothing(self, one: Worker) -> None:
        await one.fetch(ttl_s=100, ask_in_s=20)
        failed = await one.fail(await one.lease(asked=True), cut=Cut(200, 50))
        assert (failed.ttl_s, failed.ask_in_s) == (about(100), about(20))

    async def test_a_lease_may_be_given_back(self, one: Worker, two: Worker) -> None:
        given_back = await one.fail(await one.lease(), error=None, wait_s=0)
        assert (given_back.error, given_back.attempts, given_back.wait_s) == (None, 0, 0)
        assert isinstance(await two.claim(), Granted)

    async def test_a_lease_given_back_with_a_cut_cuts_and_nothing_more(self, one: Worker) -> None:
        await one.fetch()
        failed = await one.fail(await one.lease(asked=True), error=None, wait_s=0, cut=DOUBT)
        assert (failed.ttl_s, failed.error) == (about(270), None)

    async def test_a_failure_that_comes_too_late_changes_nothing(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        new = await two.lease()
        failed = await one.fail(old, cut=DOUBT)
        assert (failed.error, failed.attempts) == (None, 0)
        assert (await two.commit(new)).taken

    async def test_a_failure_after_its_lease_ended_counts_if_nobody_came_since(
        self, one: Worker, later: Later
    ) -> None:
        fence = await one.lease()
        later(31)
        assert (await one.fail(fence)).error == ERROR

    async def test_a_failure_said_again_counts_once(self, one: Worker, later: Later) -> None:
        fence = await one.lease()
        await one.fail(fence)
        later(10)
        again = await one.fail(fence)
        assert (again.attempts, again.wait_s) == (1, about(90))

    async def test_a_failure_of_a_committed_lease_changes_nothing(self, one: Worker) -> None:
        fence = await one.lease()
        await one.commit(fence)
        assert (await one.fail(fence, cut=DOUBT)).error is None
        assert (await one.read()).ttl_s == about(7000)

    @pytest.mark.parametrize(
        ("error", "fingerprint", "expected"),
        [(OTHER_ERROR, "before", Wait), (OTHER_ERROR, "after", Granted), (ERROR, "after", Wait)],
    )
    async def test_a_new_configuration_does_not_wait_for_an_old_ones_error(
        self, one: Worker, two: Worker, error: LastError, fingerprint: str, expected: type[Claimed]
    ) -> None:
        await one.fail(await one.lease(), error=error)
        assert isinstance(await two.claim(fingerprint=fingerprint), expected)

    async def test_a_new_configuration_begins_to_count_anew(self, one: Worker, two: Worker) -> None:
        await one.fail(await one.lease(), error=OTHER_ERROR)
        granted = await two.claim(fingerprint="after")
        assert granted.record.attempts == 0
        assert (await two.fail(granted.fence)).attempts == 1

    # batches

    async def test_answers_come_in_the_order_of_the_questions(self, one: Worker, two: Worker) -> None:
        store = one.store
        await one.fetch(credential=key(1))
        await one.fail(await one.lease(key(2)), credential=key(2))
        await two.lease(key(3))
        claims = [Claim(key(n)) for n in (3, 1, 4, 2)]
        claimed = await store.claim(claims, owner="one", lease_s=30)
        assert [type(answer) for answer in claimed] == [Busy, Newer, Granted, Wait]
        assert [answer.record.credential for answer in claimed] == [key(n) for n in (3, 1, 4, 2)]
        granted = claimed[2]
        assert isinstance(granted, Granted)
        records = await store.read([key(2), key(9), key(1)])
        assert [record.credential for record in records] == [key(2), key(9), key(1)]
        fails = [Fail(key(4), granted.fence, 5, ERROR), Fail(key(1), 1, 5, ERROR)]
        assert [record.error for record in await store.fail(fails)] == [ERROR, None]

    async def test_empty_batches_are_answered(self, store: Store) -> None:
        assert await store.claim([], owner="one", lease_s=30) == []
        assert await store.read([]) == []
        assert await store.commit([]) == []
        assert await store.fail([]) == []
        assert await store.restore([]) == []
        assert await store.supply([]) == []
        await store.remove([])
