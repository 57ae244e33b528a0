"""The contract of what is due, and of what has changed."""

from __future__ import annotations

import anyio

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Cut, Due, Granted, Supply
from wxtoken_asgi.testing.stage import ERROR, KEY, Later, StoreStage, Wipe, Worker, about, key


class NewsRules(StoreStage):
    most_changes = 10_000
    """A cursor that is more changes behind than this need not be followed."""

    # due

    async def test_what_nobody_knows_is_not_due(self, one: Worker) -> None:
        await one.read()
        assert await one.store.due(10) == Due((), None)

    async def test_what_is_due_is_named_until_somebody_claims_it(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fetch(ask_in_s=100)
        later(98)
        due = await two.store.due(10)
        assert (due.credentials, due.next_in_s) == ((), about(2))
        later(4)
        assert await two.due() == (KEY,)
        assert await one.due() == (KEY,)
        await one.lease()
        assert await two.due() == ()

    async def test_the_most_overdue_comes_first(self, one: Worker, later: Later) -> None:
        for number, ask_in_s in ((1, 30), (2, 10), (3, 20), (4, 90)):
            await one.fetch(credential=key(number), ask_in_s=ask_in_s)
        later(40)
        assert await one.due() == (key(2), key(3), key(1))

    async def test_no_more_are_named_than_are_wanted(self, one: Worker, later: Later) -> None:
        for number, ask_in_s in ((1, 30), (2, 10), (3, 20), (4, 90)):
            await one.fetch(credential=key(number), ask_in_s=ask_in_s)
        later(40)
        due = await one.store.due(2)
        assert (due.credentials, due.next_in_s) == ((key(2), key(3)), 0)
        due = await one.store.due(3)
        assert (due.credentials, due.next_in_s) == ((key(2), key(3), key(1)), about(50))

    async def test_what_is_leased_is_due_when_its_lease_lapses(self, one: Worker, later: Later) -> None:
        await one.fetch(ask_in_s=0)
        await one.lease()
        due = await one.store.due(10)
        assert (due.credentials, due.next_in_s) == ((), about(30))
        later(31)
        assert await one.due() == (KEY,)

    async def test_a_lapse_of_what_is_not_due_makes_it_due_only_if_it_is_in_doubt(
        self, one: Worker, later: Later
    ) -> None:
        for number, lapse in ((1, None), (2, Cut(270, 0))):
            await one.fetch(credential=key(number), ask_in_s=1000)
            await one.lease(key(number), asked=True, lapse=lapse)
        later(31)
        due = await one.store.due(10)
        assert (due.credentials, due.next_in_s) == ((key(2),), about(1000 - 31))

    async def test_what_waits_is_due_after_its_back_off(self, one: Worker, later: Later) -> None:
        await one.fetch(ask_in_s=0)
        await one.fail(await one.lease(), wait_s=100)
        due = await one.store.due(10)
        assert (due.credentials, due.next_in_s) == ((), about(100))
        later(101)
        assert await one.due() == (KEY,)

    async def test_a_back_off_makes_nothing_due_early(self, one: Worker, later: Later) -> None:
        await one.fetch(ask_in_s=1000)
        await one.fail(await one.lease(asked=True), wait_s=100)
        later(101)
        assert (await one.store.due(10)).next_in_s == about(899)

    async def test_what_was_never_fetched_is_due_at_once_after_its_first_lease(self, one: Worker) -> None:
        await one.fail(await one.lease(), error=None, wait_s=0)
        assert await one.due() == (KEY,)

    async def test_what_changes_often_is_named_once(self, one: Worker, later: Later) -> None:
        for number in range(300):
            await one.store.supply([Supply(KEY, f"value-{number}", 7000, 10), Supply(key(1), "x", 7000, 10)])
        later(11)
        assert sorted(await one.due()) == sorted((KEY, key(1)))

    async def test_what_is_said_of_the_unknown_leaves_nothing_to_do(self, one: Worker) -> None:
        await one.store.remove([KEY])
        await one.fail(0)
        assert not (await one.commit(-1)).taken
        assert await one.due() == ()

    # changes

    async def test_no_cursor_gets_one_and_nothing(self, one: Worker) -> None:
        await one.fetch()
        changes = await one.store.changes("", 30)
        assert changes.credentials == ()
        assert await one.news(changes.cursor) == ()

    async def test_a_new_value_is_news_to_every_follower(self, one: Worker, two: Worker) -> None:
        first, second = await one.cursor(), await two.cursor()
        await one.fetch()
        assert await one.news(first) == await two.news(second) == await two.news(first) == (KEY,)

    async def test_a_cursor_goes_on_from_where_it_was(self, one: Worker) -> None:
        cursor = await one.cursor()
        await one.fetch(credential=key(1))
        changes = await one.store.changes(cursor, 0)
        assert changes.credentials == (key(1),)
        await one.fetch(credential=key(2))
        assert await one.news(changes.cursor) == (key(2),)
        assert sorted(await one.news(cursor) or ()) == [key(1), key(2)]

    async def test_what_changed_often_is_told_once(self, one: Worker) -> None:
        cursor = await one.cursor()
        for number in range(5):
            await one.store.supply([Supply(KEY, f"value-{number}", 100, 50)])
        assert await one.news(cursor) == (KEY,)

    async def test_a_shared_error_is_news_and_so_is_its_end(
        self, one: Worker, two: Worker, later: Later
    ) -> None:
        await one.fetch(ask_in_s=0)
        cursor = await two.cursor()
        await one.fail(await one.lease())
        assert await two.news(cursor) == (KEY,)
        cursor = await two.cursor()
        later(101)
        assert (await one.fetch()).error is None
        assert await two.news(cursor) == (KEY,), "the same value, but no error any more"

    async def test_an_unchanged_answer_is_no_news(self, one: Worker, two: Worker) -> None:
        await one.fetch(ask_in_s=0)
        cursor = await two.cursor()
        await one.fetch()
        assert await two.news(cursor) == ()

    async def test_leases_and_reads_are_no_news(self, one: Worker, two: Worker) -> None:
        await one.fetch(ask_in_s=0)
        cursor = await two.cursor()
        await one.fail(await one.lease(), error=None, wait_s=0)
        await one.lease()
        await two.claim()
        await two.read()
        assert await two.news(cursor) == ()

    async def test_a_follower_waits_for_news_and_hears_them_at_once(self, one: Worker, two: Worker) -> None:
        cursor = await two.cursor()
        heard: list[tuple[Credential, ...] | None] = []
        after: list[float] = []

        async def follow() -> None:
            heard.append((await two.store.changes(cursor, 30)).credentials)
            after.append(anyio.current_time() - begun)

        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            group.start_soon(follow)
            await anyio.sleep(2)
            await one.fetch()
        assert heard == [(KEY,), (KEY,)]
        assert after == [about(2), about(2)]

    async def test_a_follower_waits_no_longer_than_it_wants_to(self, one: Worker) -> None:
        cursor = await one.cursor()
        begun = anyio.current_time()
        changes = await one.store.changes(cursor, 2)
        assert changes.credentials == ()
        assert anyio.current_time() - begun == about(2)
        await one.fetch()
        assert await one.news(changes.cursor) == (KEY,)

    async def test_a_follower_may_go_away(self, one: Worker) -> None:
        cursor = await one.cursor()
        with anyio.move_on_after(1) as scope:
            await one.store.changes(cursor, 30)
        assert scope.cancelled_caught
        await one.fetch()
        assert await one.news(cursor) == (KEY,)

    async def test_after_a_wipe_everything_has_changed(self, one: Worker, wipe: Wipe) -> None:
        await one.fetch()
        cursor = await one.cursor()
        await wipe()
        changes = await one.store.changes(cursor, 30)
        assert changes.credentials is None
        await one.fetch()
        assert await one.news(changes.cursor) == (KEY,)

    async def test_a_wipe_wakes_those_who_wait(self, one: Worker, wipe: Wipe) -> None:
        await one.fetch()
        cursor = await one.cursor()
        heard: list[tuple[Credential, ...] | None] = []

        async def follow() -> None:
            heard.append((await one.store.changes(cursor, 30)).credentials)

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.sleep(2)
            await wipe()
        assert heard == [None]

    async def test_for_a_cursor_that_is_too_far_behind_everything_has_changed(self, one: Worker) -> None:
        cursor = await one.cursor()
        numbers = range(self.most_changes)
        await one.store.supply([Supply(key(number), "x", 100, 50) for number in numbers])
        recent = await one.cursor()
        await one.store.supply([Supply(KEY, "x", 100, 50)])
        assert await one.news(cursor) is None
        assert await one.news(recent) == (KEY,)

    async def test_for_a_cursor_of_another_world_everything_has_changed(self, one: Worker) -> None:
        await one.fetch()
        for cursor in ("nonsense", "1-2", "0-0", "-", "999999999999", "\u0663"):
            assert await one.news(cursor) is None

    # opening

    async def test_opening_twice_is_harmless_and_records_outlive_a_closing(self, one: Worker) -> None:
        await one.fetch()
        await one.store.open()
        await one.store.close()
        await one.store.open()
        assert (await one.read()).value == "value-1"
        assert isinstance(await one.claim(asked=True, seen=(await one.read()).version), Granted)

    async def test_credentials_are_kept_apart(self, one: Worker) -> None:
        others = [
            KEY._replace(namespace="other"),
            KEY._replace(api_base="https://127.0.0.1"),
            KEY._replace(endpoint="stable"),
            KEY._replace(kind="jsapi_ticket"),
            Credential("te", "sthttps://api.weixin.qq.com", *KEY[2:]),
        ]
        await one.fetch()
        assert [record.value for record in await one.store.read(others)] == [None] * len(others)
        failed = await one.fail(await one.lease(others[0]), credential=others[0])
        assert failed.error == ERROR
        assert (await one.read()).error is None
