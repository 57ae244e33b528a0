"""Probes: a token that died early is found and replaced, once for all who share the store."""

from __future__ import annotations

import itertools
import logging

import anyio
import pytest

from wxtoken_asgi import ConfigError
from wxtoken_asgi.kinds import KINDS, with_probes

from benchmarks.fleet import SharedStore
from support.faulty_store import FaultyStore
from support.world import APPIDS

PROBE = "access_token_probe"
HOUR_S = 3600


def probes(world, name):
    return world.count("get_api_domain_ip", name)


def at(world, path="/cgi-bin/get_api_domain_ip"):
    return [call.at for call in world.sandbox.calls if call.path == path]


def seen(tokens, kind=PROBE):
    [found] = [item for item in tokens.statistics().credentials if item.kind == kind]
    return found


# the option


async def test_without_the_option_nothing_is_probed(world):
    async with world.manager() as tokens:
        await anyio.sleep(HOUR_S)
        assert {item.kind for item in tokens.statistics().credentials} == {"access_token"}
    assert world.count("get_api_domain_ip") == 0


@pytest.mark.parametrize("off", [None, 0, 0.0])
def test_none_and_0_are_no_probes(off):
    assert with_probes(KINDS, off) is KINDS


@pytest.mark.parametrize("wrong", [1, 59.9, -60, 86_401, float("nan"), float("inf")])
def test_an_interval_is_a_minute_to_a_day(world, wrong):
    with pytest.raises(ConfigError, match="probe_every must be 60 to 86400 seconds, not"):
        world.manager(probe_every=wrong)


def test_each_kind_of_token_has_a_probe_and_no_ticket():
    table = with_probes(KINDS, 60)
    for endpoint, row in table.items():
        assert row[: len(KINDS[endpoint])] == KINDS[endpoint]
        assert [kind.name for kind in row if kind.watches] == [PROBE]


# when


async def test_a_token_is_probed_at_the_interval_with_jitter(world):
    async with world.manager(probe_every=300):
        await anyio.sleep(2 * HOUR_S)
    for name in ("alpha", "beta"):
        assert 22 <= probes(world, name) <= 27
    moments = [
        call.at
        for call in world.sandbox.calls
        if call.path == "/cgi-bin/get_api_domain_ip" and call.appid == APPIDS["beta"]
    ]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert 270 <= min(gaps) < 290
    assert 310 < max(gaps) <= 331


async def test_workers_that_share_a_store_probe_as_one(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("beta"), store=store, probe_every=300) for _ in range(4)]
    async with managers[0], managers[1], managers[2], managers[3]:
        await anyio.sleep(HOUR_S)
    assert 11 <= probes(world, "beta") <= 14


async def test_a_restart_does_not_probe_anew(world):
    store = SharedStore(world.clock)
    for _ in range(5):
        async with world.manager(world.account("beta"), store=store, probe_every=300):
            await anyio.sleep(20)
    assert probes(world, "beta") == 1


async def test_a_token_that_works_is_left_alone(world, caplog):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    heard = []

    async def hear(event):
        heard.append(event)

    async with world.manager(world.account("beta"), probe_every=60, on_token=hear, on_error=hear) as tokens:
        held = await tokens.access_token("beta")
        await anyio.sleep(HOUR_S / 2)
        assert await tokens.access_token("beta") == held
    assert [event.kind for event in heard] == ["access_token"]
    assert not [record for record in caplog.records if "probe" in record.getMessage()]
    assert world.count("token") == 1


async def test_readiness_does_not_wait_for_a_probe(world):
    world.sandbox.fail("hang", path="/cgi-bin/get_api_domain_ip", times=None)
    async with world.manager(probe_every=60) as tokens:
        await anyio.sleep(1)
        assert tokens.ready


# what is found dead


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_token_that_died_is_replaced_within_the_interval(world, name):
    async with world.manager(world.account(name), probe_every=60, ask_every=86_400) as tokens:
        dead = await tokens.access_token(name)
        await anyio.sleep(200)
        world.sandbox.revoke(dead)
        await anyio.sleep(67)
        new = await tokens.access_token(name)
        assert new != dead
        assert world.sandbox.accepts(new)
        assert seen(tokens, "access_token").died_early == 1
        assert seen(tokens).state == "fresh"
        assert seen(tokens).error is None


async def test_what_one_worker_finds_dead_all_serve_anew(world):
    store = SharedStore(world.clock)
    managers = [world.manager(world.account("beta"), store=store, probe_every=60) for _ in range(3)]
    async with managers[0], managers[1], managers[2]:
        dead = await managers[0].access_token("beta")
        world.sandbox.revoke(dead)
        await anyio.sleep(68)
        served = {await tokens.access_token("beta") for tokens in managers}
        assert len(served) == 1
        assert world.sandbox.accepts(served.pop())
    assert world.count("token") == 2


async def test_one_that_dies_again_and_again_is_replaced_less_and_less_often(world):
    async with world.manager(world.account("beta"), probe_every=60) as tokens:
        until = anyio.current_time() + 4 * HOUR_S
        while anyio.current_time() < until:
            world.sandbox.revoke(await tokens.access_token("beta"))
            await anyio.sleep(10)
    moments = at(world, "/cgi-bin/token")
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(gap < 140 for gap in gaps[:3])
    assert gaps[3] < gaps[4] < gaps[5] < gaps[6]
    assert all(gap >= 1795 for gap in gaps[8:])
    assert max(gaps) < 1800 + 100
    assert len(moments) <= 8 + 8


# what goes wrong


@pytest.mark.parametrize("errcode", [-1, 45009, 40164, 48001])
async def test_a_probe_that_is_refused_says_nothing_of_the_token(world, errcode):
    async with world.manager(world.account("beta"), probe_every=60) as tokens:
        held = await tokens.access_token("beta")
        await anyio.sleep(10)
        world.sandbox.fail("errcode", path="/cgi-bin/get_api_domain_ip", errcode=errcode, times=None)
        await anyio.sleep(HOUR_S / 2)
        assert await tokens.access_token("beta") == held
        assert seen(tokens).errcode == errcode
        assert seen(tokens, "access_token").error is None
        assert probes(world, "beta") <= 14  # backed off from
        world.sandbox.heal()
        await anyio.sleep(800)
        assert seen(tokens).error is None
    assert world.count("token") == 1


async def test_while_the_store_is_away_nobody_probes(world):
    store = FaultyStore(world.clock)
    async with world.manager(world.account("alpha"), store=store, probe_every=60) as tokens:
        await anyio.sleep(130)
        before = probes(world, "alpha")
        store.faults.update(dict.fromkeys(("claim", "due", "read", "commit", "fail", "changes"), "away"))
        await anyio.sleep(600)
        assert probes(world, "alpha") <= before + 1
        assert world.sandbox.accepts(await tokens.access_token("alpha"))
        store.faults.clear()
        await anyio.sleep(200)
        assert probes(world, "alpha") >= before + 2


async def test_a_dead_token_whose_replacement_fails_is_probed_at_the_interval_all_the_same(world):
    async with world.manager(world.account("beta"), probe_every=60) as tokens:
        world.sandbox.revoke(await tokens.access_token("beta"))
        world.sandbox.fail("errcode", path="/cgi-bin/token", errcode=-1, times=None)
        await anyio.sleep(600)
        assert probes(world, "beta") <= 2 * 12
        world.sandbox.heal()
        await anyio.sleep(400)
        assert world.sandbox.accepts(await tokens.access_token("beta"))
