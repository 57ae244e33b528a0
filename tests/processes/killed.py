"""The holder of a lease dies, or stands still past its lease, at every point of a fetch; the others go on.

    python -m processes.killed --rounds 200 --seed 1 --store sqlite|redis      (from the folder tests)

Each round has an account of its own. All workers hold its token; one is asked for a new one and meets its
fate on the way; in most rounds another is asked as well meanwhile. Callers read from all workers all the
time. The rules of a round:

- the living agree on one token afterwards, on a newer one where there must be one, and so does the
  process that went on or was started again;
- no worker ever gave an older token after a newer one, nor one that WeChat does not take;
- nobody is told to keep a token for longer than it lives;
- no more than one fetch too many (a fetch of the stable endpoint that is asked for may take two calls);
- no read was refused, and no caller of a living worker waited longer than 5 s.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from processes.places import shared_store
from support import servers
from support.callers import Seen, calling
from support.launcher import Launcher
from support.secrets import Vault
from support.servers import wait_until
from support.workers import Team, WeChat, Worker, assert_no_leak

WORKERS = 3
LEASE_S = 2.5
LONGEST_WAIT_S = 5.0
TAKEN_OVER_S = 40.0
"""Where nobody asks, whose loop sleeps looks at the store every 30 s."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to the holder of a lease.

    Args:
        point: where; `asking`: WeChat has answered, and the answer is on its way.
        number: SIGKILL or SIGSTOP.
        within_s: it comes at a random instant of so many seconds after the point.
    """

    point: str
    number: signal.Signals = signal.SIGKILL
    within_s: float = 0.0

    def __str__(self) -> str:
        return f"{'killed' if self.number is signal.SIGKILL else 'stopped'} {self.point}"


FATES = (
    Fate("claimed"),
    Fate("asking"),
    Fate("answered"),
    Fate("committing", within_s=0.003),
    Fate("committed"),
    Fate("claimed", signal.SIGSTOP),
    Fate("answered", signal.SIGSTOP),
    Fate("committed", signal.SIGSTOP),
)


@dataclass(slots=True)
class Round:
    """What became of one round.

    Attributes:
        endpoint: of the account.
        helped: another worker was asked as well.
        fetches: calls of the token endpoints.
        agreed_s: seconds from the holder's fate to the others' agreement.
        slowest_s: the longest wait of a caller.
        faults: the rules that were broken.
    """

    number: int
    fate: Fate
    endpoint: str
    helped: bool
    fetches: int = 0
    agreed_s: float = 0.0
    slowest_s: float = 0.0
    reads: int = 0
    faults: list[str] = field(default_factory=list)


class Arena:
    """A WeChat and workers that share a store, for many rounds.

    Args:
        launcher: starts them.
        vault: for the accounts' secrets.
        store: the store's address.
        rounds: for so many rounds.
        seed: decides everything that chance does.
    """

    def __init__(self, launcher: Launcher, vault: Vault, store: str, *, rounds: int, seed: int) -> None:
        self._random = random.Random(seed)
        self.wechat = WeChat(launcher, vault)
        for number in range(rounds):
            self.wechat.add(f"round-{number}", self._random.choice(("token", "token", "stable")))
        self.team = Team(launcher, self.wechat.accounts, store, LEASE_S)
        self.team.begin(WORKERS)
        self._fates: list[Fate] = []

    def _fate(self) -> Fate:
        if not self._fates:
            self._fates = self._random.sample(FATES, len(FATES))
        return self._fates.pop()

    def play(self, number: int, fate: Fate | None = None) -> Round:
        """Play a round.

        Args:
            number: its number, which nobody played before.
            fate: the holder's; else one is drawn, and whether another worker is asked as well.
        """
        app = f"round-{number}"
        endpoint = self.wechat.accounts[app]["endpoint"]
        helped = fate is not None or self._random.random() < 0.75
        game = Round(number, fate or self._fate(), endpoint, helped)
        victim, *others = self._random.sample(self.team.workers, WORKERS)
        # The stable endpoint's report is looked into, and this token is not dead.
        report = self._random.random() < 0.5 and endpoint == "token"
        delay = self._random.random()
        match = Match(self.wechat, self.team, game, app, victim, others)
        try:
            match.play(report=report, delay=delay)
        except Exception as error:  # noqa: BLE001 - what breaks a round is what it is played for
            game.faults.append(f"{type(error).__name__}: {error}"[:300])
        finally:
            victim.signal(signal.SIGCONT) if victim.alive else victim.restart()
        return game


@dataclass
class Match:
    """One round while it is played."""

    wechat: WeChat
    team: Team
    game: Round
    app: str
    victim: Worker
    others: list[Worker]

    def play(self, *, report: bool, delay: float) -> None:
        """Play it.

        Args:
            report: the old token is reported dead; else a new one is asked for without a reason.
            delay: where in the fate's span it comes, 0 to 1.
        """
        old = self.team.agree(self.app, TAKEN_OVER_S)
        calls = self.wechat.calls(self.app)
        body = old if report else ""
        with ThreadPoolExecutor(3) as pool, calling([self.victim, *self.others], self.app) as seen:
            self._meet_fate(pool, body, calls, delay)
            begun = time.monotonic()
            helper = pool.submit(self._put, self.others[0], body) if self.game.helped else None
            new = self._agree(old)
            self.game.agreed_s = time.monotonic() - begun
            self._check_helper(helper)
            if self.victim.alive:
                self.victim.signal(signal.SIGCONT)
            else:
                self.victim.restart()
            new = self.team.agree(self.app, LONGEST_WAIT_S, but=old if new != old else "")
            wait_until(self._all_believe_the_truth, "nobody keeps a token for longer than it lives", 3)
        self.game.fetches = self.wechat.calls(self.app) - calls
        self._check(seen, new)

    def _meet_fate(self, pool: ThreadPoolExecutor, body: str, calls: int, delay: float) -> None:
        fate = self.game.fate
        if fate.point == "asking":
            self.wechat.slow(self.app, 1.0)
        else:
            self.victim.trap(fate.point, fate.number, fate.within_s * delay)
        pool.submit(self._put, self.victim, body)
        if fate.point == "asking":
            wait_until(lambda: self.wechat.calls(self.app) > calls, "a call")
            self.victim.signal(fate.number)
        wait_until(self.victim.sprung, f"the holder is {fate}")

    def _put(self, worker: Worker, body: str) -> tuple[int, float]:
        begun = time.monotonic()
        answer = worker.service.put(f"/token/{self.app}", content=body)
        return answer.status_code, time.monotonic() - begun

    def _agree(self, old: str) -> str:
        """The others agree, on a new token where the old one may be doomed or somebody asks for one."""
        must = self.game.helped or self.game.endpoint == "token"
        return self.team.agree(self.app, TAKEN_OVER_S, but=old if must else "")

    def _check_helper(self, helper: Future[tuple[int, float]] | None) -> None:
        if helper is None:
            return
        status, took = helper.result(30)
        self.game.slowest_s = took
        if status != 200:
            self.game.faults.append(f"who asked another was answered {status}")

    def _all_believe_the_truth(self) -> bool:
        beliefs = [worker.believes(self.app) for worker in self.team.workers]
        return all(self.wechat.told(token).left >= keep - 1 for token, keep in beliefs)

    def _check(self, seen: dict[str, Seen], new: str) -> None:
        game, faults = self.game, self.game.faults
        for worker in self.others:
            one = seen[worker.name]
            game.slowest_s = max(game.slowest_s, one.slowest_s)
            if one.broken:
                faults.append(f"{one.broken} connections of {worker.name} broke")
        for name, one in seen.items():
            game.reads += one.reads
            faults += [f"{name} refused: {text}" for text in one.refused]
            faults += self._wrong_tokens(name, one)
        if game.slowest_s > LONGEST_WAIT_S:
            faults.append(f"a caller waited {game.slowest_s:.1f} s")
        most = 2 if game.endpoint == "token" else 4
        if game.fetches > most:
            faults.append(f"{game.fetches} calls, at most {most} are right")

    def _wrong_tokens(self, name: str, seen: Seen) -> Iterator[str]:
        told = [self.wechat.told(token) for token, _, _ in seen.tokens]
        if any(one.errcode for one in told):
            yield f"{name} gave a token that WeChat does not take"
        orders = [one.order for one in told]
        if orders != sorted(orders):
            yield f"{name} gave an older token after a newer one: {orders}"


@contextmanager
def arena(folder: Path, word: str, *, rounds: int, seed: int) -> Iterator[Arena]:
    """An arena in a folder, on a store of this sort; what its processes said is searched at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    vault = Vault()
    with shared_store(word, folder, vault) as store, Launcher(folder, vault) as launcher:
        ground = Arena(launcher, vault, store, rounds=rounds, seed=seed)
        yield ground
        ground.team.end()
    assert_no_leak(vault)


class Progress:
    """A line that tells how far it is, and the table at the end."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self.games: list[Round] = []

    def note(self, game: Round, group: int) -> None:
        self.games.append(game)
        faulty = sum(bool(one.faults) for one in self.games)
        line = f"\r{len(self.games)}/{self._rounds} rounds, {faulty} wrong"
        print(line, end="", file=sys.stderr, flush=True)
        for fault in game.faults:
            print(f"group {group} round {game.number} ({game.fate}, {game.endpoint}): {fault}", flush=True)

    def table(self) -> Iterator[str]:
        yield f"{'holder':18} rounds  wrong  calls most  agreed worst  read worst   reads"
        rows = defaultdict(list)
        for game in self.games:
            rows[str(game.fate), game.endpoint].append(game)
        for (fate, endpoint), games in sorted(rows.items()):
            yield (
                f"{fate:18} {len(games):6} {sum(bool(game.faults) for game in games):6}"
                f" {max(game.fetches for game in games):4} {endpoint:6}"
                f" {max(game.agreed_s for game in games):10.2f} s"
                f" {max(game.slowest_s for game in games):9.2f} s {sum(game.reads for game in games):7}"
            )


def _group(args: argparse.Namespace, progress: Progress, group: int, folder: Path) -> None:
    rounds = args.rounds // args.groups + (group < args.rounds % args.groups)
    with arena(folder / str(group), args.store, rounds=rounds, seed=args.seed * 1000 + group) as ground:
        for number in range(rounds):
            progress.note(ground.play(number), group)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill and stop holders of leases.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "redis"), default="sqlite")
    parser.add_argument("--groups", type=int, default=3, help="so many play side by side")
    args = parser.parse_args()
    servers.GUARD_S = 7200.0
    progress, begun = Progress(args.rounds), time.monotonic()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(args.groups) as pool:
        futures = [pool.submit(_group, args, progress, group, Path(folder)) for group in range(args.groups)]
        for future in futures:
            future.result()
    print("\n".join(progress.table()))
    wrong = sum(bool(game.faults) for game in progress.games)
    took = time.monotonic() - begun
    print(f"store {args.store}, seed {args.seed}: {len(progress.games)} rounds, {wrong} wrong, {took:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
