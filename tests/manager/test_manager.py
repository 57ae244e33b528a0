"""What the manager answers, and how it refuses."""

from __future__ import annotations

import contextlib
import copy

import anyio
import pytest

import wxtoken_asgi
from wxtoken_asgi import (
    BadUrl,
    ConfigError,
    HostNotAllowed,
    NoSuchCredential,
    NotReady,
    TooManyWaiting,
    UnknownAccount,
    UpstreamTimeout,
    WxTokenError,
)
from wxtoken_asgi import waiter as waiter_module
from wxtoken_asgi.policy import State
from wxtoken_asgi.sources import HttpSource
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import LastError, Record

from support.faulty_store import FaultyStore
from support.world import APPIDS


async def test_an_account_is_found_by_name_and_by_appid(world):
    async with world.manager() as tokens:
        account = tokens.accounts.get("alpha")
        assert await tokens.access_token("alpha") == await tokens.access_token(account.appid)


async def test_an_unknown_account_and_an_unknown_kind(world):
    tokens = world.manager()
    with pytest.raises(UnknownAccount, match="nope"):
        await tokens.access_token("nope")
    with pytest.raises(NoSuchCredential, match="wx_card_ticket"):
        await tokens.refresh("alpha", "wx_card_ticket")


async def test_a_mini_program_has_no_ticket_and_is_asked_once(world):
    async with world.manager(world.account("mini")) as tokens:
        for _ in range(3):
            with pytest.raises(NoSuchCredential) as caught:
                await tokens.jsapi_ticket("mini")
            assert caught.value.errcode == 48001
        assert world.count("ticket/getticket") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "wecom"}, "account alpha: endpoint must be 'stable' or 'token', not 'wecom'"),
        ({"tickets": ["jsapi", "cards"]}, "account alpha: tickets: there is no ticket 'cards'"),
    ],
)
def test_what_the_table_of_kinds_does_not_know_is_refused(world, options, said):
    with pytest.raises(ConfigError, match=said):
        world.manager(world.account("alpha", **options))


def test_the_old_endpoint_needs_its_store_written_out(world):
    with pytest.raises(ConfigError, match="account beta: endpoint 'token' needs store to be written out"):
        world.manager(store=None)
    world.manager(world.account("alpha"), store=None)


def test_a_store_that_is_none_is_refused(world):
    with pytest.raises(ConfigError, match="store"):
        world.manager(store="mysql://db")


async def test_js_config_signs_the_page_without_its_fragment(world):
    async with world.manager(world.account("alpha", js_domains=["*.example.com"])) as tokens:
        config = await tokens.js_config("alpha", "https://www.example.com/a?b=1#/c")
        assert config.url == "https://www.example.com/a?b=1"
        assert world.sandbox.accepts_signature(
            config.appId,
            url=config.url,
            noncestr=config.nonceStr,
            timestamp=config.timestamp,
            signature=config.signature,
        )
        with pytest.raises(BadUrl):
            await tokens.js_config("alpha", "/a")
        with pytest.raises(HostNotAllowed, match="js_domains"):
            await tokens.js_config("alpha", "https://example.org/")


async def test_statistics_tell_states_and_errors_but_no_value(world):
    world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=40164, times=None)
    async with world.manager() as tokens:
        token = await tokens.access_token("alpha")
        await anyio.sleep(1)
        told = tokens.statistics()
        alpha, beta = told.credentials
        assert (alpha.state, beta.state) == (State.FRESH, State.EMPTY)
        assert beta.errcode == 40164
        assert beta.retry_in > 0
        assert token not in repr(told)
        assert not any(secret in repr(told) for secret in ("secret-of-alpha", "secret-of-beta"))


async def test_a_time_out_is_told_as_one(world):
    world.sandbox.fail("hang", times=None)
    async with world.manager(world.account("alpha")) as tokens:
        with pytest.raises(NotReady) as first:
            await tokens.access_token("alpha")
        assert not isinstance(first.value, UpstreamTimeout)
        await anyio.sleep(6)
        with pytest.raises(UpstreamTimeout):
            await tokens.access_token("alpha")


async def test_a_reader_waits_five_seconds_and_a_refresher_twelve(world):
    async with world.manager(world.account("alpha")) as tokens:
        await tokens.access_token("alpha")
        world.sandbox.fail("slow", times=None, seconds=8)
        begun = anyio.current_time()
        with pytest.raises(UpstreamTimeout, match="goes on") as caught:
            await tokens.refresh("alpha")
        assert anyio.current_time() - begun == pytest.approx(12, abs=0.1)
        assert caught.value.retry_in > 0
        await anyio.sleep(6)
    world.sandbox.fail("hang", times=None)
    async with world.manager(world.account("alpha")) as tokens:
        begun = anyio.current_time()
        with pytest.raises(NotReady):
            await tokens.access_token("alpha")
        assert anyio.current_time() - begun == pytest.approx(5, abs=0.1)


async def test_a_reader_waits_through_a_short_back_off(world):
    world.sandbox.fail("errcode", errcode=-1, times=1)
    async with world.manager(world.account("alpha")) as tokens:
        assert world.sandbox.accepts(await tokens.access_token("alpha"))


async def test_a_reader_that_joins_during_a_back_off_waits_for_its_end(world):
    world.sandbox.fail("errcode", errcode=-1, times=1)
    async with world.manager(world.account("alpha")) as tokens:
        await anyio.sleep(0.5)
        begun = anyio.current_time()
        assert world.sandbox.accepts(await tokens.access_token("alpha"))
        assert anyio.current_time() - begun < 3


async def test_all_calls_of_one_lease_end_within_17_seconds(world):
    async with world.manager(world.account("alpha")) as tokens:
        await tokens.access_token("alpha")
        await anyio.sleep(61)
        world.sandbox.fail("slow", times=None, seconds=9)
        with pytest.raises(UpstreamTimeout):
            await tokens.refresh("alpha")
        await anyio.sleep(5.5)
        entry = tokens.entry("alpha", "access_token")
        assert entry.flight is None
        assert (entry.error.cls, entry.attempts) == ("timeout", 1)


async def test_a_reader_whose_token_ended_is_not_refused_for_what_a_refresh_met(world):
    tokens = world.manager(world.account("beta", timeout=3.0))  # on demand: nobody renews it meanwhile
    dead = await tokens.access_token("beta")
    entry = tokens.entry("beta", "access_token")
    await anyio.sleep(entry.held.left(world.clock) - 1)
    world.sandbox.fail("hang", path="/cgi-bin/token", times=1)

    async def refresh():
        with pytest.raises(UpstreamTimeout):
            await tokens.refresh("beta", dead=dead)

    async with anyio.create_task_group() as group:
        group.start_soon(refresh)
        await anyio.sleep(1.5)
        assert entry.flight.asked
        assert entry.good(world.clock) is None
        await anyio.sleep(1)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
    assert world.count("token") == 3


async def test_too_many_waiting_callers_are_sent_away(world, monkeypatch):
    monkeypatch.setattr(waiter_module, "MOST_WAITING", 3)
    world.sandbox.fail("slow", times=None, seconds=2)
    async with world.manager(world.account("alpha")) as tokens:
        refused = []

        async def read():
            try:
                await tokens.access_token("alpha")
            except TooManyWaiting as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(read)
        assert len(refused) == 2


async def test_a_source_with_a_bug_is_backed_off_from(world, monkeypatch, caplog):
    async def bug(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(HttpSource, "fetch", bug)
    async with world.manager(world.account("beta")) as tokens:
        with pytest.raises(NotReady, match="ZeroDivisionError"):
            await tokens.access_token("beta")
    assert "the source of access_token of account beta failed" in caplog.text


async def test_a_ticket_with_a_token_that_stays_dead_is_backed_off_from(world):
    world.sandbox.fail("errcode", path="/cgi-bin/ticket/getticket", errcode=40001, times=None)
    async with world.manager(world.account("beta")) as tokens:
        with pytest.raises(NotReady) as caught:
            await tokens.jsapi_ticket("beta")
        assert caught.value.errcode == 40001
        await anyio.sleep(600)
        assert world.count("token") == 2
        assert world.count("ticket/getticket") <= 40


async def test_a_refresh_that_joins_a_scheduled_fetch_shares_it_on_the_old_endpoint(world):
    world.sandbox.fail("slow", times=None, seconds=1)
    async with world.manager(world.account("beta")) as tokens:
        async with anyio.create_task_group() as group:
            group.start_soon(tokens.refresh, "beta")
            group.start_soon(tokens.refresh, "beta")
        assert world.count("token") == 1


async def test_a_refresh_during_a_scheduled_ask_of_a_stable_token_forces_after_it(world):
    async with world.manager(world.account("alpha")) as tokens:
        before = await tokens.access_token("alpha")
        world.sandbox.fail("slow", times=None, seconds=1)
        entry = tokens.entry("alpha", "access_token")
        await anyio.sleep(entry.held.ask_in(world.clock) + 0.5)
        assert entry.flight is not None
        assert not entry.flight.asked
        assert await tokens.refresh("alpha") != before


async def test_an_asked_for_refresh_without_budget_does_not_refuse_a_reader(world):
    from wxtoken_asgi.stores.contract import Charge, Claim, Granted

    store = MemoryStore(world.clock)
    tokens = world.manager(world.account("beta"), store=store)
    async with tokens:
        held = await tokens.access_token("beta")
        entry = tokens.entry("beta", "access_token")
        for _ in range(50):
            granted = (
                await store.claim(
                    [
                        Claim(
                            entry.credential,
                            seen=entry.held.version,
                            asked=True,
                            charges=(Charge("asked", 50),),
                        )
                    ],
                    owner="x",
                    lease_s=0.001,
                )
            )[0]
            assert isinstance(granted, Granted)
            await anyio.sleep(0.01)
        with pytest.raises(wxtoken_asgi.BudgetSpent, match=r"50"):
            await tokens.refresh("beta", dead=held)
        assert await tokens.access_token("beta") == held


async def test_an_older_record_is_not_taken_over(world):
    async with world.manager(world.account("alpha")) as tokens:
        held = await tokens.access_token("alpha")
        entry = tokens.entry("alpha", "access_token")
        older = Record(entry.credential, version=entry.held.version - 1, value="older", ttl_s=7000)
        assert not entry.adopt(older, world.clock.moment())
        assert await tokens.access_token("alpha") == held


async def test_an_appid_that_the_kinds_table_lists_nowhere_stays_unknown():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        wxtoken_asgi.nothing  # noqa: B018
    assert "TokenManager" in dir(wxtoken_asgi)


class SlowToAnswer(MemoryStore):
    """Its news are heard before the answer to the commit that they are about."""

    shared = True

    async def commit(self, commits):
        answers = await super().commit(commits)
        await anyio.sleep(1)
        return answers


async def test_the_process_that_fetched_tells_its_hook_once_whatever_it_heard_before(world):
    told = []

    async def hear(event):
        told.append(event)

    store = SlowToAnswer(world.clock)
    async with world.manager(world.account("beta"), store=store, on_token=hear) as tokens:
        await anyio.sleep(2 * 4400)
        value = await tokens.access_token("beta")
    assert len(told) == world.count("token") == 3
    assert [event.value for event in told][-1] == value


async def test_a_copy_of_a_manager_is_the_manager(world):
    tokens = world.manager()
    assert copy.deepcopy({"state": {"wxtoken": tokens}})["state"]["wxtoken"] is tokens


async def test_on_demand_one_caller_renews_what_is_due_and_the_others_go_on(world):
    tokens = world.manager(world.account("alpha"))
    held = await tokens.access_token("alpha")
    await anyio.sleep(tokens.entry("alpha", "access_token").held.ask_in(world.clock) + 1)
    world.sandbox.fail("slow", times=None, seconds=2)
    took = []

    async def read():
        begun = anyio.current_time()
        assert await tokens.access_token("alpha") == held
        took.append(anyio.current_time() - begun)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(read)
    assert sorted(round(seconds) for seconds in took) == [0, 0, 2]
    assert world.count("stable_token") == 2


async def test_what_our_secret_was_refused_with_outlives_what_another_secret_was_refused_with(world):
    entry = world.manager(world.account("alpha")).entry("alpha", "access_token")
    at = world.clock.moment()
    ours, theirs = (
        LastError("permanent", "no", 40125, print_) for print_ in (entry.account.fingerprint, "x")
    )
    for error in (ours, theirs):
        entry.adopt(Record(entry.credential, error=error, wait_s=60.0), at)
    assert entry.error == ours
    assert entry.waits(world.clock) > 0


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("why", ["the store", "the secret", "WeChat"])
async def test_not_every_reader_asks_for_a_ticket_whose_token_is_dead_and_cannot_be_replaced(
    world, name, why
):
    store = FaultyStore(world.clock)
    async with world.manager(world.account(name), store=store) as tokens:
        world.sandbox.revoke(await tokens.access_token(name))
        if why == "the store":
            store.faults["*"] = "away"
        elif why == "the secret":
            world.sandbox.reset_secret(APPIDS[name], "n" * 32)
        else:
            for path in ("token", "stable_token"):
                world.sandbox.fail(path=f"/cgi-bin/{path}", times=None)
        for _ in range(600):
            with contextlib.suppress(WxTokenError):
                await tokens.jsapi_ticket(name)
            await anyio.sleep(1)
        assert world.count("ticket/getticket") <= 60
        store.faults.clear()
        world.sandbox.heal()
        await tokens.reload(
            [world.account(name, secret="n" * 32)] if why == "the secret" else tokens.accounts
        )
        await anyio.sleep(400)  # the longest back-off of a token that is not about to end
        assert world.sandbox.accepts_ticket(await tokens.jsapi_ticket(name))
