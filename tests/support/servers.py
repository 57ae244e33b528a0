"""Child processes whose output is kept, and crowds of callers that ask them over raw sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Final

import httpx

from support.secrets import Vault

GUARD_S: Final = 120.0
"""No child lives longer."""

START_S: Final = 20.0


def wait_until(done: Callable[[], Any], what: str, within_s: float = START_S) -> Any:
    """The first true answer of `done`.

    Raises:
        AssertionError: there was none within `within_s` seconds.
    """
    end = time.monotonic() + within_s
    while not (answer := done()):
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)
    return answer


class Program:
    """A child process. What it prints goes to files in `folder`; it runs in `folder/run`.

    Args:
        argv: the arguments after the interpreter's.
        folder: where its output is kept; searched for secrets at the end of the run.
        vault: searches it.
        environ: further variables.
    """

    def __init__(self, *argv: str, folder: Path, vault: Vault, **environ: str) -> None:
        self.cwd = folder / "run"
        self.cwd.mkdir(parents=True, exist_ok=True)
        vault.watch(folder)
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, *argv],
                cwd=self.cwd, env=_environ(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        self._guard = threading.Timer(GUARD_S, self.process.kill)
        self._guard.daemon = True
        self._guard.start()

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has written to stderr."""
        return self._err.read_text(errors="replace")

    def says(self, text: str, within_s: float = START_S) -> str:
        """Wait until a line of its output holds `text`; gives the line."""

        def line() -> str | None:
            lines = (self.out + self.err).split("\n")[:-1]
            found = next((line for line in lines if text in line), None)
            assert found or self.process.poll() is None, f"it ended without {text!r}: {self.err}"
            return found

        return str(wait_until(line, f"{text!r} in the output: {self.err}", within_s))

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.wait(5)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, within_s: float = GUARD_S) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        code = self.process.wait(within_s)
        self._guard.cancel()
        self._guard.join()
        return code

    def end(self, within_s: float = 10) -> int:
        """End it as an operator does; gives its exit code."""
        self.signal()
        return self.wait(within_s)


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead a child elsewhere."""
    lead = ("WXTOKEN_", "_WXTOKEN")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(lead)}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        clean.pop(name, None)
        clean.pop(name.lower(), None)
    return clean | {"PYTHONUNBUFFERED": "1"} | more


class Service(Program):
    """A child process that serves HTTP on loopback.

    Attributes:
        port: where; known once it says so.
        client: asks it, over connections of its own.
    """

    def __init__(self, *argv: str, folder: Path, vault: Vault, **environ: str) -> None:
        super().__init__(*argv, folder=folder, vault=vault, **environ)
        self.port = 0
        self.client = httpx.Client(trust_env=False, timeout=20)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def listens(self, marker: str) -> None:
        """Take the port from the line of its output that holds `marker`, and wait until it answers."""
        line = self.says(marker)
        self.port = int(line.partition("127.0.0.1:")[2].split("/")[0].split()[0])
        self.client.base_url = httpx.URL(self.url)
        self.client.get("/health/live")

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET a path."""
        return self.client.get(path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        """PUT a path."""
        return self.client.put(path, **options)

    def close(self) -> None:
        """End it however it stands, and its client's connections."""
        self.client.close()
        self.kill()


@contextlib.contextmanager
def burst(port: int, request: bytes, times: int) -> Iterator[list[socket.socket]]:
    """Send one request over many connections: all of them are sent before the first answer is read."""
    with contextlib.ExitStack() as stack:
        connect = lambda: socket.create_connection(("127.0.0.1", port), timeout=20)  # noqa: E731
        sockets = [stack.enter_context(connect()) for _ in range(times)]
        for sock in sockets:
            sock.sendall(request)
        yield sockets


def raw_request(method: str, path: str, port: int, body: bytes = b"") -> bytes:
    """A request that closes its connection."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"Content-Length: {len(body)}"] if method == "PUT" else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer_on(sock: socket.socket) -> tuple[int, str]:
    """Status and body of the answer that comes over a connection."""
    with HTTPResponse(sock) as response:
        response.begin()
        return response.status, response.read().decode()
