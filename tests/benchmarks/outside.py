"""Another program that fetches the same account's tokens, for a day of virtual time.

    cd tests && python -m benchmarks.outside

It fetches every 10 minutes: on the old endpoint, or on the stable one with force_refresh (of which WeChat
allows 20 a day). Two workers share a store. A caller reads a token every 30 s and uses it at once. Counted
are our own calls in the day, what the caller met, and what the operator was told.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import textwrap
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio

from wxtoken_asgi import BudgetSpent
from wxtoken_asgi.sandbox.errcodes import Refused
from wxtoken_asgi.stores import MemoryStore

from support.virtual import virtual_backend
from support.world import APPIDS, World

HOUR_S = 3600
APART_S = 600
READ_S = 30
PROBE_S = 300
NAMES = {"token": "beta", "stable": "alpha"}
HELPERS = {"nothing": (False, False), "reports": (True, False), "probe": (False, True), "both": (True, True)}


@dataclass
class Figures:
    """What came of a run.

    Attributes:
        ours: our calls, by path and whether forced.
        reads: how many tokens a caller has read.
        dead: of these, how many WeChat did not take.
        longest_s: the longest time in which each one read was dead.
        refused: reports that were answered with 429.
        events: what the hook `on_error` heard.
        loud: warnings and errors in the log.
        statistics: those of the last worker, at the end.
    """

    ours: Counter = field(default_factory=Counter)
    reads: int = 0
    dead: int = 0
    longest_s: float = 0
    refused: int = 0
    events: list = field(default_factory=list)
    loud: list[str] = field(default_factory=list)
    statistics: object = None

    @property
    def fetches(self):
        """Calls of the token endpoint, forced ones included."""
        return self.ours["calls"] + self.ours["forced"]


class Loud(logging.Handler):
    """Keeps what is said loudly."""

    def __init__(self, said):
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record):
        self._said.append(record.getMessage())


class Run:
    """An account, two workers, a caller and another program.

    Args:
        endpoint: `token` or `stable`.
        reports: the caller reports a dead token.
        probe: the workers probe.
        outside: there is another program.
        overlap: the sandbox's: `strict` kills a token as soon as another is fetched.
        account: further settings of the account.
    """

    def __init__(self, endpoint, *, reports=False, probe=False, outside=True, overlap="grace", **account):
        self.world = World(overlap)
        self.name = NAMES[endpoint]
        self.endpoint = endpoint
        self.reports = reports
        self.outside = outside
        self.figures = Figures()
        self.others = 0
        store = MemoryStore(self.world.clock)
        store.shared = True
        options = {"store": store, "probe_every": PROBE_S if probe else 0, "on_error": self._hear}
        account = self.world.account(self.name, **account)
        self.managers = [self.world.manager(account, **options) for _ in range(2)]

    async def drive(self, hours):
        """Let so many hours pass."""
        logger, loud = logging.getLogger("wxtoken_asgi"), Loud(self.figures.loud)
        logger.addHandler(loud)
        try:
            async with AsyncExitStack() as stack:
                for tokens in self.managers:
                    await stack.enter_async_context(tokens)
                with anyio.move_on_after(hours * HOUR_S):
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._read)
                        if self.outside:
                            group.start_soon(self._fetch_outside)
                self.figures.statistics = self.managers[-1].statistics()
        finally:
            logger.removeHandler(loud)
        return self._counted()

    async def _hear(self, event):
        self.figures.events.append(event)

    async def _fetch_outside(self):
        appid, force = APPIDS[self.name], self.endpoint == "stable"
        while True:
            await anyio.sleep(APART_S)
            self.others += 1
            with contextlib.suppress(Refused):
                self.world.sandbox.outside_fetch(appid, self.endpoint, force=force)

    async def _read(self):
        dead_since = None
        await anyio.sleep(1)
        for turn in range(10**9):
            tokens = self.managers[turn % 2]
            value = await tokens.access_token(self.name)
            now = anyio.current_time()
            self.figures.reads += 1
            if self.world.sandbox.accepts(value):
                dead_since = None
            else:
                self.figures.dead += 1
                dead_since = now if dead_since is None else dead_since
                self.figures.longest_s = max(self.figures.longest_s, now - dead_since)
                await self._report(tokens, value)
            await anyio.sleep(READ_S)

    async def _report(self, tokens, value):
        if self.reports:
            try:
                await tokens.refresh(self.name, dead=value)
            except BudgetSpent:
                self.figures.refused += 1

    def _counted(self):
        names = {"/cgi-bin/token": "calls", "/cgi-bin/stable_token": "calls"}
        for call in self.world.sandbox.calls:
            name = names.get(call.path, "probes")
            self.figures.ours["forced" if call.forced else name] += 1
        return self.figures


def drive(endpoint, hours=24, *, backend="asyncio", **options):
    """Run it in virtual time."""
    name, settings = virtual_backend(backend)
    run = Run(endpoint, **options)
    return anyio.run(run.drive, hours, backend=name, backend_options=settings)


def row(title, found):
    """One line of the table."""
    [token, *_] = found.statistics.credentials
    return (
        f"| {title:<26} | {found.fetches:>7} | {found.ours['forced']:>6} | {found.ours['probes']:>6} "
        f"| {found.dead / found.reads:>6.1%} | {found.longest_s / 60:>7.1f} | {found.refused:>4} "
        f"| {token.died_early:>6} |"
    )


HEAD = (
    "| what helps                 | fetches | forced | probes | dead   | longest | 429s | deaths |\n"
    "|                            |         |        |        | reads  | min     |      | seen   |\n"
    "|---|---|---|---|---|---|---|---|"
)


def table(endpoint, hours, overlap):
    """Print what a day costs, whoever helps."""
    where = "old endpoint" if endpoint == "token" else "stable endpoint, with force_refresh"
    life = "lives 5 min more" if overlap == "grace" else "dies at once"
    print(f"\n{where}; a token that another replaces {life}")
    print(HEAD)
    print(row("(nobody else fetches)", drive(endpoint, hours, outside=False, overlap=overlap)))
    for title, (reports, probe) in HELPERS.items():
        found = drive(endpoint, hours, reports=reports, probe=probe, overlap=overlap)
        print(row(title, found), flush=True)
    told = [line for line in found.loud if "died about" in line]
    print(f"told loudly: {len(told)} time(s) by both workers together; events: {len(found.events)}")
    for line in told:
        print(_indented(line))
    print("in the statistics:")
    print(_indented(str(found.statistics.credentials[0].likely_cause)))


def _indented(text):
    return textwrap.indent(textwrap.fill(text, 108), "  ")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--endpoint", choices=NAMES)
    options = parser.parse_args()
    for endpoint in [options.endpoint] if options.endpoint else NAMES:
        for overlap in ("grace", "strict"):
            table(endpoint, options.hours, overlap)


if __name__ == "__main__":
    main()
