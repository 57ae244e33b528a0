"""WeChat away at every age of a token: `python -m benchmarks.away` in the folder `tests`.

For each length of the outage, 60 accounts whose tokens are of 60 evenly spread ages when it begins. A reader
asks for each once a second, during the outage and for 10 minutes after it. It counts the accounts of which a
read was refused or gave a token that WeChat does not take. Then a day without WeChat, with 1 and 8 workers.
"""

from __future__ import annotations

import argparse
import logging
import time

import anyio

from wxtoken_asgi.policy import ClassicPolicy, Fetched
from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Supply

from support.fleet import Fleet
from support.virtual import virtual_backend

MINUTE = 60
DAY = 86_400
AFTER_S = 600
OUTAGES = (
    ("stable", (60, 120, 240)),
    ("token", (20 * MINUTE, 30 * MINUTE, 45 * MINUTE, 60 * MINUTE)),
)


async def moments_with_an_error(endpoint: str, away_s: float, moments: int) -> int:
    """Of how many ages an outage of so long is felt."""
    cycle_s = 7200 if endpoint == "stable" else 3960  # the oldest that a token gets before the next
    fleet = Fleet([endpoint] * moments, overlap="grace", apart_s=cycle_s / moments, tickets=False)
    store = MemoryStore(fleet.clock)
    if endpoint == "token":
        await store.supply([_held(fleet, number) for number in range(moments)])
    felt: set[str] = set()
    async with fleet.manager(store=store, fetches=1000) as tokens:
        await anyio.sleep(10)
        fleet.sandbox.fail("away", times=None)
        for second in range(int(away_s + AFTER_S)):
            await anyio.sleep(1)
            if second == away_s:
                fleet.sandbox.heal()
            for account in fleet.accounts:
                held = tokens.fresh(tokens.entry(account.name, "access_token"))
                if held is None or not fleet.sandbox.accepts(held.value):
                    felt.add(account.name)
    return len(felt)


def _held(fleet: Fleet, number: int) -> Supply:
    """What a service that has run for long holds of an account: a token that it fetched some time ago."""
    account = fleet.accounts[number]
    age_s = (len(fleet.accounts) - number) * 3960 / len(fleet.accounts)
    kept = ClassicPolicy().keep(Fetched(7200, 0), draw=fleet.clock.random.random(), ask_every_s=0)
    key = Credential("wxtoken", account.api_base, account.appid, "token", "access_token")
    return Supply(key, fleet.older[number], kept.ttl_s - age_s, max(kept.ask_in_s - age_s, 0))


async def calls_of_a_day(workers: int) -> int:
    """What a day without WeChat costs an account of the old endpoint."""
    fleet = Fleet(["token"], overlap="grace", apart_s=60, tickets=False)
    store = MemoryStore(fleet.clock)
    managers = [fleet.manager(store=store) for _ in range(workers)]
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        for tokens in managers:
            opened = anyio.Event()
            group.start_soon(_run, tokens, opened, over)
            await opened.wait()
        await managers[0].access_token("account0")
        before = fleet.sandbox.count("/cgi-bin/token")
        fleet.sandbox.fail("errcode", errcode=-1, times=None)
        await anyio.sleep(DAY)
        over.set()
    return fleet.sandbox.count("/cgi-bin/token") - before


async def _run(tokens, opened, over):
    async with tokens:
        opened.set()
        await over.wait()


def virtually(work, *args):
    name, options = virtual_backend("asyncio")
    return anyio.run(work, *args, backend=name, backend_options=options)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.away", description=__doc__)
    parser.add_argument("--moments", type=int, default=60)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"{'endpoint':10} {'away':>8} {'moments with an error':>22} {'real s':>7}")
    for endpoint, lengths in OUTAGES:
        for away_s in lengths:
            begun = time.perf_counter()
            felt = virtually(moments_with_an_error, endpoint, away_s, options.moments)
            share = f"{felt} of {options.moments}"
            print(f"{endpoint:10} {away_s:6} s {share:>22} {time.perf_counter() - begun:7.1f}", flush=True)
    for workers in (1, 8):
        print(f"a day away, {workers} workers: {virtually(calls_of_a_day, workers)} calls", flush=True)


if __name__ == "__main__":
    main()
