"""Simulate a fleet: `python -m simulation` in the folder `tests`.

Each seed is a world of its own. A broken promise is printed with its seed; `--first SEED --seeds 1` repeats
that run exactly.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from simulation.chance import DENSE, RARE, Tally
from simulation.parallel import results
from simulation.saved import Saved
from simulation.world import Result, Run

CORES = len(os.sched_getaffinity(0))
SHOWN = 20


def main() -> int:
    options = _options()
    begun = time.perf_counter()
    saved = Saved(options.save)
    runs = {run.seed: run for run in _runs(options)}
    known = {seed: result for seed, run in runs.items() if (result := saved.find(run)) is not None}
    done = list(known.values())
    missing = (run for seed, run in runs.items() if seed not in known and _has_time(options, begun))
    for result in results(missing, options.jobs):
        done.append(result)
        saved.keep(runs[result.seed], result)
        _show(result)
        _progress(done, options, begun)
        if result.violations and options.stop:
            break
    for result in known.values():
        _show(result)
    summary(done, time.perf_counter() - begun, before=len(known))
    return int(any(result.violations for result in done))


def _show(result: Result) -> None:
    for violation in result.violations[:SHOWN]:
        print(f"\rseed {result.seed}: {violation}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--hours", type=float, default=48.0, help="simulated time of each")
    parser.add_argument("--seconds", type=float, help="begin no further seed after so many real seconds")
    parser.add_argument("--rare", action="store_true", help="few faults, as in a good year")
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--jobs", type=int, default=CORES, help="how many at a time")
    parser.add_argument("--save", type=Path, help="a file that keeps what came of each; the next run goes on")
    parser.add_argument("--stop", action="store_true", help="end with the first broken promise")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


def _runs(options: argparse.Namespace) -> Iterator[Run]:
    for seed in range(options.first, options.first + options.seeds):
        rates, pause_s = (RARE, 600.0) if options.rare else (DENSE, 60.0)
        yield Run(seed, options.hours, rates, options.store, pause_s, options.stop)


def _has_time(options: argparse.Namespace, begun: float) -> bool:
    return options.seconds is None or time.perf_counter() - begun <= options.seconds


def _progress(done: list[Result], options: argparse.Namespace, begun: float) -> None:
    if options.quiet:
        return
    share = len(done) / options.seeds
    bar = "#" * int(40 * share)
    took = time.perf_counter() - begun
    print(
        f"\r[{bar:40}] {len(done)}/{options.seeds} seeds, {took:.0f} s", end="", flush=True, file=sys.stderr
    )


def summary(done: list[Result], took_s: float, *, before: int = 0) -> None:
    """What was exercised, and how it went."""
    tally, states, worst = Tally(), Tally(), {"read": 0.0, "refresh": 0.0}
    for result in done:
        tally.merge(result.tally)
        states.merge(result.states)
        worst = {what: max(seconds, result.worst.get(what, 0.0)) for what, seconds in worst.items()}
    hours = sum(result.hours for result in done)
    broken = [result.seed for result in done if result.violations]
    print(f"\n{len(done)} seeds, {hours:.0f} simulated hours in {took_s:.0f} s")
    if before:
        print(f"{before} of them were run before; all together took {sum(one.took_s for one in done):.0f} s")
    print(f"broken promises: {sum(len(result.violations) for result in done)}", *([broken] if broken else []))
    print(f"worst wait of a caller: read {worst['read']:.2f} s, refresh {worst['refresh']:.2f} s")
    samples = sum(states.counts.values()) or 1
    shares = sorted(states.counts.items(), key=lambda pair: -pair[1])
    print("share of time: " + ", ".join(f"{name} {count / samples:.2%}" for name, count in shares))
    for name, count in sorted(tally.counts.items()):
        print(f"  {count:9d}  {name}")


if __name__ == "__main__":
    sys.exit(main())
