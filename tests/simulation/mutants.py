"""Proof that the simulation bites: `python -m simulation.mutants` in the folder `tests`.

Each mutant is our own code with one place of it changed for the worse. The same seeds that the true code
passes must catch every one. The table says which did.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent
PACKAGE = TESTS.parent / "wxtoken_asgi"
CORES = len(os.sched_getaffinity(0))
RARE_HOURS = 48.0


class Mutant(NamedTuple):
    """A change for the worse.

    Args:
        name: what is wrong then.
        file: where, in the package.
        old: what stands there, once.
        new: what stands there then.
        rare: only a rare course of things shows it; the seed that is known to have one is tried first, with
            48 hours.
    """

    name: str
    file: str
    old: str
    new: str
    rare: int | None = None


MUTANTS = (
    Mutant("no fence", "stores/row.py", "if commit.fence < self.fence:", "if False:"),
    Mutant("no double check", "stores/row.py", "return alive and self.ask_at > now", "return False"),
    Mutant(
        "no lease",
        "stores/row.py",
        "        if self.owner:\n            return Busy(",
        "        if False:\n            return Busy(",
    ),
    Mutant(
        "a lease that never ends", "stores/row.py", "if not self.owner or now < self.lease_until:", "if True:"
    ),
    Mutant(
        "older values are restored",
        "stores/row.py",
        "if not record.good or record.version <= self.version:",
        "if not record.good:",
        rare=24,
    ),
    Mutant(
        "a back-off that is not shared",
        "stores/row.py",
        "self.wait_until = now + fail.wait_s",
        "self.wait_until = NEVER",
    ),
    Mutant(
        "no single flight",
        "flights.py",
        "if flight is not None and flight.loop == current_token():\n            if urgent",
        "if False:\n            if urgent",
    ),
    Mutant(
        "no rest for what fails",
        "flights.py",
        "entry.rests_until = self._clock.monotonic() + max(retry_in, SHORTEST_REST_S)",
        'entry.rests_until = float("-inf")',
    ),
    Mutant(
        "no back-off",
        "policy.py",
        "doubled = FIRST_BACKOFF_S * 2.0 ** min(max(trouble.attempts, 0), 30)",
        "doubled = FIRST_BACKOFF_S",
    ),
    Mutant(
        "a back-off that does not grow beyond 4 s",
        "policy.py",
        "doubled = FIRST_BACKOFF_S * 2.0 ** min(max(trouble.attempts, 0), 30)",
        "doubled = min(FIRST_BACKOFF_S * 2.0 ** min(max(trouble.attempts, 0), 30), 4.0)",
    ),
    Mutant(
        "the loop looks ten times a second",
        "loop.py",
        "            with anyio.move_on_after(sleep_s):\n"
        "                await self._wake.wait()\n"
        "            await anyio.sleep(self._pause(looked_at))",
        "            await anyio.sleep(0.1)",
    ),
    Mutant(
        "no budget for forced calls",
        "kinds.py",
        "budgets=Budgets(asked=10, forced_only=True,",
        "budgets=Budgets(asked=100_000, forced_only=True,",
    ),
    Mutant("a lease of ten minutes", "manager.py", "lease: float = LEASE_S", "lease: float = 20 * LEASE_S"),
    Mutant(
        "a start waits for the store",
        "loop.py",
        '            logger.debug("the store is away at the start")\n',
        '            logger.debug("the store is away at the start")\n'
        "            await anyio.sleep(STORE_AWAY_S)\n"
        "            return await self.warm_up()\n",
    ),
    Mutant(
        "an end waits for what never comes",
        "loop.py",
        "        finally:\n            self.ended.set()",
        "        finally:\n            pass",
    ),
    Mutant(
        "permanent errors are tried at once",
        "policy.py",
        "PERMANENT_RETRY_S: Final = 300.0",
        "PERMANENT_RETRY_S: Final = 1.0",
    ),
    Mutant("no margin before the end", "policy.py", "MARGIN_S: Final = 30.0", "MARGIN_S: Final = 0.0"),
    Mutant("a margin of five minutes", "policy.py", "MARGIN_S: Final = 30.0", "MARGIN_S: Final = 300.0"),
    Mutant(
        "a stable token is asked for half as often",
        "policy.py",
        "wait = min(every, max(5.0, left - STABLE_OPENING_S))",
        "wait = min(2 * every, max(5.0, left - STABLE_OPENING_S))",
    ),
    Mutant(
        "a ticket is asked for every 5 s",
        "policy.py",
        "return Kept(ttl, min(600 + 1200 * draw, ttl - 300))",
        "return Kept(ttl, 5.0)",
    ),
    Mutant(
        "a ticket that is given again counts as a new one",
        "policy.py",
        "ttl = max(fetched.held_ttl_s, TICKET_PROOF_S - fetched.elapsed_s)",
        "ttl = fetched.expires_in - fetched.elapsed_s - margin(fetched.expires_in)",
    ),
    Mutant("jitter past the end", "policy.py", "life * (0.5 + 0.1 * draw)", "life * (0.5 + 0.6 * draw)"),
    Mutant(
        "kept past the planned refresh",
        "policy.py",
        "return min(ttl_s, max(ask_in_s, 0.0) + KEPT_AFTER_REFRESH_S)",
        "return ttl_s",
    ),
    Mutant(
        "a ticket is not asked for again",
        "policy.py",
        "return Kept(ttl, min(600 + 1200 * draw, ttl - 300))",
        "return Kept(ttl, ttl - 300)",
    ),
    Mutant(
        "life counts from the answer",
        "refresher.py",
        "elapsed = self._clock.monotonic() - answer.sent_at",
        "elapsed = 0.0",
    ),
    Mutant(
        "blank before the commit",
        "refresher.py",
        "begun = self._clock.monotonic()",
        "begun, entry.held = self._clock.monotonic(), None",
    ),
    Mutant(
        "a killed holder leaves no doubt",
        "refresher.py",
        "lapse=Cut(policy.OVERLAP_TRUST_S, 0.0) if _may_doom(entry, flight) else None",
        "lapse=None",
    ),
    Mutant(
        "a lost answer leaves no doubt",
        "refresher.py",
        "self._cut(attempt, begun) if lost.undecided else None",
        "None",
    ),
    Mutant(
        "a late failure leaves no doubt",
        "stores/row.py",
        "            self._hear_late(fail.refused, now)\n            return\n",
        "            return\n",
    ),
    Mutant(
        "lost calls without a lease are not told",
        "untold.py",
        "refused=cut, over_s=max(over_s, 0.0)",
        "over_s=max(over_s, 0.0)",
    ),
    Mutant(
        "fetches without a lease are not told",
        "keeper.py",
        "self.untold[entry] = self.untold.get(entry, Untold()).with_value(commit, at.now)",
        "pass",
    ),
    Mutant(
        "a proof without a lease cuts a ticket short",
        "stores/row.py",
        "if held and ends_at > now:",
        "if False:",
    ),
    Mutant(
        "an older value that is told late is taken",
        "stores/row.py",
        "if commit.value != self.value and commit.fence < self.rank:",
        "if False:",
        rare=61,
    ),
    Mutant(
        "a doubt outlives what it was about",
        "stores/row.py",
        "self._trust(end, ask)\n        self.last",
        "self._trust(min(end, self.doubt_end) if self.doubted else end, ask)\n        self.last",
    ),
    Mutant("budgets are not spent", "refresher.py", "charges=charges(entry, flight),", "charges=(),"),
    Mutant(
        "a budget for each of three processes",
        "refresher.py",
        "charges=charges(entry, flight),",
        "charges=tuple(c._replace(limit=3 * c.limit) for c in charges(entry, flight)),",
    ),
    Mutant(
        "a report is not compared", "waiter.py", "if dead is not None and held.value != dead:", "if False:"
    ),
    Mutant(
        "a true report is ignored",
        "waiter.py",
        "if dead is not None and held.value != dead:",
        "if dead is not None:",
    ),
    Mutant(
        "what is asked for is not fetched",
        "waiter.py",
        "        while True:\n            flight = self._flights.join(entry, reason,",
        "        while False:\n            flight = self._flights.join(entry, reason,",
    ),
    Mutant(
        "a wiped store is not restored",
        "keeper.py",
        "        if not records:\n            return False",
        "        if True:\n            return False",
    ),
    Mutant(
        "what ended is served",
        "manager.py",
        "held if held.end > clock.monotonic() and held.wall_end > clock.time() else None",
        "held",
    ),
    Mutant(
        "only the wall clock is asked",
        "entries.py",
        "return min(self.wall_end - clock.time(), self.end - clock.monotonic())",
        "return self.wall_end - clock.time()",
    ),
    Mutant(
        "a failed refresh takes a good value away",
        "manager.py",
        "        held = self.fresh(entry)\n        if held is not None:\n            return held\n",
        "        held = self.fresh(entry)\n"
        "        if held is not None and (entry.error is None or entry.waits(self.clock) <= 0):\n"
        "            return held\n"
        "        if held is not None:\n"
        "            raise self._waiter._still_waiting(entry)\n",
    ),
    Mutant(
        "a stable token is asked for after its end",
        "policy.py",
        "        wait = min(every, max(5.0, left - STABLE_OPENING_S))\n"
        "        if left < self.window_s:\n"
        "            wait = min(wait, max(SHORTEST_WAIT_S, ttl / 4))\n",
        "        wait = max(5.0, left)\n",
    ),
    Mutant(
        "what is due is not fetched",
        "loop.py",
        "        for entry in ours[:room]:\n            self._begin(entry)\n",
        "",
    ),
    Mutant("news are not followed", "loop.py", "await self._load(changes.credentials)", "pass"),
    Mutant(
        "there is no second line behind the news",
        "loop.py",
        "entries = islice(self._turn, min(LOADED_AT_ONCE, len(self._registry.entries)))",
        "entries = islice(self._turn, 0)",
    ),
    Mutant(
        "the second line behind the news crashes",
        "loop.py",
        "entries = islice(self._turn, min(LOADED_AT_ONCE,",
        "entries = islice(self._turn, -min(LOADED_AT_ONCE,",
    ),
)


class Caught(NamedTuple):
    """How a mutant fared.

    Args:
        seed: the one that caught it; None: none did.
        promise: what it broke.
        seeds: how many were run.
        took_s: real seconds.
    """

    seed: int | None
    promise: str
    seeds: int
    took_s: float


def changed(mutant: Mutant | None, folder: Path) -> None:
    """Lay a copy of the package into a folder, with the change."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is None:
        return
    path = folder / PACKAGE.name / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        msg = f"{mutant.name}: {mutant.file} has {text.count(mutant.old)} places to change"
        raise LookupError(msg)
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def hunt(mutant: Mutant | None, options: argparse.Namespace) -> Caught:
    """Run seed after seed until one catches it."""
    begun, count = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as name:
        changed(mutant, Path(name))
        for count, (seed, hours) in enumerate(_seeds(mutant, options), 1):
            promise = _broken(Path(name), seed, hours, options)
            if promise is not None:
                return Caught(seed, promise, count, time.perf_counter() - begun)
    return Caught(None, "", count, time.perf_counter() - begun)


def _seeds(mutant: Mutant | None, options: argparse.Namespace) -> Iterator[tuple[int, float]]:
    """The seeds to try, each with its hours: the true code has to pass those of all."""
    for each in MUTANTS if mutant is None else (mutant,):
        if each.rare is not None:
            yield each.rare, RARE_HOURS
    for seed in range(options.first, options.first + options.seeds):
        yield seed, options.hours


def _broken(folder: Path, seed: int, hours: float, options: argparse.Namespace) -> str | None:
    """What a seed finds broken; a run that takes for ever is broken too."""
    command = [sys.executable, "-m", "simulation", "--seeds", "1", "--first", str(seed)]
    command += ["--hours", str(hours), "--store", options.store, "--quiet", "--stop"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        return "it never ends"
    found = re.search(r"^seed \d+: (.*)$", done.stdout, re.MULTILINE)
    if found is None and done.returncode:
        return "the simulation itself"
    return found[1] if found else None


def main() -> int:
    options = _options()
    chosen = [mutant for mutant in MUTANTS if options.only is None or options.only in mutant.name]
    survived = 0
    hunted: list[Mutant | None] = [None, *chosen] if options.only is None else [*chosen]
    print(f"{'mutant':40} {'seed':>5} {'seeds':>5} {'s':>5}  what broke")
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, caught in zip(hunted, pool.map(lambda one: hunt(one, options), hunted), strict=True):
            name = mutant.name if mutant is not None else "(the true code)"
            seed = "-" if caught.seed is None else caught.seed
            print(
                f"{name:40} {seed:>5} {caught.seeds:5} {caught.took_s:5.0f}  {caught.promise[:110]}",
                flush=True,
            )
            survived += (caught.seed is None) == (mutant is not None)
    print(f"{len(chosen)} mutants, {survived} not as it should be")
    return int(survived > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=16, help="how many at most for each")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--hours", type=float, default=12.0, help="simulated time of each")
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--only", help="those whose name has this in it")
    parser.add_argument("--jobs", type=int, default=CORES, help="how many at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
