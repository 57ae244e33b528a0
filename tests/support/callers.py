"""Callers who read from servers all the time, and remember what they saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Protocol


class Asked(Protocol):
    """A server on loopback, whose port may be another after a restart."""

    name: str

    @property
    def port(self) -> int: ...


@dataclass(slots=True)
class Seen:
    """What one caller saw of one worker.

    Attributes:
        tokens: each token with the time of its first read and of its last, in the order of the reads.
        slowest_s: the longest wait for an answer.
        refused: answers that were no token.
        broken: connections that broke.
        reads: how many reads there were.
    """

    tokens: list[tuple[str, float, float]] = field(default_factory=list, repr=False)
    slowest_s: float = 0.0
    refused: list[str] = field(default_factory=list)
    broken: int = 0
    reads: int = 0

    def note(self, token: str, at: float) -> None:
        """A token was read."""
        if self.tokens and self.tokens[-1][0] == token:
            self.tokens[-1] = (token, self.tokens[-1][1], at)
        else:
            self.tokens.append((token, at, at))


class Caller(threading.Thread):
    """Reads an account's token from one worker, again and again.

    Args:
        worker: whom it asks.
        app: the account.
        pause_s: between two reads.
    """

    def __init__(self, worker: Asked, app: str, pause_s: float = 0.02) -> None:
        super().__init__(daemon=True)
        self._worker, self._path, self._pause_s = worker, f"/token/{app}", pause_s
        self._over = threading.Event()
        self.seen = Seen()

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._worker.port, timeout=30)
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                status, text = ask(connection, "GET", self._path)
            except (OSError, HTTPException):
                self.seen.broken += 1
                connection.close()
                connection = HTTPConnection("127.0.0.1", self._worker.port, timeout=30)
                self._over.wait(0.05)
                continue
            self._note(status, text, begun)
            self._over.wait(self._pause_s)
        connection.close()

    def _note(self, status: int, text: str, begun: float) -> None:
        now = time.monotonic()
        self.seen.reads += 1
        self.seen.slowest_s = max(self.seen.slowest_s, now - begun)
        if status == 200:
            self.seen.note(text, now)
        else:
            self.seen.refused.append(f"{status} {text[:200]}")

    def stop(self) -> Seen:
        """What it saw, in all."""
        self._over.set()
        self.join(35)
        return self.seen


@contextmanager
def calling(workers: Sequence[Asked], app: str, pause_s: float = 0.02) -> Iterator[dict[str, Seen]]:
    """Read from all of these workers, each by a caller of its own; what they saw, by worker."""
    callers = {worker.name: Caller(worker, app, pause_s) for worker in workers}
    for caller in callers.values():
        caller.start()
    try:
        yield {name: caller.seen for name, caller in callers.items()}
    finally:
        for caller in callers.values():
            caller._over.set()
        for caller in callers.values():
            caller.stop()


def ask(connection: HTTPConnection, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Ask over a connection that is kept."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read().decode()
