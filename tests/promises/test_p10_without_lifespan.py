"""P10: it works where lifespan does not run: on demand, with one warning, and equally correct."""

from __future__ import annotations

import logging

import anyio
import pytest

from support.fleet import http_client


async def test_tokens_are_fetched_on_demand_with_one_warning(world, caplog):
    tokens = world.manager()
    async with http_client(tokens) as http:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                for path in (
                    "/token/alpha",
                    "/token/beta",
                    "/ticket/beta",
                    "/js-config/alpha?url=http://a.b/",
                ):
                    assert (await http.get(path)).status_code == 200
    assert [r.getMessage() for r in caplog.records].count(
        "lifespan did not run: tokens are fetched on demand, not kept fresh"
    ) == 1
    assert (world.count("token"), world.count("stable_token"), world.count("ticket/getticket")) == (1, 1, 2)


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_no_read_is_refused_and_none_is_dead_for_two_days(world, name):
    tokens = world.manager()
    for _ in range(int(48 * 3600 / 101)):
        assert world.sandbox.accepts(await tokens.access_token(name))
        await anyio.sleep(101)


async def test_a_due_token_is_renewed_by_the_reader_that_finds_it(world):
    tokens = world.manager()
    before = await tokens.access_token("beta")
    await anyio.sleep(4400)
    assert await tokens.access_token("beta") != before


async def test_while_wechat_is_away_the_held_token_is_served_at_once(world):
    tokens = world.manager()
    before = await tokens.access_token("beta")
    await anyio.sleep(4400)
    world.sandbox.fail("errcode", errcode=-1, times=None)
    assert await tokens.access_token("beta") == before
    begun = anyio.current_time()
    assert await tokens.access_token("beta") == before
    assert anyio.current_time() - begun < 0.01


async def test_a_slow_wechat_holds_up_only_one_reader_of_a_due_token(world):
    tokens = world.manager()
    before = await tokens.access_token("beta")
    await anyio.sleep(4400)
    world.sandbox.fail("hang", times=1)
    waits = []

    async def read():
        begun = anyio.current_time()
        assert await tokens.access_token("beta") == before
        waits.append(anyio.current_time() - begun)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(read)
    assert sorted(waits)[-2] < 0.01
    assert max(waits) <= 5.01


async def test_refresh_works_on_demand(world):
    tokens = world.manager()
    before = await tokens.access_token("alpha")
    assert await tokens.refresh("alpha") != before


def test_each_request_in_a_loop_of_its_own_is_served(world):
    """As Starlette's TestClient without `with` does, and serverless adapters."""
    from wxtoken_asgi.clock import Clock

    tokens = world.manager(clock=Clock())
    first = anyio.run(tokens.access_token, "alpha")
    assert anyio.run(tokens.access_token, "alpha") == first
    assert anyio.run(tokens.access_token, "alpha", backend="trio") == first
