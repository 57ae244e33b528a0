"""The contract of what was spent: what the store counts, and what it tells of it."""

from __future__ import annotations

from dataclasses import replace

from wxtoken_asgi.stores.contract import Charge, Cost, Newer, Record, Spending, Spent, Supply
from wxtoken_asgi.testing.stage import KEY, Later, StoreStage, Wipe, Worker

DAY_S = 86_400
ASKED = Charge("asked", 3)


def used(record: Record) -> dict[str, int]:
    """How many of each name a record tells of."""
    return {spending.name: spending.used for spending in record.spent}


class SpendingRules(StoreStage):
    async def test_nothing_was_spent_on_what_nobody_knows(self, one: Worker) -> None:
        assert (await one.read()).spent == ()

    async def test_a_charge_is_told_with_the_lease_and_to_all(self, one: Worker, two: Worker) -> None:
        granted = await one.claim(charges=(ASKED, Charge("calls", 9)))
        assert used(granted.record) == {"asked": 1, "calls": 1}
        assert used(await two.read()) == {"asked": 1, "calls": 1}
        assert used((await two.claim()).record) == {"asked": 1, "calls": 1}

    async def test_names_are_told_in_their_order(self, one: Worker) -> None:
        fence = await one.lease(charges=(Charge("b", 9), Charge("c", 9), Charge("a", 9)))
        failed = await one.fail(fence, costs=(Cost("e"), Cost("d")))
        assert [spending.name for spending in failed.spent] == ["a", "b", "c", "d", "e"]

    async def test_what_a_fetch_has_cost_is_told(self, one: Worker, two: Worker) -> None:
        fence = await one.lease(charges=(ASKED,))
        committed = await one.commit(fence, costs=(Cost("calls", 2), Cost("probes")))
        assert used(committed.record) == {"asked": 1, "calls": 2, "probes": 1}
        assert used(await two.read()) == used(committed.record)

    async def test_what_a_failed_fetch_has_cost_is_told(self, one: Worker, two: Worker) -> None:
        failed = await one.fail(await one.lease(), costs=(Cost("calls", 3),))
        assert used(failed) == {"calls": 3}
        assert used((await two.claim()).record) == {"calls": 3}

    async def test_costs_add_up(self, one: Worker, later: Later) -> None:
        for expected in (2, 4, 6):
            record = await one.fetch(costs=(Cost("calls", 2),), ask_in_s=0)
            assert used(record) == {"calls": expected}
            later(3600)

    async def test_the_costs_of_a_commit_said_again_count_once(self, one: Worker) -> None:
        fence = await one.lease()
        for _ in range(3):
            committed = await one.commit(fence, costs=(Cost("calls"),))
        assert used(committed.record) == {"calls": 1}

    async def test_the_costs_of_a_failure_said_again_count_once(self, one: Worker) -> None:
        fence = await one.lease()
        for _ in range(3):
            failed = await one.fail(fence, costs=(Cost("calls"),))
        assert used(failed) == {"calls": 1}

    async def test_a_lease_has_its_costs_once_however_it_ends(self, one: Worker) -> None:
        fence = await one.lease()
        await one.fail(fence, error=None, wait_s=0, costs=(Cost("calls"),))
        committed = await one.commit(fence, costs=(Cost("calls"),))
        assert used(committed.record) == {"calls": 1}
        assert used(await one.fail(fence, costs=(Cost("calls"),))) == {"calls": 1}

    async def test_a_late_worker_counts_nothing(self, one: Worker, two: Worker, later: Later) -> None:
        old = await one.lease()
        later(31)
        await two.fetch("newer", costs=(Cost("calls"),))
        late = await one.commit(old, "older", costs=(Cost("calls"),))
        assert used(late.record) == {"calls": 1}
        assert used(await one.fail(old, costs=(Cost("calls"),))) == {"calls": 1}

    async def test_costs_of_a_lease_that_the_store_has_lost_are_counted(
        self, one: Worker, wipe: Wipe
    ) -> None:
        fence = await one.lease()
        await wipe()
        committed = await one.commit(fence, costs=(Cost("calls"),))
        assert used(committed.record) == {"calls": 1}

    async def test_what_is_given_back_is_not_spent(self, one: Worker) -> None:
        fence = await one.lease(charges=(ASKED, Charge("calls", 9)))
        committed = await one.commit(fence, refund=("asked",), costs=(Cost("probes"),))
        assert used(committed.record) == {"calls": 1, "probes": 1}

    async def test_what_was_charged_twice_is_given_back_once(self, one: Worker) -> None:
        fence = await one.lease(charges=(ASKED, ASKED))
        committed = await one.commit(fence, refund=("asked", "asked"))
        assert used(committed.record) == {"asked": 1}

    async def test_costs_leave_less_room_for_charges(self, one: Worker) -> None:
        await one.fail(await one.lease(), error=None, wait_s=0, costs=(Cost("asked", 3),))
        spent = await one.claim(charges=(ASKED,))
        assert isinstance(spent, Spent)
        assert used(spent.record) == {"asked": 3}

    async def test_what_was_spent_is_told_until_it_counts_no_longer(self, one: Worker, later: Later) -> None:
        await one.fetch(costs=(Cost("calls"),), ask_in_s=0)
        later(3600)
        await one.fetch(costs=(Cost("calls"),))
        later(DAY_S - 3602)
        [calls] = (await one.read()).spent
        assert calls.used == 2
        assert 0 < calls.next_in_s <= 3602
        later(calls.next_in_s + 1)
        [calls] = (await one.read()).spent
        assert calls.used == 1
        assert 3500 < calls.next_in_s <= 3601
        later(calls.next_in_s + 1)
        assert (await one.read()).spent == ()

    async def test_what_was_spent_outlives_values(self, one: Worker, two: Worker, later: Later) -> None:
        await one.fetch(costs=(Cost("calls"),), ttl_s=10)
        [record] = await two.store.supply([Supply(KEY, "outside", 500, 50)])
        assert used(record) == {"calls": 1}
        newer = await two.claim()
        assert isinstance(newer, Newer)
        assert used(newer.record) == {"calls": 1}
        later(501)
        assert used(await one.read()) == {"calls": 1}

    async def test_a_restored_record_brings_a_value_and_nothing_spent(self, one: Worker) -> None:
        record = await one.fetch(costs=(Cost("calls"),))
        other = (Spending("calls", 7, 100.0),)
        newer = replace(record, version=record.version + 1, value="saved", spent=other)
        [restored] = await one.store.restore([newer])
        assert restored.value == "saved"
        assert used(restored) == {"calls": 1}

    async def test_what_is_spent_is_no_news(self, one: Worker, two: Worker) -> None:
        await one.fetch(ask_in_s=0)
        cursor = await two.cursor()
        await one.fetch(costs=(Cost("calls"),))
        assert await two.news(cursor) == ()
