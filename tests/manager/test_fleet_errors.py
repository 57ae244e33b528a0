"""What WeChat refuses for good is told by every manager of a store in the same words, and asked once."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi import NoSuchCredential, UpstreamRefused

from benchmarks.fleet import SharedStore
from support.fleet import Fleet

WORKERS, ACCOUNTS = 6, 12


async def say(tokens, accounts):
    """What each account's readers are told."""
    said = set()
    for n in range(accounts):
        with pytest.raises(UpstreamRefused) as caught:
            await tokens.access_token(f"account{n}")
        assert 0 < caught.value.retry_in <= 300
        said.add((n, str(caught.value), caught.value.errcode))
    return said


async def open_all(group, managers, closing):
    opened = [anyio.Event() for _ in managers]

    async def run(tokens, ready):
        async with tokens:
            ready.set()
            await closing.wait()

    for tokens, ready in zip(managers, opened, strict=True):
        group.start_soon(run, tokens, ready)
    for ready in opened:
        await ready.wait()


@pytest.mark.parametrize("errcode", [40013, 40125, 40164, 40243])
async def test_a_permanent_error_costs_one_call_however_many_workers_and_restarts(errcode):
    fleet = Fleet(["token", "stable"] * (ACCOUNTS // 2), overlap="grace", apart_s=0)
    store = SharedStore(fleet.clock)
    fleet.sandbox.fail("errcode", errcode=errcode, times=None)
    said = set()
    for _ in range(3):  # started again and again
        managers, closing = [fleet.manager(store=store) for _ in range(WORKERS)], anyio.Event()
        async with anyio.create_task_group() as group:
            await open_all(group, managers, closing)
            for tokens in managers:
                said |= await say(tokens, ACCOUNTS)
            await anyio.sleep(20)
            for tokens in managers:
                said |= await say(tokens, ACCOUNTS)
                assert tokens.ready
            closing.set()
    assert fleet.sandbox.count() == ACCOUNTS
    assert len(said) == ACCOUNTS
    assert {found for _, _, found in said} == {errcode}


async def test_a_mended_account_comes_back_for_every_worker_within_five_minutes():
    fleet = Fleet(["token"] * 3, overlap="grace", apart_s=0, tickets=False)
    store = SharedStore(fleet.clock)
    fleet.sandbox.fail("errcode", errcode=40164, times=None)
    managers, closing = [fleet.manager(store=store) for _ in range(WORKERS)], anyio.Event()
    async with anyio.create_task_group() as group:
        await open_all(group, managers, closing)
        await anyio.sleep(900)
        assert 3 * 3 <= fleet.sandbox.count() <= 3 * 4
        fleet.sandbox.heal()
        await anyio.sleep(301)
        for tokens in managers:
            for n in range(3):
                assert fleet.sandbox.accepts(await tokens.access_token(f"account{n}"))
        closing.set()
    assert fleet.sandbox.count() <= 3 * 5


async def test_an_account_that_can_have_no_ticket_is_asked_once_by_all_workers(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("mini"), store=store) for _ in range(3)]
    async with managers[0], managers[1], managers[2]:
        for tokens in managers:
            for _ in range(2):
                with pytest.raises(NoSuchCredential) as caught:
                    await tokens.jsapi_ticket("mini")
                assert caught.value.errcode == 48001
    assert world.count("ticket/getticket") == 1
