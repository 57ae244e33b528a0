"""Redis is stopped, paused, emptied, rolled back or fails over, while callers read all the time.

    python -m processes.outages [--seconds 30] [KIND ...]       (from the folder tests)

Three servers share the Redis. Nobody who reads may notice: no read is refused, none waits for long, none
gets a token that WeChat does not take or an older one after a newer. Nothing is fetched for the outage's
sake: what is lost is restored by those who hold it. Afterwards everything is back by itself: `back` is how
long after Redis's return a refresh succeeded; `stale` how long after the answer of another the others still
served the old token (they look for Redis once a second), and the same for one after that, when all have
found it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from processes.news import Service
from processes.places import Pair, Place, failing_over, redis_place
from support import servers
from support.callers import Seen, calling
from support.launcher import Launcher
from support.secrets import Vault
from support.servers import wait_until
from support.workers import Team, WeChat, assert_no_leak

BACK_WITHIN_S = 10.0
STALE_S = (3.0, 1.0)
LONGEST_READ_S = 1.0
SETTLED_S = 1.0
"""What the start of several servers began is over by then: no fetch of it meets the outage."""

APPS = ("alpha", "beta")


@dataclass(slots=True)
class Outage:
    """What became of one outage.

    Attributes:
        away_s: how long Redis did not answer.
        put_s: how long who asked for a new token meanwhile waited for the error.
        back_s: from its return until a refresh succeeded.
        stale_s: from a refresh's answer until the others served no old token, twice.
        fetches: what was fetched for the outage's sake.
        faults: the rules that were broken.
    """

    kind: str
    away_s: float = 0.0
    put_s: float = 0.0
    back_s: float = 0.0
    stale_s: list[float] = field(default_factory=list)
    fetches: int = 0
    reads: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kind:12} away {self.away_s:5.1f} s  reads {self.reads:6}, slowest {self.slowest_s:.2f} s"
            f"  refresh meanwhile {self.put_s:4.1f} s  back {self.back_s:5.2f} s"
            f"  stale {' and '.join(f'{stale_s:.3f}' for stale_s in self.stale_s)} s"
            f"  fetches {self.fetches}  {'; '.join(self.faults) or 'right'}"
        )


class Ground:
    """A WeChat, a Redis and three servers."""

    def __init__(self, launcher: Launcher, vault: Vault, place: Place | Pair, spare: int = 5) -> None:
        self.wechat, self.place = WeChat(launcher, vault), place
        self.wechat.add("alpha", "token")
        self.wechat.add("beta", "stable")
        self._spare = [self.wechat.add(f"spare-{number}", "token") for number in range(spare)]
        self.team = Team(launcher, self.wechat.accounts, place.url)
        self.team.begin(3)
        for app in self.wechat.accounts:
            self.team.agree(app)
        time.sleep(SETTLED_S)

    def play(self, kind: str, seconds: float) -> Outage:
        """Let Redis go away in this way, for so long."""
        outage, spare = Outage(kind), self._spare.pop()
        for app in (*APPS, spare):
            self.team.agree(app)
        before = self._calls()
        with calling(self.team.workers, "alpha") as alpha, calling(self.team.workers, "beta") as beta:
            wanted = KINDS[kind](self, outage, seconds)
            returned = time.monotonic()
            wait_until(lambda: self._refreshes(spare), "a refresh succeeds again", BACK_WITHIN_S)
            outage.back_s = time.monotonic() - returned
            outage.stale_s = [self._stale(outage, bound_s) for bound_s in STALE_S]
            if kind in LOSING:
                self._start_another(outage)
        fetched = self._calls() - before
        outage.fetches = fetched.total() - wanted - 3
        if outage.fetches:
            outage.faults.append(f"{outage.fetches} fetches too many: {dict(fetched)}")
        for seen in (alpha, beta):
            self._check(outage, seen)
        return outage

    def _start_another(self, outage: Outage) -> None:
        """One that knows nothing takes over what was restored."""
        tokens = {app: self.team.agree(app) for app in APPS}
        (late,) = self.team.begin(1)
        if {app: late.read(app) for app in APPS} != tokens:
            outage.faults.append("who started afterwards got another token")
        self.team.dismiss(late)

    def _calls(self) -> Counter[str]:
        return Counter({app: self.wechat.calls(app) for app in self.wechat.accounts})

    def _refreshes(self, spare: str) -> bool:
        worker = self.team.workers[0]
        return worker.service.put(f"/token/{spare}").status_code == HTTPStatus.OK

    def _stale(self, outage: Outage, bound_s: float) -> float:
        with closing(Service.at(self.wechat, [worker.port for worker in self.team.workers])) as service:
            delay = service.measure(self._spare.pop(), 1)
        if not delay.within(bound_s):
            outage.faults.append(f"an old token was served {delay.stale_s:.1f} s after a refresh")
        return delay.stale_s

    def _check(self, outage: Outage, seen: dict[str, Seen]) -> None:
        for name, one in seen.items():
            outage.reads += one.reads
            outage.slowest_s = max(outage.slowest_s, one.slowest_s)
            told = [self.wechat.told(token) for token, _, _ in one.tokens]
            orders = [token.order for token in told]
            broken = {
                f"{name} refused: {one.refused[:1]}": one.refused,
                f"{name}: {one.broken} connections broke": one.broken,
                f"{name} gave a token that WeChat does not take": any(token.errcode for token in told),
                f"{name} gave an older token after a newer one": orders != sorted(orders),
            }
            outage.faults += [fault for fault, holds in broken.items() if holds]
        if outage.slowest_s > LONGEST_READ_S:
            outage.faults.append("a reader waited")

    def away(self, outage: Outage, seconds: float) -> None:
        """Redis is away: who asks for a new token is told so."""
        begun = time.monotonic()
        time.sleep(seconds / 4)
        answer = self.team.workers[2].service.put("/token/alpha")
        outage.put_s = time.monotonic() - begun - seconds / 4
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or "retry-after" not in answer.headers:
            outage.faults.append(f"a refresh meanwhile was answered {answer.status_code}")
        time.sleep(max(seconds - (time.monotonic() - begun), 0))
        outage.away_s = time.monotonic() - begun


def _stopped(ground: Ground, outage: Outage, seconds: float) -> int:
    ground.place.stop(save=True)
    ground.away(outage, seconds)
    ground.place.start()
    return 0


def _paused(ground: Ground, outage: Outage, seconds: float) -> int:
    ground.place.pause()
    ground.away(outage, seconds)
    ground.place.go_on()
    return 0


def _emptied(ground: Ground, outage: Outage, seconds: float) -> int:
    begun = time.monotonic()
    ground.place.stop(save=False)
    ground.place.forget()
    time.sleep(min(seconds, 1.0))
    ground.place.start()
    outage.away_s = time.monotonic() - begun
    return 0


def _rolled_back(ground: Ground, outage: Outage, seconds: float) -> int:
    ground.place.save()
    before = ground.wechat.fetches()
    old = {app: ground.team.agree(app) for app in APPS}
    for app in APPS:
        ground.team.workers[1].service.put(f"/token/{app}").raise_for_status()
        ground.team.agree(app, but=old[app])
    wanted = ground.wechat.fetches() - before
    begun = time.monotonic()
    ground.place.stop(save=False)
    time.sleep(min(seconds, 1.0))
    ground.place.start()
    outage.away_s = time.monotonic() - begun
    return wanted


def _failed_over(ground: Ground, outage: Outage, seconds: float) -> int:
    del seconds
    begun = time.monotonic()
    ground.place.fail_over()
    outage.away_s = time.monotonic() - begun
    return 0


KINDS: MappingProxyType[str, Callable[[Ground, Outage, float], int]] = MappingProxyType(
    {
        "stopped": _stopped,
        "paused": _paused,
        "emptied": _emptied,
        "rolled-back": _rolled_back,
        "failed-over": _failed_over,
    }
)
"""How Redis goes away; each answers how many fetches it asked for itself."""

LOSING = frozenset({"emptied", "rolled-back", "failed-over"})
"""Who starts after one of these finds what the others have restored."""


@contextmanager
def ground(folder: Path, *, sentinel: bool = False) -> Iterator[Ground]:
    """A Redis of its own in a folder, with three servers; what they said is searched at the end."""
    vault = Vault()
    with (failing_over if sentinel else redis_place)(folder) as place, Launcher(folder, vault) as launcher:
        ground = Ground(launcher, vault, place, spare=3 * len(KINDS))
        yield ground
        ground.team.end()
    assert_no_leak(vault)


def main() -> int:
    parser = argparse.ArgumentParser(description="Take Redis away.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it is stopped or paused")
    args = parser.parse_args()
    servers.GUARD_S = 3600.0
    outages = []
    for sentinel in (False, True):
        kinds = [kind for kind in args.kinds if (kind == "failed-over") == sentinel]
        if not kinds:
            continue
        with TemporaryDirectory() as folder, ground(Path(folder), sentinel=sentinel) as place:
            for kind in kinds:
                outages.append(place.play(kind, args.seconds))
                print(outages[-1], flush=True)
    return 1 if any(outage.faults for outage in outages) else 0


if __name__ == "__main__":
    sys.exit(main())
