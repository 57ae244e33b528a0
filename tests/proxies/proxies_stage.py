"""Starts nginx and the servers behind it, and asks them from an address of choice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPResponse
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from proxies_table import DIRECT, SERVERS, STRANGER, WAYS

from support.nginx import held_port, nginx
from support.servers import wait_until

ANSWER_S: Final = 20.0
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_FOLDER: Final = Path(__file__).parent
_LEAD: Final = ("FORWARDED_ALLOW_IPS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "COVERAGE_PROCESS")
"""What would lead a server elsewhere, or slow it down: its lines are covered by other tests."""


class Place(NamedTuple):
    """Where a server listens; the path counts for those on a Unix socket."""

    port: int
    path: str


class Stage:
    """One nginx, and behind it every server that was asked for.

    Args:
        folder: for sockets, logs and nginx's files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, Place] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        self._nginx = 0

    def __enter__(self) -> Self:
        for n, name in enumerate(SERVERS):
            port = self._stack.enter_context(held_port())
            self._places[name] = Place(port, f"{self._folder}/{n}.sock")
        self._stack.callback(self._end)
        locations = {
            f"/{n}/{m}/": f"proxy_pass {self._upstream(server)}/; {told}"
            for (n, server), (m, told) in product(enumerate(SERVERS), enumerate(WAYS.values()))
        }
        self._nginx = self._stack.enter_context(nginx(self._folder / "nginx", locations))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def ask(
        self,
        server: str,
        way: str,
        path: str,
        *,
        caller: str = STRANGER,
        headers: Mapping[str, str] = NOTHING,
    ) -> tuple[int, str]:
        """Status and body of the answer to a GET.

        Args:
            server: a name of `SERVERS`; started if it is not.
            way: `direct`, or a name of `WAYS`.
            path: as the app sees it.
            caller: the address to ask from; on a Unix socket a direct caller has none.
            headers: whatever else is sent.
        """
        request = self.request("GET", server, way, path, headers)
        with self.connect(server, way, caller) as sock:
            sock.sendall(request)
            with HTTPResponse(sock) as response:
                response.begin()
                return response.status, response.read().decode()

    @staticmethod
    def request(method: str, server: str, way: str, path: str, headers: Mapping[str, str] = NOTHING) -> bytes:
        """What is sent for a request that closes its connection.

        Who asks nginx calls it by its name; nginx replaces that unless it is told to keep it.
        """
        prefix = "" if way == DIRECT else f"/{list(SERVERS).index(server)}/{list(WAYS).index(way)}"
        host = "localhost" if way == DIRECT else "www.example.com"
        lines = [f"{method} {prefix}{path} HTTP/1.1", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in {"Host": host, **headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def connect(self, server: str, way: str, caller: str = STRANGER) -> socket.socket:
        """A connection to the server, or to nginx in front of it."""
        self._start(server)
        if way != DIRECT:
            return _connected(caller, self._nginx)
        place = self._places[server]
        return _to_socket(place.path) if SERVERS[server].unix else _connected(caller, place.port)

    def _upstream(self, server: str) -> str:
        place = self._places[server]
        return f"http://unix:{place.path}:" if SERVERS[server].unix else f"http://127.0.0.1:{place.port}"

    def _start(self, server: str) -> None:
        if server in self._running:
            return
        place = self._places[server]
        argv = [sys.executable, "-m", *SERVERS[server].argv(place.port, place.path)]
        environ = {name: value for name, value in os.environ.items() if not name.upper().startswith(_LEAD)}
        log = self._folder / f"{place.port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, cwd=self._folder, env=environ | {"PYTHONPATH": str(_FOLDER)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._running[server] = process
        wait_until(lambda: process.poll() is not None or self._listens(server), f"{server} listens")
        assert process.poll() is None, log.read_text()

    def _listens(self, server: str) -> bool:
        place = self._places[server]
        with socket.socket(socket.AF_UNIX if SERVERS[server].unix else socket.AF_INET) as sock:
            return sock.connect_ex(place.path if SERVERS[server].unix else ("127.0.0.1", place.port)) == 0

    def _end(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _connected(caller: str, port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S, source_address=(caller, 0))


def _to_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(ANSWER_S)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
