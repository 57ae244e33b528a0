"""P9: after a refresh on one worker, every other serves the new value within 250 ms."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest

from wxtoken_asgi.stores import MemoryStore

from benchmarks.fleet import SharedStore
from support.fleet import Fleet


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_the_others_serve_the_new_value_within_250_ms(world, name):
    store = MemoryStore(world.clock)
    one, two = world.manager(store=store), world.manager(store=store)
    async with one, two:
        await one.access_token(name)
        await two.access_token(name)
        for _ in range(5):
            await anyio.sleep(61)
            new = await one.refresh(name)
            await anyio.sleep(0.25)
            assert await two.access_token(name) == new


async def test_a_wiped_store_gets_back_what_a_worker_holds_before_anyone_fetches(world):
    store = MemoryStore(world.clock)
    async with world.manager(store=store) as tokens:
        before = [await tokens.access_token("alpha"), await tokens.access_token("beta")]
        calls = len(world.sandbox.calls)
        store.wipe()
        await anyio.sleep(1)
        async with world.manager(store=store) as other:
            assert [await other.access_token("alpha"), await other.access_token("beta")] == before
        assert len(world.sandbox.calls) == calls


async def test_eight_busy_workers_serve_the_new_value_within_250_ms():
    """While the news of many other credentials come in."""
    fleet = Fleet(["token"] * 30, overlap="grace", apart_s=0, tickets=False)
    store = SharedStore(fleet.clock)
    managers = [fleet.manager(store=store) for _ in range(8)]
    async with AsyncExitStack() as stack:
        for tokens in managers:
            await stack.enter_async_context(tokens)
        await anyio.sleep(61)
        async with anyio.create_task_group() as group:

            async def refresh(n):
                await anyio.sleep(n * 0.03)
                new = await managers[n % 8].refresh(f"account{n}")
                await anyio.sleep(0.25)
                for tokens in managers:
                    assert await tokens.access_token(f"account{n}") == new

            for n in range(30):
                group.start_soon(refresh, n)
        assert fleet.sandbox.count("/cgi-bin/token") == 60


async def test_without_a_loop_the_new_value_is_served_once_the_copy_is_as_old_as_news_may_be(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("beta"), store=store) for _ in range(4)]
    for tokens in managers:
        await tokens.access_token("beta")
    for turn in range(4):
        await anyio.sleep(61)
        new = await managers[turn].refresh("beta")
        await anyio.sleep(store.news_s)
        for tokens in managers:
            assert await tokens.access_token("beta") == new
