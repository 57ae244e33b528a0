"""The contract of values: `commit`, `restore`, `supply`, `remove`, and the budgets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wxtoken_asgi.stores.contract import Charge, Commit, Cut, Granted, Newer, Record, Spent, Supply
from wxtoken_asgi.testing.stage import (
    ERROR,
    KEY,
    Later,
    StoreStage,
    Wall,
    Wipe,
    Worker,
    about,
    asks_anew,
    key,
    restorable,
)

DAY_S = 86_400
ASKED = Charge("asked", 2)
CALLS = Charge("calls", 5)


class ValueRules(StoreStage):
    # commits

    async def test_a_committed_value_is_there_for_all(self, one: Worker, two: Worker) -> None:
        fence = await one.lease()
        committed = await one.commit(fence, state="opaque")
        assert committed.taken
        record = await two.read()
        assert record == replace(committed.record, ttl_s=about(7000), ask_in_s=about(3600))
        assert (record.version, record.fence, record.value, record.state) == (
            fence,
            fence,
            "value-1",
            "opaque",
        )

    async def test_times_are_told_as_what_is_left(self, one: Worker, two: Worker, later: Later) -> None:
        await one.fetch()
        later(3000)
        record = await two.read()
        assert (record.ttl_s, record.ask_in_s, record.good) == (about(4000), about(600), True)
        later(5000)
        record = await two.read()
        assert (record.ttl_s, record.ask_in_s, record.good) == (0, 0, False)

    async def test_versions_grow_with_new_values(self, one: Worker) -> None:
        first = await one.fetch("value-1", ask_in_s=0)
        second = await one.fetch("value-2")
        assert second.version > first.version

    async def test_an_unchanged_value_keeps_its_version_and_gets_new_ends(
        self, one: Worker, later: Later
    ) -> None:
        first = await one.fetch(ask_in_s=0, state="old")
        later(100)
        again = await one.fetch(state="new")
        assert (again.version, again.ttl_s, again.state) == (first.version, about(7000), "new")
        assert again.fence > first.fence

    async def test_a_commit_ends_the_lease(self, one: Worker, two: Worker) -> None:
        await one.fetch()
        assert isinstance(await two.claim(asked=True), Newer)
        assert isinstance(await two.claim(asked=True, seen=(await two.read()).version), Granted)

    async def test_a_commit_after_its_lease_ended_is_taken_if_nobody_came_since(
        self, one: Worker, later: Later
    ) -> None:
        fence = await one.lease(lapse=Cut(270, 0))
        later(100)
        assert (await one.commit(fence)).taken

    async def test_a_commit_that_comes_too_late_is_refused(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        record = await two.fetch("newer")
        late = await one.commit(old, "older")
        assert not late.taken
        assert late.record == replace(record, ttl_s=about(7000), ask_in_s=about(3600))

    async def test_a_refused_commit_leaves_the_others_lease_alone(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        old = await one.lease()
        later(31)
        new = await two.lease()
        assert not (await one.commit(old, refused=Cut(200, 140))).taken
        assert (await two.commit(new, "newer")).taken

    async def test_a_commit_said_again_changes_nothing(self, one: Worker, two: Worker) -> None:
        fence = await one.lease()
        first = await one.commit(fence)
        cursor = await two.cursor()
        again = await one.commit(fence)
        assert again.taken
        assert again.record.version == first.record.version
        assert await two.news(cursor) == ()

    async def test_a_commit_that_was_on_its_way_while_it_was_said_again_gives_no_longer_life(
        self, one: Worker, later: Later
    ) -> None:
        fence = await one.lease()
        await one.commit(fence)
        later(80)
        heard = await one.commit(fence)
        assert heard.taken
        assert (heard.record.ttl_s, heard.record.ask_in_s) == (about(6920), about(3520))

    async def test_a_commit_that_was_on_its_way_while_its_value_was_restored_gives_no_longer_life(
        self, one: Worker, wipe: Wipe, later: Later
    ) -> None:
        fence = await one.lease()
        await wipe()
        await one.store.restore([Record(KEY, fence, "value-1", ttl_s=7000, ask_in_s=3600)])
        later(80)
        heard = await one.commit(fence)
        assert heard.taken
        assert (heard.record.ttl_s, heard.record.ask_in_s) == (about(6920), about(3520))

    async def test_what_a_commit_was_on_its_way_is_taken_off_the_life(
        self, one: Worker, later: Later
    ) -> None:
        for after_s, late_s in ((10, 0), (20, 8), (84, 72)):
            fence = await one.lease(asked=True)
            later(after_s)
            heard = await one.commit(fence, f"after {after_s} s", left_s=18)
            assert heard.taken
            assert (heard.record.ttl_s, heard.record.ask_in_s) == (about(7000 - late_s), about(3600 - late_s))

    async def test_of_a_lease_that_was_lost_nobody_knows_how_late_its_commit_is(
        self, one: Worker, wipe: Wipe
    ) -> None:
        fence = await one.lease()
        await wipe()
        assert (await one.commit(fence, left_s=18)).record.ttl_s == about(7000)

    async def test_a_commit_whose_lease_the_store_has_lost_is_taken(
        self, one: Worker, two: Worker, wipe: Wipe
    ) -> None:
        fence = await one.lease()
        await wipe()
        committed = await one.commit(fence)
        assert (committed.taken, committed.record.version) == (True, fence)
        later_fence = await two.lease(asked=True, seen=fence)
        assert later_fence > fence

    async def test_a_failure_whose_lease_the_store_has_lost_is_shared(
        self, one: Worker, two: Worker, wipe: Wipe
    ) -> None:
        fence = await one.lease()
        await wipe()
        await one.fail(fence)
        assert (await two.read()).error == ERROR

    # restore

    async def test_what_was_lost_is_restored(self, one: Worker, two: Worker) -> None:
        [record] = await one.store.restore([restorable()])
        assert (record.version, record.value, record.state) == (7, "saved", "kept")
        assert (record.ttl_s, record.ask_in_s) == (about(500), about(50))
        assert await two.read(key(1)) == replace(record, ttl_s=about(500), ask_in_s=about(50))

    async def test_only_what_is_newer_is_restored(self, one: Worker) -> None:
        held = await one.fetch(credential=key(1))
        for version in (held.version, held.version - 1):
            [record] = await one.store.restore([restorable(version)])
            assert record.value == "value-1"
        [record] = await one.store.restore([restorable(held.version + 1)])
        assert (record.value, record.version) == ("saved", held.version + 1)

    async def test_what_has_ended_is_not_restored(self, one: Worker) -> None:
        for lost in (restorable(ttl_s=0.0), restorable(value=None)):
            [record] = await one.store.restore([lost])
            assert (record.version, record.value) == (0, None)
        assert await one.due() == ()

    async def test_fences_grow_past_what_is_restored(self, one: Worker, wall: Wall) -> None:
        version = int(wall() * 1000) + 10**9
        await one.store.restore([restorable(version)])
        assert await one.lease(key(1), asked=True, seen=version) > version

    async def test_a_lease_older_than_what_is_restored_is_void(self, one: Worker) -> None:
        fence = await one.lease(key(1))
        await one.store.restore([restorable(fence + 1)])
        assert not (await one.commit(fence, credential=key(1))).taken

    async def test_what_a_lease_brought_and_could_not_commit_ends_it(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        fence = await one.lease(key(1), lapse=Cut(270, 0))
        await one.store.restore([restorable(fence)])
        assert isinstance(await two.claim(key(1), asked=True, seen=fence), Granted)
        later(31)
        assert (await two.read(key(1))).ttl_s == about(500 - 31)

    async def test_what_is_restored_is_news(self, one: Worker, two: Worker) -> None:
        cursor = await two.cursor()
        await one.store.restore([restorable()])
        assert await two.news(cursor) == (key(1),)

    async def test_what_is_restored_is_due_in_time(self, one: Worker, later: Later) -> None:
        await one.store.restore([restorable()])
        assert await one.due() == ()
        later(51)
        assert await one.due() == (key(1),)

    # supply

    async def test_a_value_from_outside_is_the_newest(self, one: Worker, two: Worker) -> None:
        held = await one.fetch()
        cursor = await two.cursor()
        [record] = await one.store.supply([Supply(KEY, "outside", 500, 50, state="kept")])
        assert record.version > held.version
        assert (record.value, record.state) == ("outside", "kept")
        assert (record.ttl_s, record.ask_in_s) == (about(500), about(50))
        assert await two.news(cursor) == (KEY,)

    async def test_a_value_from_outside_voids_a_lease(self, one: Worker, two: Worker) -> None:
        fence = await one.lease()
        await two.store.supply([Supply(KEY, "outside", 500, 50)])
        assert not (await one.commit(fence, "fetched")).taken
        assert (await one.read()).value == "outside"
        assert isinstance(await two.claim(), Newer)

    async def test_a_value_from_outside_ends_back_off_and_error(self, one: Worker) -> None:
        await one.fail(await one.lease(asked=True), asked=True)
        [record] = await one.store.supply([Supply(KEY, "outside", 500, 50)])
        assert (record.error, record.attempts, record.wait_s) == (None, 0, 0)
        wish = asks_anew(record)
        assert isinstance(await one.claim(**wish), Granted)

    # remove

    async def test_what_is_removed_is_forgotten_with_its_budgets(self, one: Worker, two: Worker) -> None:
        await one.fetch(claim={"charges": (Charge("asked", 1),)}, ask_in_s=0)
        cursor = await two.cursor()
        await one.store.remove([KEY])
        assert await two.read() == Record(KEY)
        assert await two.due() == ()
        assert await two.news(cursor) == (KEY,)
        assert isinstance(await two.claim(charges=(Charge("asked", 1),)), Granted)

    async def test_removing_what_nobody_knows_is_no_news(self, one: Worker) -> None:
        cursor = await one.cursor()
        await one.store.remove([key(1), key(2)])
        assert await one.news(cursor) == ()

    # budgets

    async def spend(self, worker: Worker, *charges: Charge) -> Any:
        """Claim, and give the lease back if it is granted."""
        claimed = await worker.claim(charges=charges)
        if isinstance(claimed, Granted):
            await worker.fail(claimed.fence, error=None, wait_s=0)
        return claimed

    async def test_a_budget_has_an_end(self, one: Worker, two: Worker) -> None:
        assert isinstance(await self.spend(one, ASKED), Granted)
        assert isinstance(await self.spend(two, ASKED), Granted)
        assert isinstance(await self.spend(one, ASKED), Spent)
        assert isinstance(await self.spend(one, Charge("other", 2)), Granted)
        assert isinstance(await self.spend(one), Granted)

    async def test_what_was_spent_comes_back_after_24_hours(self, one: Worker, later: Later) -> None:
        await self.spend(one, ASKED)
        await self.spend(one, ASKED)
        later(DAY_S - 2)
        spent = await self.spend(one, ASKED)
        assert isinstance(spent, Spent)
        assert 0 < spent.retry_in_s <= 3602
        later(spent.retry_in_s)
        assert isinstance(await self.spend(one, ASKED), Granted)

    async def test_where_one_budget_is_spent_the_others_are_not_charged(self, one: Worker) -> None:
        await self.spend(one, CALLS, ASKED)
        await self.spend(one, CALLS, ASKED)
        for _ in range(5):
            spent = await self.spend(one, CALLS, ASKED)
            assert spent.charge == ASKED
        for _ in range(3):
            assert isinstance(await self.spend(one, CALLS), Granted)
        assert (await self.spend(one, CALLS)).charge == CALLS

    async def test_a_budget_without_room_at_all_says_when_to_ask(self, one: Worker) -> None:
        spent = await one.claim(charges=(Charge("none", 0),))
        assert isinstance(spent, Spent)
        assert spent.retry_in_s > 0

    async def test_a_failure_gives_back_what_was_charged(self, one: Worker) -> None:
        for _ in range(5):
            fence = await one.lease(charges=(CALLS, ASKED))
            await one.fail(fence, error=None, wait_s=0, refund=("asked",))
        assert (await self.spend(one, CALLS)).charge == CALLS

    async def test_a_commit_gives_back_what_was_charged(self, one: Worker) -> None:
        for _ in range(5):
            await one.fetch(claim={"asked": True, "charges": (ASKED,)}, refund=("asked",), ttl_s=0)

    async def test_what_is_given_back_twice_counts_once(self, one: Worker) -> None:
        await self.spend(one, ASKED)
        fence = await one.lease(charges=(ASKED,))
        await one.commit(fence, refund=("asked",), ttl_s=0)
        await one.commit(fence, refund=("asked",), ttl_s=0)
        await one.fail(fence, refund=("asked",))
        assert isinstance(await self.spend(one, ASKED), Granted)
        assert isinstance(await self.spend(one, ASKED), Spent)

    async def test_what_this_lease_did_not_spend_is_not_given_back(self, one: Worker) -> None:
        await self.spend(one, ASKED)
        await self.spend(one, ASKED)
        await one.fail(await one.lease(), error=None, wait_s=0, refund=("asked", "unheard"))
        assert isinstance(await self.spend(one, ASKED), Spent)

    async def test_a_late_worker_gives_back_nothing(self, one: Worker, two: Worker, later: Later) -> None:
        old = await one.lease(charges=(ASKED,))
        later(31)
        new = await two.lease(charges=(ASKED,))
        await one.commit(old, refund=("asked",))
        await one.fail(old, refund=("asked",))
        await two.fail(new, error=None, wait_s=0)
        assert isinstance(await self.spend(one, ASKED), Spent)

    # batches and reprs

    async def test_values_are_written_in_the_order_of_the_batch(self, one: Worker) -> None:
        store = one.store
        fences = [await one.lease(key(n)) for n in (1, 2, 3)]
        commits = [Commit(key(n), fences[n - 1], f"value-{n}", 100, 50) for n in (3, 1, 2)]
        committed = await store.commit(commits)
        assert [answer.record.value for answer in committed] == ["value-3", "value-1", "value-2"]
        supplied = await store.supply([Supply(key(n), f"new-{n}", 100, 50) for n in (2, 1)])
        assert [record.value for record in supplied] == ["new-2", "new-1"]
        records = [restorable(n, number=n, value=f"saved-{n}") for n in (9, 8)]
        assert [record.value for record in await store.restore(records)] == ["saved-9", "saved-8"]

    async def test_no_value_and_no_state_is_in_any_repr(self, one: Worker, two: Worker) -> None:
        secret = "s3cret-token"
        fence = await one.lease()
        commit = Commit(KEY, fence, secret, 100, 50, state=secret)
        supply = Supply(KEY, secret, 100, 50, state=secret)
        committed = await one.store.commit([commit])
        busy = [await one.claim(asked=True), await two.claim(), await one.claim(seen=10**15)]
        supplied = await one.store.supply([supply])
        shown = repr((commit, supply, committed, busy, supplied, await one.store.read([KEY]), one.store))
        assert secret not in shown
        assert "access_token" in shown
