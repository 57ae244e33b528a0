"""Another program that fetches the same account's tokens: it is told, once, and not fought.

`python -m benchmarks.outside` does a whole day of it.
"""

from __future__ import annotations

import logging
import re

import anyio
import pytest

from wxtoken_asgi import BudgetSpent, NotReady, UpstreamRefused
from wxtoken_asgi.hooks import EarlyDeathEvent, ErrorEvent

from benchmarks.fleet import SharedStore
from benchmarks.outside import drive
from support.world import APPIDS, SECRETS, World

EVENT = "died_early"
NEW = "the-new-secret-of-an-account-000"


class Ears:
    """What the hook hears, and what the log says loudly of early deaths."""

    def __init__(self, caplog):
        self._caplog = caplog
        self.events = []

    async def hear(self, event):
        self.events.append(event)

    @property
    def deaths(self):
        return [event for event in self.events if isinstance(event, EarlyDeathEvent)]

    @property
    def loud(self):
        said = [record for record in self._caplog.records if " died about " in record.getMessage()]
        return [record.getMessage() for record in said if record.levelno >= logging.WARNING]


@pytest.fixture
def ears(caplog):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    return Ears(caplog)


def outside(world, name):
    """Another program fetches, and ours dies at once."""
    world.sandbox.outside_fetch(APPIDS[name], "token" if name == "beta" else "stable", force=name == "alpha")


def seen(tokens, kind="access_token"):
    [found] = [item for item in tokens.statistics().credentials if item.kind == kind]
    return found


@pytest.fixture
def strict():
    return World("strict")


async def test_a_true_report_says_who_else_fetches(strict, ears):
    async with strict.manager(strict.account("beta"), on_error=ears.hear) as tokens:
        dead = await tokens.access_token("beta")
        assert (seen(tokens).died_early, seen(tokens).likely_cause) == (0, None)
        outside(strict, "beta")
        new = await tokens.refresh("beta", dead=dead)
        assert strict.sandbox.accepts(new)
        await anyio.sleep(1)
        [event] = ears.deaths
        assert (event.cause, event.deaths, event.errcode, event.cls) == ("outside_fetch", 1, 40001, EVENT)
        assert (event.account, event.appid, event.kind) == ("beta", APPIDS["beta"], "access_token")
        for word in ("beta", APPIDS["beta"], "another program", "development machine", '"stable"'):
            assert word in event.message
        assert re.search(r"died about 1(19|20) minutes before its end \(WeChat says 40001\): ", event.message)
        assert ears.loud == [f"{event.message}; 1 in 24 hours"]
        found = seen(tokens)
        assert found.died_early == 1
        assert found.likely_cause in event.message
    for secret in (dead, new, SECRETS["beta"]):
        assert secret not in repr(ears.events) + "".join(ears.loud)


async def test_it_is_said_loudly_once_and_told_each_time(strict, ears):
    async with strict.manager(strict.account("beta"), on_error=ears.hear) as tokens:
        for _ in range(5):
            dead = await tokens.access_token("beta")
            outside(strict, "beta")
            await tokens.refresh("beta", dead=dead)
            await anyio.sleep(61)
    assert [event.deaths for event in ears.deaths] == [1, 2, 3, 4, 5]
    assert len(ears.loud) == 1


async def test_workers_that_share_a_store_say_it_once_and_all_know(strict, ears):
    store = SharedStore(strict.clock)
    managers = [strict.manager(strict.account("beta"), store=store, on_error=ears.hear) for _ in range(3)]
    async with managers[0], managers[1], managers[2]:
        for number in range(6):
            tokens = managers[number % 3]
            dead = await tokens.access_token("beta")
            outside(strict, "beta")
            await tokens.refresh("beta", dead=dead)
            await anyio.sleep(61)
        assert [seen(tokens).died_early for tokens in managers] == [6, 6, 6]
    assert [event.deaths for event in ears.deaths] == [1, 2, 3, 4, 5, 6]
    assert len(ears.loud) == 1


async def test_after_a_quiet_day_it_is_loud_again(strict, ears):
    tokens = strict.manager(strict.account("beta"))  # on demand: nothing happens in between
    for _ in range(2):
        dead = await tokens.access_token("beta")
        assert (seen(tokens).died_early, seen(tokens).likely_cause) == (0, None)
        outside(strict, "beta")
        await tokens.refresh("beta", dead=dead)
        assert seen(tokens).died_early == 1
        await anyio.sleep(25.1 * 3600)
    assert len(ears.loud) == 2


async def test_a_report_that_is_false_says_nothing(strict, ears):
    async with strict.manager(on_error=ears.hear) as tokens:
        for name in ("alpha", "beta"):
            await tokens.refresh(name, dead=await tokens.access_token(name))
        await anyio.sleep(1)
    assert (ears.events, ears.loud) == ([], [])


@pytest.mark.parametrize("overlap", ["grace", "strict"])
@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_ones_own_fetches_are_no_deaths(overlap, name, ears):
    world = World(overlap)
    store = SharedStore(world.clock)
    managers = [
        world.manager(world.account(name), store=store, on_error=ears.hear, probe_every=300) for _ in range(2)
    ]
    async with managers[0], managers[1]:
        for pause_s in (70, 400, 4400):
            old = await managers[0].access_token(name)
            await managers[0].refresh(name)
            await managers[1].refresh(name, dead=old)
            await anyio.sleep(pause_s)
        assert seen(managers[1]).died_early == 0
    assert ears.loud == []


async def test_a_token_of_ones_own_that_is_in_doubt_is_no_death(strict, ears):
    async with strict.manager(strict.account("beta"), on_error=ears.hear) as tokens:
        dead = await tokens.access_token("beta")
        await anyio.sleep(61)
        strict.sandbox.fail("reset", path="/cgi-bin/token", times=1, before=False)
        with pytest.raises(NotReady):
            await tokens.refresh("beta")  # WeChat has issued a token that nobody saw: the held one is dead
        assert not strict.sandbox.accepts(dead)
        await anyio.sleep(120)
        assert strict.sandbox.accepts(await tokens.access_token("beta"))
    assert (ears.deaths, ears.loud) == ([], [])


async def test_a_token_near_its_end_that_dies_is_no_early_death(world, ears):
    tokens = world.manager(world.account("beta"), on_error=ears.hear)  # on demand
    dead = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(entry.held.left(world.clock) - 500)
    world.sandbox.revoke(dead)
    await tokens.refresh("beta", dead=dead)
    await anyio.sleep(1)
    assert ears.deaths == []


async def test_a_ticket_fetch_that_finds_its_token_dead_says_it(strict, ears):
    async with strict.manager(strict.account("beta"), on_error=ears.hear) as tokens:
        await tokens.access_token("beta")
        outside(strict, "beta")
        assert strict.sandbox.accepts_ticket(await tokens.jsapi_ticket("beta"))
        await anyio.sleep(1)
    assert [(event.kind, event.cause) for event in ears.deaths] == [("access_token", "outside_fetch")]
    assert strict.count("token") == 2


@pytest.mark.parametrize("overlap", ["grace", "strict"])
async def test_a_stable_token_that_somebody_else_forced_is_noticed_with_the_next_ask(overlap, ears):
    world = World(overlap)
    async with world.manager(world.account("alpha"), on_error=ears.hear) as tokens:
        await tokens.access_token("alpha")
        outside(world, "alpha")
        await anyio.sleep(271)
        assert world.sandbox.accepts(await tokens.access_token("alpha"))
        [event] = ears.deaths
        assert (event.cause, event.errcode) == ("outside_fetch", None)
        assert "force_refresh" in event.message
        assert "WeChat gave out another in its place" in event.message
        assert len(ears.loud) == 1
        await anyio.sleep(3 * 7200)  # its own renewals are no deaths
        assert seen(tokens).died_early == 1
    assert sum(call.forced for call in world.sandbox.calls) == 0


async def test_a_stable_token_that_wechat_gives_out_though_it_is_dead_was_revoked(world, ears):
    async with world.manager(world.account("alpha"), on_error=ears.hear) as tokens:
        dead = await tokens.access_token("alpha")
        world.sandbox.revoke(dead)
        assert world.sandbox.accepts(await tokens.refresh("alpha", dead=dead))
        await anyio.sleep(1)
        [event] = ears.deaths
        assert (event.cause, event.errcode) == ("revoked", 40001)
        assert "revoked it" in str(seen(tokens).likely_cause)
        assert sum(call.forced for call in world.sandbox.calls) == 1


async def test_a_secret_that_was_reset_is_named_as_the_cause(world, ears):
    async with world.manager(world.account("beta"), on_error=ears.hear) as tokens:
        dead = await tokens.access_token("beta")
        world.sandbox.revoke(dead)
        world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=40125, times=None)
        with pytest.raises(UpstreamRefused) as caught:
            await tokens.refresh("beta", dead=dead)
        assert caught.value.errcode == 40125
        await anyio.sleep(1)
        [event] = ears.deaths
        assert (event.cause, event.errcode, event.deaths) == ("secret_reset", 40001, 1)
        assert "AppSecret" in event.message
        assert seen(tokens).died_early == 1


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_token_that_died_with_its_secret_is_counted_and_told_once(world, ears, name):
    """However often probes and reports find it again, and though the new secret replaces it."""
    account = world.account(name)
    async with world.manager(account, probe_every=60, ask_every=86_400, on_error=ears.hear) as tokens:
        dead = await tokens.access_token(name)
        await anyio.sleep(61)
        outside(world, name)  # so that the stable endpoint gives out another one too
        world.sandbox.revoke(dead)
        world.sandbox.reset_secret(APPIDS[name], NEW)
        for _ in range(6):
            with pytest.raises(UpstreamRefused):
                await tokens.refresh(name, dead=dead)
            await anyio.sleep(330)
        assert [event.cause for event in ears.deaths] == ["secret_reset"]
        await tokens.reload([world.account(name, secret=NEW)])
        await anyio.sleep(400)
        assert world.sandbox.accepts(await tokens.access_token(name))
        assert seen(tokens).died_early == 1
        await anyio.sleep(60)
        world.sandbox.revoke(await tokens.access_token(name))  # another death is news again
        await anyio.sleep(400)
        assert world.sandbox.accepts(await tokens.access_token(name))
        assert seen(tokens).died_early == 2
    assert [event.deaths for event in ears.deaths] == [1, 2]


@pytest.mark.parametrize(("name", "errcode"), [("beta", -1), ("beta", 45009), ("alpha", 40164)])
async def test_a_refusal_for_another_reason_names_no_cause(world, ears, name, errcode):
    path = "/cgi-bin/token" if name == "beta" else "/cgi-bin/stable_token"
    async with world.manager(world.account(name), on_error=ears.hear) as tokens:
        dead = await tokens.access_token(name)
        world.sandbox.revoke(dead)
        world.sandbox.fail("errcode", path=path, errcode=errcode, times=1)
        with pytest.raises((NotReady, UpstreamRefused)):
            await tokens.refresh(name, dead=dead)
        await anyio.sleep(1)
    assert [type(event) for event in ears.events] == [ErrorEvent]


async def test_a_quota_that_others_have_spent_is_said_to_be(world, caplog):
    async with world.manager(world.account("beta")) as tokens:
        await tokens.access_token("beta")
        world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=45009, times=1)
        with pytest.raises(UpstreamRefused, match="has spent 2: another program spends the rest"):
            await tokens.refresh("beta")


async def test_where_a_budget_is_spent_the_caller_is_told_of_the_deaths(strict):
    async with strict.manager(strict.account("beta")) as tokens:
        refused = None
        for _ in range(51):
            dead = await tokens.access_token("beta")
            outside(strict, "beta")
            try:
                await tokens.refresh("beta", dead=dead)
            except BudgetSpent as error:
                refused = error
            await anyio.sleep(61)
        assert "50 tokens died early meanwhile" in str(refused)


async def test_tickets_are_kept_fresh_though_nothing_may_be_spent_on_their_token_any_more(strict):
    """A ticket that finds its token dead waits minutes for another one, and not for a budget of 24 hours."""
    async with strict.manager(strict.account("beta", tickets=["jsapi"])) as tokens:
        await tokens.jsapi_ticket("beta")
        spent = False
        for _ in range(60):
            dead = await tokens.access_token("beta")
            outside(strict, "beta")
            try:
                await tokens.refresh("beta", dead=dead)
            except BudgetSpent:
                spent = True
            await anyio.sleep(61)
        assert spent
        for _ in range(3 * 60):  # nobody else fetches any more
            await anyio.sleep(60)
            assert strict.sandbox.accepts_ticket(await tokens.jsapi_ticket("beta"))
        assert seen(tokens, "jsapi_ticket").ends_in > 0


async def test_a_ticket_that_finds_its_token_dead_too_soon_finds_it_again_later(strict):
    async with strict.manager(strict.account("beta")) as tokens:
        await tokens.jsapi_ticket("beta")
        for _ in range(8):
            dead = await tokens.access_token("beta")
            outside(strict, "beta")
            await tokens.refresh("beta", dead=dead)
            await anyio.sleep(61)
        outside(strict, "beta")
        with pytest.raises(NotReady, match="40001"):
            await tokens.refresh("beta", "jsapi_ticket")
        fetched = strict.count("token")
        await anyio.sleep(1500)
        assert strict.count("token") == fetched, "eight have died: this one stays for half an hour"
        await anyio.sleep(700)
        assert strict.count("token") == fetched + 1
        assert strict.sandbox.accepts(await tokens.access_token("beta"))


async def test_a_ticket_does_not_wait_for_the_budget_of_its_tokens_forced_refreshes(world):
    """WeChat's own renewal brings a token that works within two hours; there is room again after 24."""
    async with world.manager(world.account("alpha", tickets=["jsapi"])) as tokens:
        spent = []
        while not spent:
            dead = await tokens.access_token("alpha")
            world.sandbox.revoke(dead)
            try:
                await tokens.refresh("alpha", dead=dead)
            except BudgetSpent as error:
                spent.append(error)
            await anyio.sleep(61)
        assert spent[0].retry_in > 20 * 3600
        tried = world.count("ticket/getticket")
        await anyio.sleep(3600)
        assert seen(tokens, "jsapi_ticket").error is not None
        assert tried + 10 < world.count("ticket/getticket") < tried + 60
        await anyio.sleep(2 * 3600)
        assert seen(tokens, "jsapi_ticket").error is None
        assert world.sandbox.accepts_ticket(await tokens.jsapi_ticket("alpha"))


async def test_a_ticket_that_meets_a_token_that_died_early_is_loud_at_most_once(world, caplog):
    caplog.set_level(logging.DEBUG, "wxtoken_asgi")
    async with world.manager(world.account("beta", tickets=["jsapi"])) as tokens:
        await tokens.jsapi_ticket("beta")
        for _ in range(60):
            outside(world, "beta")
            await anyio.sleep(600)
        assert seen(tokens).died_early > 10
    tickets = [record for record in caplog.records if record.getMessage().startswith("jsapi_ticket")]
    assert len(tickets) > 5, "it fails again and again, and heals"
    assert len([record for record in tickets if record.levelno >= logging.WARNING]) <= 1


# a short run of the benchmark


def test_hours_with_another_program_on_the_old_endpoint_are_told_and_cost_a_bounded_number_of_calls():
    found = drive("token", 3, reports=True, probe=True, overlap="strict")
    assert len([line for line in found.loud if " died about " in line]) == 1
    deaths = [event.deaths for event in found.events if isinstance(event, EarlyDeathEvent)]
    assert deaths == list(range(1, len(deaths) + 1))
    assert 15 <= len(deaths) <= 18
    assert found.fetches <= len(deaths) + 4
    assert found.dead <= 20  # of 360 reads: each death is met once


def test_what_is_found_dead_here_is_replaced_less_and_less_often():
    found = drive("token", 5, probe=True, overlap="strict")
    assert 12 <= found.fetches <= 17  # with a report for each death: 30 and more
    assert found.dead > 100


def test_hours_with_another_program_on_the_stable_endpoint_cost_nothing_more():
    quiet = drive("stable", 2, outside=False)
    found = drive("stable", 2, reports=True, overlap="strict")
    assert found.ours["forced"] == 0
    assert abs(found.fetches - quiet.fetches) <= 13
    assert found.dead <= 13
    assert len([line for line in found.loud if " died about " in line]) == 1
