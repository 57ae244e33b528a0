"""Fuzz everything: `python -m fuzz` in the folder `tests`.

Targets: policy (decisions), headers (trust by address), parsers (whatever reads a caller's, WeChat's or an
operator's words), http (the service as a whole), answers and wechat (what WeChat may answer: one call, and a
manager for hours), settings (configurations).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context

from .tally import Finding, Tally
from .targets import TARGETS, carry_out, quiet

CORES = len(os.sched_getaffinity(0))
ROW = "{:10}{:>10}{:>9}{:>14}{:>8}{:>9}{:>10}"
CHUNK_INPUTS = 2000
"""After so many inputs a process tells what it has found."""


def main() -> int:
    options = _options()
    tallies: dict[str, Tally] = {}
    print(f"seed {options.seed}", flush=True)
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), initializer=quiet) as pool:
        for name in options.only or TARGETS:
            tallies[name] = _fuzz(pool, name, options)
    table(tallies)
    return int(any(any(tally.counts.values()) for tally in tallies.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--examples", type=int, default=200_000, help="how many inputs each target gets (200000)")
    add("--seconds", type=float, default=float("inf"), help="begin nothing more of a target after so many")
    add("--only", action="append", choices=TARGETS, help="this target; may be said again")
    add("--seed", type=int, default=random.randrange(10**6), help="repeats a run")
    add("--first", type=int, default=0, help="the number of the first case")
    add("--cases", type=int, help="how many cases, whatever --examples says")
    add("--jobs", type=int, default=CORES, help="how many processes")
    add("--quiet", action="store_true", help="no progress")
    return parser.parse_args()


def _chunks(name: str, options: argparse.Namespace) -> Iterator[range]:
    """The cases of a run, in parts; more than needed, since a case may have fewer inputs than steps."""
    size = max(1, CHUNK_INPUTS // TARGETS[name].steps)
    first = options.first
    last = sys.maxsize if options.cases is None else first + options.cases
    while first < last:
        yield range(first, min(first + size, last))
        first += size


def _fuzz(pool: ProcessPoolExecutor, name: str, options: argparse.Namespace) -> Tally:
    tally, begun = Tally(), time.monotonic()
    chunks = _chunks(name, options)
    running: set[Future[Tally]] = set()
    while True:
        over = tally.inputs >= options.examples and options.cases is None
        if not over and time.monotonic() - begun < options.seconds:
            parts = islice(chunks, 2 * options.jobs - len(running))
            running |= {pool.submit(carry_out, name, options.seed, cases) for cases in parts}
        if not running:
            break
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            part = future.result()
            for finding in part.findings[: 5 - len(tally.findings)]:
                _tell(finding)
            tally.add(part)
        _progress(name, tally, begun, options)
    tally.seconds = time.monotonic() - begun
    if not options.quiet:
        print(file=sys.stderr)
    return tally


def _tell(finding: Finding) -> None:
    print(f"\n{finding.target}: {finding}", flush=True)


def _progress(name: str, tally: Tally, begun: float, options: argparse.Namespace) -> None:
    if options.quiet:
        return
    took = time.monotonic() - begun
    share = max(min(tally.inputs / options.examples, 1.0), min(took / options.seconds, 1.0))
    bar = "#" * int(40 * share)
    print(f"\r{name:8} [{bar:40}] {tally.inputs} inputs, {took:.0f} s", end="", file=sys.stderr, flush=True)


def table(tallies: dict[str, Tally]) -> None:
    """How it went."""
    print(ROW.format("target", "inputs", "crashes", "undocumented", "broken", "seconds", "a second"))
    for name, tally in tallies.items():
        rate = tally.inputs / (tally.seconds or 1)
        print(ROW.format(name, tally.inputs, *tally.counts.values(), f"{tally.seconds:.0f}", f"{rate:.0f}"))


if __name__ == "__main__":
    sys.exit(main())
