"""P2: however many ask, at most one fetch per credential is under way, cold start included."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from wxtoken_asgi.stores import MemoryStore

from benchmarks.fleet import SharedStore
from support.fleet import Fleet


async def collect(function, results):
    results.append(await function())


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("entered", [True, False], ids=["loop", "on demand"])
async def test_five_hundred_cold_readers_share_one_fetch(world, name, entered):
    world.sandbox.fail("slow", times=None, seconds=1.0)
    tokens = world.manager(world.account(name))
    results = []

    async def read_all():
        async with anyio.create_task_group() as group:
            for _ in range(500):
                group.start_soon(collect, lambda: tokens.access_token(name), results)

    if entered:
        async with tokens:
            await read_all()
    else:
        await read_all()
    assert len(set(results)) == 1
    assert len(results) == 500
    assert len(world.sandbox.calls) == 1


async def test_several_managers_on_one_store_fetch_once(world):
    store = MemoryStore(world.clock)
    world.sandbox.fail("slow", times=None, seconds=0.5)
    managers = [world.manager(store=store) for _ in range(4)]
    results = []
    async with managers[0], managers[1], managers[2], managers[3]:
        async with anyio.create_task_group() as group:
            for tokens in managers:
                for name in ("alpha", "beta"):
                    group.start_soon(collect, lambda t=tokens, n=name: t.access_token(n), results)
        assert len(set(results)) == 2
        assert (world.count("token"), world.count("stable_token")) == (1, 1)
        await anyio.sleep(8 * 3600)
        one_worker = 8 * 3600 / (0.5 * 7200)
        assert world.count("token") <= one_worker + 1
        assert world.count("stable_token") <= 8 * 3600 / 243 + 8


@pytest.mark.parametrize("entered", [True, False], ids=["loop", "on demand"])
async def test_five_hundred_cold_readers_of_eight_workers_share_one_fetch(world, entered):
    store = SharedStore(world.clock)
    world.sandbox.fail("slow", times=None, seconds=1.0)
    managers = [world.manager(world.account("beta", tickets=["jsapi"]), store=store) for _ in range(8)]
    tokens, tickets = [], []
    async with AsyncExitStack() as stack:
        for manager in managers if entered else ():
            await stack.enter_async_context(manager)
        async with anyio.create_task_group() as group:
            for n in range(500):
                group.start_soon(collect, lambda m=managers[n % 8]: m.access_token("beta"), tokens)
                group.start_soon(collect, lambda m=managers[n % 8]: m.jsapi_ticket("beta"), tickets)
        assert (len(set(tokens)), len(set(tickets))) == (1, 1)
        assert (world.count("token"), world.count("ticket/getticket")) == (1, 1)
    assert store.items["claim"] <= 2 * 8 * 5
    again = world.manager(world.account("beta", tickets=["jsapi"]), store=store)
    async with again:  # a restart
        assert {await again.access_token("beta")} == set(tokens)
        assert {await again.jsapi_ticket("beta")} == set(tickets)
    assert len(world.sandbox.calls) == 2


async def test_a_caller_that_goes_away_changes_nothing(world):
    world.sandbox.fail("slow", times=1, seconds=2.0)
    async with world.manager(world.account("beta")) as tokens:
        with anyio.move_on_after(0.5) as gone:
            await tokens.access_token("beta")
        assert gone.cancelled_caught
        await tokens.access_token("beta")
        assert world.count("token") == 1


async def test_all_callers_going_away_changes_nothing_on_demand(world):
    world.sandbox.fail("slow", times=1, seconds=2.0)
    tokens = world.manager(world.account("beta"))
    with anyio.move_on_after(0.5):
        await tokens.access_token("beta")
    await anyio.sleep(3)
    assert tokens.statistics().credentials[0].version > 0
    assert world.count("token") == 1


async def test_at_most_so_many_fetches_are_in_flight_and_callers_go_first():
    fleet = Fleet(["token"] * 40, overlap="grace", apart_s=0, tickets=False)
    fleet.sandbox.fail("slow", times=None, seconds=1.0)
    order = []
    async with fleet.manager(fetches=4, on_token=lambda event: order.append(event.account)) as tokens:
        await anyio.sleep(0.1)  # 4 are under way, 36 wait
        begun = anyio.current_time()
        await tokens.access_token("account39")
        assert anyio.current_time() - begun < 2.2
        most = 0
        for _ in range(60):
            await anyio.sleep(0.25)
            most = max(most, tokens.statistics().fetching)
        assert all(item.version for item in tokens.statistics().credentials)
    assert fleet.sandbox.count("/cgi-bin/token") == 40
    started = sorted(call.at for call in fleet.sandbox.calls)
    assert max(sum(1 for at in started if s <= at < s + 0.99) for s in started) <= 5


async def test_a_ticket_fetch_uses_the_shared_token(world):
    async with world.manager(world.account("beta", tickets=["jsapi"])) as tokens:
        results = []
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(collect, lambda: tokens.jsapi_ticket("beta"), results)
        assert len(set(results)) == 1
        assert (world.count("token"), world.count("ticket/getticket")) == (1, 1)
