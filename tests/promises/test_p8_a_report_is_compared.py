"""P8: a report causes a fetch only if the token it names is still the current one."""

from __future__ import annotations

import anyio
import pytest


@pytest.mark.parametrize(("name", "path", "calls"), [("beta", "token", 1), ("alpha", "stable_token", 2)])
async def test_five_hundred_reports_of_one_dead_token_are_one_fetch(world, name, path, calls):
    async with world.manager() as tokens:
        dead = await tokens.access_token(name)
        world.sandbox.revoke(dead)
        before = world.count(path)
        async with anyio.create_task_group() as group:
            for _ in range(500):
                group.start_soon(lambda: tokens.refresh(name, dead=dead))
        new = await tokens.access_token(name)
        assert new != dead
        assert world.sandbox.accepts(new)
        assert world.count(path) - before == calls


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_reports_of_other_tokens_fetch_nothing(world, name):
    async with world.manager() as tokens:
        old = await tokens.access_token(name)
        await anyio.sleep(61)
        new = await tokens.refresh(name)
        calls = len(world.sandbox.calls)
        for dead in (old, "never-seen-token-0000", new[:-1]):
            assert await tokens.refresh(name, dead=dead) == new
        assert len(world.sandbox.calls) == calls


async def test_a_false_report_on_the_stable_endpoint_forces_nothing(world):
    async with world.manager() as tokens:
        held = await tokens.access_token("alpha")
        assert await tokens.refresh("alpha", dead=held) == held
        assert not any(call.forced for call in world.sandbox.calls)
        assert world.count("stable_token") == 1
        probes = world.count("get_api_domain_ip")
        for _ in range(50):  # within a minute nobody asks WeChat again
            assert await tokens.refresh("alpha", dead=held) == held
        assert world.count("get_api_domain_ip") == probes == 1


async def test_within_a_minute_after_a_refresh_the_next_is_ok_without_a_fetch(world):
    async with world.manager() as tokens:
        await tokens.access_token("beta")
        new = await tokens.refresh("beta")
        await anyio.sleep(59)
        assert await tokens.refresh("beta", dead=new) == new
        assert world.count("token") == 2
        await anyio.sleep(2)
        assert await tokens.refresh("beta", dead=new) != new
        assert world.count("token") == 3


async def test_after_a_failed_refresh_the_next_within_a_minute_gets_its_error(world):
    async with world.manager() as tokens:
        held = await tokens.access_token("beta")
        world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=-1, times=1)
        said = []
        for _ in range(3):
            with pytest.raises(Exception, match="beta") as caught:
                await tokens.refresh("beta", dead=held)
            said.append(str(caught.value))
        assert len(set(said)) == 1
        assert await tokens.access_token("beta") == held


async def test_a_ticket_fetch_that_finds_its_token_dead_renews_the_token_once(world):
    async with world.manager() as tokens:
        dead = await tokens.access_token("beta")
        world.sandbox.revoke(dead)
        ticket = await tokens.jsapi_ticket("beta")
        assert world.sandbox.accepts_ticket(ticket)
        assert world.count("token") == 2
        assert world.count("ticket/getticket") == 2


async def test_reports_on_two_workers_are_one_fetch(world):
    from wxtoken_asgi.stores import MemoryStore

    store = MemoryStore(world.clock)
    one, two = world.manager(store=store), world.manager(store=store)
    world.sandbox.fail("slow", times=None, seconds=0.3)
    async with one, two:
        dead = await one.access_token("beta")
        assert dead == await two.access_token("beta")
        world.sandbox.revoke(dead)
        async with anyio.create_task_group() as group:
            for tokens in (one, two) * 50:
                group.start_soon(lambda t=tokens: t.refresh("beta", dead=dead))
        assert await one.access_token("beta") == await two.access_token("beta") != dead
        assert world.count("token") == 2


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_reports_of_another_programs_token_fetch_nothing(world, name):
    endpoint = "token" if name == "beta" else "stable"
    async with world.manager(world.account(name)) as tokens:
        held = await tokens.access_token(name)
        theirs = world.sandbox.outside_fetch(world.account(name).appid, endpoint, force=name == "alpha")
        calls = len(world.sandbox.calls)
        assert await tokens.refresh(name, dead=theirs) == held
        assert len(world.sandbox.calls) == calls
