"""When something was in the way, and when it had not been for long enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

INF = float("inf")

HEARD_S = 5.0
"""So long after it went on, or the store came back, a worker may not have heard of everything."""

NEWS_S = 1.0
"""So long after it was told of something, the store's news have reached every worker."""

COMPARED_S = 80.0
"""So long after news were lost, a worker has compared what it holds with the store, and knows them."""


class Spans:
    """Spans of true time; the last one may not have ended yet."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return iter(self._spans)

    def add(self, since: float, until: float = INF) -> None:
        """One more."""
        self._spans.append((since, until))

    def end(self, now: float) -> None:
        """The last one ends."""
        self._spans[-1] = (self._spans[-1][0], now)


def met(spans: Iterable[tuple[float, float]], since: float, until: float) -> bool:
    """Whether one of them lies at least in part between these two moments."""
    return any(begun <= until and ended >= since for begun, ended in spans)


def free_by(since: float, seconds: float, *spans: Iterable[tuple[float, float]]) -> float:
    """When so many seconds had gone by in one piece with nothing in the way; infinity: they have not yet."""
    for begun, ended in sorted(chain(*spans)):
        if begun >= since + seconds:
            break
        since = max(since, ended)
    return since + seconds
