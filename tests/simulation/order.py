"""P3: nothing older is written over what is newer, whatever fences and versions say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from wxtoken_asgi.stores.contract import Commit

Key = tuple[str, str]

CLOCKS_S = 2.0
"""No two clocks go alike, and a call that was over for so long was begun before."""


class Order:
    """Remembers of each credential the leases, and which of them brought something last.

    Args:
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        self._broken = broken
        self.forget()

    def forget(self) -> None:
        """The store was emptied: it knows no lease that it gave before, and may begin anew below those."""
        self._latest: dict[Key, tuple[int, float]] = {}
        self._brought: dict[Key, tuple[str, float]] = {}

    def granted(self, key: Key, fence: int) -> bool:
        """A lease was given; whether it was before, to the same worker."""
        known, _ = self._latest.get(key, (0, 0.0))
        if fence > known:
            self._latest[key] = fence, trio.current_time()
        return fence == known

    def committed(self, worker: Any, key: Key, commit: Commit) -> None:
        """The store has taken a value."""
        if commit.over_s is not None:
            self._taken_late(worker, key, commit, trio.current_time() - commit.over_s)
            return
        fence, granted = self._latest.get(key, (0, 0.0))
        if commit.fence < fence:
            self._broken("P3", f"{worker} wrote the {key} of an older lease over a newer one")
        elif commit.fence == fence:
            self._brought[key] = commit.value, granted

    def _taken_late(self, worker: Any, key: Key, commit: Commit, over: float) -> None:
        """It was fetched without a lease, and its fence is of its host's time."""
        value, granted = self._brought.get(key, (commit.value, 0.0))
        if granted > over + CLOCKS_S and commit.value != value:
            late_s = granted - over
            self._broken("P3", f"{worker} wrote the {key} over that of a lease from {late_s:.0f} s later")
