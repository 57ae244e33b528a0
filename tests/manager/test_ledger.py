"""The ledger: what was spent in 24 hours is counted by the store and told by `statistics()`."""

from __future__ import annotations

import logging

import anyio
import httpx
import pytest

from wxtoken_asgi import BudgetSpent, NotReady, UpstreamRefused

from benchmarks.fleet import SharedStore
from support.world import APPIDS

HOUR_S = 3600


def ledger(tokens, kind="access_token"):
    [found] = [item for item in tokens.statistics().credentials if item.kind == kind]
    return {budget.name: budget for budget in found.budgets}


def used(tokens, kind="access_token"):
    return {name: budget.used for name, budget in ledger(tokens, kind).items()}


async def test_each_endpoint_has_its_lines(world):
    async with world.manager() as tokens:
        await tokens.jsapi_ticket("alpha")
        await tokens.jsapi_ticket("beta")
        lines = {
            (item.account, item.kind): {budget.name: budget.limit for budget in item.budgets}
            for item in tokens.statistics().credentials
        }
    ticket = {"calls": None, "asked": 50, "blind": 25, "healed": 50}
    assert lines == {
        ("alpha", "access_token"): {"calls": 500_000, "asked": 10, "blind": 5, "forced": 20},
        ("beta", "access_token"): {"calls": 2000, "unreserved": 1952, "asked": 50, "blind": 25, "healed": 50},
        ("alpha", "jsapi_ticket"): ticket,
        ("beta", "jsapi_ticket"): ticket,
    }


@pytest.mark.parametrize(("name", "path"), [("alpha", "stable_token"), ("beta", "token")])
async def test_every_call_of_the_endpoint_is_counted(world, name, path):
    async with world.manager(world.account(name, tickets=["jsapi"])) as tokens:
        await anyio.sleep(2 * HOUR_S)
        assert used(tokens)["calls"] == world.count(path) > 1
        assert used(tokens, "jsapi_ticket")["calls"] == world.count("ticket/getticket") > 3


async def test_asked_for_forced_and_tried_ones_are_counted_beside(world):
    async with world.manager() as tokens:
        for name in ("alpha", "beta"):
            await tokens.access_token(name)
            await tokens.refresh(name)
            await anyio.sleep(61)
            dead = await tokens.access_token(name)
            world.sandbox.revoke(dead)
            await tokens.refresh(name, dead=dead)
            await anyio.sleep(61)
        found = {
            item.account: {budget.name: budget.used for budget in item.budgets}
            for item in tokens.statistics().credentials
        }
        forced = sum(call.forced for call in world.sandbox.calls)
        normal = world.count("stable_token") - forced
    assert found["alpha"] == {"calls": normal, "probes": 1, "asked": 2, "blind": 1, "forced": forced}
    assert forced == 2
    assert found["beta"] == {"calls": 3, "unreserved": 3, "probes": 1, "asked": 2, "blind": 1, "healed": 0}


async def test_probes_are_counted(world):
    async with world.manager(world.account("alpha"), probe_every=60) as tokens:
        await anyio.sleep(HOUR_S)
        counted = used(tokens, "access_token_probe")["probes"]
        assert counted == world.count("get_api_domain_ip") > 50


async def test_a_probe_s_ledger_has_a_line_for_probes_and_no_other(world):
    async with world.manager(world.account("beta"), probe_every=60) as tokens:
        await tokens.access_token("beta")
        assert used(tokens, "access_token_probe") == {"probes": 0}
        await anyio.sleep(HOUR_S)
        [probes] = ledger(tokens, "access_token_probe").values()
        assert (probes.name, probes.limit, probes.next_in_s) == ("probes", None, 0)
        assert probes.used > 50


class Road(httpx.ASGITransport):
    """The way to WeChat, which may be closed."""

    closed = False

    async def handle_async_request(self, request):
        if self.closed:
            raise httpx.ConnectError("no route")
        return await super().handle_async_request(request)


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_call_that_never_left_is_not_counted(world, name):
    road = Road(world.sandbox)
    async with world.manager(world.account(name), transport=road) as tokens:
        dead = await tokens.access_token(name)
        road.closed = True
        with pytest.raises(NotReady):
            await tokens.refresh(name, dead=dead)
        assert (used(tokens)["calls"], used(tokens).get("probes", 0)) == (1, 0)


@pytest.mark.parametrize("fault", ["errcode", "reset", "status"])
@pytest.mark.parametrize(("name", "path"), [("alpha", "stable_token"), ("beta", "token")])
async def test_calls_that_fail_are_counted(world, name, path, fault):
    options = {"errcode": {"errcode": -1}, "reset": {}, "status": {"status": 502}}[fault]
    async with world.manager(world.account(name)) as tokens:
        await tokens.access_token(name)
        world.sandbox.fail(fault, path=f"/cgi-bin/{path}", times=None, **options)
        for _ in range(3):
            with pytest.raises(NotReady):
                await tokens.refresh(name)
            await anyio.sleep(61)
        assert used(tokens)["calls"] == world.count(path)


async def test_workers_that_share_a_store_tell_the_same(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("beta"), store=store) for _ in range(3)]
    async with managers[0], managers[1], managers[2]:
        await anyio.sleep(1)
        for number in range(6):
            await managers[number % 3].refresh("beta")
            await anyio.sleep(61)
        await anyio.sleep(2)
        assert [used(tokens)["asked"] for tokens in managers] == [6, 6, 6]
        assert [used(tokens)["calls"] for tokens in managers] == [7, 7, 7]


async def test_a_worker_that_only_follows_knows_within_two_minutes_or_so(world):
    """What changes no value is no news; records are compared once a minute."""
    store = SharedStore(world.clock)
    one, two = (world.manager(world.account("alpha"), store=store) for _ in range(2))
    async with one, two:
        held = await one.access_token("alpha")
        await one.refresh("alpha", dead=held)  # it is alive: nothing changes
        assert used(one)["probes"] == 1
        await anyio.sleep(80)
        assert used(two)["probes"] == 1
        [item] = two.statistics().credentials
        assert 0 <= item.known_for <= 80


async def test_a_spent_budget_says_when_there_is_room(world):
    async with world.manager(world.account("beta")) as tokens:
        refused = None
        await tokens.access_token("beta")
        for _ in range(26):
            try:
                await tokens.refresh("beta")
            except BudgetSpent as error:
                refused = error
            await anyio.sleep(61)
        blind = ledger(tokens)["blind"]
        assert (blind.used, blind.limit) == (25, 25)
        assert refused.retry_in == pytest.approx(blind.next_in_s, abs=130)
        assert 20 * HOUR_S < blind.next_in_s <= 25 * HOUR_S
        assert ledger(tokens)["asked"].next_in_s == 0


async def test_what_is_due_goes_on_when_every_asked_for_budget_is_spent(world):
    async with world.manager(world.account("beta", daily_quota=60)) as tokens:
        refused = []
        for _ in range(14):
            try:
                await tokens.refresh("beta", dead=await tokens.access_token("beta"))
            except BudgetSpent as error:
                refused.append(str(error))
            await anyio.sleep(61)
        assert (
            "the part of the daily quota of fetches that is not kept for what is due (12 of 60)" in refused[0]
        )
        before = used(tokens)["calls"]
        assert before <= 13
        for _ in range(8):
            await anyio.sleep(3 * HOUR_S)
            assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert ledger(tokens)["calls"].used < 60


async def test_the_ledger_shows_why_an_asked_for_refresh_is_refused_while_the_quota_has_room(world):
    async with world.manager(world.account("beta", daily_quota=50)) as tokens:
        await tokens.refresh("beta", dead=await tokens.access_token("beta"))
        await anyio.sleep(61)
        with pytest.raises(BudgetSpent) as caught:
            await tokens.refresh("beta", dead=await tokens.access_token("beta"))
        found = ledger(tokens)
        [full] = [line for line in found.values() if line.next_in_s]
        assert (full.name, full.used, full.limit) == ("unreserved", 2, 2)
        assert full.next_in_s == pytest.approx(caught.value.retry_in, abs=130)
        assert (found["calls"].used, found["calls"].limit) == (2, 50)
        assert "the part of the daily quota of fetches that is not kept for what is due (2 of 50)" in str(
            caught.value
        )


async def test_of_a_quota_that_is_all_reserved_nothing_is_unreserved(world):
    async with world.manager(world.account("beta", daily_quota=40)) as tokens:
        await tokens.access_token("beta")
        full = ledger(tokens)["unreserved"]
        assert (full.used, full.limit) == (1, 0)


async def test_a_daily_quota_that_is_used_up_is_said_loudly_and_goes_on_as_soon_as_there_is_room(
    world, caplog
):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    heard = []

    async def hear(event):
        heard.append(event)

    async with world.manager(world.account("beta", daily_quota=3), on_error=hear) as tokens:
        await anyio.sleep(5 * HOUR_S)
        calls = ledger(tokens)["calls"]
        assert (calls.used, calls.limit) == (3, 3)
        assert 15 * HOUR_S < calls.next_in_s <= 25 * HOUR_S
        with pytest.raises(BudgetSpent) as caught:
            await tokens.access_token("beta")
        assert caught.value.status == 429
        loud = [record for record in caplog.records if "nothing more is fetched" in record.getMessage()]
        assert len(loud) == 1
        assert loud[0].levelno == logging.ERROR
        assert "daily quota of fetches (3" in loud[0].getMessage()
        [event] = [event for event in heard if event.cls == "quota"]
        assert (event.appid, event.errcode) == (APPIDS["beta"], None)
        assert event.retry_in > 15 * HOUR_S
        await anyio.sleep(calls.next_in_s + 60)
        assert world.sandbox.accepts(await tokens.access_token("beta"))


async def test_a_forced_refresh_that_is_refused_does_not_hold_up_what_is_due(world):
    """WeChat allows 20 forced ones a day; another program may have spent them."""
    for _ in range(20):
        world.sandbox.outside_fetch(APPIDS["alpha"], "stable", force=True)
        await anyio.sleep(31)
    async with world.manager(world.account("alpha")) as tokens:
        dead = await tokens.access_token("alpha")
        end = tokens.entry("alpha", "access_token").held.left(world.clock)
        await anyio.sleep(end - 280)  # 10 s before WeChat renews it by itself
        with pytest.raises(UpstreamRefused) as caught:
            await tokens.refresh("alpha")
        assert caught.value.errcode == 45009
        await anyio.sleep(300)
        new = await tokens.access_token("alpha")
        assert new != dead
        assert world.sandbox.accepts(new)
