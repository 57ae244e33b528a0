"""One run: workers on several hosts, one store, one WeChat, and everything that goes wrong."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from wxtoken_asgi import Account
from wxtoken_asgi.sandbox import Sandbox
from wxtoken_asgi.stores.sqlite import storetime

from simulation import branches, crashes
from simulation.chance import DENSE, HOUR, Chance, Rates, Tally
from simulation.faults import Faults
from simulation.hosts import EPOCH, Host, HostClock
from simulation.kernel import Kernel, run
from simulation.stores import InAFile, InMemory, Shelf
from simulation.watch import Watch
from simulation.wechat import Way
from simulation.workers import Worker
from support.sqlite_store import quick_folder

SECRET = "secret-of-a-simulation-000000000"


@dataclass(frozen=True)
class Run:
    """What to run.

    Args:
        seed: where all chance comes from.
        hours: how long, in simulated time.
        rates: how often things go wrong.
        store: `memory` or `sqlite`.
        pause_s: how long a caller waits between two requests, in the mean.
        stop: end with the first broken promise.
    """

    seed: int
    hours: float = 48.0
    rates: Rates = DENSE
    store: str = "memory"
    pause_s: float = 60.0
    stop: bool = False


@dataclass
class Result:
    """What came of it.

    Args:
        seed: the run's.
        violations: the broken promises.
        tally: what was exercised.
        worst: the longest waits of callers, in seconds.
        states: how often each state was seen.
        took_s: real time.
        hours: simulated time.
        trace: a sum over all that happened: two runs of one seed have the same; empty: its process died.
    """

    seed: int
    violations: list[str]
    tally: dict[str, int]
    worst: dict[str, float]
    states: dict[str, int]
    took_s: float
    hours: float
    trace: str


class World:
    """Everything in a run.

    Args:
        what: the run.
        kernel: where its processes live.
        folder: where its files may lie.
    """

    def __init__(self, what: Run, kernel: Kernel, folder: Path) -> None:
        self.what = what
        self.kernel = kernel
        self.chance = Chance(what.seed)
        self.rates = what.rates
        self.pause_s = what.pause_s
        self.tally = Tally()
        random = self.chance.stream("world")
        self.overlap = "grace" if random.random() < 0.85 else "strict"
        true_host = Host(pace=1.0, wall_error=0.0)
        true_clock = HostClock(0, true_host)
        self.sandbox = Sandbox(overlap=self.overlap, clock=true_clock, seed=self.chance.number("sandbox"))
        self.accounts = [
            Account("stable", "wx00000000000000a1", SECRET, tickets=("jsapi",)),
            Account("classic", "wx00000000000000b2", SECRET, endpoint="token", tickets=("jsapi",)),
            Account("testing", "wx00000000000000c3", SECRET, endpoint="token", daily_quota=200),
        ][: random.choice((2, 2, 3))]
        self.apps = [account.name for account in self.accounts]
        self.with_tickets = {"stable", "classic"}
        self.by_appid = {account.appid: account for account in self.accounts}
        for account in self.accounts:
            self.sandbox.add(account.appid, SECRET, daily_quota=account.daily_quota + 100)
            if random.random() < 0.7:
                self.sandbox.outside_fetch(account.appid, account.endpoint)
                self.sandbox.advance(random.uniform(0, 7000))
        self.hosts = [
            Host(pace=1 + random.uniform(-2e-5, 2e-5), wall_error=random.uniform(-20, 20))
            for _ in range(2 if what.store == "memory" else 1)
        ]
        self.watch = Watch(self)
        self.way = Way(self.sandbox, what.rates, self.chance.stream("way"), self.tally)
        self.way.on_call = self.watch.called
        records = InMemory(true_clock) if what.store == "memory" else InAFile(folder / "tokens.db")
        shelf, news = self.chance.stream("shelf"), self.chance.stream("news")
        self.shelf = Shelf(records, what.rates, shelf, news, self.tally)
        self.shelf.on_wipe = self.watch.wiped
        self.kernel.on_hot = self.watch.hot
        self.shelf.post = self.post
        self.at_point = self.chance.stream("points")
        self.faults = Faults(self)
        self.callers = 3
        self.greedy = random.choice(self.apps) if random.random() < 0.3 else None
        self.workers = [
            Worker(self, n, self.hosts[n % len(self.hosts)]) for n in range(random.choice((2, 2, 3, 4)))
        ]
        self._group: Any = None

    def account(self, app: str) -> Account:
        return self.accounts[self.apps.index(app)]

    def app(self, credential: Any) -> str:
        return self.by_appid[credential.appid].name

    def now(self) -> float:
        """The sandbox's time."""
        return self.sandbox.clock.time()

    def true(self, sandbox_time: float) -> float:
        """The true time of a moment of the sandbox."""
        return sandbox_time - self.sandbox.clock._offset - EPOCH

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after so many seconds, outside of all processes."""

        async def at_once() -> None:
            do()

        self.post(seconds, at_once)

    def post(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        """The same for what is awaited."""

        async def wait() -> None:
            await trio.sleep(seconds)
            await do()

        self.kernel.spawn_outside(self._group, wait)

    async def live(self) -> None:
        """The whole run."""
        async with trio.open_nursery() as nursery:
            self._group = nursery
            if self.what.stop:
                self.watch.on_broken = nursery.cancel_scope.cancel
            for worker in self.workers:
                worker.begin()
            await self.faults.run(nursery)
            nursery.start_soon(self._sample)
            await trio.sleep(self.what.hours * HOUR)
            await self.faults.heal()
            await trio.sleep(1200)
            self.watch.agree()
            nursery.cancel_scope.cancel()

    def result(self, took_s: float) -> Result:
        """What came of it."""
        what, watch = self.what, self.watch
        return Result(
            what.seed,
            watch.violations,
            self.tally.counts,
            watch.worst,
            watch.states,
            took_s,
            what.hours,
            f"{watch.trace:08x}",
        )

    async def _sample(self) -> None:
        while True:
            await trio.sleep(600)
            self.watch.sample()


def simulate(what: Run, done: Callable[[Result], None]) -> None:
    """Carry out a run, and say what came of it before the processes that were killed can come to life
    again: whoever calls this has to end then."""
    gc.set_threshold(100_000)  # most of what is made here is gone soon without it
    kernel = Kernel()
    begun = time.perf_counter()

    async def all_of_it() -> None:
        with quick_folder() as folder:
            world = World(what, kernel, folder)
            crashes.listen(world.watch.broken)
            branches.count(world.tally)
            storetime.boot_id = lambda: f"boot {world.hosts[0].boots}"
            try:
                await world.live()
            except BaseException:  # noqa: BLE001 - trio would wait for the dead
                world.watch.broken("the simulation itself", traceback.format_exc())
        done(world.result(time.perf_counter() - begun))

    run(all_of_it, kernel=kernel, seed=what.seed)
