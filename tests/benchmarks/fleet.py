"""Many accounts kept fresh by several managers on one store: hours of virtual time, counted.

The store answers after a millisecond and WeChat after 50-300, so that the managers do get in each other's
way. Every minute one manager's values are tried on the sandbox. `--managers 1` is what one worker does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import anyio
import httpx

from wxtoken_asgi import TokenManager
from wxtoken_asgi.sandbox.wire import Request
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Busy, Granted

from support.fleet import Fleet
from support.virtual import VirtualLoop

MINUTE, HOUR = 60, 3600
ENDPOINTS = {"stable": ["stable"], "token": ["token"], "mixed": ["stable", "token"]}


class SharedStore(MemoryStore):
    """A store in memory that behaves like one that is shared: slower, and counting what it is asked.

    Attributes:
        calls: how often each operation was asked for.
        items: how many credentials all calls of an operation were about.
        answers: how many claims were answered with what.
    """

    shared = True
    news_s = 1.0

    def __init__(self, clock, *, latency_s=0.001):
        super().__init__(clock)
        self.latency_s = latency_s
        self.calls = Counter()
        self.items = Counter()
        self.answers = Counter()

    async def _count(self, name, items):
        self.calls[name] += 1
        self.items[name] += items
        await anyio.sleep(self.latency_s)

    async def read(self, credentials):
        await self._count("read", len(credentials))
        return await super().read(credentials)

    async def claim(self, claims, *, owner, lease_s):
        await self._count("claim", len(claims))
        answers = await super().claim(claims, owner=owner, lease_s=lease_s)
        self.answers.update(type(answer).__name__ for answer in answers)
        return answers

    async def commit(self, commits):
        await self._count("commit", len(commits))
        return await super().commit(commits)

    async def fail(self, fails):
        await self._count("fail", len(fails))
        return await super().fail(fails)

    async def due(self, limit):
        await self._count("due", 0)
        return await super().due(limit)

    async def changes(self, cursor, wait_s):
        self.calls["changes"] += 1
        return await super().changes(cursor, wait_s)


class QuickWeChat(httpx.AsyncBaseTransport):
    """The sandbox without ASGI between: a tenth of the cost.

    Attributes:
        now: how many calls are under way.
        most: how many were at once.
        calls: how many there were.
    """

    def __init__(self, fleet):
        self._wechat = fleet.sandbox._wechat
        self._random = fleet.clock.random
        self.now = self.most = self.calls = 0

    async def handle_async_request(self, request):
        self.now += 1
        self.calls += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(self._random.uniform(0.05, 0.3))
        finally:
            self.now -= 1
        body = request.content
        said = Request(
            method=request.method,
            path=request.url.path,
            query=dict(parse_qsl(request.url.query.decode())),
            json=json.loads(body) if body else None,
            peer="127.0.0.1",
        )
        return httpx.Response(200, content=self._wechat.answer(said).reply.body)


@dataclass
class Figures:
    """What came of a run.

    Attributes:
        fetches: calls that reached WeChat.
        claims: claims of single credentials.
        most: the most fetches at once, of each manager.
        stale: how many values were missing, ended or dead when they were looked at.
        looked: how many were looked at.
        quiet_cpu_s: processor time of one manager in a quiet hour.
        quiet_calls: what one manager asked the store in it.
        quiet_functions: through how many functions of Python that hour went, where it was counted.
    """

    fetches: int = 0
    claims: int = 0
    most: list[int] = field(default_factory=list)
    stale: int = 0
    looked: int = 0
    quiet_cpu_s: float = 0.0
    quiet_calls: dict[str, float] = field(default_factory=dict)
    quiet_functions: int = 0

    @property
    def ratio(self):
        return self.claims / self.fetches


class Run:
    """Several managers of one fleet on one store.

    Args:
        accounts: how many.
        managers: how many.
        endpoints: a word of `ENDPOINTS`.
    """

    def __init__(self, accounts, managers, endpoints):
        kinds = ENDPOINTS[endpoints]
        names = [kinds[n % len(kinds)] for n in range(accounts)]
        self.fleet = Fleet(names, overlap="grace", apart_s=0, tickets=False)
        self.fleet.sandbox.advance(600)
        self.store = SharedStore(self.fleet.clock)
        self.roads = [QuickWeChat(self.fleet) for _ in range(managers)]
        self.managers = [
            TokenManager(self.fleet.accounts, store=self.store, clock=self.fleet.clock, transport=road)
            for road in self.roads
        ]
        self.figures = Figures()

    async def drive(self, hours, *, tell=lambda hour, run: None):
        """Let so many hours pass."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await anyio.sleep(len(self.fleet.accounts) / 200 + 10)  # the first fetches
            for minute in range(int(hours * 60)):
                await anyio.sleep(MINUTE)
                self._look(self.managers[minute % len(self.managers)])
                if minute % 60 == 59:
                    tell(minute // 60 + 1, self)
        return self._figures()

    async def quiet_hour(self, *, count=False):
        """What an hour costs in which nothing is due: the first one of the old endpoint.

        With `count` the functions that Python runs through are counted, which takes longer.
        """
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await anyio.sleep(len(self.fleet.accounts) / 200 + 10)
            before, fetches, begun = self.store.calls.copy(), self._calls(), time.process_time()
            sys.setprofile(self._count if count else None)
            try:
                await anyio.sleep(HOUR - 2 * MINUTE - len(self.fleet.accounts) / 200)
            finally:
                sys.setprofile(None)
            assert self._calls() == fetches
            many = len(self.managers)
            self.figures.quiet_cpu_s = (time.process_time() - begun) / many
            asked = self.store.calls - before
            self.figures.quiet_calls = {name: number / many for name, number in asked.items()}
        return self.figures

    def _count(self, frame, event, arg):
        self.figures.quiet_functions += event == "call"

    async def _open(self, stack):
        async with anyio.create_task_group() as group:  # all at the same moment
            for tokens in self.managers:
                group.start_soon(tokens.__aenter__)
        for tokens in self.managers:
            stack.push_async_exit(tokens)

    def _look(self, tokens):
        for entry in tokens._registry.entries.values():
            if entry.wanted:
                held = tokens.fresh(entry)
                self.figures.looked += 1
                self.figures.stale += held is None or not self.fleet.sandbox.accepts(held.value)

    def _calls(self):
        return sum(road.calls for road in self.roads)

    def _figures(self):
        self.figures.fetches = self._calls()
        self.figures.claims = self.store.items["claim"]
        self.figures.most = [road.most for road in self.roads]
        return self.figures


def drive(accounts, managers, hours, endpoints, **options):
    """Run it in virtual time."""
    run = Run(accounts, managers, endpoints)

    async def main():
        return await run.drive(hours, **options)

    figures = anyio.run(main, backend_options={"loop_factory": VirtualLoop})
    return run, figures


def quiet_hour(accounts, *, count=False):
    """The figures of a quiet hour of one manager."""
    run = Run(accounts, 1, "token")

    async def main():
        return await run.quiet_hour(count=count)

    return anyio.run(main, backend_options={"loop_factory": VirtualLoop})


def _told(hour, run):
    fetches, claims = run._calls(), run.store.items["claim"]
    print(f"  hour {hour}: {fetches} fetches, {claims} claims", file=sys.stderr, flush=True)


def main(options):
    """Print the figures of a fleet, of one worker beside it, and of a quiet hour."""
    results = {}
    for managers in dict.fromkeys((options.managers, 1)):
        begun = time.process_time()
        run, found = drive(options.accounts, managers, options.hours, options.endpoints, tell=_told)
        results[managers] = found
        print(
            f"{options.accounts} accounts ({options.endpoints}), {managers} managers, {options.hours:g} h: "
            f"{found.fetches} fetches, {found.claims} claims ({found.ratio:.2f} a fetch; "
            f"{run.store.answers[Granted.__name__]} granted, {run.store.answers[Busy.__name__]} busy) "
            f"in {run.store.calls['claim']} batches, {run.store.calls['due']} looks, "
            f"{found.stale} of {found.looked} values stale, at most {max(found.most)} fetches at once "
            f"in a manager, {time.process_time() - begun:.0f} s of CPU"
        )
    if len(results) > 1:
        many, one = results[options.managers].fetches, results[1].fetches
        print(f"upstream calls beside those of one worker: {many / one:.3f}")
    for accounts in (10, options.accounts):
        found = quiet_hour(accounts)
        calls = ", ".join(f"{number:g} {name}" for name, number in sorted(found.quiet_calls.items()))
        print(f"a quiet hour with {accounts} accounts: {found.quiet_cpu_s * 1000:.0f} ms of CPU; {calls}")


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--managers", type=int, default=4)
    parser.add_argument("--hours", type=float, default=6)
    parser.add_argument("--endpoints", choices=ENDPOINTS, default="mixed")
    main(parser.parse_args())


if __name__ == "__main__":
    run()
