"""The store is away, slow, broken or loses its answers: what is held is served, and nothing is lost."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace

import anyio
import pytest

from wxtoken_asgi import (
    BudgetSpent,
    ConfigError,
    NotReady,
    StoreError,
    StoreFormatError,
    UpstreamRefused,
    WxTokenError,
)
from wxtoken_asgi.stores.contract import Claim, LastError, Record, Supply
from wxtoken_asgi.untold import Untold

from support.faulty_store import FaultyStore
from support.fleet import Fleet
from support.virtual import VirtualClock

HOUR = 3600


@pytest.mark.parametrize("fault", ["away", "hang", "broken"])
async def test_held_values_are_served_while_the_store_is_away(world, store, fault):
    async with world.manager(store=store) as tokens:
        before = [await tokens.access_token("alpha"), await tokens.access_token("beta")]
        store.faults["*"] = fault
        await anyio.sleep(60)
        assert [await tokens.access_token("alpha"), await tokens.access_token("beta")] == before
        assert tokens.statistics().store_away
        store.faults.clear()
        await anyio.sleep(60)
        assert not tokens.statistics().store_away


async def test_a_store_away_for_three_hours_costs_no_read(world, store):
    async with world.manager(store=store) as tokens:
        await tokens.access_token("alpha")
        await tokens.access_token("beta")
        store.faults["*"] = "away"
        for _ in range(3 * 60):
            await anyio.sleep(60)
            for name in ("alpha", "beta"):
                assert world.sandbox.accepts(await tokens.access_token(name))
        assert world.count("token") <= 1 + 3 * HOUR / 6500 + 1  # as late as may be: near the end of each life
        store.faults.clear()
        await anyio.sleep(5)
        records = await store.inner.read(
            [tokens.entry(n, "access_token").credential for n in ("alpha", "beta")]
        )
        assert [record.value for record in records] == [
            await tokens.access_token("alpha"),
            await tokens.access_token("beta"),
        ]


async def test_a_ticket_whose_token_died_is_not_asked_for_again_and_again(world, store):
    account = world.account("beta", tickets=["jsapi"])
    async with world.manager(account, store=store) as tokens:
        await tokens.jsapi_ticket("beta")
        store.faults["*"] = "away"
        world.sandbox.revoke(await tokens.access_token("beta"))
        before = world.count("ticket/getticket")
        await anyio.sleep(2 * HOUR)  # the token cannot be renewed: nobody could count what that costs
        asked = world.count("ticket/getticket") - before
        assert 2 < asked <= 2 * HOUR / 30 + 8
        store.faults.clear()
        await anyio.sleep(120)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert world.sandbox.accepts_ticket(await tokens.jsapi_ticket("beta"))


async def test_a_store_that_cannot_work_here_stops_the_start(world, store, monkeypatch, caplog):
    async def refuse(self):
        raise ConfigError("store: it needs another event loop")

    monkeypatch.setattr(FaultyStore, "open", refuse)
    with pytest.raises(ConfigError, match=r"^store: it needs another event loop$"):
        async with world.manager(store=store):
            pass
    assert not caplog.records


async def test_on_demand_such_a_store_is_away_and_says_why(world, store, monkeypatch, caplog):
    async def refuse(self, credentials, *args, **options):
        raise ConfigError("store: it needs another event loop")

    for operation in ("read", "claim", "commit"):
        monkeypatch.setattr(FaultyStore, operation, refuse)
    assert world.sandbox.accepts(await world.manager(store=store).access_token("alpha"))
    assert "store: it needs another event loop" in caplog.text
    assert "not asked to the end" not in caplog.text


async def test_the_old_endpoint_is_left_alone_until_it_is_urgent(world, store):
    async with world.manager(world.account("beta"), store=store) as tokens:
        before = await tokens.access_token("beta")
        store.faults["*"] = "away"
        await anyio.sleep(6500)
        assert await tokens.access_token("beta") == before
        assert world.count("token") == 1
        with pytest.raises(StoreError):
            await tokens.refresh("beta")
        await anyio.sleep(120)
        assert await tokens.access_token("beta") != before
        assert world.count("token") == 2


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_nothing_is_forced_while_nobody_can_count_the_budget(world, store, name):
    async with world.manager(world.account(name), store=store) as tokens:
        held = await tokens.access_token(name)
        store.faults["*"] = "away"
        for dead in (None, held):
            with pytest.raises(StoreError):
                await tokens.refresh(name, dead=dead)
        assert len(world.sandbox.calls) == 1


async def test_a_refresh_during_a_back_off_gets_its_reason_though_the_store_is_away(world, store):
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.access_token("alpha")
        world.sandbox.fail("errcode", errcode=40164, times=None)
        await anyio.sleep(280)
        store.faults["*"] = "away"
        with pytest.raises(UpstreamRefused) as caught:
            await tokens.refresh("alpha")
        assert caught.value.errcode == 40164


async def test_a_loop_without_a_store_begins_no_more_than_there_are_places(world):
    fleet = Fleet(["stable"] * 10, overlap="grace", apart_s=0, tickets=False)
    store = FaultyStore(fleet.clock)
    async with fleet.manager(store=store, fetches=2) as tokens:
        await anyio.sleep(30)
        fleet.sandbox.fail("slow", times=None, seconds=1)
        store.faults["*"] = "away"
        most = 0
        for _ in range(600):
            await anyio.sleep(0.5)
            most = max(most, tokens.statistics().fetching)
        assert 0 < most <= 2
        assert fleet.sandbox.count() >= 20


async def test_a_commit_refused_because_another_worker_fetched_since(world, store, caplog):
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        entry = tokens.entry("beta", "access_token")
        await anyio.sleep(61)
        world.sandbox.fail("slow", path="/cgi-bin/token", times=1, seconds=8)
        async with anyio.create_task_group() as group:
            group.start_soon(tokens.refresh, "beta")
            await anyio.sleep(1)
            await store.supply([Supply(entry.credential, "a-token-from-outside", 7000, 3600)])
        assert await tokens.access_token("beta") == "a-token-from-outside"
        assert tokens.statistics().credentials[0].ends_in <= 270
    assert "came too late" in caplog.text


async def test_a_commit_that_the_store_did_not_hear_is_held_and_restored(world, store, caplog):
    async with world.manager(world.account("beta"), store=store) as tokens:
        store.faults["commit"] = "away"
        token = await tokens.access_token("beta")
        assert world.sandbox.accepts(token)
        store.faults.clear()
        await anyio.sleep(60)
        assert (await store.inner.read([tokens.entry("beta", "access_token").credential]))[0].value == token
        assert await tokens.access_token("beta") == token
        assert world.count("token") == 1
    assert "is held in memory until it is back" in caplog.text


async def test_a_commit_whose_answer_was_lost_counts(world, store):
    async with world.manager(world.account("beta"), store=store) as tokens:
        store.faults["commit"] = "lost"
        token = await tokens.access_token("beta")
        store.faults.clear()
        await anyio.sleep(60)
        assert await tokens.access_token("beta") == token
        assert world.count("token") == 1


async def test_a_claim_whose_answer_was_lost_locks_nobody_out(world, store):
    async with world.manager(world.account("beta"), store=store) as tokens:
        store.faults["claim"] = "lost"
        with anyio.move_on_after(0.01):
            await tokens.access_token("beta")
        store.faults.clear()
        await anyio.sleep(25)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert world.count("token") <= 2


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_failure_that_the_store_did_not_hear_is_waited_for_all_the_same(world, store, name):
    path = "/cgi-bin/token" if name == "beta" else "/cgi-bin/stable_token"
    async with world.manager(world.account(name), store=store) as tokens:
        store.faults["*"] = "away"
        world.sandbox.fail("errcode", path=path, errcode=-1, times=None)
        await anyio.sleep(600)
        at = [call.at for call in world.sandbox.calls]
        assert 3 <= len(at) <= 30
        assert min(later - earlier for earlier, later in itertools.pairwise(at)) >= 2
        with pytest.raises(Exception, match=name):
            await tokens.access_token(name)
        world.sandbox.heal()
        store.faults.clear()
        await anyio.sleep(100)
        assert world.sandbox.accepts(await tokens.access_token(name))


async def test_an_undecided_fetch_that_the_store_did_not_hear_of_cuts_the_held_token_too(world, store):
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        await anyio.sleep(61)
        store.faults["fail"] = "away"
        world.sandbox.fail("garbage", path="/cgi-bin/token", times=None)
        with pytest.raises(Exception, match="beta"):
            await tokens.refresh("beta")
        left = tokens.statistics().credentials[0].ends_in
        assert 260 <= left <= 270


async def test_a_cold_start_with_the_store_away_serves_as_soon_as_it_can(world, store):
    store.faults["*"] = "away"
    async with world.manager(store=store) as tokens:
        assert world.sandbox.accepts(await tokens.access_token("alpha"))
        await anyio.sleep(30)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        store.faults.clear()
        await anyio.sleep(5)
        assert all(
            record.good
            for record in await store.inner.read(
                [tokens.entry(name, "access_token").credential for name in ("alpha", "beta")]
            )
        )


async def test_a_store_of_an_unknown_format_stops_the_start(world, store):
    async def refuse():
        raise StoreFormatError("the store holds records of format 9; this version knows 1")

    store.open = refuse
    with pytest.raises(StoreFormatError, match="format 9"):
        async with world.manager(store=store):
            pass


async def test_a_store_that_hangs_at_the_end_does_not_keep_the_manager(world, store):
    async with world.manager(store=store) as tokens:
        await tokens.access_token("alpha")
        store.faults["close"] = "hang"
        begun = anyio.current_time()
    assert anyio.current_time() - begun <= 1.5


async def test_changes_that_never_come_are_noticed(world, store):
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        store.faults["changes"] = "hang"
        store.inner.wipe()
        await anyio.sleep(100)
        store.faults.clear()
        await anyio.sleep(10)
        assert world.count("token") == 1


async def test_the_loss_of_the_store_is_told_once(world, store, caplog):
    caplog.set_level(logging.WARNING)
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.access_token("alpha")
        store.faults["*"] = "away"
        await anyio.sleep(120)
        store.faults.clear()
        await anyio.sleep(5)
    told = [record.getMessage() for record in caplog.records]
    assert sum("what is held in memory is served meanwhile" in line for line in told) == 1
    assert sum("the store is back" in line for line in told) == 1


async def test_on_demand_a_copy_is_compared_with_a_shared_store(world, store):
    writer, reader = world.manager(store=store), world.manager(store=store)
    old = await reader.access_token("beta")
    await anyio.sleep(61)
    new = await writer.refresh("beta")
    assert new != old
    await anyio.sleep(0.2)
    assert await reader.access_token("beta") == new
    reads = store.calls["read"]
    for _ in range(50):  # not more often than the store's news are old
        await reader.access_token("beta")
    assert store.calls["read"] == reads


async def test_on_demand_a_store_that_is_away_does_not_hinder_a_good_value(world, store):
    tokens = world.manager(store=store)
    held = await tokens.access_token("beta")
    store.faults["*"] = "away"
    await anyio.sleep(1)
    assert await tokens.access_token("beta") == held


async def test_a_wiped_store_is_behind_and_is_restored_inside_a_claim(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    before = await tokens.access_token("beta")
    await anyio.sleep(61)
    store.inner.wipe()
    store.news_s = 1e9  # so that the claim is the first to notice
    tokens.entry("beta", "access_token").compared_at = world.clock.monotonic()
    new = await tokens.refresh("beta", dead=before)
    assert new != before
    assert store.calls["restore"] == 1
    assert world.count("token") == 2


async def test_a_store_that_begins_anew_in_the_past_is_followed_once_what_was_held_has_ended(world):
    its_clock = VirtualClock()
    store = FaultyStore(its_clock)
    async with (
        world.manager(world.account("beta"), store=store) as one,
        world.manager(world.account("beta"), store=store) as other,
    ):
        await one.access_token("beta")
        world.sandbox.fail("errcode", errcode=-1, times=None)
        await anyio.sleep(2.1 * HOUR)
        store.inner.wipe()
        its_clock.wall_offset = -24 * HOUR
        world.sandbox.heal()
        await anyio.sleep(120)
        for _ in range(12):
            values = {await one.access_token("beta"), await other.access_token("beta")}
            assert len(values) == 1
            assert world.sandbox.accepts(values.pop())
            await anyio.sleep(HOUR)
        record = (await store.read([one.entry("beta", "access_token").credential]))[0]
        assert record.version < world.clock.time() * 1000 - 20 * HOUR * 1000


async def test_a_store_that_was_rolled_back_to_a_doomed_value_is_not_believed(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    await tokens.access_token("beta")
    entry, clock = tokens.entry("beta", "access_token"), world.clock
    held = entry.held
    cut = Record(entry.credential, held.version, held.value, ttl_s=300)
    entry.adopt(cut, clock.moment())
    await anyio.sleep(301)
    before = Record(entry.credential, held.version - 1, "doomed", ttl_s=held.end - clock.monotonic() - 60)
    after = replace(before, value="new", ttl_s=before.ttl_s + 120)
    assert not entry.adopt(before, clock.moment())
    assert entry.good(clock) is None
    assert entry.adopt(after, clock.moment())
    assert entry.good(clock).value == "new"


async def test_an_asked_for_refresh_of_a_lost_and_ended_value_is_no_hot_loop(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    dead = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(entry.held.left(world.clock) - 1)
    world.sandbox.fail("slow", times=None, seconds=3)
    gate = anyio.Event()
    claim = store.claim

    async def late(claims, *, owner, lease_s):
        await gate.wait()
        return await claim(claims, owner=owner, lease_s=lease_s)

    store.claim = late
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: tokens.refresh("beta", dead=dead))
        await anyio.sleep(1.5)
        assert entry.good(world.clock) is None
        store.inner.wipe()
        gate.set()
    assert store.calls["claim"] <= 3
    assert world.sandbox.accepts(await tokens.access_token("beta"))


async def test_a_lease_left_behind_is_not_taken_for_ones_own_after_opening_again(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    async with tokens:
        await tokens.access_token("beta")
        entry = tokens.entry("beta", "access_token")
        await anyio.sleep(61)
        world.sandbox.fail("hang", path="/cgi-bin/token", times=1, before=False)
        with anyio.move_on_after(1):
            await tokens.refresh("beta")
    assert world.count("token") == 2  # one was issued unseen
    async with tokens:
        begun = world.clock.monotonic()
        held = entry.held.value
        while await tokens.access_token("beta") == held:
            assert world.sandbox.accepts(held)
            await anyio.sleep(1)
        assert world.clock.monotonic() - begun < 35
    assert world.sandbox.accepts(entry.held.value)


async def test_what_is_due_is_never_refused_for_what_was_asked_for(world, store):
    """Even where the daily quota is smaller than the budget of asked-for refreshes."""
    async with world.manager(world.account("beta", daily_quota=60), store=store) as tokens:
        refused = 0
        until = anyio.current_time() + 24 * HOUR
        while anyio.current_time() < until:
            dead = await tokens.access_token("beta")
            assert world.sandbox.accepts(dead)
            try:
                await tokens.refresh("beta", dead=dead)
            except BudgetSpent:
                refused += 1
            await anyio.sleep(301)
        assert refused > 100
        assert world.count("token") <= 60


async def test_on_demand_a_due_token_of_the_old_endpoint_is_left_alone_too(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    held = await tokens.access_token("beta")
    await anyio.sleep(4400)
    store.faults["*"] = "away"
    assert await tokens.access_token("beta") == held
    assert world.count("token") == 1


async def test_what_was_fetched_without_a_lease_is_replaced_once_the_store_is_back(world, store):
    """Several may have fetched: only WeChat knows whose token is the last, and the others' die soon."""
    managers = [world.manager(world.account("beta"), store=store) for _ in range(3)]
    async with managers[0], managers[1], managers[2]:
        await managers[0].access_token("beta")
        await anyio.sleep(60)
        store.faults["*"] = "away"
        await anyio.sleep(6800)  # each of them has fetched alone
        assert world.count("token") == 4
        store.faults.clear()
        await anyio.sleep(60)
        values = {await tokens.access_token("beta") for tokens in managers}
        assert world.count("token") == 5
        assert len(values) == 1
        await anyio.sleep(600)
        assert world.sandbox.accepts(await managers[0].access_token("beta"))


@pytest.mark.parametrize("back", [True, False], ids=["the store is back", "its news have come"])
async def test_whoever_waits_to_fetch_without_a_lease_looks_once_more_before_it_does(world, store, back):
    """As nothing else in this process has asked the store meanwhile: perhaps it was stopped."""
    tokens = world.manager(world.account("beta"), store=store)
    entry = tokens.entry("beta", "access_token")
    store.faults["*"] = "away"
    flight = tokens._flights.join(entry)
    await anyio.sleep(0.01)
    if back:
        store.faults.clear()
    else:
        entry.adopt(Record(entry.credential, 7, "news", ttl_s=7000, ask_in_s=3600), world.clock.moment())
    await flight.done.wait()
    if back:
        assert flight.error is None
        assert not entry.held.unleased
        assert world.sandbox.accepts(entry.held.value)
        assert (await store.inner.read([entry.credential]))[0].value == entry.held.value
    else:
        assert isinstance(flight.error, StoreError)
    assert world.count("token") == back
    store.faults.clear()
    assert (await tokens.access_token("beta") == "news") is not back
    assert world.count("token") == back
    assert not tokens._keeper.behind


@pytest.mark.parametrize("wrong_s", [-HOUR, 0, HOUR], ids=["behind", "right", "ahead"])
async def test_a_fetch_without_a_lease_leaves_no_doomed_token_behind_whatever_its_host_s_clock_says(
    world, store, other, wrong_s
):
    """Versions made of a wall clock that is behind would make the doomed token look like the newer one."""
    its_clock = VirtualClock(2)
    its_clock.wall_offset = wrong_s
    async with world.manager(world.account("beta"), store=store) as one:
        before = await one.access_token("beta")
        await anyio.sleep(100)
        other.faults["*"] = "away"
        async with world.manager(world.account("beta"), store=other, clock=its_clock) as two:
            assert await two.access_token("beta") != before
            await anyio.sleep(200)
            other.faults.clear()
            await anyio.sleep(10)
            for _ in range(20):
                values = {await one.access_token("beta"), await two.access_token("beta")}
                assert len(values) == 1
                assert world.sandbox.accepts(values.pop())
                await anyio.sleep(60)
    assert world.count("token") == 3


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_call_without_a_lease_that_was_lost_leaves_no_doomed_token_behind(world, store, other, lost):
    async with world.manager(world.account("beta"), store=store) as one:
        before = await one.access_token("beta")
        await anyio.sleep(100)
        other.faults["*"] = "away"
        world.sandbox.fail("reset", path="/cgi-bin/token", times=lost, before=False)
        async with world.manager(world.account("beta"), store=other) as two:
            while world.count("token") < 1 + lost:  # noqa: ASYNC110 - time is virtual
                await anyio.sleep(0.1)
            entry = two.entry("beta", "access_token")
            assert entry in two._keeper.untold
            other.faults.clear()
            await anyio.sleep(10)
            assert entry not in two._keeper.untold
            for _ in range(20):
                values = {await one.access_token("beta"), await two.access_token("beta")}
                assert len(values) == 1
                assert world.sandbox.accepts(value := values.pop())
                assert value != before
                await anyio.sleep(60)
    assert world.count("token") == 2 + lost


async def test_a_lost_call_dooms_what_was_fetched_without_a_lease_before_it(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    doubted = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(6700)  # until it is about to end, so that this process fetches again
    world.sandbox.fail("reset", path="/cgi-bin/token", times=1, before=False)
    flight = tokens._flights.join(entry)
    await flight.done.wait()
    assert entry.held.unleased, "it still is what was fetched without a lease"
    await anyio.sleep(200)
    store.faults.clear()
    await tokens._keeper.load([entry])
    assert (entry.held.value, tokens._keeper.untold) == (doubted, {})
    record = (await store.read([entry.credential]))[0]
    assert 20 < record.ttl_s < 90


async def test_a_lost_call_is_told_and_what_the_store_has_is_not_given_back_to_it(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(6700)
    store.faults["*"] = "away"
    world.sandbox.fail("reset", path="/cgi-bin/token", times=1, before=False)
    await tokens._flights.join(entry).done.wait()
    assert tokens._keeper.behind
    store.faults.clear()
    restored = store.calls.get("restore", 0)
    await tokens._keeper.save()
    assert not tokens._keeper.behind
    assert store.calls.get("restore", 0) == restored


async def test_a_lost_call_under_a_lease_is_told_by_the_end_of_its_lease(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    await tokens.access_token("beta")
    await anyio.sleep(61)
    store.faults["fail"] = "away"
    world.sandbox.fail("reset", path="/cgi-bin/token", times=1, before=False)
    with pytest.raises(NotReady):
        await tokens.refresh("beta")
    assert not tokens._keeper.behind


@pytest.mark.parametrize("leased", [True, False])
async def test_what_is_given_back_says_whether_it_had_a_lease(world, store, monkeypatch, leased):
    """A later lease dooms what an earlier one brought; a version made of a host's time says nothing."""
    store.faults.update({"commit": "away"} if leased else {"*": "away"})
    tokens = world.manager(store=store)
    await tokens.access_token("alpha")
    store.faults.clear()
    credential = tokens.entry("alpha", "access_token").credential
    if not leased:  # while a later lease runs nothing else is taken
        await anyio.sleep(1)
        await store.inner.claim([Claim(credential)], owner="other", lease_s=30)
    restore, given = store.restore, []

    async def watched(records):
        given.extend(records)
        return await restore(records)

    monkeypatch.setattr(store, "restore", watched)
    await tokens._keeper.save()
    [record] = given
    assert record.fence == (record.version if leased else 0)


async def test_on_demand_a_claim_is_the_first_to_own_up(world, store):
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    doubted = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    assert entry in tokens._keeper.untold
    store.faults.clear()
    await anyio.sleep(61)
    assert await tokens.refresh("beta", dead=doubted) != doubted
    assert entry not in tokens._keeper.untold
    assert entry.spent != ()
    record = (await store.read([entry.credential]))[0]
    assert record.used("calls") == 2


async def test_what_is_fetched_without_a_lease_while_another_such_is_told_is_told_too(
    world, store, monkeypatch
):
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    store.faults.clear()
    keeper, commit = tokens._keeper, store.commit
    later = replace(keeper.untold[entry])

    async def meanwhile(commits):
        keeper.untold[entry] = later
        return await commit(commits)

    monkeypatch.setattr(store, "commit", meanwhile)
    await keeper.load([entry])
    assert keeper.untold[entry] is later


async def test_a_store_that_is_back_is_asked_for_its_news_anew(world, store, other):
    async with (
        world.manager(world.account("beta"), store=store) as one,
        world.manager(world.account("beta"), store=other) as two,
    ):
        await one.access_token("beta")
        await anyio.sleep(61)
        store.faults["*"] = "hang"
        await anyio.sleep(40)  # what asks for news now is never answered
        store.faults.clear()
        await anyio.sleep(5)
        new = await two.refresh("beta", dead=await two.access_token("beta"))
        await anyio.sleep(1)
        assert await one.access_token("beta") == new


async def test_whoever_listens_since_the_store_is_back_is_not_made_deaf_for_a_moment(
    world, store, monkeypatch
):
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        credential = tokens.entry("beta", "access_token").credential
        await anyio.sleep(61)
        store.faults |= {"claim": "away", "due": "away"}
        with pytest.raises(WxTokenError):
            await tokens.refresh("beta", dead=held)
        await store.inner.supply([Supply(credential, "value-of-another-1", 7000, 3600)])
        await anyio.sleep(0.1)  # the news were read: the store is back, and is listened to again
        assert await tokens.access_token("beta") == "value-of-another-1"
        looked, due = anyio.Event(), store.due
        monkeypatch.setattr(store, "due", lambda limit: looked.set() or due(limit))
        store.faults.clear()
        await looked.wait()
        await anyio.sleep(0.1)
        await store.inner.supply([Supply(credential, "value-of-another-2", 7000, 3600)])
        await anyio.sleep(0.1)
        assert await tokens.access_token("beta") == "value-of-another-2"


async def test_what_becomes_unsaved_while_the_rest_is_saved_is_saved_the_next_time(world, store, monkeypatch):
    async with world.manager(store=store) as tokens:
        await tokens.access_token("alpha")
        keeper, entry = tokens._keeper, tokens.entry("alpha", "access_token")
        restore = FaultyStore.restore

        async def meanwhile(self, records):
            keeper.unsaved.add(entry)
            return await restore(self, records)

        monkeypatch.setattr(FaultyStore, "restore", meanwhile)
        keeper.unsaved.add(entry)
        await keeper.save()
        assert keeper.unsaved == {entry}
        monkeypatch.undo()
        await keeper.save()
        assert keeper.unsaved == set()


async def test_an_event_loop_has_a_name_of_its_own_whoever_else_draws_one(world, store, monkeypatch):
    link = world.manager(store=store)._link
    monkeypatch.setattr(world.clock, "reseed", lambda: setattr(link, "_owner", (None, "another loop's")))
    assert link.owner != "another loop's"


async def test_what_was_fetched_without_a_lease_and_is_newer_than_what_the_store_has_is_put_there_cut(
    world, store
):
    """Another process has a lease since, and has brought nothing yet."""
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    value = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(1)
    store.faults.clear()
    await store.claim([Claim(entry.credential)], owner="another", lease_s=30)
    await tokens._keeper.load([entry])
    record = (await store.read([entry.credential]))[0]
    assert record.value == value
    assert 0 < record.ttl_s <= 270.001
    assert record.ask_in_s == 0


async def test_a_commit_says_how_much_of_its_lease_is_left(world, store, monkeypatch):
    said, commit = [], store.inner.commit

    async def listen(commits):
        said.extend(commits)
        return await commit(commits)

    monkeypatch.setattr(store.inner, "commit", listen)
    world.sandbox.fail("slow", times=1, seconds=4)
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
    assert [commit.left_s for commit in said] == [pytest.approx(26, abs=0.2)]


WRITES = ("claim", "commit", "fail", "restore", "supply")


async def test_a_store_that_can_be_read_but_not_written_stops_no_fetch_of_the_old_endpoint(world, store):
    """A full disk, a lock that nobody lets go of, a replica: what is about to end is fetched all the same."""
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        store.faults.update(dict.fromkeys(WRITES, "away"))
        await anyio.sleep(6400)
        assert await tokens.access_token("beta") == held
        assert world.count("token") == 1
        for _ in range(120):
            await anyio.sleep(60)
            assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert world.count("token") == 3
        store.faults.clear()
        await anyio.sleep(120)
        assert not tokens._keeper.behind
        assert not tokens.statistics().store_away


def said(caplog):
    """What was said of the store, in order."""
    words = {"what is held in memory is served meanwhile": "away", "the store is back": "back"}
    lines = (record.getMessage() for record in caplog.records)
    return [word for line in lines for part, word in words.items() if part in line]


async def test_a_store_that_cannot_be_written_to_is_said_to_be_away_once_and_back_once_it_can(
    world, store, caplog
):
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.access_token("alpha")
        store.faults.update(dict.fromkeys(WRITES, "away"))
        await anyio.sleep(3600)
        assert said(caplog) == ["away"]
        assert tokens.statistics().store_away
        store.faults.clear()
        await anyio.sleep(2)
        assert said(caplog) == ["away", "back"]
        assert not tokens.statistics().store_away


@pytest.mark.parametrize("away", ["claim", "*"])
async def test_after_a_write_that_failed_a_store_that_is_only_read_is_back_in_a_minute(world, store, away):
    """And one that could not be read either is back with the first answer."""
    link = world.manager(store=store)._link
    await link.ask(store.read([]))
    store.faults[away] = "away"
    with pytest.raises(StoreError):
        await link.write(store.claim([], owner="me", lease_s=30))
    if away == "*":
        with pytest.raises(StoreError):
            await link.ask(store.read([]))
    store.faults.clear()
    for _ in range(59 if away == "claim" else 0):
        await anyio.sleep(1)
        await link.ask(store.read([]))
        assert link.away
    await anyio.sleep(1)
    await link.ask(store.read([]))
    assert (link.away, link.returns) == (False, 1)


async def test_after_a_write_that_failed_the_next_that_goes_through_says_that_the_store_is_back(world, store):
    link = world.manager(store=store)._link
    await link.ask(store.read([]))
    store.faults["claim"] = "away"
    with pytest.raises(StoreError):
        await link.write(store.claim([], owner="me", lease_s=30))
    store.faults.clear()
    await link.ask(store.read([]))
    assert (link.away, link.returns) == (True, 1)  # its news are asked for anew at once
    await link.write(store.claim([], owner="me", lease_s=30))
    assert (link.away, link.returns) == (False, 1)


async def test_refreshes_of_which_no_forced_call_was_sent_are_given_back(world, store):
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.access_token("alpha")
        world.sandbox.away()
        for _ in range(20):
            await anyio.sleep(61)
            with pytest.raises(NotReady):
                await tokens.refresh("alpha")
        spent = {budget.name: budget.used for budget in tokens.statistics().credentials[0].budgets}
        assert spent == {"calls": 1, "asked": 0, "blind": 0, "forced": 0}
        world.sandbox.heal()
        await anyio.sleep(400)
        held = await tokens.access_token("alpha")
        assert await tokens.refresh("alpha") != held
        spent = {budget.name: budget.used for budget in tokens.statistics().credentials[0].budgets}
        assert (spent["asked"], spent["blind"], spent["forced"]) == (1, 1, 1)


async def test_the_proof_of_a_ticket_that_was_gained_without_the_store_is_kept():
    fleet = Fleet(["stable"], overlap="grace", apart_s=0)  # its ticket is as old as the test
    store = FaultyStore(fleet.clock)
    async with fleet.manager(store=store) as tokens:
        ticket = await tokens.jsapi_ticket("account0")
        entry = tokens.entry("account0", "jsapi_ticket")
        await anyio.sleep(6400)
        store.faults["*"] = "away"
        await anyio.sleep(700)  # it was asked for, and WeChat gave out the same
        fleet.sandbox.away()
        await anyio.sleep(80)
        assert not (await store.inner.read([entry.credential]))[0].good
        proved_s = entry.left(fleet.clock)
        assert proved_s > 300
        store.faults.clear()
        await anyio.sleep(5)
        assert await tokens.jsapi_ticket("account0") == ticket
        assert entry.left(fleet.clock) == pytest.approx(proved_s - 5, abs=1)
        [record] = await store.inner.read([entry.credential])
        assert (record.value, record.good) == (ticket, True)


async def test_what_was_taken_for_a_new_ticket_without_the_store_is_trusted_for_minutes_by_others():
    """WeChat says 7200 of a ticket whatever its age; whoever held it before would have known better."""
    fleet = Fleet(["stable"], overlap="grace", apart_s=5000)
    store = FaultyStore(fleet.clock)
    store.faults["*"] = "away"
    async with fleet.manager(store=store) as tokens:
        ticket = await tokens.jsapi_ticket("account0")
        entry = tokens.entry("account0", "jsapi_ticket")
        assert entry.left(fleet.clock) > 7000
        store.faults.clear()
        await anyio.sleep(5)
        [record] = await store.inner.read([entry.credential])
        assert record.value == ticket
        assert 590 < record.ttl_s <= 600
        assert record.ask_in_s <= record.ttl_s / 2


@pytest.mark.parametrize(("kept", "operation"), [("unsaved", "restore"), ("untold", "fail")])
async def test_what_is_told_late_goes_in_slices_and_one_that_fails_costs_none_before_it(kept, operation):
    fleet = Fleet(["token"] * 1001, overlap="grace", apart_s=0, tickets=False)
    store, sizes = FaultyStore(fleet.clock), []
    tokens = fleet.manager(store=store)
    keeper, at, say = tokens._keeper, fleet.clock.moment(), getattr(store, operation)
    for n in range(1001):
        entry = tokens.entry(f"account{n}", "access_token")
        entry.adopt(Record(entry.credential, 7, f"value{n}", ttl_s=7000, ask_in_s=3600), at)
        if kept == "unsaved":
            keeper.unsaved.add(entry)
        else:
            keeper.untold[entry] = Untold().with_loss(at.now, 0)

    async def watched(told):
        sizes.append(len(told))
        store.faults = {operation: "away"} if len(sizes) == 2 else {}
        return await say(told)

    setattr(store, operation, watched)
    with pytest.raises(StoreError):
        await keeper.save()
    assert (sizes, len(getattr(keeper, kept))) == ([500, 500], 501)
    await keeper.save()
    assert (sizes, keeper.behind) == ([500, 500, 500, 1], False)


async def test_an_emptied_store_s_error_is_taken_over_by_who_held_a_value_that_has_ended(world, store):
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.access_token("alpha")
        world.sandbox.away()
        await anyio.sleep(7300)
        store.inner.wipe()
        world.sandbox.heal()
        world.sandbox.fail("errcode", errcode=40164, path="/cgi-bin/stable_token", times=None)
        await anyio.sleep(400)
        claims = store.calls["claim"]
        for _ in range(50):
            with pytest.raises(UpstreamRefused) as caught:
                await tokens.access_token("alpha")
            assert caught.value.errcode == 40164
        assert store.calls["claim"] == claims
        assert tokens.statistics().credentials[0].retry_in > 0


async def test_an_emptied_store_s_error_says_nothing_of_a_value_that_is_good(world, store):
    tokens = world.manager(store=store)
    await tokens.access_token("alpha")
    entry = tokens.entry("alpha", "access_token")
    failed = Record(entry.credential, error=LastError("transient", "no"), wait_s=60)
    assert not entry.adopt(failed, world.clock.moment())
    assert entry.error is None


@pytest.mark.parametrize("fault", [None, "away"], ids=["with the store", "without it"])
async def test_a_ticket_that_has_ended_and_is_given_again_is_no_new_one(fault):
    fleet = Fleet(["stable"], overlap="grace", apart_s=0)
    store = FaultyStore(fleet.clock)
    store.faults["*"] = "away"
    async with fleet.manager(store=store) as tokens:
        ticket = await tokens.jsapi_ticket("account0")
        entry = tokens.entry("account0", "jsapi_ticket")
        store.faults.clear()
        await anyio.sleep(5)  # it is in the store now, for 10 minutes
        fleet.sandbox.away(700)
        await anyio.sleep(699)
        assert entry.good(fleet.clock) is None
        if fault is not None:
            store.faults["*"] = fault
        await anyio.sleep(120)
        assert await tokens.jsapi_ticket("account0") == ticket
        assert 400 < entry.left(fleet.clock) <= 600


@pytest.mark.parametrize("told", [True, False], ids=["told", "taken over"])
async def test_a_reader_gets_what_others_have_brought_whatever_holds_its_own_fetch_up(world, store, told):
    store.faults["claim"] = "hang"
    async with (
        world.manager(world.account("beta"), store=store) as tokens,
        anyio.create_task_group() as group,
    ):
        entry, begun, got = tokens.entry("beta", "access_token"), world.clock.monotonic(), []

        async def read():
            got.append((await tokens.access_token("beta"), world.clock.monotonic() - begun))

        group.start_soon(read)
        await anyio.sleep(1 if told else 4)
        if told:
            await store.inner.supply([Supply(entry.credential, "news", 7000, 3600)])
        else:
            entry.adopt(Record(entry.credential, 7, "news", ttl_s=7000, ask_in_s=3600), world.clock.moment())
    [(value, waited_s)] = got
    assert value == "news"
    assert waited_s < (2 if told else 5.1)
