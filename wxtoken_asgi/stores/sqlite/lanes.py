"""The threads of a SQLite store in each process, and what becomes of them at a fork.

SQLite keeps its locks in a table of the process. A fork copies the table but not the locks: a child would
believe that it holds them, and have the file's log deleted under it; or it would wait for ever for one that
its parent held at that moment. Both happen even if the child opens the file for itself. So all connections
are let go of while a process forks.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import NamedTuple

from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores.sqlite.lane import Lane


class Lanes(NamedTuple):
    """The threads of a store in one process.

    Args:
        writer: for what may change a record.
        reader: for what does not, and for news: neither waits for a lock that a slow writer holds.
    """

    writer: Lane
    reader: Lane


class Processes:
    """The threads of a store by process. Those of its parent are nothing to a child.

    Args:
        make: makes the threads, which are started when they are first needed.
    """

    def __init__(self, make: Callable[[], Lanes]) -> None:
        self._make = make
        self._lanes: dict[int, Lanes] = {}
        self._held: list[Lanes] = []
        self._torn = False
        if hasattr(os, "register_at_fork"):  # not on Windows
            _watch_forks(weakref.ref(self))

    def running(self) -> Lanes:
        """This process's threads.

        Raises:
            StoreError: they would inherit locks from the parent process.
        """
        lanes = self._lanes.get(os.getpid())
        return lanes if lanes is not None else self._start()

    def stop(self) -> tuple[Lane, ...]:
        """Let them end, without waiting for it; they are given back."""
        lanes = self._lanes.pop(os.getpid(), ())
        for lane in lanes:
            lane.stop()
        return lanes

    def hold(self) -> None:
        """Before a fork: nobody in this process has the file open until `release`."""
        lanes = self._lanes.get(os.getpid())
        if lanes is None:
            return
        self._held.append(lanes)
        held = [lane.hold() for lane in lanes]
        self._torn = not all(held)

    def release(self) -> None:
        """After a fork, in the parent: go on."""
        self._torn = False
        while self._held:
            for lane in self._held.pop():
                lane.release()

    def _start(self) -> Lanes:
        if self._torn:
            raise StoreError(
                "store: this process was forked while the store was busy; it has to be started anew"
            )
        mine = self._make()
        lanes = self._lanes.setdefault(os.getpid(), mine)  # of several threads that come here, one wins
        if lanes is mine:
            for lane in lanes:
                lane.start()
        return lanes


def _watch_forks(processes: weakref.ref[Processes]) -> None:
    def before() -> None:
        alive = processes()
        if alive is not None:
            alive.hold()

    def after() -> None:
        alive = processes()
        if alive is not None:
            alive.release()

    os.register_at_fork(before=before, after_in_parent=after)
