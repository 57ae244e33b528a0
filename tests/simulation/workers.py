"""A worker: a process that runs a manager, and those who ask it."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import trio

from wxtoken_asgi import TokenManager
from wxtoken_asgi.errors import BudgetSpent, WxTokenError

from simulation.hosts import Host, HostClock
from simulation.kernel import Process
from simulation.stores import ProcessStore

if TYPE_CHECKING:
    from simulation.world import World

KINDS = ("access_token", "jsapi_ticket")
OFTEN = {
    "before the claim": 0.2,
    "after the claim": 0.5,
    "before the call": 3,
    "after the call": 4,
    "before the commit": 4,
}
"""Who waits claims again and again; what matters most is rarer."""


class Worker:
    """One place for a worker: when its process dies, another one takes the place.

    Args:
        world: where it lives.
        number: which place.
        host: the machine it runs on.

    Attributes:
        process: the process that holds the place now.
        tokens: its manager, once that is open.
        lived: its process has begun to work, and may have ended since.
        disturbed: when it was last stopped, or began, in true time.
        asked: by credential, when somebody last asked it for a new value in earnest.
    """

    def __init__(self, world: World, number: int, host: Host) -> None:
        self.world = world
        self.number = number
        self.host = host
        self.random = world.chance.stream(f"worker {number}")
        self.lives = 0
        self.process: Process
        self.tokens: TokenManager | None = None
        self.ending: anyio.Event
        self.lived = False
        self.disturbed = 0.0
        self.asked: dict[tuple[str, str], float] = {}

    def __repr__(self) -> str:
        return f"<Worker {self.number}, life {self.lives}>"

    @property
    def up(self) -> bool:
        return self.tokens is not None and self.tokens.open and not self.process.frozen

    def begin(self) -> None:
        """Start a process in this place; whatever was begun there meanwhile, after another fault, is over."""
        if self.lives:
            self.process.kill()
        self.lives += 1
        self.tokens, self.lived = None, False
        self.disturbed = trio.current_time()
        self.process = Process(self.number, f"{self.number}.{self.lives}")
        self.ending = anyio.Event()
        self.world.kernel.spawn(self.process, self._guarded)
        self.world.watch.goings.begun(self)

    async def _guarded(self) -> None:
        try:
            await self._main()
        except Exception:  # noqa: BLE001 - a crash of our code is what the simulation looks for
            self.world.watch.broken("no crash", traceback.format_exc())

    async def _main(self) -> None:
        process, world = self.process, self.world
        clock = HostClock(world.chance.number(f"clock {process.name}"), self.host)
        point = self._point(process)
        tokens = TokenManager(
            world.accounts,
            store=ProcessStore(
                world.shelf, process, clock, point, lambda *what: world.watch.stored(self, *what)
            ),
            transport=world.way.transport(process, point),
            clock=clock,
        )
        async with tokens:
            self.tokens, self.lived = tokens, True
            self.disturbed = trio.current_time()
            async with anyio.create_task_group() as group:
                for _ in range(world.callers):
                    group.start_soon(self._caller, tokens)
                for app in world.apps:
                    group.start_soon(self._keeper, tokens, app, "access_token")
                for app in sorted(world.with_tickets):
                    group.start_soon(self._keeper, tokens, app, "jsapi_ticket")
                if world.greedy is not None:
                    group.start_soon(self._greedy, tokens, world.greedy)
                await self.ending.wait()
                group.cancel_scope.cancel()
        self.tokens = None

    def _point(self, process: Process) -> Callable[[str], Any]:
        """Where a process may be killed or stopped."""
        world = self.world

        async def point(name: str) -> None:
            if world.at_point.random() < world.rates.at_point * OFTEN.get(name, 1):
                world.faults.strike(self, process, name)
                await anyio.lowlevel.checkpoint()

        return point

    def look(self) -> None:
        """What it answers in this very moment, before it can have heard of anything."""
        tokens = self.tokens
        if tokens is None or not tokens.open:
            return
        for entry in tokens._registry.wanted:
            held = tokens.fresh(entry)
            if held is not None:
                self.world.watch.served(self, tokens, self.world.app(entry.credential), entry.kind.name, held)

    # those who ask

    async def _caller(self, tokens: TokenManager) -> None:
        random, world = self.random, self.world
        while True:
            await anyio.sleep(random.expovariate(1 / world.pause_s))
            app = random.choice(world.apps)
            kind = random.choice(KINDS) if app in world.with_tickets else "access_token"
            what = random.random()
            if what < 0.96:
                await self._read(tokens, app, kind)
            elif what < 0.975:
                await self._ask(tokens, app, kind, dead="x" * 32)
            elif what < 0.985:
                await self._impatient(tokens, app, kind)
            elif what < 0.9855:
                await self._ask(tokens, app, kind)

    async def _read(self, tokens: TokenManager, app: str, kind: str) -> None:
        process, begun = self.process, trio.current_time()
        self.world.watch.looked(self, tokens.entry(app, kind))
        try:
            held = await tokens.hold(tokens.entry(app, kind))
        except WxTokenError as error:
            self.world.watch.refused(self, app, kind, error)
            held = None
        self.world.watch.waited(self, process, "read", trio.current_time() - begun, begun)
        if held is None:
            return
        dead = self.world.watch.served(self, tokens, app, kind, held)
        if dead and self.random.random() < 0.7:
            await anyio.sleep(self.random.uniform(0.05, 2))
            await self._ask(tokens, app, kind, dead=held.value)

    async def _ask(self, tokens: TokenManager, app: str, kind: str, dead: str | None = None) -> None:
        process, begun, world = self.process, trio.current_time(), self.world
        held = tokens.entry(app, kind).held
        if dead is None or (held is not None and held.value == dead):
            self.asked[app, kind] = begun
        world.tally.add("reported" if dead else "asked")
        version, before = 0, held.value if held is not None else ""
        try:
            value = await tokens.refresh(app, kind, dead=dead)
            if kind == "access_token":
                world.watch.answered(self, app, value, dead=dead, before=before, begun=begun)
            held = tokens.entry(app, kind).held
            version = held.version if held is not None and held.value == value else 0
        except BudgetSpent:
            world.tally.add("budget spent")
        except WxTokenError:
            world.tally.add("refresh refused")
        world.watch.waited(self, process, "refresh", trio.current_time() - begun, begun)
        if version:
            world.watch.refreshed(self, app, kind)

    async def _keeper(self, tokens: TokenManager, app: str, kind: str) -> None:
        """Keeps each value for as long as it is told that it may, and then reads again."""
        while True:
            try:
                entry = tokens.entry(app, kind)
                held = await tokens.hold(entry)
            except WxTokenError:
                await anyio.sleep(30)
                continue
            left, due_in = held.left(tokens.clock), held.ask_in(tokens.clock)
            kept_s, begun, process = (
                entry.kind.policy.may_keep(left, due_in),
                trio.current_time(),
                self.process,
            )
            self.world.watch.told(self, app, kind, kept_s, due_in)
            await anyio.sleep(max(kept_s - 1.0, 1.0))
            if self.process is process and self.disturbed < begun:
                self.world.watch.kept(self, app, kind, held.value, since=begun, due_at=begun + due_in)

    async def _greedy(self, tokens: TokenManager, app: str) -> None:
        """Asks for a new value again and again."""
        while True:
            await anyio.sleep(self.random.uniform(1, 12) * self.world.pause_s / 12)
            held = tokens.entry(app, "access_token").held
            reports = held is not None and self.random.random() < 0.7
            await self._ask(tokens, app, "access_token", dead=held.value if reports and held else None)

    async def _impatient(self, tokens: TokenManager, app: str, kind: str) -> None:
        """Goes away in the middle."""
        self.asked[app, kind] = trio.current_time()
        with anyio.move_on_after(self.random.uniform(0, 0.2)), contextlib.suppress(WxTokenError):
            await tokens.refresh(app, kind)
        self.world.tally.add("went away")
