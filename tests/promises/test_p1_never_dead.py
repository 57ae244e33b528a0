"""P1: never a dead value, knowingly; and while WeChat answers, no read is refused after the first fetch."""

from __future__ import annotations

import anyio
import pytest

from support.fleet import Client, Fleet, http_client

HOUR = 3600
AGES = 20


async def two_days(fleet, *, hours=48, every_s=97.0):
    async with fleet.manager() as tokens, http_client(tokens) as http:
        clients = [
            Client(fleet, http, f"/{word}/{account.name}", field)
            for account in fleet.accounts
            for word, field in (("token", "access_token"), ("ticket", "ticket"))
        ]
        for client in clients:
            await client.use()
            assert not client.refused
        until = fleet.clock.monotonic() + hours * HOUR
        while fleet.clock.monotonic() < until:
            await anyio.sleep(every_s)
            for client in clients:
                await client.use()
    return clients


@pytest.mark.parametrize("overlap", ["grace", "strict"])
async def test_stable_tokens_of_every_age_for_two_days(overlap, anyio_backend_name, capsys):
    ages = AGES if anyio_backend_name == "asyncio" else 3
    fleet = Fleet(["stable"] * ages, overlap=overlap, apart_s=7200 / ages)
    clients = await two_days(fleet)
    report(capsys, f"stable, {overlap}", fleet, clients)
    assert sum(client.refused for client in clients) == 0
    assert sum(client.dead_reads for client in clients) == 0
    assert sum(client.dead for client in clients) == 0


async def test_tokens_of_the_old_endpoint_in_grace_for_two_days(anyio_backend_name, capsys):
    ages = AGES if anyio_backend_name == "asyncio" else 3
    fleet = Fleet(["token"] * ages, overlap="grace", apart_s=7200 / ages)
    clients = await two_days(fleet)
    report(capsys, "token, grace", fleet, clients)
    assert sum(client.refused for client in clients) == 0
    assert sum(client.dead_reads for client in clients) == 0
    assert sum(client.dead for client in clients) == 0
    assert fleet.sandbox.count("/cgi-bin/token") <= ages * 48 * HOUR / (0.5 * 7200) + ages


async def test_dead_reads_of_the_old_endpoint_in_strict_do_not_exceed_the_fetch(capsys):
    """The token dies when WeChat issues the next; until the answer is here nobody can know."""
    took_s, hours = 0.7, 2.5
    fleet = Fleet(["token"], overlap="strict", apart_s=360, tickets=False)
    fleet.sandbox.fail("slow", path="/cgi-bin/token", times=None, before=False, seconds=took_s)
    dead_s = longest = 0.0
    step = 0.1
    async with fleet.manager() as tokens:
        await tokens.access_token("account0")
        run = 0.0
        for _ in range(int(hours * HOUR / step)):
            await anyio.sleep(step)
            run = 0.0 if fleet.sandbox.accepts(await tokens.access_token("account0")) else run + step
            dead_s += step if run else 0.0
            longest = max(longest, run)
    with capsys.disabled():
        print(
            f"\n  token, strict: {dead_s:.1f} s of dead reads in {hours} h, at most {longest:.1f} s at a time"
        )
    assert 0 < longest <= took_s + 2 * step


@pytest.mark.parametrize("how", ["away", "hang"])
@pytest.mark.parametrize("away_s", [60, 120, 240])
async def test_wechat_away_at_every_age_of_a_stable_token(away_s, how, anyio_backend_name):
    apart = 30 if anyio_backend_name == "asyncio" else 240
    fleet = Fleet(["stable"] * (7200 // apart), overlap="grace", apart_s=apart, tickets=False)
    async with fleet.manager(fetches=1000) as tokens:
        for account in fleet.accounts:
            await tokens.access_token(account.name)
        await anyio.sleep(1)
        fleet.sandbox.fail(how, times=None)
        refused = await refused_reads(fleet, tokens, away_s)
        fleet.sandbox.heal()
        refused += await refused_reads(fleet, tokens, 600)
    assert refused == 0


async def refused_reads(fleet, tokens, for_s):
    refused = 0
    until = fleet.clock.monotonic() + for_s
    while fleet.clock.monotonic() < until:
        await anyio.sleep(1)
        for account in fleet.accounts:
            held = tokens.fresh(tokens.entry(account.name, "access_token"))
            refused += held is None or not fleet.sandbox.accepts(held.value)
    return refused


async def test_a_value_is_served_until_its_end_and_never_past_it(world):
    async with world.manager(world.account("alpha")) as tokens, http_client(tokens) as http:
        await tokens.access_token("alpha")
        begun = world.clock.monotonic()
        world.sandbox.fail("errcode", errcode=-1, times=None)
        last_good = refusal = None
        while refusal is None:
            await anyio.sleep(5)
            answer = await http.get("/token/alpha")
            if answer.status_code == 200:
                last_good = world.clock.monotonic()
            else:
                refusal = answer
        assert 7160 <= last_good - begun <= 7170
        assert refusal.status_code == 503
        assert int(refusal.headers["retry-after"]) >= 1
        assert refusal.json()["errcode"] == -1
        world.sandbox.heal()
        await anyio.sleep(90)
        assert (await http.get("/token/alpha")).status_code == 200


async def test_a_refresh_that_fails_takes_nothing_away(world):
    async with world.manager() as tokens:
        before = await tokens.access_token("beta")
        world.sandbox.fail("errcode", errcode=40164, times=None)
        await anyio.sleep(5000)
        assert await tokens.access_token("beta") == before


@pytest.mark.parametrize("step_s", [-3600, 3600])
async def test_a_wall_clock_that_steps_neither_refuses_nor_refetches(world, step_s):
    async with world.manager() as tokens:
        before = [await tokens.access_token("alpha"), await tokens.access_token("beta")]
        calls = len(world.sandbox.calls)
        await anyio.sleep(10)
        world.clock.wall_offset += step_s
        for _ in range(20):
            await anyio.sleep(10)
            assert [await tokens.access_token("alpha"), await tokens.access_token("beta")] == before
        assert len(world.sandbox.calls) == calls


@pytest.mark.parametrize("set_back_s", [0, 8000], ids=["plain", "its clock is set back"])
async def test_a_suspended_machine_does_not_serve_what_died_meanwhile(world, set_back_s):
    async with world.manager() as tokens:
        before = await tokens.access_token("beta")
        world.clock.slept += 8000
        world.clock.wall_offset -= set_back_s
        after = await tokens.access_token("beta")
        assert after != before
        assert world.sandbox.accepts(after)


def report(capsys, what, fleet, clients):
    calls = {path: sum(codes.values()) for path, codes in fleet.sandbox.counts().items()}
    told = [seconds for client in clients for seconds in client.told]
    with capsys.disabled():
        print(
            f"\n  {what}: {len(fleet.accounts)} ages, 48 h, {sum(c.reads for c in clients)} reads, "
            f"told to keep {min(told)}-{max(told)} s; upstream calls {calls}"
        )
