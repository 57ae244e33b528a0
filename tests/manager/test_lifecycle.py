"""Opening, sharing, closing and opening again."""

from __future__ import annotations

import logging
import threading

import anyio

from wxtoken_asgi import NotReady, TokenManager, WrongLoop, WxTokenError
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.flights import Flight
from wxtoken_asgi.loop import Loop
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Supply

from support.virtual import VirtualClock


async def test_entering_twice_shares_the_manager_and_the_last_exit_closes_it(world):
    tokens = world.manager()
    async with tokens:
        async with tokens:
            await tokens.access_token("alpha")
        assert tokens.statistics().open
    assert not tokens.statistics().open


async def test_tasks_may_leave_in_any_order(world):
    tokens = world.manager()
    first_left, second_in = anyio.Event(), anyio.Event()

    async def first():
        async with tokens:
            await second_in.wait()
        first_left.set()

    async def second():
        async with tokens:
            second_in.set()
            await first_left.wait()
            assert tokens.statistics().open
            await tokens.access_token("alpha")

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        group.start_soon(second)
    assert not tokens.statistics().open


async def test_it_opens_again_and_keeps_what_the_store_holds(world):
    tokens = world.manager(store=MemoryStore(world.clock))
    async with tokens:
        before = await tokens.access_token("beta")
    async with tokens:
        assert await tokens.access_token("beta") == before
    async with world.manager(store=tokens._link.store) as restarted:
        assert await restarted.access_token("beta") == before
    assert world.count("token") == 1


async def test_a_second_loop_meanwhile_is_an_error(world):
    tokens = world.manager()
    caught = []

    async def enter():
        async with tokens:
            pass

    def other_loop():
        try:
            anyio.run(enter)
        except WrongLoop as error:
            caught.append(str(error))

    async with tokens:
        thread = threading.Thread(target=other_loop)
        thread.start()
        thread.join()
    assert caught == ["the manager is open in another event loop; give each loop a manager of its own"]


def test_one_manager_serves_one_loop_after_the_other(world):
    tokens = world.manager(clock=Clock())

    async def once():
        async with tokens:
            return await tokens.access_token("beta")

    assert anyio.run(once) == anyio.run(once, backend="trio")
    assert world.count("token") == 1


async def test_a_fetch_under_way_is_finished_and_committed_at_shutdown(world):
    store = MemoryStore(world.clock)
    world.sandbox.fail("slow", times=None, seconds=3)
    tokens = world.manager(world.account("beta"), store=store)
    async with tokens:
        await anyio.sleep(0.5)
    assert (await store.read([tokens.entry("beta", "access_token").credential]))[0].good
    assert world.count("token") == 1


async def test_a_fetch_that_hangs_is_given_up_after_five_seconds(world):
    world.sandbox.fail("hang", times=None)
    tokens = world.manager(world.account("beta"))
    async with tokens:
        await anyio.sleep(0.5)
        begun = anyio.current_time()
    assert 4.9 <= anyio.current_time() - begun <= 6.5
    assert tokens.statistics().fetching == 0


async def test_no_new_fetch_starts_while_closing(world):
    world.sandbox.fail("slow", times=None, seconds=2)
    tokens = world.manager(world.account("beta", tickets=["jsapi"]))
    errors = []

    async def late():
        await anyio.sleep(1.0)
        try:
            await tokens.jsapi_ticket("beta")
        except NotReady as error:
            errors.append(str(error))

    async with anyio.create_task_group() as group, tokens:
        await anyio.sleep(0.5)
        group.start_soon(late)
    assert len(errors) == 1
    assert "closing" in errors[0]
    assert world.count("ticket/getticket") == 0


async def test_a_ticket_that_only_waits_for_its_token_does_not_hold_up_the_end(world):
    world.sandbox.fail("garbage", times=None)
    tokens = world.manager(world.account("beta", tickets=["jsapi"]))
    async with tokens:
        await anyio.sleep(1)
        begun = anyio.current_time()
    assert anyio.current_time() - begun < 0.1
    assert tokens.statistics().fetching == 0


async def test_opening_and_closing_at_once_leaves_nothing_behind(world, caplog):
    caplog.set_level(logging.WARNING)
    for _ in range(20):
        async with world.manager():
            pass
    assert not caplog.records


async def test_a_loop_that_was_stopped_before_it_began_asks_nobody(world):
    tokens = world.manager()
    loop = Loop(tokens._registry, keeper=tokens._keeper, flights=tokens._flights)
    await loop.warm_up()  # so that it has much to fetch
    loop.stop()
    await loop.run()
    assert loop.ended.is_set()
    assert not any(entry.flight for entry in tokens._registry.wanted)


async def test_a_cancelled_host_still_closes_it(world):
    tokens = world.manager()
    with anyio.move_on_after(1):
        async with tokens:
            await anyio.sleep_forever()
    assert not tokens.statistics().open


async def test_readiness(world):
    world.sandbox.fail("hang", times=None)
    tokens = world.manager()
    assert tokens.ready  # on demand there is nothing to wait for
    async with tokens:
        assert not tokens.ready
        await anyio.sleep(5)
        assert tokens.ready
        tokens.draining = True
        assert not tokens.ready


async def test_one_misconfigured_account_of_many_does_not_make_it_unready(world):
    wrong = world.account("alpha", secret="wrong-secret-000000000")
    async with world.manager(wrong, world.account("beta")) as tokens:
        await anyio.sleep(0.5)
        assert tokens.ready


async def test_a_bug_in_the_loop_does_not_end_it(world, caplog):
    store = MemoryStore(world.clock)
    tokens = world.manager(world.account("beta"), store=store)
    async with tokens:
        before = await tokens.access_token("beta")
        loop = tokens._loop
        loop._begin = None  # whatever a bug does
        await anyio.sleep(4500)
        del loop._begin
        await anyio.sleep(60)
        assert await tokens.access_token("beta") != before
    assert "the background loop failed and goes on" in caplog.text


async def test_owners_differ_and_are_drawn_again_after_a_fork(world, monkeypatch):
    one, two = world.manager(), world.manager()
    assert one._link.owner == one._link.owner != two._link.owner
    before = one._link.owner
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert one._link.owner != before


def test_two_thousand_accounts_are_kept_by_one_loop():
    """A heap in the store, and no task per credential."""
    from support.fleet import Fleet

    fleet = Fleet(["token"] * 2000, overlap="grace", apart_s=0, tickets=False)

    async def run():
        async with fleet.manager() as tokens:
            await anyio.sleep(30)
            assert all(item.version for item in tokens.statistics().credentials)
            most = 0
            for _ in range(95):
                await anyio.sleep(36)
                most = max(most, tokens.statistics().fetching)
            return most

    from support.virtual import VirtualLoop

    assert anyio.run(run, backend_options={"loop_factory": VirtualLoop}) <= 64
    assert fleet.sandbox.count("/cgi-bin/token") == 2000
    assert isinstance(fleet.clock, VirtualClock)


def test_a_repr_tells_nothing(world):
    tokens = world.manager()
    assert repr(tokens) == "<TokenManager of 2 accounts>"
    assert repr(tokens.entry("alpha", "access_token")) == "<access_token of account alpha>"
    assert isinstance(tokens, TokenManager)


async def test_a_flight_that_was_replaced_by_another_loops_leaves_that_one_alone(world):
    world.sandbox.fail("slow", times=1, seconds=1)
    tokens = world.manager(world.account("beta"))
    entry = tokens.entry("beta", "access_token")
    mine = tokens._flights.join(entry)
    entry.flight = other = Flight(mine.reason, seen=0, blind=False, urgent=True)
    await mine.done.wait()
    assert entry.flight is other


async def test_a_refresh_that_the_end_cuts_off_is_no_success(world):
    async with anyio.create_task_group() as group:
        errors = []

        async def refresh(tokens):
            try:
                await tokens.refresh("beta")
            except WxTokenError as error:
                errors.append(type(error))

        async with world.manager(world.account("beta")) as tokens:
            await tokens.access_token("beta")
            await anyio.sleep(61)
            world.sandbox.fail("slow", path="/cgi-bin/token", seconds=9)
            group.start_soon(refresh, tokens)
            await anyio.sleep(0.5)
    assert errors == [NotReady]


async def test_what_is_due_but_not_ours_does_not_hide_what_is(world):
    """A store that other services use tells of their credentials too, the most overdue first."""
    store = MemoryStore(world.clock)
    async with world.manager(world.account("alpha"), store=store, fetches=1) as tokens:
        entry = tokens.entry("alpha", "access_token")
        await tokens.access_token("alpha")
        foreign = [entry.credential._replace(appid=f"wx{number:016x}") for number in range(5)]
        await store.supply([Supply(one, "theirs", 7000.0, 0.0) for one in foreign])
        await anyio.sleep(entry.held.ask_in(world.clock) + 5)
        assert world.count("stable_token") == 2
