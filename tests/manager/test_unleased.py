"""What was fetched without a lease, once the store hears of it: nothing newer is lost."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi.errors import NotReady, StoreError
from wxtoken_asgi.sources import Reason
from wxtoken_asgi.stores.contract import Claim, Commit, Cut, Fail, LastError, Record

from support.faulty_store import FaultyStore
from support.fleet import Fleet
from support.virtual import VirtualClock

HOUR = 3600
MINUTE = 60


@pytest.fixture
def ahead():
    """The clock of a host whose wall clock is an hour ahead: so are the versions that it makes."""
    clock = VirtualClock(2)
    clock.wall_offset = HOUR
    return clock


async def fetched_alone(tokens):
    """Processes without the store spread over more time than a caller has."""
    entry = tokens.entry("beta", "access_token")
    await tokens._flights.join(entry).done.wait()
    return entry.held.value


async def test_what_a_lease_has_brought_since_is_kept_whatever_the_host_s_clock_says(
    world, store, other, ahead
):
    """Its process was stopped before it could tell."""
    one = world.manager(store=store)
    two = world.manager(store=other, clock=ahead)
    other.faults["*"] = "away"
    alone = await fetched_alone(two)
    await anyio.sleep(100)
    newer = await one.access_token("beta")
    other.faults.clear()
    await two._keeper.save()
    assert alone != newer == await two.access_token("beta") == await one.access_token("beta")
    assert not two._keeper.behind
    assert world.count("token") == 2
    record = (await store.inner.read([two.entry("beta", "access_token").credential]))[0]
    assert (record.value, record.ttl_s) == (newer, pytest.approx(7170, abs=2))


@pytest.mark.parametrize("reported", [True, False])
async def test_who_asks_before_it_could_be_told_gets_what_a_lease_has_brought_since(
    world, store, other, ahead, reported
):
    """What was seen by the host's clock ahead is not asked for again and again: nobody has it."""
    one = world.manager(store=store)
    other.faults["*"] = "away"
    async with world.manager(store=other, clock=ahead) as two:
        entry = two.entry("beta", "access_token")
        await anyio.sleep(MINUTE)
        alone = entry.held.value
        newer = await one.access_token("beta")
        await anyio.sleep(7 * MINUTE)
        other.faults.clear()
        other.calls.clear()
        await two.refresh("beta", dead=alone if reported else None)
        assert alone != newer == await two.access_token("beta")
        await anyio.sleep(2)
        assert other.calls["claim"] < 5
        assert entry.flight is None
        world.sandbox.revoke(newer)
        await two.refresh("beta", dead=newer)
        assert world.sandbox.accepts(await two.access_token("beta"))


async def test_who_waits_for_another_s_fetch_and_asks_for_what_nobody_has_is_not_sent_round(world, store):
    """A worker was stopped: what it has seen had ended when a newer one came with a lower version."""
    tokens = world.manager(store=store)
    await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    flight = tokens._flights.join(entry, Reason.ASKED)
    flight.seen += HOUR * 1000
    await flight.done.wait()
    assert flight.error is None
    assert (world.count("token"), "restore" in store.calls) == (2, False)


async def test_what_has_come_by_the_news_before_it_could_be_told_stays(world, store, other):
    one, two = world.manager(store=store), world.manager(store=other)
    other.faults["*"] = "away"
    await fetched_alone(two)
    await anyio.sleep(100)
    newer = await one.access_token("beta")
    entry = two.entry("beta", "access_token")
    [record] = await store.inner.read([entry.credential])
    entry.adopt(record, world.clock.moment())
    other.faults.clear()
    await two._keeper.save()
    assert not two._keeper.behind
    assert await two.access_token("beta") == newer
    assert world.count("token") == 2


async def test_what_comes_by_the_news_before_the_answer_to_what_was_told_is_not_doubted(
    world, store, other, monkeypatch
):
    """The answer was on its way while a lease brought a newer one."""
    one, two = world.manager(store=store), world.manager(store=other)
    entry = two.entry("beta", "access_token")
    other.faults["*"] = "away"
    await fetched_alone(two)
    other.faults.clear()
    await anyio.sleep(MINUTE)
    commit = other.commit

    async def overtaken(commits):
        answers = await commit(commits)
        await one.refresh("beta")
        entry.adopt((await store.inner.read([entry.credential]))[0], world.clock.moment())
        return answers

    monkeypatch.setattr(other, "commit", overtaken)
    await two._keeper.save()
    [record] = await store.inner.read([entry.credential])
    assert (entry.held.value, entry.held.version) == (record.value, record.version)
    assert entry.held.left(world.clock) == pytest.approx(7170, abs=2)
    assert await one.access_token("beta") == await two.access_token("beta")
    assert world.count("token") == 2


async def test_what_a_running_lease_brings_replaces_it_and_until_then_it_is_served(
    world, store, other, ahead
):
    two = world.manager(store=other, clock=ahead)
    credential = two.entry("beta", "access_token").credential
    await store.inner.commit([Commit(credential, 7, "older", ttl_s=100, ask_in_s=0)])
    other.faults["*"] = "away"
    alone = await fetched_alone(two)
    await anyio.sleep(10)
    [granted] = await store.inner.claim([Claim(credential)], owner="another", lease_s=30)
    other.faults.clear()
    await two._keeper.save()
    assert await two.access_token("beta") == alone
    [brought] = await store.inner.commit([Commit(credential, granted.fence, "newest", 7170, 4000)])
    assert brought.taken
    await anyio.sleep(2)
    await two._keeper.load([two.entry("beta", "access_token")])
    assert await two.access_token("beta") == "newest"
    assert world.count("token") == 1


async def test_what_was_fetched_while_an_earlier_value_is_told_stays(world, store, monkeypatch):
    tokens = world.manager(world.account("beta"), store=store)
    entry = tokens.entry("beta", "access_token")
    store.faults["*"] = "away"
    earlier = await fetched_alone(tokens)
    await anyio.sleep(MINUTE)
    store.faults.clear()
    keeper, commit = tokens._keeper, store.commit

    async def meanwhile(commits):
        permit = keeper._permit_alone(entry)
        later = Commit(entry.credential, permit.fence, "later", 7000, 3600, refused=Cut(270, 0))
        keeper._hold_unsaved(entry, later, permit, world.clock.moment())
        return await commit(commits)

    monkeypatch.setattr(store, "commit", meanwhile)
    await keeper._own_up([entry])
    monkeypatch.undo()
    assert (await store.inner.read([entry.credential]))[0].value == earlier
    assert (entry.held.value, entry in keeper.untold) == ("later", True)
    await anyio.sleep(1)
    await keeper.save()
    assert (entry.held.value, entry in keeper.untold) == ("later", False)
    assert (await store.inner.read([entry.credential]))[0].value == "later"


@pytest.mark.parametrize("errcode", [40164, -1])
async def test_the_one_living_token_is_not_given_up_because_another_s_later_fetch_failed(
    world, store, other, errcode
):
    one, two = world.manager(store=store), world.manager(store=other)
    other.faults["*"] = "away"
    async with two:
        await anyio.sleep(MINUTE)
        alone = two.entry("beta", "access_token").held.value
        await anyio.sleep(6 * MINUTE)
        world.sandbox.fail("errcode", errcode=errcode, path="/cgi-bin/token", times=None)
        async with one:
            await anyio.sleep(3)
            other.faults.clear()
            for _ in range(30):
                assert await two.access_token("beta") == alone
                await anyio.sleep(5)
            assert await one.access_token("beta") == alone
            assert world.sandbox.accepts(alone)


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "lapses"])
async def test_while_a_later_lease_runs_it_is_trusted_from_when_that_was_granted(world, store, other, fails):
    """However long ago it was fetched: that lease's call is the first that can have doomed it."""
    two = world.manager(world.account("beta"), store=other)
    credential = two.entry("beta", "access_token").credential
    other.faults["*"] = "away"
    alone = await fetched_alone(two)
    await anyio.sleep(HOUR)
    claim = Claim(credential, lapse=Cut(270, 0))
    [granted] = await store.inner.claim([claim], owner="another", lease_s=30)
    await anyio.sleep(10)
    other.faults.clear()
    await two._keeper.save()
    assert two.entry("beta", "access_token").left(world.clock) == pytest.approx(260, abs=1)
    if fails:
        await store.inner.fail([Fail(credential, granted.fence)])
    await anyio.sleep(30)
    [record] = await store.inner.read([credential])
    assert (record.value, record.ttl_s) == (alone, pytest.approx(230, abs=1))


async def test_a_ticket_that_was_proved_alone_lives_on_in_the_store_as_long_as_before():
    fleet = Fleet(["stable"], overlap="grace", apart_s=0)  # its ticket is as old as the test
    store = FaultyStore(fleet.clock)
    async with fleet.manager(store=store) as tokens:
        ticket = await tokens.jsapi_ticket("account0")
        entry = tokens.entry("account0", "jsapi_ticket")
        left_s = entry.left(fleet.clock)
        store.faults["*"] = "away"
        await anyio.sleep(HOUR / 2)
        assert entry in tokens._keeper.untold
        store.faults.clear()
        await anyio.sleep(5)
        [record] = await store.inner.read([entry.credential])
        assert (record.value, record.ttl_s) == (ticket, pytest.approx(left_s - HOUR / 2 - 5, abs=1))
        assert entry.left(fleet.clock) == pytest.approx(record.ttl_s, abs=1)
        assert not tokens._keeper.behind


async def test_a_lost_call_is_told_once_though_the_value_after_it_is_told_again(world, store):
    """After that value it would be taken for a later call, and cut it."""
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    world.sandbox.fail("reset", path="/cgi-bin/token", times=1, before=False)
    flight = tokens._flights.join(tokens.entry("beta", "access_token"))
    await flight.done.wait()
    assert isinstance(flight.error, NotReady)
    await anyio.sleep(MINUTE)
    alone = await fetched_alone(tokens)
    await anyio.sleep(6 * MINUTE)
    store.faults, store.calls["fail"] = {"commit": "lost"}, 0
    with pytest.raises(StoreError):
        await tokens._keeper.save()
    store.faults.clear()
    await tokens._keeper.save()
    assert store.calls["fail"] == 1
    [record] = await store.inner.read([tokens.entry("beta", "access_token").credential])
    assert (record.value, record.ttl_s) == (alone, pytest.approx(270, abs=1))
    assert not tokens._keeper.behind


@pytest.mark.parametrize("waits_s", [MINUTE, 10 * MINUTE])
async def test_what_is_told_while_a_new_one_is_asked_for_is_no_new_one(world, store, waits_s):
    """The store hears of it at that moment: it is what the caller has already."""
    tokens = world.manager(world.account("beta"), store=store)
    store.faults["*"] = "away"
    alone = await fetched_alone(tokens)
    await anyio.sleep(waits_s)
    store.faults.clear()
    entry = tokens.entry("beta", "access_token")
    flight = tokens._flights.join(entry, Reason.ASKED)
    await flight.done.wait()
    assert flight.error is None
    assert entry.held.value != alone
    assert world.count("token") == 2


@pytest.mark.parametrize("reported", [True, False])
async def test_a_value_that_only_a_wrong_clock_has_ended_is_renewed_when_asked_for(world, store, reported):
    """The store knows better, and gives it back: that is no new one."""
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        await anyio.sleep(100)
        world.clock.wall_offset += 8000
        assert await tokens.refresh("beta", dead=held if reported else None) != held
        assert world.count("token") == 2


async def test_a_value_that_has_really_ended_is_fetched_once_when_a_new_one_is_asked_for(world, store):
    tokens = world.manager(store=store)
    held = await tokens.access_token("beta")
    await anyio.sleep(8000)
    assert await tokens.refresh("beta") != held
    assert world.count("token") == 2


async def test_a_reader_who_slept_through_a_back_off_gets_what_came_meanwhile(world, store):
    """With a value there may come a longer back-off of those who could not renew it."""
    tokens = world.manager(store=store)
    entry, got = tokens.entry("beta", "access_token"), []

    async def read():
        got.append(await tokens.access_token("beta"))

    world.sandbox.fail("reset", path="/cgi-bin/token", times=1)
    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.sleep(0.5)
        assert entry.flight is None
        quota = LastError("quota", "the quota is spent", errcode=45009)
        news = Record(entry.credential, 7, "news", ttl_s=7000, ask_in_s=0, wait_s=700, error=quota)
        entry.adopt(news, world.clock.moment())
    assert got == ["news"]
