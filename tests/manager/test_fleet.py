"""Several managers on one store: they share the work, and none costs more for it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import anyio
import pytest

from wxtoken_asgi import policy
from wxtoken_asgi.kinds import STABLE_TOKEN
from wxtoken_asgi.records import Credential
from wxtoken_asgi.sources import Answer
from wxtoken_asgi.stores.contract import Changes, Claim, Commit

from benchmarks.fleet import SharedStore, drive, quiet_hour
from support.faulty_store import FaultyStore
from support.fleet import Fleet


def test_four_managers_keep_everything_fresh_for_six_hours_with_the_calls_of_one():
    """`python -m benchmarks.fleet` does it with 10,000 accounts."""
    _, many = drive(80, 4, 6, "token")
    _, one = drive(80, 1, 6, "token")
    assert many.looked == 80 * 6 * 60
    assert (many.stale, one.stale) == (0, 0)
    assert abs(many.fetches - one.fetches) <= 0.02 * one.fetches
    assert 5 * 80 <= many.fetches <= 7 * 80
    assert max(many.most) <= 64


def test_eight_managers_claim_little_more_than_they_fetch():
    """The start is counted apart: all begin with all accounts at the same moment."""
    first = {}

    def tell(hour, run):
        first.setdefault("claims", run.store.items["claim"])
        first.setdefault("fetches", run._calls())

    run, found = drive(50, 8, 1.5, "stable", tell=tell)
    assert found.stale == 0
    fetches = found.fetches - first["fetches"]
    assert fetches >= 50 * 6
    assert (found.claims - first["claims"]) / fetches <= 1.2
    assert first["claims"] <= 1.2 * first["fetches"] + 8 * 60
    assert run.store.calls["due"] <= 8 * 1.5 * (1.5 * 3600 + 60)


def test_a_quiet_hour_costs_the_same_however_many_accounts_there_are():
    few, some, many = quiet_hour(10), quiet_hour(400, count=True), quiet_hour(1200, count=True)
    for name in ("changes", "due", "read"):
        assert many.quiet_calls[name] <= few.quiet_calls[name] * 1.1 + 5
        assert many.quiet_calls[name] <= 3 * 60
    assert some.quiet_functions > 0
    assert many.quiet_functions <= 1.1 * some.quiet_functions


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("since_s", [0.0, 0.5, 1.0, 30.0])
def test_nobody_looks_later_than_a_second_nor_much_oftener(draw, since_s):
    wait_s = policy.look_after(draw, since_s)
    assert 0 <= wait_s <= 1
    assert wait_s + since_s >= 0.75


async def test_what_is_due_is_fetched_by_one_and_left_alone_by_the_others(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("alpha"), store=store) for _ in range(4)]
    async with managers[0], managers[1], managers[2], managers[3]:
        await managers[0].access_token("alpha")
        world.sandbox.fail("slow", times=None, seconds=3)
        before = store.items["claim"]
        await anyio.sleep(3 * 275)
        assert world.count("stable_token") == 4
        assert store.items["claim"] - before == 3
    at = [call.at for call in world.sandbox.calls]
    assert all(243 <= later - earlier <= 275 for earlier, later in itertools.pairwise(at))


class ShortLived:
    """A source whose values live for 40 s: they are asked for every five."""

    def __init__(self):
        self.asked_at = []

    async def fetch(self, ask, weixin, clock):
        self.asked_at.append(clock.monotonic())
        return Answer("always-the-same", 40, clock.monotonic())


async def test_what_is_due_again_in_a_moment_is_not_slept_through(world):
    source = ShortLived()
    kinds = {"stable": (replace(STABLE_TOKEN, source=source),)}
    async with world.manager(world.account("alpha"), store=SharedStore(world.clock), kinds=kinds):
        await anyio.sleep(300)
    gaps = [later - earlier for earlier, later in itertools.pairwise(source.asked_at)]
    assert len(gaps) >= 300 / 6.1 - 1
    assert min(gaps) >= 5
    assert max(gaps) <= 6.1


async def test_a_fetch_that_another_process_makes_is_heard_of_and_not_asked_for_again_and_again(world):
    store = SharedStore(world.clock)
    one, two = (world.manager(world.account("beta"), store=store) for _ in range(2))
    world.sandbox.fail("slow", times=None, seconds=3)
    async with one:
        await anyio.sleep(0.5)
        async with two:
            begun = anyio.current_time()
            assert world.sandbox.accepts(await two.access_token("beta"))
            assert 2 <= anyio.current_time() - begun <= 2.6
    assert world.count("token") == 1
    assert store.items["claim"] <= 6


async def test_a_manager_is_not_ready_before_the_process_that_fetches_has_told(world):
    store = SharedStore(world.clock)
    one, two = (world.manager(world.account("beta"), store=store) for _ in range(2))
    world.sandbox.fail("slow", times=None, seconds=3)
    async with one:
        await anyio.sleep(0.5)
        async with two:
            await anyio.sleep(1)
            assert not two.ready
            await anyio.sleep(1.6)
            assert two.ready
            assert two.fresh(two.entry("beta", "access_token")) is not None
    assert world.count("token") == 1


async def test_a_refresh_that_another_process_makes_answers_both(world):
    store = SharedStore(world.clock)
    one, two = (world.manager(world.account("beta"), store=store) for _ in range(2))
    async with one, two:
        await one.access_token("beta")
        await anyio.sleep(61)
        world.sandbox.fail("slow", times=None, seconds=3)
        new = []

        async def refresh(tokens):
            new.append(await tokens.refresh("beta"))

        async with anyio.create_task_group() as group:
            group.start_soon(refresh, one)
            await anyio.sleep(0.5)
            group.start_soon(refresh, two)
        assert len(set(new)) == 1
        assert world.count("token") == 2


async def test_records_of_others_that_are_due_for_ever_hold_nothing_up(world):
    store = SharedStore(world.clock)
    foreign = [Credential("elsewhere", "https://a.b", f"wx{n}", "token", "access_token") for n in range(30)]
    claimed = await store.claim([Claim(key) for key in foreign], owner="else", lease_s=30)
    await store.commit([Commit(key, it.fence, "v", 60, 1) for key, it in zip(foreign, claimed, strict=True)])
    await anyio.sleep(5)
    async with world.manager(world.account("beta"), store=store, fetches=4) as tokens:
        before = await tokens.access_token("beta")
        await anyio.sleep(4400)
        assert await tokens.access_token("beta") != before
        looks = store.calls["due"]
        await anyio.sleep(60)
        assert store.calls["due"] - looks <= 10


async def test_a_message_that_was_missed_is_made_up_for_within_75_s(world):
    store = SharedStore(world.clock)
    one, two = (world.manager(world.account("beta"), store=store) for _ in range(2))
    async with one, two:
        await one.access_token("beta")
        await anyio.sleep(61)
        changes = store.changes

        async def lost(cursor, wait_s):
            found = await changes(cursor, wait_s)
            return Changes(found.cursor, ())

        store.changes = lost
        await anyio.sleep(31)  # those who listen already have gone by
        new = await one.refresh("beta")
        await anyio.sleep(1)
        assert await two.access_token("beta") != new
        await anyio.sleep(75)
        assert await two.access_token("beta") == new


async def test_a_store_that_is_away_when_records_are_compared_is_compared_later(world):
    store = FaultyStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        store.faults["read"] = "away"
        await anyio.sleep(200)
        assert await tokens.access_token("beta") == held
        reads = store.calls["read"]
        store.faults.clear()
        await anyio.sleep(150)
        assert store.calls["read"] >= reads + 2


async def test_sixteen_that_open_together_fetch_each_credential_once():
    fleet = Fleet(["token"] * 40, overlap="grace", apart_s=0)
    fleet.sandbox.fail("slow", times=None, seconds=0.2)
    store = SharedStore(fleet.clock)
    managers = [fleet.manager(store=store) for _ in range(16)]
    async with anyio.create_task_group() as group:
        for tokens in managers:
            group.start_soon(tokens.__aenter__)
    await anyio.sleep(10)
    assert fleet.sandbox.count("/cgi-bin/token") == 40
    assert fleet.sandbox.count("/cgi-bin/ticket/getticket") == 40
    for tokens in managers:
        assert tokens.ready
        assert all(item.version for item in tokens.statistics().credentials)
    for tokens in managers:
        await tokens.__aexit__(None, None, None)
