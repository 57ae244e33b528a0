"""Accounts that change while the manager runs."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack

import anyio
import pytest

from wxtoken_asgi import (
    Account,
    ConfigError,
    HostNotAllowed,
    TokenManager,
    UnknownAccount,
    UpstreamRefused,
    WrongLoop,
)
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Supply

from support.center import running
from support.faulty_store import FaultyStore
from support.world import APPIDS, SECRETS

NEW = "the-new-secret-of-an-account-000"
RENEWS = {"alpha": "stable_token", "beta": "token"}


def reset(world, name="alpha"):
    """The owner resets the secret in WeChat's console."""
    world.sandbox.reset_secret(APPIDS[name], NEW)
    return world.account(name, secret=NEW)


# a secret


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_new_secret_costs_no_fetch_and_the_next_one_is_made_with_it(world, name):
    async with world.manager(world.account(name)) as tokens:
        before = await tokens.access_token(name)
        await tokens.reload([reset(world, name)])
        assert await tokens.access_token(name) == before
        assert world.count(RENEWS[name]) == 1
        assert await tokens.refresh(name) != before


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_refused_secret_is_remembered_until_there_is_another_and_that_is_tried_at_once(world, name):
    reset(world, name)
    async with world.manager(world.account(name)) as tokens:
        await anyio.sleep(1)
        for _ in range(3):
            with pytest.raises(UpstreamRefused) as caught:
                await tokens.access_token(name)
            assert caught.value.errcode == 40125
        assert world.count(RENEWS[name]) == 1
        await tokens.reload([world.account(name, secret=NEW)])
        await anyio.sleep(0.5)
        [now] = tokens.statistics().credentials[:1]
        assert (now.error, now.retry_in) == (None, 0)
        assert now.version
        assert world.count(RENEWS[name]) == 2


async def test_the_same_secret_once_more_is_not_tried_again(world):
    reset(world)
    async with world.manager(world.account("alpha")) as tokens:
        await anyio.sleep(1)
        await tokens.reload([world.account("alpha")])
        await anyio.sleep(100)
        assert world.count("stable_token") == 1


async def test_a_fetch_under_way_with_the_old_secret_is_kept(world):
    world.sandbox.fail("slow", seconds=2, before=False)
    async with world.manager(world.account("beta")) as tokens:
        await anyio.sleep(1)
        await tokens.reload([reset(world, "beta")])
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert world.count("token") == 1
        assert tokens.entry("beta", "access_token").account.secret == NEW


async def test_a_fetch_under_way_that_the_old_secret_is_refused_for_is_made_with_the_new_one(world):
    world.sandbox.fail("slow", seconds=2)
    async with world.manager(world.account("beta")) as tokens:
        got = []

        async def read():
            got.append(await tokens.access_token("beta"))

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.sleep(1)
            await tokens.reload([reset(world, "beta")])
            await tokens.reload([world.account("beta", secret=NEW, timeout=9.0)])
            group.start_soon(read)
        assert len(set(got)) == 1
        assert [call.errcode for call in world.sandbox.calls] == [40125, 0]
        record = (await tokens._link.store.read([tokens.entry("beta", "access_token").credential]))[0]
        assert (record.error, record.attempts) == (None, 0)


async def test_a_due_token_is_fetched_with_the_new_secret_although_the_old_one_has_a_back_off(world):
    async with world.manager(world.account("alpha")) as tokens:
        await tokens.access_token("alpha")
        account = reset(world)
        await anyio.sleep(280)
        assert tokens.entry("alpha", "access_token").error.errcode == 40125
        asked = world.count("stable_token")
        await tokens.reload([account])
        await anyio.sleep(1)
        assert tokens.entry("alpha", "access_token").error is None
        assert world.count("stable_token") == asked + 1


async def test_a_token_that_is_not_due_waits_for_its_time_whatever_a_refresh_was_refused_for(world):
    async with world.manager(world.account("beta")) as tokens:
        held = await tokens.access_token("beta")
        account = reset(world, "beta")
        with pytest.raises(UpstreamRefused):
            await tokens.refresh("beta")
        await tokens.reload([account])
        await anyio.sleep(600)
        assert await tokens.access_token("beta") == held


async def test_a_token_that_died_with_its_secret_is_replaced_as_soon_as_there_is_another(world):
    """It has most of its life left by the clock, and would be asked for an hour later."""
    async with world.manager(world.account("beta")) as tokens:
        dead = await tokens.access_token("beta")
        await anyio.sleep(61)
        world.sandbox.revoke(dead)
        account = reset(world, "beta")
        with pytest.raises(UpstreamRefused):
            await tokens.refresh("beta", dead=dead)
        await tokens.reload([account])
        await anyio.sleep(2)
        new = await tokens.access_token("beta")
        assert new != dead
        assert world.sandbox.accepts(new)


async def test_of_two_processes_one_with_the_old_secret_does_not_hold_up_the_one_with_the_new(world):
    store = FaultyStore(world.clock)
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(world.manager(world.account("alpha"), store=store))
            for _ in range(2)
        ]
        await anyio.sleep(3)
        await one.reload([reset(world)])
        for _ in range(300):
            await anyio.sleep(30)
            tokens = [await tokens.access_token("alpha") for tokens in (one, two)]
            assert all(map(world.sandbox.accepts, tokens))
        await two.reload([world.account("alpha", secret=NEW)])
        await anyio.sleep(310)
        assert two.entry("alpha", "access_token").error is None


# accounts that come, go, and change their name


async def test_a_new_account_is_fetched_at_once_and_kept_fresh(world):
    async with world.manager(world.account("alpha")) as tokens:
        with pytest.raises(UnknownAccount):
            await tokens.access_token("beta")
        await tokens.reload([world.account("alpha"), world.account("beta", tickets=["jsapi"])])
        await anyio.sleep(1)
        assert (world.count("token"), world.count("ticket/getticket")) == (1, 1)
        first = await tokens.access_token("beta")
        await anyio.sleep(7200)
        assert await tokens.access_token("beta") != first
        assert world.sandbox.accepts(await tokens.access_token("beta"))


async def test_a_new_account_takes_over_what_the_store_holds(world):
    store = MemoryStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as other:
        held = await other.access_token("beta")
    async with world.manager(world.account("alpha"), store=store) as tokens:
        await tokens.reload([world.account("beta")])
        await anyio.sleep(1)
        assert await tokens.access_token("beta") == held
    assert world.count("token") == 1


async def test_a_new_account_is_fetched_while_the_store_is_away(world):
    store = FaultyStore(world.clock, shared=False)
    async with world.manager(world.account("beta"), store=store) as tokens:
        await tokens.access_token("beta")
        store.faults["*"] = "away"
        await tokens.reload([world.account("alpha"), world.account("beta")])
        await anyio.sleep(3)
        assert world.count("stable_token") == 1


async def test_an_account_that_is_removed_is_unknown_and_fetched_no_more_but_its_record_stays(world):
    store = MemoryStore(world.clock)
    async with world.manager(store=store) as tokens:
        entry = tokens.entry("beta", "access_token")
        held = await tokens.access_token("beta")
        await tokens.reload([world.account("alpha")])
        with pytest.raises(UnknownAccount):
            await tokens.access_token("beta")
        with pytest.raises(UnknownAccount):
            await tokens.refresh(APPIDS["beta"])
        assert [told.account for told in tokens.statistics().credentials] == ["alpha"]
        await anyio.sleep(20_000)
        assert world.count("token") == 1
        assert (await store.read([entry.credential]))[0].value == held


async def test_a_fetch_of_an_account_that_is_removed_ends_quietly_and_is_committed(world, caplog):
    world.sandbox.fail("slow", path="/cgi-bin/token", seconds=2)
    store = MemoryStore(world.clock)
    async with world.manager(store=store) as tokens:
        entry = tokens.entry("beta", "access_token")
        await anyio.sleep(1)
        await tokens.reload([world.account("alpha")])
        await anyio.sleep(2)
        assert (await store.read([entry.credential]))[0].good
        assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
        await tokens.reload([world.account("alpha"), world.account("beta")])
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert world.count("token") == 1


async def test_whoever_waits_for_what_a_reload_removes_makes_no_further_fetch(world):
    world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=-1, times=None)
    async with world.manager(world.account("beta")) as tokens:
        await anyio.sleep(1)
        begun = anyio.current_time()

        async def read():
            with pytest.raises(UnknownAccount):
                await tokens.access_token("beta")
            assert anyio.current_time() - begun < 6

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.sleep(0.01)
            await tokens.reload([])
            asked = world.count("token")
        await anyio.sleep(600)
        assert world.count("token") == asked


async def test_whoever_waits_for_a_first_value_gets_that_of_the_endpoint_in_force(world):
    world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=-1, times=None)
    async with world.manager(world.account("beta")) as tokens:
        await anyio.sleep(1)
        read = []

        async def wait():
            read.append(await tokens.access_token("beta"))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.01)
            await tokens.reload([world.account("beta", endpoint="stable")])
            asked = world.count("token")
        assert world.sandbox.accepts(read[0])
        assert world.count("stable_token") == 1
        await anyio.sleep(600)
        assert world.count("token") == asked


async def test_a_new_name_refetches_nothing(world):
    async with world.manager(world.account("beta", tickets=["jsapi"])) as tokens:
        held = await tokens.access_token("beta"), await tokens.jsapi_ticket("beta")
        await tokens.reload([Account("shop", APPIDS["beta"], SECRETS["beta"], endpoint="token")])
        assert (await tokens.access_token("shop"), await tokens.jsapi_ticket("shop")) == held
        with pytest.raises(UnknownAccount):
            await tokens.access_token("beta")
        assert tokens.statistics().credentials[0].account == "shop"
        assert world.count("token") == 1


async def test_two_accounts_that_swap_their_names_never_answer_for_each_other(world):
    async with running(world) as center:
        of = {name: (await center.get(f"/token/{name}")).text for name in ("alpha", "beta")}
        await center.put("/token/alpha")
        world.sandbox.fail("slow", path="/cgi-bin/stable_token", seconds=3)
        entry = center.tokens.entry("alpha", "access_token")
        await anyio.sleep(entry.held.ask_in(world.clock) + 1)
        assert entry.flight.placed
        swapped = [
            Account("beta", APPIDS["alpha"], SECRETS["alpha"]),
            Account("alpha", APPIDS["beta"], SECRETS["beta"], endpoint="token"),
        ]
        await center.tokens.reload(swapped)
        assert entry.account.name == "alpha"  # until its fetch ends
        for _ in range(3):
            for app in ("alpha", "beta", APPIDS["alpha"], APPIDS["beta"]):
                token = (await center.get(f"/token/{app}")).text
                assert (token == of["beta"]) == (app in {"alpha", APPIDS["beta"]})
            await anyio.sleep(2)
        assert entry.account.name == "beta"


async def test_what_is_set_of_an_account_takes_effect(world):
    async with world.manager(world.account("alpha")) as tokens:
        await tokens.js_config("alpha", "https://a.example/")
        await tokens.reload(
            [world.account("alpha", js_domains=["b.example"], timeout=1.0, tickets=["jsapi"])]
        )
        with pytest.raises(HostNotAllowed):
            await tokens.js_config("alpha", "https://a.example/")
        world.sandbox.fail("hang", times=1)
        await anyio.sleep(tokens.entry("alpha", "access_token").held.ask_in(world.clock) + 1.5)
        assert tokens.entry("alpha", "access_token").error.cls == "timeout"


async def test_a_fleet_that_grows_asks_more_rarely(world):
    def some(count):
        return [Account(f"a{n}", f"wx{n:016d}", "s", daily_quota=2000) for n in range(count)]

    tokens = world.manager(*some(2))
    assert tokens._refresher._ask_every_s() == 270
    await tokens.reload(some(10_000))
    assert tokens._refresher._ask_every_s() == 500


# another endpoint


@pytest.mark.parametrize(("name", "after"), [("alpha", "token"), ("beta", "stable")])
async def test_after_a_change_of_the_endpoint_the_old_value_is_served_until_there_is_a_new_one(
    world, name, after
):
    async with world.manager(world.account(name, tickets=["jsapi"])) as tokens:
        held, ticket = await tokens.access_token(name), await tokens.jsapi_ticket(name)
        world.sandbox.away(seconds=100)
        account = world.account(name, endpoint=after, tickets=["jsapi"])
        await tokens.reload([account])
        for _ in range(50):
            assert await tokens.access_token(name) == held
            assert await tokens.jsapi_ticket(name) == ticket
            await anyio.sleep(1)
        await anyio.sleep(200)
        now = await tokens.access_token(name)
        assert now != held
        assert world.sandbox.accepts(now)
        await anyio.sleep(30)
        assert sum(call.issued and call.path == "/cgi-bin/token" for call in world.sandbox.calls) == 1


async def test_on_demand_the_first_reader_after_a_change_of_the_endpoint_fetches(world):
    tokens = world.manager(world.account("beta"))
    held = await tokens.access_token("beta")
    await tokens.reload([world.account("beta", endpoint="stable")])
    now = await tokens.access_token("beta")
    assert now != held
    assert world.sandbox.accepts(now)


async def test_another_api_base_takes_nothing_over(world):
    async with world.manager(world.account("alpha")) as tokens:
        held = await tokens.access_token("alpha")
        await tokens.reload([world.account("alpha", api_base="http://127.0.0.1:1")])
        assert tokens.entry("alpha", "access_token").held is None
        assert await tokens.access_token("alpha") == held  # the sandbox stands behind every address
        assert world.count("stable_token") == 2


# what is wrong changes nothing


WRONG = {
    "one appid": [{}, {"name": "other"}],
    "an endpoint": [{"endpoint": "wecom"}],
    "a ticket": [{"tickets": ["cards"]}],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_wrong_accounts_are_refused_and_everything_is_as_it_was(world, wrong):
    async with world.manager() as tokens:
        before = tokens.accounts
        held = await tokens.access_token("beta")
        accounts = [
            Account(**{"name": "alpha", "appid": APPIDS["alpha"], "secret": NEW} | options)
            for options in wrong
        ]
        with pytest.raises(ConfigError):
            await tokens.reload(accounts)
        assert tokens.accounts is before
        assert tokens.entry("alpha", "access_token").account.secret == SECRETS["alpha"]
        assert await tokens.access_token("beta") == held


async def test_what_is_no_account_at_all_is_refused(world):
    tokens = world.manager()
    with pytest.raises(ConfigError, match="accounts must be Account objects, not str"):
        await tokens.reload(["alpha"])


async def test_the_old_endpoint_comes_in_only_where_the_store_was_written_out(world):
    tokens = world.manager(world.account("alpha"), store=None)
    with pytest.raises(ConfigError, match="account beta: endpoint 'token' needs store to be written out"):
        await tokens.reload([world.account("alpha"), world.account("beta")])


async def test_the_old_endpoint_comes_in_only_where_no_other_process_dooms_it(world, monkeypatch):
    async with world.manager(world.account("alpha")) as tokens:
        monkeypatch.setattr("sys.argv", ["uvicorn", "--workers", "2"])
        with pytest.raises(ConfigError, match="account beta: endpoint 'token' with 2 workers"):
            await tokens.reload([world.account("beta")])
        await tokens.reload([world.account("alpha", secret=NEW)])


# when


async def test_on_demand_closed_and_open_again(world):
    tokens = world.manager(world.account("alpha"))
    await tokens.reload([world.account("beta")])
    held = await tokens.access_token("beta")
    async with tokens:
        assert await tokens.access_token("beta") == held
    await tokens.reload([world.account("alpha"), world.account("beta")])
    async with tokens:
        await anyio.sleep(1)
        assert (world.count("stable_token"), world.count("token")) == (1, 1)
        assert await tokens.access_token("beta") == held


async def test_reloads_that_come_together_come_one_after_the_other_and_reads_notice_nothing(world):
    async with world.manager() as tokens:
        held = {name: await tokens.access_token(name) for name in ("alpha", "beta")}
        sets = [[world.account("alpha"), world.account("beta", daily_quota=n)] for n in range(100, 150)]

        async def read():
            for _ in range(200):
                assert {name: await tokens.access_token(name) for name in held} == held
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(read)
            for accounts in sets:
                group.start_soon(tokens.reload, accounts)
        assert tokens.accounts.get("beta").daily_quota in range(100, 150)
        assert tokens.entry("beta", "access_token").account is tokens.accounts.get("beta")
        assert world.count("token") == 1


async def test_a_reload_while_it_opens_or_closes_waits(world):
    world.sandbox.fail("slow", times=None, seconds=2)
    tokens = world.manager(world.account("alpha"), store=FaultyStore(world.clock))

    async def later():
        await anyio.sleep(0.5)
        await tokens.reload([world.account("beta")])  # while it closes

    async with anyio.create_task_group() as group, tokens:
        await tokens.reload([world.account("alpha", timeout=5.0)])
        await anyio.sleep(0.2)
        group.start_soon(later)
        await anyio.sleep(0.1)
    assert [account.name for account in tokens.accounts] == ["beta"]


async def test_another_loop_than_its_own_is_refused(world):
    caught = []

    def other_loop():
        try:
            anyio.run(tokens.reload, [world.account("alpha")])
        except WrongLoop as error:
            caught.append(error)

    async with world.manager() as tokens:
        thread = threading.Thread(target=other_loop)
        thread.start()
        thread.join()
    assert len(caught) == 1


async def test_a_bug_in_who_hears_of_it_is_not_hidden(world):
    tokens = world.manager()
    told = []
    tokens.reloaded.append(lambda: told.append([account.name for account in tokens.accounts]))
    await tokens.reload([world.account("beta")])
    assert told == [["beta"]]
    assert isinstance(tokens, TokenManager)


async def test_a_refused_secret_is_told_to_who_wants_to_know_and_another_refusal_is_not(world):
    told = []
    reset(world)
    world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=40164, times=None)
    tokens = world.manager()
    tokens.refused.append(lambda: told.append(1))
    async with tokens:
        await anyio.sleep(1)
    assert told == [1]


# over HTTP


async def shop(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the shop"})


async def test_as_guests_of_an_app_we_claim_the_paths_of_the_accounts_in_force(world):
    async with running(world, world.account("alpha"), app=shop) as center:
        assert (await center.get("/token/beta")).text == "the shop"
        await center.tokens.reload([world.account("beta")])
        assert world.sandbox.accepts((await center.get("/token/beta")).text)
        assert world.sandbox.accepts((await center.get("/token/beta")).text)
        assert (await center.get("/token/alpha")).text == "the shop"
        await center.tokens.reload([])
        assert (await center.get("/token/beta")).text == "the shop"


async def test_as_owners_we_answer_404_for_an_account_that_was_removed_and_was_read_often(world):
    async with running(world) as center:
        for _ in range(3):
            assert (await center.get("/token/beta")).status_code == 200
        await center.tokens.reload([world.account("alpha")])
        for path in ("/token/beta", f"/token/{APPIDS['beta']}"):
            assert (await center.get(path)).json()["code"] == "unknown_account"
        assert (await center.get("/token/alpha")).status_code == 200


async def test_a_read_that_waits_while_its_account_is_removed_leaves_no_answer_behind(world):
    world.sandbox.fail("slow", path="/cgi-bin/token", seconds=2)
    async with running(world) as center:
        answers = []

        async def read():
            answers.append((await center.get("/token/beta")).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.sleep(1)
            await center.tokens.reload([world.account("alpha")])
        assert answers == [200]
        assert (await center.get("/token/beta")).status_code == 404


async def test_who_may_read_changes_with_the_accounts_or_not_at_all(world):
    async with running(world, world.account("alpha"), trusted=["10.0.0.1"]) as center:
        for _ in range(2):
            assert (await center.get("/token/alpha", peer="10.0.0.1")).status_code == 200
        accounts = [world.account("beta")]
        with pytest.raises(ConfigError, match="trusted"):
            await center.service.reload(accounts, trusted=["10.0.0.300"])
        with pytest.raises(ConfigError, match="name is taken"):
            await center.service.reload(accounts + accounts, trusted=["10.0.0.2"])
        assert (await center.get("/token/alpha", peer="10.0.0.1")).status_code == 200
        await center.service.reload(accounts, trusted=["10.0.0.2"], js_config_ticket=True)
        assert (await center.get("/token/beta", peer="10.0.0.1")).status_code == 403
        assert (await center.get("/token/beta", peer="10.0.0.2")).status_code == 200
        page = await center.get("/js-config/beta?url=https://a.example/", peer="10.0.0.2")
        assert "jsapi_ticket" in page.json()


async def test_a_rule_that_a_reload_leaves_out_stays_as_it_is(world):
    async with running(world, world.account("alpha"), trusted=["10.0.0.1"]) as center:
        await center.service.reload([world.account("alpha")])
        assert (await center.get("/token/alpha", peer="10.0.0.1")).status_code == 200
        assert (await center.get("/token/alpha", peer="127.0.0.1")).status_code == 403


async def test_an_account_that_comes_back_during_its_fetch_is_fetched_once(world):
    async with world.manager(world.account("beta")) as tokens:
        entry = tokens.entry("beta", "access_token")
        await tokens.access_token("beta")
        world.sandbox.fail("slow", path="/cgi-bin/token", seconds=3)
        await anyio.sleep(entry.held.ask_in(world.clock) + 1.5)
        assert entry.flight is not None
        await tokens.reload([])
        await tokens.reload([world.account("beta")])
        assert tokens.entry("beta", "access_token") is entry
        await anyio.sleep(20)
        assert world.count("token") == 2
        assert world.sandbox.accepts(await tokens.access_token("beta"))


async def test_an_account_that_comes_back_serves_what_others_fetched_meanwhile(world):
    """It was removed during its fetch; since that ended nobody here has heard any news of it."""
    store = FaultyStore(world.clock)
    alpha, beta = world.account("alpha"), world.account("beta")
    async with (
        world.manager(alpha, beta, store=store) as one,
        world.manager(alpha, beta, store=store) as two,
    ):
        await one.access_token("beta")
        await anyio.sleep(120)
        world.sandbox.fail("slow", path="/cgi-bin/token", seconds=2)
        async with anyio.create_task_group() as group:
            group.start_soon(one.refresh, "beta")
            await anyio.sleep(1)
            await one.reload([alpha])
        await anyio.sleep(600)
        doomed = await two.access_token("beta")
        new = await two.refresh("beta")
        await anyio.sleep(400)
        assert not world.sandbox.accepts(doomed)
        await one.reload([alpha, beta])
        assert await one.access_token("beta") == new
    assert world.count("token") == 3


async def test_an_account_that_comes_back_during_its_fetch_hears_what_came_meanwhile_before_that_ends(world):
    store = FaultyStore(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        entry = tokens.entry("beta", "access_token")
        await tokens.access_token("beta")
        world.sandbox.fail("slow", path="/cgi-bin/token", seconds=8)
        await anyio.sleep(entry.held.ask_in(world.clock) + 1.5)
        flight = entry.flight
        await tokens.reload([])
        await store.inner.supply([Supply(entry.credential, "news", 7000, 3600)])
        await anyio.sleep(1)
        await tokens.reload([world.account("beta")])
        await anyio.sleep(1)
        assert tokens.entry("beta", "access_token").flight is flight is not None
        assert await tokens.access_token("beta") == "news"


async def test_an_endpoint_that_comes_back_during_its_fetch_is_lent_nothing_in_place_of_its_own(world):
    async with world.manager(world.account("beta")) as tokens:
        entry = tokens.entry("beta", "access_token")
        held = await tokens.access_token("beta")
        world.sandbox.fail("slow", path="/cgi-bin/token", seconds=8)
        await anyio.sleep(entry.held.ask_in(world.clock) + 1.5)
        await tokens.reload([world.account("beta", endpoint="stable")])
        await anyio.sleep(1)
        assert await tokens.access_token("beta") != held
        await tokens.reload([world.account("beta")])
        assert tokens.entry("beta", "access_token") is entry
        assert (entry.held.value, entry.held.lent) == (held, False)


async def test_a_ticket_that_comes_back_during_its_fetch_hangs_on_the_token_that_is_kept(world):
    alpha, beta = world.account("alpha"), world.account("beta", tickets=["jsapi"])
    async with world.manager(alpha, beta) as tokens:
        await tokens.jsapi_ticket("beta")
        ticket, token = (tokens.entry("beta", kind) for kind in ("jsapi_ticket", "access_token"))
        await anyio.sleep(120)
        world.sandbox.fail("slow", path="/cgi-bin/ticket/getticket", seconds=2)
        async with anyio.create_task_group() as group:
            group.start_soon(tokens.refresh, "beta", "jsapi_ticket")
            await anyio.sleep(1)
            await tokens.reload([alpha])
            await tokens.reload([alpha, beta])
            assert tokens.entry("beta", "jsapi_ticket") is ticket
            assert ticket.flight is not None
        assert tokens.entry("beta", "access_token") is not token
        assert ticket.parent is tokens.entry("beta", "access_token")
        await tokens.refresh("beta")
        await anyio.sleep(400)  # WeChat has let go of the token before
        tried = world.count("ticket/getticket")
        await tokens.refresh("beta", "jsapi_ticket")
        assert world.count("ticket/getticket") == tried + 1


async def test_what_the_store_has_of_long_ago_does_not_replace_what_the_other_endpoint_lends(world):
    store = MemoryStore(world.clock)
    async with world.manager(world.account("beta", endpoint="stable"), store=store) as tokens:
        await tokens.access_token("beta")
    world.clock.slept += 8000
    async with world.manager(world.account("beta"), store=store) as tokens:
        lent = await tokens.access_token("beta")
        world.sandbox.fail("errcode", errcode=-1, times=None)
        await tokens.reload([world.account("beta", endpoint="stable")])
        await anyio.sleep(30)
        assert await tokens.access_token("beta") == lent
        world.sandbox.heal()
        await anyio.sleep(400)
        assert await tokens.access_token("beta") != lent


async def test_a_ticket_that_the_other_endpoint_lends_is_asked_for_soon(world):
    async with world.manager(world.account("beta")) as tokens:
        await tokens.jsapi_ticket("beta")
        await tokens.reload([world.account("beta", endpoint="stable")])
        await anyio.sleep(30)
        assert world.count("ticket/getticket") == 2
        assert not tokens.entry("beta", "jsapi_ticket").held.lent


async def test_a_larger_daily_quota_is_used_at_once(world):
    account = world.account("beta", daily_quota=1)
    async with world.manager(account) as tokens:
        entry = tokens.entry("beta", "access_token")
        before = await tokens.access_token("beta")
        await anyio.sleep(entry.held.ask_in(world.clock) + 60)
        assert world.count("token") == 1
        await tokens.reload([world.account("beta", daily_quota=10)])
        await anyio.sleep(60)
        assert world.count("token") == 2
        assert await tokens.access_token("beta") != before
