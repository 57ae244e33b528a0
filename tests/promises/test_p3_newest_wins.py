"""P3: a late answer never replaces a newer value."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Claim, Commit, Cut, Granted


async def test_a_commit_with_an_old_fence_is_refused_and_puts_the_stored_token_in_doubt(world):
    store = MemoryStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        credential = tokens.entry("beta", "access_token").credential
        seen = tokens.entry("beta", "access_token").held.version
        claim = Claim(credential, seen=seen, asked=True, lapse=Cut(270, 0))
        paused = (await store.claim([claim], owner="paused", lease_s=30))[0]
        assert isinstance(paused, Granted)
        await anyio.sleep(40)  # the holder is stopped past its lease; another fetches
        newest = await tokens.access_token("beta")
        assert world.count("token") == 2
        late = Commit(credential, paused.fence, "late-token-000000", 7000, 3600, refused=Cut(230, 170))
        answer = (await store.commit([late]))[0]
        assert not answer.taken
        assert answer.record.value == newest
        await anyio.sleep(1)
        assert await tokens.access_token("beta") == newest
        await anyio.sleep(230)
        assert world.count("token") == 3
        assert world.sandbox.accepts(await tokens.access_token("beta"))


@pytest.mark.parametrize("seconds", [25, 40])
async def test_two_managers_agree_after_one_was_slow(world, seconds):
    store = MemoryStore(world.clock)
    slow = world.manager(world.account("beta"), store=store)
    quick = world.manager(world.account("beta"), store=store)
    async with slow, quick:
        await slow.access_token("beta")
        await anyio.sleep(61)
        world.sandbox.fail("slow", path="/cgi-bin/token", times=1, seconds=seconds, before=False)
        with pytest.raises(Exception, match="beta"):
            await slow.refresh("beta")
        await anyio.sleep(60)
        assert await slow.access_token("beta") == await quick.access_token("beta")
        assert world.sandbox.accepts(await quick.access_token("beta"))
