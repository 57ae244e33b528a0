"""What came of many inputs."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Final

MOST_TOLD: Final = 5
LONGEST: Final = 3000
"""So much of an input is shown; the whole comes with its seed."""

CRASH: Final = "crash"
UNDOCUMENTED: Final = "undocumented"
BROKEN: Final = "broken"


class BrokenError(AssertionError):
    """What must hold does not.

    Args:
        what: what should have been.
        given: the input, as it can be written into a test.
        kind: `broken`, or `undocumented` for an answer that no page describes.
    """

    def __init__(self, what: str, given: object, kind: str = BROKEN) -> None:
        super().__init__(f"{what}\n  given {_short(repr(given))}")
        self.kind = kind


def _short(shown: str) -> str:
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 2 :]}"


def must(holds: object, what: str, *given: object) -> None:
    """Raise `BrokenError` unless it holds."""
    if not holds:
        raise BrokenError(what, given)


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that broke.

    Args:
        target: whose.
        seed: the run's.
        case: its number in the run.
        kind: `crash`, `undocumented` or `broken`.
        message: what was seen.
    """

    target: str
    seed: int
    case: int
    kind: str
    message: str

    def __str__(self) -> str:
        repeat = f"--only {self.target} --seed {self.seed} --first {self.case} --cases 1"
        return f"{self.kind}: {self.message}\n  again: python -m fuzz {repeat}"


@dataclass(slots=True)
class Tally:
    """Counts of one target.

    Attributes:
        inputs: how many were judged.
        counts: how many cases broke, by kind.
        findings: the first of them.
        seconds: how long all took, over all cores.
    """

    inputs: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((CRASH, UNDOCUMENTED, BROKEN), 0))
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.seconds += other.seconds
        for kind, count in other.counts.items():
            self.counts[kind] += count
        self.findings = [*self.findings, *other.findings][:MOST_TOLD]

    def note(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        if len(self.findings) < MOST_TOLD:
            self.findings.append(finding)


Case = Callable[[Random, int], int]
"""Draws so many inputs, judges what comes of them, and answers how many there were."""


@dataclass(frozen=True, slots=True)
class Target:
    """One part that is fuzzed.

    Args:
        name: what the command line calls it.
        case: carries out one case.
        steps: how many inputs a case of the command has.
    """

    name: str
    case: Case
    steps: int


def run(target: Target, seed: int, cases: range) -> Tally:
    """Carry out these cases of a run; each has a chance of its own."""
    tally, begun = Tally(), perf_counter()
    for case in cases:
        try:
            tally.inputs += target.case(Random(f"{target.name} {seed} {case}"), target.steps)
        except BrokenError as broken:
            tally.note(Finding(target.name, seed, case, broken.kind, str(broken)))
        except Exception:  # noqa: BLE001 - whatever it is, it must not have come
            tally.note(Finding(target.name, seed, case, CRASH, traceback.format_exc()))
    tally.seconds = perf_counter() - begun
    return tally
