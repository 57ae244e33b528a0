"""What goes wrong in a run, and when: drawn from the seed, each kind from a stream of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import trio

from wxtoken_asgi.sandbox import Fault

from simulation.chance import DAY, HOUR, duration
from simulation.stores import OUTAGES
from simulation.wechat import AWAY

if TYPE_CHECKING:
    from simulation.hosts import Host
    from simulation.workers import Worker
    from simulation.world import World

POINT_FAULTS = {"at_point", "call", "answer"}


class Faults:
    """Makes things go wrong.

    Args:
        world: where.

    Attributes:
        refused: the accounts that WeChat refuses now.
        mended: when WeChat last ceased to refuse an account, in true time.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.refused: set[str] = set()
        self.mended: dict[str, float] = {}
        self.over = False
        self._healed = trio.Event()

    async def run(self, task_group: Any) -> None:
        """Let everything go wrong as often as the rates say."""
        for field in fields(self.world.rates):
            if field.name not in POINT_FAULTS:
                every = getattr(self.world.rates, field.name)
                task_group.start_soon(self._again, field.name, every)

    async def _again(self, name: str, every_s: float) -> None:
        random = self.world.chance.stream(f"fault {name}")
        happen: Callable[[Random], Awaitable[None]] = getattr(self, f"_{name}")
        while every_s:
            await trio.sleep(random.expovariate(1 / every_s))
            if self.over:
                return
            await happen(random)

    def strike(self, worker: Worker, process: Any, point: str) -> None:
        """A process is killed or stopped at one of the points of a fetch."""
        random = self.world.at_point
        if process.frozen or self.over:
            return
        if random.random() < 0.6:
            self.world.tally.add(f"killed {point}")
            self._end(worker, random.uniform(0, 60))
        else:
            self.world.tally.add(f"stopped {point}")
            self._pause(worker, duration(random, 1, 300))

    # each kind

    async def _wechat(self, random: Random) -> None:
        way = self.world.way
        way.leave(random.choice(AWAY))
        await trio.sleep(duration(random, 5, DAY if random.random() < 0.1 else HOUR))
        way.come_back()

    async def _store(self, random: Random) -> None:
        shelf, how, lasts_s = self.world.shelf, random.choice(OUTAGES), duration(random, 1, 1800)
        if shelf.outage is not None:
            return
        shelf.leave(how)
        await trio.sleep(lasts_s)
        shelf.come_back()

    async def _network(self, random: Random) -> None:
        """Nobody reaches the store, and perhaps no answer of WeChat comes back. Whoever begins meanwhile
        knows of no value, and its host of nobody who could tell the time."""
        shelf, way, worker = self.world.shelf, self.world.way, random.choice(self.world.workers)
        loses, back_s = random.random() < 0.5, random.choice((0.0, duration(random, 1, HOUR)))
        begins_in, lasts_s = random.uniform(1, 240), duration(random, 60, 1800)
        if shelf.outage is not None:
            return
        self.world.tally.add("network away")
        shelf.leave("away")
        way.loses = loses
        await self._pass(begins_in)
        if worker.up and not self.over:
            self._set_clock(worker.host, -back_s)
            self._end(worker, random.uniform(0, 30))
        await self._pass(lasts_s)
        way.loses = False
        shelf.come_back()

    async def _wipe(self, random: Random) -> None:
        self.world.shelf.wipe()

    async def _kill(self, random: Random) -> None:
        worker = random.choice(self.world.workers)
        if worker.up:
            self.world.tally.add("killed")
            self._end(worker, random.uniform(0, 120))

    async def _stop(self, random: Random) -> None:
        worker = random.choice(self.world.workers)
        if worker.up:
            self.world.tally.add("stopped")
            self._pause(worker, duration(random, 0.5, 600))

    async def _restart(self, random: Random) -> None:
        worker = random.choice(self.world.workers)
        if not worker.up:
            return
        self.world.tally.add("restarted")
        process = worker.process
        process.leave()
        worker.ending.set()
        self.world.watch.goings.ending(worker)
        await trio.sleep(random.uniform(8, 20))
        if worker.process is process and not process.dead:
            process.kill()
            worker.begin()

    async def _step(self, random: Random) -> None:
        self.world.tally.add("wall clock stepped")
        host = random.choice(self.world.hosts)
        self._set_clock(host, random.choice((-1, 1)) * duration(random, 1, HOUR))

    def _set_clock(self, host: Host, by_s: float) -> None:
        host.wall_error += by_s
        for worker in self.world.workers:
            if worker.host is host:
                worker.disturbed = trio.current_time()
                self.world.watch.believed(worker)

    async def _suspend(self, random: Random) -> None:
        self.world.tally.add("host suspended")
        host = random.choice(self.world.hosts)
        asleep_s = duration(random, 10, 2 * HOUR)
        sleepers = [worker for worker in self.world.workers if worker.host is host and worker.up]
        processes = [worker.process for worker in sleepers]
        for process in processes:
            process.stop()
        await self._pass(asleep_s)
        for worker, process in zip(sleepers, processes, strict=True):
            self._go_on(worker, process)

    async def _reboot(self, random: Random) -> None:
        self.world.tally.add("host rebooted")
        host = random.choice(self.world.hosts)
        for worker in self.world.workers:
            if worker.host is host:
                worker.process.kill()
                worker.tokens = None
        await self._pass(duration(random, 20, 1800))
        host.boot()
        self.world.watch.booted()
        for worker in self.world.workers:
            if worker.host is host:
                worker.begin()

    async def _outside(self, random: Random) -> None:
        world = self.world
        app = random.choice(world.apps)
        account = world.account(app)
        world.tally.add("outside fetch")
        world.watch.outside(app)
        try:
            world.sandbox.outside_fetch(account.appid, account.endpoint, force=account.endpoint == "stable")
        except Exception:  # noqa: BLE001 - its quota is spent, or it came too soon
            world.tally.add("outside fetch refused")

    async def _rotate(self, random: Random) -> None:
        world = self.world
        app = random.choice(world.apps)
        code = random.choice((40164, 40125, 45009))
        world.tally.add(f"refused with {code}")
        fault = Fault(kind="errcode", errcode=code, appid=world.account(app).appid, times=None)
        self.refused.add(app)
        world.sandbox.faults.add(fault)
        await trio.sleep(duration(random, 60, 2 * HOUR))
        world.sandbox.heal()
        self.refused.discard(app)
        self.mended[app] = trio.current_time()

    async def _pass(self, seconds: float) -> None:
        """Wait so long, or until all is well again."""
        with trio.move_on_after(seconds):
            await self._healed.wait()

    # what becomes of a process

    def _end(self, worker: Worker, away_s: float) -> None:
        worker.process.kill()
        worker.tokens = None
        process = worker.process
        self.world.later(away_s, lambda: worker.begin() if worker.process is process else None)

    def _pause(self, worker: Worker, seconds: float) -> None:
        process = worker.process
        process.stop()
        self.world.later(seconds, lambda: self._go_on(worker, process))

    def _go_on(self, worker: Worker, process: Any) -> None:
        if not process.dead and process.stopped:
            worker.disturbed = trio.current_time()
            process.go_on()
            worker.look()

    async def heal(self) -> None:
        """All is well again, for ever."""
        self.over = True
        self._healed.set()
        await anyio.lowlevel.checkpoint()
        world = self.world
        world.way.come_back()
        world.shelf.come_back()
        world.sandbox.heal()
        self.refused.clear()
        world.way.rates = world.shelf.rates = world.rates = type(world.rates)(at_point=0, call=0, answer=0)
