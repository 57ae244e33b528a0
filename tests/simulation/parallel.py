"""Runs in child processes, one for each seed: the killed processes of a run go with it."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from simulation.world import Result, Run, simulate


def results(runs: Iterable[Run], jobs: int) -> Iterator[Result]:
    """Carry out runs on so many cores; what came of each, as it comes."""
    waiting = iter(runs)
    under_way: dict[int, tuple[int, int, list[bytes]]] = {}
    try:
        while True:
            while len(under_way) < jobs and (what := next(waiting, None)) is not None:
                pipe, pid = _begin(what)
                under_way[pipe] = (pid, what.seed, [])
            if not under_way:
                return
            for pipe in select.select(list(under_way), [], [])[0]:
                pid, seed, parts = under_way[pipe]
                part = os.read(pipe, 1 << 16)
                if part:
                    parts.append(part)
                    continue
                os.close(pipe)
                os.waitpid(pid, 0)
                del under_way[pipe]
                yield _result(seed, b"".join(parts))
    finally:
        for pid, _, _ in under_way.values():
            os.kill(pid, 9)


def _begin(what: Run) -> tuple[int, int]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return ours, pid
    os.close(ours)

    def done(result: Result) -> None:
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(json.dumps(asdict(result)).encode())
        os._exit(0)

    try:
        simulate(what, done)
    finally:
        os._exit(1)


def _result(seed: int, text: bytes) -> Result:
    if not text:
        return Result(seed, ["the simulation itself: it ended without a word"], {}, {}, {}, 0.0, 0.0, "")
    return Result(**json.loads(text))
