"""What a flood of wrong keys costs a trusted reader: `python -m benchmarks.wrong_keys` in the folder `tests`.

A real server is asked by a reader as fast as it answers. Beside the reader runs a load of so many requests a
second from another address, in turns with wrong keys and with a right one. The ratio is the reader's
throughput beside the wrong keys to its throughput beside the same number of allowed requests.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import statistics
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from wxtoken_asgi.keys import Key, new_key

from support.launcher import Launcher, wechat_server
from support.secrets import Vault

READER, OTHERS = "127.0.0.2", "127.0.0.3"
CONNECTIONS = 8


def main() -> None:
    options = _options()
    key = new_key()
    with ExitStack() as stack:
        port = _started(stack, Key.of(key).line)
        rounds = [
            {name: _round(port, options, key if name == "allowed" else None) for name in ("allowed", "wrong")}
            for _ in range(options.rounds)
        ]
    ratios = [one["wrong"][0] / one["allowed"][0] for one in rounds]
    for name in ("allowed", "wrong"):
        reads = statistics.median(one[name][0] for one in rounds)
        load = statistics.median(one[name][1] for one in rounds)
        statuses = sorted(set().union(*(one[name][2] for one in rounds)))
        print(f"beside {load:6.0f} {name:7} requests a second ({statuses}): {reads:7.0f} reads a second")
    print(f"ratio: median {statistics.median(ratios):.3f}, worst {min(ratios):.3f} of {len(ratios)} rounds")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrong_keys", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half of a round")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second of the load")
    return parser.parse_args()


def _started(stack: ExitStack, line: str) -> int:
    """The port of a server on a sandbox."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    vault = Vault()
    wechat = stack.enter_context(wechat_server(vault))
    launcher = stack.enter_context(Launcher(folder, vault))
    accounts = {"shop": wechat.add("shop")}
    service = launcher.serve(accounts, trusted=[READER], environ={"WXTOKEN_CLIENTS__CRM__KEYS": line})
    return service.port


def _round(port: int, options: argparse.Namespace, key: str | None) -> tuple[float, float, set[int]]:
    """Reads a second, other requests a second, and the statuses of those."""
    stop, statuses, sent = threading.Event(), set(), itertools.count()
    share = options.rate / CONNECTIONS
    load = [
        threading.Thread(target=_load, args=(port, key, share, stop, statuses, sent), daemon=True)
        for _ in range(CONNECTIONS)
    ]
    for thread in load:
        thread.start()
    begun, reads = time.monotonic(), 0
    with closing(_connect(port, READER)) as sock:
        request = _request()
        while time.monotonic() - begun < options.seconds:
            assert _ask(sock, request) == 200
            reads += 1
    took = time.monotonic() - begun
    stop.set()
    for thread in load:
        thread.join()
    return reads / took, next(sent) / took, statuses


def _load(port, key, rate, stop, statuses, sent) -> None:  # noqa: PLR0917
    """So many requests a second over one connection, each wrong key another one."""
    begun, number = time.monotonic(), 0
    with closing(_connect(port, OTHERS)) as sock:
        while not stop.is_set():
            statuses.add(_ask(sock, _request(key or new_key())))
            next(sent)
            number += 1
            ahead = begun + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


def _connect(port: int, source: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _request(key: str | None = None) -> bytes:
    head = "GET /token/shop HTTP/1.1\r\nHost: localhost\r\n"
    return (head + (f"Authorization: Bearer {key}\r\n" if key else "") + "\r\n").encode()


def _ask(sock: socket.socket, request: bytes) -> int:
    """The status of the answer; all of it is in one packet or two."""
    sock.sendall(request)
    answer = b""
    while True:
        answer += sock.recv(65536)
        head, mark, body = answer.partition(b"\r\n\r\n")
        if not mark:
            continue
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            return int(head[9:12])


if __name__ == "__main__":
    main()
