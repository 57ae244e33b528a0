"""P9: after a refresh on one worker, every other serves the new value within 250 ms."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi.stores import MemoryStore


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
