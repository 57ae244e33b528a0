"""What the stores cost: a claim, a commit, a quiet second of a worker, the start of one, memory per account.

Memory, SQLite in a folder of its own, and a Redis server started for this where the program is installed.
With `--redis redis://...` it is that server, below a namespace of its own.

Processor time is that of this process with its threads; what a Redis server spends is not in it.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import httpx

from wxtoken_asgi import Account, TokenManager
from wxtoken_asgi.stores import Store, open_store
from wxtoken_asgi.stores.contract import Claim, Commit, Granted

from support.redis_server import redis_server

SECRET = "secret-of-a-benchmark-000000000000"
LIFE_S = 7200.0
BATCH = 64
FILLED_AT_ONCE = 500

T = TypeVar("T")


class NoRoad(httpx.AsyncBaseTransport):
    """Nothing is fetched here; a call to WeChat is an error in the benchmark."""

    async def handle_async_request(self, request):
        raise AssertionError("the benchmark fetches nothing")


def manager(accounts: int, store: Store, namespace: str) -> TokenManager:
    made = [Account(f"account{n}", f"wx{n:016x}", SECRET, endpoint="token") for n in range(accounts)]
    return TokenManager(made, store=store, transport=NoRoad(), namespace=namespace)


def wanted(tokens: TokenManager) -> list[Claim]:
    return [Claim(entry.credential) for entry in tokens._registry.entries.values() if entry.wanted]


def commits(claims: list[Claim], granted: list[Granted]) -> list[Commit]:
    return [
        Commit(claim.credential, lease.fence, f"token-{lease.fence}-{'x' * 140}", LIFE_S, LIFE_S / 2)
        for claim, lease in zip(claims, granted, strict=True)
    ]


async def fill(store: Store, claims: list[Claim]) -> None:
    """Give each credential a value that is not due for an hour."""
    for start in range(0, len(claims), FILLED_AT_ONCE):
        some = claims[start : start + FILLED_AT_ONCE]
        granted = await store.claim(some, owner="filler", lease_s=30)
        await store.commit(commits(some, granted))


async def took_us(call: Awaitable[T]) -> tuple[float, T]:
    begun = time.perf_counter()
    answer = await call
    return (time.perf_counter() - begun) * 1e6, answer


async def operations(store: Store, claims: list[Claim], rounds: int) -> None:
    """Claims and commits, one at a time and many, in a store that is full of others."""
    for size in (1, BATCH):
        some = [claim.credential for claim in claims[:size]]
        claimed, committed = [], []
        for _ in range(rounds):
            records = await store.read(some)
            wishes = [Claim(record.credential, seen=record.version, asked=True) for record in records]
            spent, granted = await took_us(store.claim(wishes, owner="bench", lease_s=30))
            claimed.append(spent)
            spent, answers = await took_us(store.commit(commits(wishes, granted)))
            committed.append(spent)
            assert all(answer.taken for answer in answers)
        claim, commit = statistics.median(claimed) / size, statistics.median(committed) / size
        print(f"  {size:3} at once: a claim {claim:7.1f} µs, a commit {commit:7.1f} µs each")
    look = statistics.median([(await took_us(store.due(BATCH)))[0] for _ in range(rounds)])
    keys = [claim.credential for claim in claims[:FILLED_AT_ONCE]]
    read = statistics.median([(await took_us(store.read(keys)))[0] for _ in range(max(rounds // 10, 3))])
    print(f"  a look for what is due {look:.1f} µs, a read of {len(keys)} records {read / 1000:.2f} ms")


async def worker(store: Store, accounts: int, namespace: str, seconds: float) -> None:
    """The start of a worker from a full store, and what it spends while nothing is due."""
    tokens = manager(accounts, store, namespace)
    begun = time.perf_counter()
    async with tokens:
        started = time.perf_counter() - begun
        assert all(entry.good(tokens.clock) for entry in tokens._registry.entries.values() if entry.wanted)
        await anyio.sleep(2)
        cpu = time.process_time()
        await anyio.sleep(seconds)
        spent = time.process_time() - cpu
    print(
        f"  {accounts:6} accounts: start {started * 1000:7.1f} ms, "
        f"a quiet second {spent / seconds * 1000:.2f} ms of CPU"
    )


async def measure(url: str, options: argparse.Namespace) -> None:
    namespace = f"benchmark-{time.time_ns()}"
    print(f"{url.partition(':')[0]}:")
    store = open_store(url)
    await store.open()
    few, many = (wanted(manager(n, store, namespace)) for n in (10, options.accounts))
    await fill(store, many)
    await operations(store, few + many[10:], options.rounds)
    for accounts in (10, options.accounts):
        await worker(store, accounts, namespace, options.seconds)
        await store.open()
    await store.remove([claim.credential for claim in many])
    await store.close()


async def memory(accounts: int) -> None:
    """What a manager holds for each account, once it has its values."""
    store = open_store("memory:")
    await fill(store, wanted(manager(accounts, store, "wxtoken")))
    gc.collect()
    tracemalloc.start()
    tokens = manager(accounts, store, "wxtoken")
    async with tokens:
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"memory of a manager: {held / accounts / 1024:.2f} KiB for each of {accounts} accounts")


@contextmanager
def addresses(options: argparse.Namespace) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        urls = ["memory:", f"sqlite://{Path(folder) / 'tokens.db'}"]
        if options.redis:
            yield [*urls, options.redis]
        elif shutil.which("redis-server") is None:
            print("redis-server is not installed")
            yield urls
        else:
            with redis_server(Path(folder)) as server:
                yield [*urls, server.url]


async def main(options: argparse.Namespace, urls: list[str]) -> None:
    for url in urls:
        await measure(url, options)
    await memory(options.accounts)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long quiet seconds are measured")
    parser.add_argument("--redis", metavar="URL")
    options = parser.parse_args()
    with addresses(options) as urls:
        anyio.run(main, options, urls)


if __name__ == "__main__":
    run()
