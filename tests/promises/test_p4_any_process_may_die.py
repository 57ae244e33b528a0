"""P4: any process may die at any point, and the others go on within one lease."""

from __future__ import annotations

import anyio

from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Claim, Cut


async def test_a_holder_that_died_before_the_first_fetch_holds_nobody_up_for_long(world):
    store = MemoryStore(world.clock)
    tokens = world.manager(world.account("beta"), store=store)
    credential = tokens.entry("beta", "access_token").credential
    await store.claim([Claim(credential, lapse=Cut(270, 0))], owner="dead", lease_s=30)
    async with tokens:
        begun = anyio.current_time()
        await anyio.sleep(31)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert anyio.current_time() - begun < 32
        assert world.count("token") == 1


async def test_a_holder_that_died_after_its_fetch_leaves_a_token_that_is_trusted_for_270_s(world):
    store = MemoryStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        entry = tokens.entry("beta", "access_token")
        claim = Claim(entry.credential, seen=entry.held.version, asked=True, lapse=Cut(270, 0))
        await store.claim([claim], owner="dead", lease_s=30)
        world.sandbox.outside_fetch(entry.account.appid, "token")  # and dies before its commit
        begun = world.clock.monotonic()
        while await tokens.access_token("beta") == held:
            assert world.sandbox.accepts(held)
            await anyio.sleep(1)
        assert world.clock.monotonic() - begun < 35
        assert world.count("token") == 2


async def test_while_wechat_is_away_too_the_doubted_token_ends_after_270_s(world):
    store = MemoryStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        entry = tokens.entry("beta", "access_token")
        claim = Claim(entry.credential, seen=entry.held.version, asked=True, lapse=Cut(270, 0))
        await store.claim([claim], owner="dead", lease_s=30)
        world.sandbox.away()
        begun = world.clock.monotonic()
        while tokens.fresh(entry) is not None:  # noqa: ASYNC110 - time is virtual
            await anyio.sleep(1)
        assert 269 <= world.clock.monotonic() - begun <= 271
