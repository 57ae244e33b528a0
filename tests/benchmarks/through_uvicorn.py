"""What a request costs a uvicorn server in CPU time, with our middleware and with the smallest ASGI app.

Both servers run at the same time and are asked in alternating rounds over kept-alive connections; the
CPU time is the kernel's own account of the server's main thread. Where a process happens to lie in memory
is worth a percent either way, so the servers are started several times.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

Pair = tuple[float, float]

HERE = Path(__file__).resolve().parent
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES, CLIENT_CORES = {CORES[0]}, set(CORES[1:]) or {CORES[0]}
"""Both servers share a core, and only one of them is asked at a time; the client has the others."""

APPS = {
    "read": ("a token read     ", "ours", "bare_token", "/wx/token/alpha"),
    "pass": ("passed on (guest)", "guest", "bare_item", "/api/items/17"),
    "prefix": ("passed on (/wx)  ", "owner", "bare_item", "/api/items/17"),
}


class Server:
    """A uvicorn process on a free loopback port."""

    def __init__(self, app: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [
            *(sys.executable, "-m", "uvicorn", f"benchmarks.apps:{app}", "--factory"),
            *("--port", str(self.port), "--no-access-log", "--log-level", "warning"),
            *("--loop", "uvloop", "--http", "httptools", "--no-proxy-headers"),
        ]
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        self.process = subprocess.Popen(command, env=environment)
        os.sched_setaffinity(self.process.pid, SERVER_CORES)

    def wait(self, path: str) -> bytes:
        """The answer to the first request that is answered well."""
        deadline = time.monotonic() + 20
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)
                if answer.status_code == 200:
                    return answer.content
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                message = f"the server on port {self.port} does not answer"
                raise SystemExit(message)
            time.sleep(0.05)

    def cpu_ns(self) -> int:
        """CPU time of its main thread so far."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def ask(server: Server, path: str, requests: int, at_once: int = 1) -> float:
    """CPU microseconds per request, asked over so many kept-alive connections at once."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: */*\r\nUser-Agent: b\r\n\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(server.port)) for _ in range(at_once)]
        lengths = [exchange(connection, request.encode()) for connection in connections]
        begun = server.cpu_ns()
        for _ in range(requests // at_once):
            for connection in connections:
                connection.sendall(request.encode())
            for connection, length in zip(connections, lengths, strict=True):
                receive(connection, length)
        return (server.cpu_ns() - begun) / (requests // at_once * at_once) / 1000


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exchange(connection: socket.socket, request: bytes) -> int:
    """Ask once; the answer's length."""
    connection.sendall(request)
    return len(connection.recv(65536))


def receive(connection: socket.socket, length: int) -> None:
    while length > 0:
        length -= len(connection.recv(65536))


def measured(ours: str, bare: str, path: str, *, rounds: int, requests: int, at_once: int) -> list[Pair]:
    """What a request costs ours and the bare app, round by round, with servers of their own."""
    servers = [Server(ours), Server(bare)]
    try:
        for server in servers:
            server.wait(path)
            ask(server, path, 10 * requests, at_once)
        pairs = []
        for turn in range(rounds):
            order = servers if turn % 2 else servers[::-1]
            cost = {server: ask(server, path, requests, at_once) for server in order}
            pairs.append((cost[servers[0]], cost[servers[1]]))
        return pairs
    finally:
        for server in servers:
            server.stop()


def compare(which: str, *, starts: int, rounds: int, requests: int, at_once: int) -> float:
    """Print and return the ratio of CPU per request: the median over the starts of the rounds' medians."""
    what, ours, bare, path = APPS[which]
    runs = [
        measured(ours, bare, path, rounds=rounds, requests=requests, at_once=at_once) for _ in range(starts)
    ]
    of_starts = sorted(statistics.median(mine / its for mine, its in pairs) for pairs in runs)
    every = [pair for pairs in runs for pair in pairs]
    mine, its = (statistics.median(column) for column in zip(*every, strict=True))
    quarters = statistics.quantiles((mine / its for mine, its in every), n=4)
    print(
        f"{what}: {mine:.1f} µs CPU per request, bare {its:.1f} µs, ratio {statistics.median(of_starts):.3f} "
        f"(of {starts} starts {of_starts[0]:.3f}-{of_starts[-1]:.3f}, "
        f"quartiles of {len(every)} rounds {quarters[0]:.3f}-{quarters[2]:.3f}), "
        f"{at_once} connection{'s' * (at_once > 1)}"
    )
    return statistics.median(of_starts)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=100, help="of each start")
    parser.add_argument("--requests", type=int, default=50, help="of each round")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--which", choices=APPS, action="append")
    options = parser.parse_args()
    os.sched_setaffinity(0, CLIENT_CORES)
    for which in options.which or APPS:
        compare(
            which,
            starts=options.starts,
            rounds=options.rounds,
            requests=options.requests,
            at_once=options.connections,
        )


if __name__ == "__main__":
    run()
