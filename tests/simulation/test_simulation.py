"""A few seeds of the simulated fleet; `python -m simulation` in `tests` runs as many as wished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
TRACES = """
from simulation.parallel import results
from simulation.world import Run
print(*sorted(result.trace for result in results([Run(4, 2.0), Run(12, 2.0)], 2)))
"""


def python(*arguments):
    """Run outside of coverage: the killed processes of a run end with it, without a word."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_no_promise_is_broken():
    done = python("-m", "simulation", "--seeds", "3", "--hours", "4", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 seeds, 12 simulated hours" in done.stdout
    assert "broken promises: 0" in done.stdout


def test_a_seed_repeats_exactly():
    first, second = python("-c", TRACES), python("-c", TRACES)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout
    assert len(set(first.stdout.split())) == 2


def test_a_row_of_runs_that_was_broken_off_goes_on_where_it_was(tmp_path):
    options = ("-m", "simulation", "--hours", "1", "--quiet", "--save", str(tmp_path / "runs.jsonl"))
    first, both = python(*options, "--seeds", "1"), python(*options, "--seeds", "2")
    assert first.returncode == both.returncode == 0, first.stderr + both.stderr
    assert "2 seeds, 2 simulated hours" in both.stdout
    assert "1 of them were run before" in both.stdout
    assert (tmp_path / "runs.jsonl").read_text().count("\n") == 2
