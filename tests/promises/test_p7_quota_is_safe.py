"""P7: nothing spends more calls than the budgets; permanent errors are answered from memory."""

from __future__ import annotations

import itertools

import anyio
import pytest

from wxtoken_asgi import BudgetSpent, UpstreamRefused
from wxtoken_asgi.stores import MemoryStore

from benchmarks.outside import drive

DAY = 86_400


@pytest.mark.parametrize(
    ("name", "named", "budget"),
    [("beta", True, 50), ("beta", False, 25), ("alpha", True, 10), ("alpha", False, 5)],
)
async def test_asked_for_refreshes_end_at_their_budget(world, name, named, budget):
    refused = None
    done = 0
    async with world.manager(world.account(name)) as tokens:
        while refused is None:
            dead = await tokens.access_token(name)
            world.sandbox.revoke(dead)
            try:
                await tokens.refresh(name, dead=dead if named else None)
                done += 1
            except BudgetSpent as error:
                refused = error
            await anyio.sleep(61)
        assert done == budget
        assert 0 < refused.retry_in <= DAY + 3600
        assert world.count("token" if name == "beta" else "stable_token") <= 2 * budget + 40


async def test_a_day_of_hammering_on_the_old_endpoint_stays_within_the_quota(world):
    async with world.manager(world.account("beta", daily_quota=200)) as tokens:
        until = anyio.current_time() + DAY
        while anyio.current_time() < until:
            await anyio.sleep(20)
            with anyio.move_on_after(1):
                try:
                    await tokens.refresh("beta", dead=await tokens.access_token("beta"))
                except BudgetSpent:
                    continue
        assert world.count("token") <= 50 + 24 + 1
        assert world.sandbox.accepts(await tokens.access_token("beta"))


@pytest.mark.parametrize("endpoint", ["token", "stable"])
def test_another_program_that_fetches_all_day_makes_us_spend_no_more_than_the_budgets(endpoint):
    """Callers report, and probes find; a test account may spend 200."""
    found = drive(endpoint, 9, reports=True, probe=True, overlap="strict", daily_quota=200)
    assert found.ours["forced"] <= 10
    if endpoint == "token":
        assert found.refused
        assert found.fetches <= 50 + 50 + 24


@pytest.mark.parametrize("errcode", [40013, 40125, 40164, 40243, 89503])
async def test_a_permanent_error_is_answered_from_memory_by_every_worker(world, errcode):
    store = MemoryStore(world.clock)
    first, second = world.manager(store=store), world.manager(store=store)
    world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=errcode, times=None)
    async with first, second:
        said = set()
        for _ in range(100):
            for tokens in (first, second):
                with pytest.raises(UpstreamRefused) as caught:
                    await tokens.access_token("beta")
                said.add(str(caught.value))
                assert caught.value.errcode == errcode
                assert 0 < caught.value.retry_in <= 300
            await anyio.sleep(1)
        assert world.count("token") == 1
        assert len(said) == 1
        await anyio.sleep(300)
        assert world.count("token") == 2
        world.sandbox.heal()
        await anyio.sleep(301)
        assert world.sandbox.accepts(await second.access_token("beta"))


async def test_a_changed_secret_is_tried_at_once(world):
    store = MemoryStore(world.clock)
    wrong = world.account("beta", secret="a-wrong-secret-0000000000000000")
    async with world.manager(wrong, store=store) as tokens:
        with pytest.raises(UpstreamRefused):
            await tokens.access_token("beta")
    async with world.manager(world.account("beta"), store=store) as tokens:
        assert world.sandbox.accepts(await tokens.access_token("beta"))


@pytest.mark.parametrize("workers", [1, 8])
async def test_wechat_away_for_a_day_costs_at_most_1300_calls_whatever_the_workers(
    world, workers, anyio_backend_name
):
    workers = workers if anyio_backend_name == "asyncio" else min(workers, 2)
    store = MemoryStore(world.clock)
    managers = [world.manager(world.account("beta"), store=store) for _ in range(workers)]
    async with anyio.create_task_group() as group:
        opened = [anyio.Event() for _ in managers]
        closing = anyio.Event()

        async def run(tokens, ready):
            async with tokens:
                ready.set()
                await closing.wait()

        for tokens, ready in zip(managers, opened, strict=True):
            group.start_soon(run, tokens, ready)
        for ready in opened:
            await ready.wait()
        await managers[0].access_token("beta")
        before = world.count("token")
        world.sandbox.fail("errcode", errcode=-1, times=None)
        await anyio.sleep(DAY)
        calls = world.count("token") - before
        closing.set()
    assert 900 <= calls <= 1300


async def test_attempts_are_spaced_and_never_a_hot_loop(world):
    world.sandbox.fail("errcode", errcode=-1, times=None)
    async with world.manager(world.account("beta", tickets=["jsapi"])):
        await anyio.sleep(3600)
    at = [call.at for call in world.sandbox.calls]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert min(gaps) >= 2.0
    assert max(gaps) <= 60 * 1.3 + 2


async def test_two_configurations_that_are_both_refused_do_not_try_in_turns(world):
    """What one host was refused with is not what the other was: each waits for its own back-off."""
    store = MemoryStore(world.clock)
    wrong = [world.account("alpha", secret=f"a-wrong-secret-{n}-000000000000000") for n in range(2)]
    one, two = (world.manager(account, store=store) for account in wrong)
    async with one, two:
        for _ in range(40):
            for tokens in (one, two):
                with pytest.raises(UpstreamRefused):
                    await tokens.access_token("alpha")
            await anyio.sleep(1)
    assert world.count("stable_token") <= 4
