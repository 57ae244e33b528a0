"""How a seed turns into a run: what is there, what goes wrong, how often."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Rates:
    """How often things go wrong; the mean seconds between two of a kind, 0: never.

    Args:
        wechat: WeChat is away or answers nonsense, for seconds to a day.
        store: the store is away, slow or hangs.
        network: nobody reaches the store, and a worker begins anew meanwhile.
        wipe: the store is emptied.
        kill: a worker is killed, and another starts in its place.
        stop: a worker is stopped for a while.
        restart: a worker is ended and started again in good order.
        step: a host's wall clock steps by up to an hour.
        suspend: a host sleeps for up to two hours.
        reboot: a host goes down with all its workers, and is booted again.
        outside: another program fetches an account's token.
        rotate: an operator's mistake: WeChat refuses an account until it is mended.
        at_point: the chance that a worker is killed or stopped at one of the points of a fetch.
        call: the chance that one call to WeChat goes wrong.
        answer: the chance that an answer of the store is lost; news are lost ten times as often.
    """

    wechat: float = 2 * HOUR
    store: float = 5 * HOUR
    network: float = 6 * HOUR
    wipe: float = 12 * HOUR
    kill: float = 3 * HOUR
    stop: float = 3 * HOUR
    restart: float = 8 * HOUR
    step: float = 6 * HOUR
    suspend: float = 12 * HOUR
    reboot: float = 16 * HOUR
    outside: float = 8 * HOUR
    rotate: float = 12 * HOUR
    at_point: float = 0.01
    call: float = 0.02
    answer: float = 0.003


DENSE = Rates()
RARE = Rates(
    wechat=5 * DAY,
    store=10 * DAY,
    network=30 * DAY,
    wipe=40 * DAY,
    kill=7 * DAY,
    stop=10 * DAY,
    restart=3 * DAY,
    step=20 * DAY,
    suspend=30 * DAY,
    reboot=25 * DAY,
    outside=20 * DAY,
    rotate=30 * DAY,
    at_point=0.0005,
    call=0.001,
    answer=0.0001,
)


class Chance:
    """The streams of chance of a run: each part has one of its own, so that a draw more in one part
    changes nothing in another.

    Args:
        seed: the run's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> random.Random:
        """The stream of this name."""
        return random.Random(f"{self.seed}/{name}")

    def number(self, name: str) -> int:
        """A seed for something that draws by itself."""
        return self.stream(name).getrandbits(32)


def duration(random_: random.Random, shortest: float, longest: float) -> float:
    """Mostly short, sometimes long: each power of ten is as likely as the next."""
    return shortest * (longest / shortest) ** random_.random()


@dataclass
class Tally:
    """What was exercised, counted by name."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, much: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + much

    def merge(self, other: dict[str, Any]) -> None:
        for name, much in other.items():
            self.add(name, much)
