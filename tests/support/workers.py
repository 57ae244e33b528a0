"""Server processes that share a store, and the WeChat process that they ask."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from support.callers import ask
from support.launcher import PROBE, STABLE, TOKEN, Launcher
from support.secrets import Vault, value_shaped
from support.servers import Service, wait_until

TESTS: Final = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True, slots=True)
class Told:
    """What WeChat knows of a token.

    Args:
        order: how many were issued before it.
        left: seconds that it really lives.
        errcode: what a protected API says of it; 0: it is taken.
    """

    order: int
    left: float
    errcode: int


class WeChat:
    """The WeChat process.

    Args:
        launcher: starts it.
        vault: remembers the secrets of its accounts, and each token that it is asked about.
        overlap: `grace` or `strict`.
    """

    def __init__(self, launcher: Launcher, vault: Vault, overlap: str = "grace") -> None:
        command = ("-m", "processes.wechat", overlap)
        self._service = launcher.service(*command, marker="listens on", name="wechat", PYTHONPATH=TESTS)
        self._vault = vault
        self.accounts: dict[str, dict[str, Any]] = {}

    def add(self, name: str, endpoint: str = "token", **more: Any) -> str:
        """A new account for configuration files; gives its name."""
        appid, secret = f"wx{len(self.accounts) + 0xA1:016x}", self._vault.new(f"the secret of {name}")
        table = {"appid": appid, "secret": secret, "endpoint": endpoint, "api_base": self._service.url}
        self.accounts[name] = table | more
        return name

    def tell(self, what: str, **given: Any) -> Any:
        """Use one of its handles."""
        answer = self._service.client.post(f"/sandbox/{what}", json=given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def slow(self, app: str, seconds: float, path: str | None = None) -> None:
        """The next call about this account is carried out at once and answered late."""
        appid = self.accounts[app]["appid"]
        self.tell("fault", kind="slow", seconds=seconds, appid=appid, before=False, path=path)

    def fetches(self) -> int:
        """How many calls of the token endpoints came in."""
        return self.count(TOKEN, STABLE)

    def count(self, *paths: str) -> int:
        """How many calls of these paths came in."""
        table = self._service.get("/sandbox/calls").json()
        return sum(sum(table.get(path, {}).values()) for path in paths)

    def calls(self, app: str) -> int:
        """How many calls came in that were to fetch something of an account; trying a token out is none."""
        params = {"appid": self.accounts[app]["appid"]}
        table = self._service.get("/sandbox/calls", params=params).json()
        return sum(sum(codes.values()) for path, codes in table.items() if path != PROBE)

    def told(self, token: str) -> Told:
        """What it knows of a token.

        Raises:
            AssertionError: it never issued it.
        """
        self._vault.add("a token", token)
        answer = self._service.get("/sandbox/token", params={"token": token})
        assert answer.status_code == 200, "a token that was never issued"
        return Told(**answer.json())

    def takes_ticket(self, ticket: str) -> bool:
        """Whether a page signed with this ticket would be taken."""
        self._vault.add("a ticket", ticket)
        return bool(self._service.get("/sandbox/accepts-ticket", params={"ticket": ticket}).json()["accepts"])


class Worker:
    """A server process that can be trapped, killed and started again.

    Args:
        team: whose member it is.
        name: its name in the team.
    """

    def __init__(self, team: Team, name: str) -> None:
        self._team, self.name = team, name
        self.service: Service = self._spawn()

    def _spawn(self) -> Service:
        return self._team.spawn(self.name)

    @property
    def port(self) -> int:
        """Where it listens; another one after a restart."""
        return self.service.port

    @property
    def alive(self) -> bool:
        """The process runs, or is stopped."""
        return self.service.process.poll() is None

    @property
    def stopped(self) -> bool:
        """The process stands still."""
        return stands_still(self.service.process.pid)

    def trap(self, point: str, number: signal.Signals, delay: float = 0.0) -> None:
        """Let the process kill or stop itself at a point of its next fetch; see `processes.traps`."""
        path = self._team.traps / f"{self.name}.{point}"
        path.with_suffix(".new").write_text(f"{number.name.removeprefix('SIG')} {delay}")
        path.with_suffix(".new").rename(path)

    def sprung(self) -> bool:
        """Whether the trap has done its work."""
        return not self.alive or self.stopped

    def restart(self) -> None:
        """Start it again, if it has ended."""
        if self.alive:
            return
        self.service.close()
        self.service = self._spawn()
        self.ready()

    def ready(self) -> None:
        """Wait until it serves."""
        self.service.listens("running on")

    def read(self, app: str, **options: Any) -> str:
        """Read an account's token."""
        answer = self.service.get(f"/token/{app}", **options)
        assert answer.status_code == 200, f"{self.name}: {answer.status_code} {answer.text[:200]}"
        return answer.text

    def believes(self, app: str) -> tuple[str, int]:
        """A token, and for how many seconds it may be kept."""
        answer = self.service.get(f"/token/{app}", params={"format": "json"}).json()
        return answer["access_token"], answer["expires_in"]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.service.process.pid, number)


class Team:
    """Server processes that share a store.

    Args:
        launcher: starts them.
        accounts: the accounts' tables.
        store: the store's address.
        lease: seconds after which another takes over.
    """

    def __init__(self, launcher: Launcher, accounts: dict[str, Any], store: str, lease: float = 30.0) -> None:
        self._launcher, self._lease = launcher, lease
        self._config = launcher.config(accounts, store=store)
        self.traps = launcher.folder / f"traps-{Path(self._config).stem}"
        self.traps.mkdir()
        self.wall = self.traps / "wall"
        self.workers: list[Worker] = []

    def spawn(self, name: str) -> Service:
        """Start a process, without waiting for it."""
        plan = {"config": self._config, "name": name, "traps": str(self.traps)}
        plan |= {"lease": str(self._lease), "wall": str(self.wall)}
        argv = ("-m", "processes.worker", json.dumps(plan))
        return start(self._launcher, *argv, name=name, PYTHONPATH=TESTS)

    def begin(self, number: int) -> list[Worker]:
        """Start so many workers at once, and wait until all serve."""
        first = len(self.workers)
        added = [Worker(self, f"w{first + n}") for n in range(number)]
        for worker in added:
            worker.ready()
        self.workers += added
        return added

    def dismiss(self, worker: Worker) -> None:
        """Let one end before the others."""
        self.workers.remove(worker)
        assert worker.service.end(15) in {0, -signal.SIGTERM}, worker.service.err

    def step_wall(self, seconds: float) -> None:
        """Let the wall clock of all workers be off by so many seconds."""
        path = self.wall.with_suffix(".new")
        path.write_text(f"{seconds}".ljust(32))
        self.wall.write_bytes(path.read_bytes())

    def end(self) -> None:
        """End all as an operator does, and look what they said."""
        for worker in self.workers:
            worker.service.signal()
        for worker in self.workers:
            assert worker.service.wait(15) in {0, -signal.SIGTERM}, worker.service.err
            assert "Traceback" not in worker.service.err, worker.service.err
        self.workers = []

    def agree(self, app: str, within_s: float = 5.0, *, but: str = "") -> str:
        """The token that all living workers give, once they do.

        Args:
            app: the account.
            within_s: seconds within which they must.
            but: a token that they must have left.
        """
        living = [worker for worker in self.workers if not worker.sprung()]

        def one() -> str | None:
            tokens = {worker.read(app) for worker in living}
            if len(tokens) == 1 and but not in tokens:
                return tokens.pop()
            time.sleep(0.03)
            return None

        return str(wait_until(one, f"{len(living)} workers agree", within_s))


def start(launcher: Launcher, *argv: str, name: str, **environ: str) -> Service:
    """Start a program that serves, without waiting for it; `Service.listens` does."""
    service = Service(*argv, folder=launcher._next(name), vault=launcher._vault, **environ)
    launcher._stack.callback(service.close)
    return service


def start_servers(
    launcher: Launcher, accounts: dict[str, Any], store: str, count: int, *argv: str, **environ: str
) -> list[Service]:
    """Start so many `wxtoken serve` with one configuration at the same time, and wait until they listen."""
    config = launcher.config(accounts, store=store)
    command = ("-m", "wxtoken_asgi.command.cli", "serve", "--config", config, "--port", "0", *argv)
    services = [start(launcher, *command, name="serve", **environ) for _ in range(count)]
    for service in services:
        service.listens("listening on")
    return services


def stands_still(pid: int) -> bool:
    """Whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def connect_to_each(server: Service) -> list[HTTPConnection]:
    """A connection to each worker of a server whose workers share a port.

    While the others are stopped, only one of them can take it.
    """
    pids = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.err)]
    return [_connect_to(server.port, [pid for pid in pids if pid != chosen]) for chosen in pids]


def _connect_to(port: int, others: list[int]) -> HTTPConnection:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(map(stands_still, others)), "the others stand still")
        assert ask(connection, "GET", "/health/live")[0] == 200
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    return connection


def assert_no_leak(vault: Vault) -> None:
    """Nothing that processes have left behind holds a secret, nor what looks like a token of WeChat's.

    Tokens that died with a process are known to nobody, but they have a shape.
    """
    leaks = [*map(str, vault.leaks())]
    leaks += [where for where, text in vault.places() if value_shaped(text.decode(errors="replace"))]
    assert not leaks, "\n".join(leaks)
