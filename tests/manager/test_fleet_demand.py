"""Workers without a loop on a shared store: an old copy is compared first, one read for all who ask."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi import StoreFormatError

from support.faulty_store import FaultyStore
from support.fleet import Fleet


@pytest.fixture
def store(world):
    return FaultyStore(world.clock)


def slow_reads(store, seconds):
    read = store.inner.read

    async def slow(credentials):
        await anyio.sleep(seconds)
        return await read(credentials)

    store.inner.read = slow


async def read_all(tokens, name, callers):
    found = []

    async def read():
        found.append(await tokens.access_token(name))

    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(read)
    return found


async def test_all_who_ask_meanwhile_wait_for_the_one_read_and_get_what_it_brings(world, store):
    writer, reader = world.manager(store=store), world.manager(store=store)
    await reader.access_token("beta")
    await anyio.sleep(61)
    new = await writer.refresh("beta")
    slow_reads(store, 0.5)
    reads = store.calls["read"]
    begun = anyio.current_time()
    assert set(await read_all(reader, "beta", 50)) == {new}
    assert store.calls["read"] == reads + 1
    assert anyio.current_time() - begun == pytest.approx(0.5)


async def test_the_copy_of_another_credential_is_compared_by_itself(world, store):
    tokens = world.manager(store=store)
    for name in ("alpha", "beta"):
        await tokens.access_token(name)
    await anyio.sleep(1)
    reads = store.calls["read"]
    await tokens.access_token("alpha")
    await tokens.access_token("beta")
    assert store.calls["read"] == reads + 2


async def test_whoever_reads_for_the_others_may_go_away(world, store):
    tokens = world.manager(store=store)
    held = await tokens.access_token("beta")
    await anyio.sleep(1)
    slow_reads(store, 0.5)
    reads = store.calls["read"]
    async with anyio.create_task_group() as group:

        async def leave():
            with anyio.move_on_after(0.2):
                await tokens.access_token("beta")

        group.start_soon(leave)
        await anyio.sleep(0.1)
        assert set(await read_all(tokens, "beta", 20)) == {held}
    assert store.calls["read"] == reads + 2


async def test_while_the_store_hangs_one_asks_and_the_others_go_on(world, store):
    tokens = world.manager(store=store)
    held = await tokens.access_token("beta")
    await anyio.sleep(1)
    store.faults["*"] = "hang"
    assert await tokens.access_token("beta") == held  # after 3 s
    await anyio.sleep(1)
    waits = []

    async def read():
        begun = anyio.current_time()
        assert await tokens.access_token("beta") == held
        waits.append(anyio.current_time() - begun)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(read)
    assert sorted(waits)[:-1] == [0.0] * 19
    assert max(waits) == pytest.approx(3)


async def test_the_store_is_opened_once_for_all_who_come_first(world, store):
    tokens = world.manager(store=store)
    assert len(set(await read_all(tokens, "beta", 50))) == 1
    assert store.calls["open"] == 1
    assert world.count("token") == 1


async def test_a_store_that_cannot_be_opened_is_tried_again_and_refuses_nobody(world, store):
    tokens = world.manager(world.account("alpha"), store=store)
    store.faults["*"] = "away"
    held = await tokens.access_token("alpha")
    assert await tokens.access_token("alpha") == held
    assert store.calls.get("read", 0) == 0
    store.faults.clear()
    await tokens.access_token("alpha")
    assert store.calls["open"] == 3
    assert world.count("stable_token") == 1


async def test_a_store_of_an_unknown_format_is_told_to_each_caller(world, store):
    async def refuse():
        raise StoreFormatError("the store holds records of format 9; this version knows 1")

    store.open = refuse
    tokens = world.manager(store=store)
    for _ in range(2):
        with pytest.raises(StoreFormatError, match="format 9"):
            await tokens.access_token("beta")
    assert len(world.sandbox.calls) == 0


async def test_four_workers_without_a_loop_fetch_what_one_would(world, store):
    managers = [world.manager(world.account("beta"), store=store) for _ in range(4)]
    for turn in range(8 * 3600 // 61):
        token = await managers[turn % 4].access_token("beta")
        assert world.sandbox.accepts(token)
        await anyio.sleep(61)
    assert world.count("token") <= 8 * 3600 / 3600 + 1


async def test_a_due_token_that_another_worker_fetches_is_served_meanwhile():
    fleet = Fleet(["token"], overlap="grace", apart_s=0, tickets=False)
    store = FaultyStore(fleet.clock)
    one, two = fleet.manager(store=store), fleet.manager(store=store)
    held = await one.access_token("account0")
    await anyio.sleep(4400)
    fleet.sandbox.fail("slow", times=1, seconds=4)
    async with anyio.create_task_group() as group:
        group.start_soon(one.access_token, "account0")
        await anyio.sleep(0.5)
        begun = anyio.current_time()
        token = await two.access_token("account0")
        assert anyio.current_time() - begun <= 4.5
        assert token != held or fleet.sandbox.accepts(held)
    assert fleet.sandbox.count("/cgi-bin/token") == 2
