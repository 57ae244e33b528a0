"""Stores that several processes share, in a folder or on a server of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.redis_server import SentinelGroup, Server, redis_server, sentinel_group
from support.secrets import Vault
from support.servers import wait_until


@contextmanager
def shared_store(word: str, folder: Path, vault: Vault) -> Iterator[str]:
    """The address of a new, empty store.

    Args:
        word: `sqlite` or `redis`.
        folder: where it may lie.
        vault: remembers its password.
    """
    if word == "sqlite":
        yield f"sqlite://{folder / 'tokens.db'}"
        return
    with redis_server(folder / "redis", password=vault.new("the store's password", plain=True)) as server:
        yield server.url


class Place:
    """A Redis that can be taken away.

    Args:
        server: the process.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url

    def save(self) -> None:
        """Write down what it holds."""
        self._server.do("SAVE")

    def stop(self, *, save: bool) -> None:
        """End it; without saving it will have what was saved last."""
        if save:
            self.save()
        self._server.kill()

    def forget(self) -> None:
        """Lose what was written down."""
        (self._server.folder / "dump.rdb").unlink(missing_ok=True)

    def start(self) -> None:
        """Start it again."""
        self._server.start()

    def pause(self) -> None:
        """Let it stand still."""
        self._server.freeze()

    def go_on(self) -> None:
        """Let it go on."""
        self._server.thaw()


class Pair:
    """A master and its replica, watched by a Sentinel.

    Args:
        group: all of them.
    """

    def __init__(self, group: SentinelGroup) -> None:
        self._group = group
        self.url = group.url

    def fail_over(self) -> None:
        """Kill the master, and wait until the Sentinel names another."""
        before = self._group.master_port()
        self._group.servers[0].kill()
        wait_until(lambda: self._group.master_port() != before, "another master")


@contextmanager
def redis_place(folder: Path) -> Iterator[Place]:
    """A Redis that can be stopped, paused, emptied and rolled back."""
    with redis_server(folder / "redis") as server:
        yield Place(server)


@contextmanager
def failing_over(folder: Path) -> Iterator[Pair]:
    """A Redis that fails over."""
    with sentinel_group(folder / "redis") as group:
        yield Pair(group)
