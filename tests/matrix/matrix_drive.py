"""Runs one cell of the matrix: a real server in a process of its own, on a free loopback port.

WeChat is one sandbox for all cells, in a process of its own too.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matrix_cells import SERVERS, Cell, Outcome, expected

_TOKEN = re.compile(r"\b\d{1,4}_[\w-]{100,}")
START_S = 20.0  # a cold import on a busy machine
STOP_S = 10.0  # from SIGTERM to the end
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell did, and every way in which that is not what it should have done."""

    cell: Cell
    outcome: Outcome
    faults: tuple[str, ...]
    output: str


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """A WeChat to fetch from; gives its `api_base`."""
    port = _free_port()
    place = f"--host 127.0.0.1 --port {port} --log-level warning".split()
    argv = [sys.executable, "-m", "uvicorn", "--factory", "wxtoken_asgi.sandbox:demo", *place]
    process = subprocess.Popen(argv)
    try:
        _wait_until(lambda: _get(port, "/") is not None or process.poll() is not None, START_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(5)


def run_cell(cell: Cell, api_base: str) -> Result:
    with tempfile.TemporaryDirectory(prefix="wx-matrix-") as folder:
        run = _Run(cell, Path(folder), api_base)
        with run.server():
            serves = run.watch()
        outcome = Outcome(serves, run.code, run.journal())
        output = run.output()
    if _TOKEN.search(output) or "sandbox-secret" in output:
        run.faults.append("a token is in the server's output")
    if outcome != expected(cell):
        run.faults.append(f"expected: {expected(cell)}")
    if cell.mode == "refuses" and SERVERS[cell.server].lifespan and "no database" not in output:
        run.faults.append("the reason for the refusal is not in the server's log")
    return Result(cell, outcome, tuple(run.faults), output)


class _Run:
    def __init__(self, cell: Cell, folder: Path, api_base: str) -> None:
        self.cell = cell
        self._api_base = api_base
        self.code: int | None = None
        self.faults: list[str] = []
        self._port = _free_port()
        self._journal = folder / "journal"
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def server(self) -> Iterator[None]:
        env = {
            **os.environ,
            "PYTHONPATH": str(_FOLDER),
            "PYTHONUNBUFFERED": "1",
            "WX_MATRIX_APP": self.cell.program,
            "WX_MATRIX_MODE": self.cell.mode,
            "WX_MATRIX_API_BASE": self._api_base,
            "WX_MATRIX_JOURNAL": str(self._journal),
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                SERVERS[self.cell.server].argv(self._port),
                cwd=self._output.parent,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield
            finally:
                self._end()

    def watch(self) -> bool:
        """Ask until the server answers or is gone, then look closer and stop it."""
        if not self._comes_up():
            return False
        if self.cell.mode == "dies" and SERVERS[self.cell.server].lifespan:
            self._wait_for("log ERROR lifespan")
        serves = all(self._answers(path) for path in ("/hello", "/wx/health/live", "/wx/token/alpha"))
        self._process.send_signal(signal.SIGTERM)
        try:
            self.code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.faults.append(f"still there {STOP_S:g} s after SIGTERM")
        return serves

    def journal(self) -> tuple[str, ...]:
        return tuple(self._journal.read_text().splitlines()) if self._journal.exists() else ()

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def _comes_up(self) -> bool:
        process = self._process
        _wait_until(lambda: process.poll() is not None or _get(self._port, "/hello") is not None, START_S)
        self.code = process.poll()
        return self.code is None

    def _wait_for(self, line: str) -> None:
        if not _wait_until(lambda: line in self.journal(), 5):
            self.faults.append(f"no {line!r} in the journal within 5 s")

    def _answers(self, path: str) -> bool:
        got = _get(self._port, path)
        wanted = f"hello from {self.cell.program}" if path == "/hello" else None
        if got is not None and got[0] == 200 and wanted in (None, got[1]):
            return True
        self.faults.append(f"GET {path} gave {got}")
        return False

    def _end(self) -> None:
        """Whatever is left of the server and of its workers goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(5)


def _get(port: int, path: str) -> tuple[int, str] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _wait_until(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
