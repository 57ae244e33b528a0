"""How long the others serve an old token after a refresh was answered on one worker.

    python -m processes.news --rounds 200 --store sqlite|redis [--load] [--workers N] [--one-server]

Each round refreshes another account on one worker, while every other worker is asked all the time. `stale` is
the last instant at which a read that was answered with the old token had been sent, counted from the answer
of the refresh: no later, a read gets the new one. `seen` is when the last worker's first answer with the new
token was in hand, which includes the caller's own pace. `--one-server` asks one server of that many workers,
over a connection to each.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from processes.places import shared_store
from support import servers
from support.callers import ask
from support.launcher import Launcher
from support.secrets import Vault
from support.workers import Team, WeChat, assert_no_leak, connect_to_each, start_servers

BOUND_S: Final = {"sqlite": 0.25, "redis": 1.0}
WORKERS: Final = {"sqlite": 8, "redis": 3}
PACE_S: Final = 0.01
PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Delay:
    """How late the others were.

    Args:
        stale_s: when the last read that got the old token had been sent; below 0: there was none.
        seen_s: when the last of them had given the new one.
        stall_s: by how much a short sleep was too long meanwhile: so long this machine had no time for
            one who wanted to run.
    """

    stale_s: float
    seen_s: float
    stall_s: float

    def within(self, bound_s: float) -> bool:
        """Whether they were in time, as far as the machine let them."""
        return self.stale_s <= bound_s + self.stall_s


class Stall(threading.Thread):
    """Sees how long this machine keeps waiting who wants to run."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.longest_s = 0.0

    def run(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            time.sleep(PACE_S)
            self.longest_s = max(self.longest_s, time.monotonic() - begun - PACE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self.join()


class Watcher(threading.Thread):
    """Asks one worker until it gives another token than the old one."""

    def __init__(self, connection: HTTPConnection, app: str, old: str) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._app, self._old = app, old
        self.asking = threading.Event()
        self.stale_at = self.seen_at = 0.0

    def run(self) -> None:
        while True:
            sent = time.monotonic()
            status, token = ask(self._connection, "GET", f"/token/{self._app}")
            if status != 200 or token != self._old:
                break
            self.stale_at = sent
            self.asking.set()
            time.sleep(PACE_S)
        if status == 200:
            self.seen_at = time.monotonic()


class Service:
    """Workers that share a store, and a connection to each."""

    def __init__(self, wechat: WeChat, connections: Sequence[HTTPConnection]) -> None:
        self.wechat, self.connections = wechat, connections

    @classmethod
    def at(cls, wechat: WeChat, ports: Sequence[int]) -> Self:
        """Workers that have a port each."""
        return cls(wechat, [HTTPConnection("127.0.0.1", port, timeout=20) for port in ports])

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections:
            connection.close()

    def measure(self, app: str, writer: int) -> Delay:
        """Refresh an account on one of them, and see when the others serve it."""
        asked = self.connections[writer]
        _, old = ask(asked, "GET", f"/token/{app}")
        others = [connection for connection in self.connections if connection is not asked]
        watchers = [Watcher(connection, app, old) for connection in others]
        for watcher in watchers:
            watcher.start()
        for watcher in watchers:
            assert watcher.asking.wait(PATIENCE_S), "a worker does not serve the account's token"
        with Stall() as stall:
            status, text = ask(asked, "PUT", f"/token/{app}", old)
            answered = time.monotonic()
            assert status == 200, text
            for watcher in watchers:
                watcher.join(PATIENCE_S)
                assert watcher.seen_at, f"a worker serves the old token {PATIENCE_S:g} s after the refresh"
        return Delay(
            max(watcher.stale_at for watcher in watchers) - answered,
            max(watcher.seen_at for watcher in watchers) - answered,
            stall.longest_s,
        )

    def rounds(self, apps: Sequence[str], seed: int = 1) -> Iterator[Delay]:
        """Measure once for each account."""
        chance = random.Random(seed)
        for app in apps:
            time.sleep(chance.uniform(0.0, 0.1))
            yield self.measure(app, chance.randrange(len(self.connections)))


@contextmanager
def load(service: Service, app: str, callers: int = 4) -> Iterator[list[int]]:
    """Reads as fast as they are answered meanwhile; how many there were, by caller."""
    over, counts = threading.Event(), [0] * callers
    ports = [connection.port for connection in service.connections]

    def read(caller: int) -> None:
        with ExitStack() as stack, suppress(OSError, HTTPException):
            connections = [HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S) for port in ports]
            for connection in connections:
                stack.callback(connection.close)
            while not over.is_set():
                for connection in connections:
                    ask(connection, "GET", f"/token/{app}")
                    counts[caller] += 1

    threads = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_S)


@contextmanager
def several(launcher: Launcher, vault: Vault, store: str, workers: int, rounds: int) -> Iterator[Service]:
    """So many servers of one process each."""
    wechat = _wechat(launcher, vault, rounds)
    team = Team(launcher, wechat.accounts, store)
    with closing(Service.at(wechat, [worker.port for worker in team.begin(workers)])) as service:
        yield service
    team.end()


@contextmanager
def one_server(launcher: Launcher, vault: Vault, store: str, workers: int, rounds: int) -> Iterator[Service]:
    """One server of so many workers."""
    wechat = _wechat(launcher, vault, rounds)
    (server,) = start_servers(launcher, wechat.accounts, store, 1, "--workers", str(workers))
    started = "Application startup complete"
    servers.wait_until(lambda: server.err.count(started) == workers, "all workers", 60)
    with closing(Service(wechat, connect_to_each(server))) as service:
        assert len(service.connections) == workers
        yield service
    assert server.end(30) == 0


def _wechat(launcher: Launcher, vault: Vault, rounds: int) -> WeChat:
    wechat = WeChat(launcher, vault)
    for number in range(rounds):
        wechat.add(f"round-{number}", "token")
    wechat.add("busy", "stable")
    return wechat


def main() -> int:
    parser = argparse.ArgumentParser(description="How long the others serve an old token.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "redis"), default="sqlite")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--load", action="store_true", help="with readers as fast as they can meanwhile")
    parser.add_argument("--one-server", action="store_true")
    args = parser.parse_args()
    servers.GUARD_S = 3600.0
    many = args.workers or WORKERS[args.store]
    start = one_server if args.one_server else several
    vault, counts = Vault(), [0]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = stack.enter_context(shared_store(args.store, Path(folder), vault))
        launcher = stack.enter_context(Launcher(Path(folder), vault))
        service = stack.enter_context(start(launcher, vault, store, many, args.rounds))
        begun = time.monotonic()
        if args.load:
            counts = stack.enter_context(load(service, "busy"))
        delays = list(service.rounds([f"round-{n}" for n in range(args.rounds)]))
        rate = sum(counts) / (time.monotonic() - begun)
        assert_no_leak(vault)
    return _report(args, many, delays, rate)


def _report(args: argparse.Namespace, workers: int, delays: list[Delay], rate: float) -> int:
    where = f"one server of {workers} workers" if args.one_server else f"{workers} servers"
    print(f"{args.store}, {where}, {len(delays)} rounds, {rate:.0f} other reads a second")
    for name in ("stale", "seen", "stall"):
        row = sorted(1000 * getattr(delay, f"{name}_s") for delay in delays)
        print(f"  {name}: median {row[len(row) // 2]:.0f} ms, worst {row[-1]:.0f} ms")
    late = [delay for delay in delays if delay.stale_s > BOUND_S[args.store]]
    for delay in late:
        stale, stall = 1000 * delay.stale_s, 1000 * delay.stall_s
        print(f"  late: stale {stale:.0f} ms while the machine stalled {stall:.0f} ms")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
