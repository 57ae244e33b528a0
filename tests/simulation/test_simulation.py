"""A few seeds of the simulated fleet; `python -m simulation` in `tests` runs as many as wished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation import saved
from simulation.mutants import MUTANTS, changed
from simulation.saved import Saved
from simulation.world import Result, Run

TESTS = Path(__file__).resolve().parent.parent
TRACES = """
from simulation.parallel import results
from simulation.world import Run
print(*sorted(result.trace for result in results([Run(4, 2.0), Run(12, 2.0)], 2)))
"""
DIES = """
import sys
from pathlib import Path
from simulation import parallel
from simulation.saved import Saved
from simulation.world import Run
parallel.simulate = lambda run, done: None
(died,) = parallel.results([Run(1)], 1)
Saved(Path(sys.argv[1])).keep(Run(1), died)
print(*died.violations)
"""


def python(*arguments):
    """Run outside of coverage: the killed processes of a run end with it, without a word."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=TESTS, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def a_result(seed):
    return Result(seed, [], {}, {}, {}, 1.0, 48.0, "89abcdef")


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


def test_what_was_broken_off_in_the_middle_of_a_line_costs_no_other_run(tmp_path):
    path = tmp_path / "runs.jsonl"
    Saved(path).keep(Run(1), a_result(1))
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    again = Saved(path)
    again.keep(Run(2), a_result(2))
    again.keep(Run(3), a_result(3))
    known = Saved(path)
    assert [known.find(Run(seed)) for seed in (1, 2, 3)] == [a_result(1), a_result(2), a_result(3)]


def test_a_run_whose_process_died_is_run_again(tmp_path):
    path = tmp_path / "runs.jsonl"
    done = python("-c", DIES, str(path))
    assert done.returncode == 0, done.stderr
    assert "it ended without a word" in done.stdout
    assert Saved(path).find(Run(1)) is None


@pytest.mark.parametrize("folder", ["wxtoken_asgi", "simulation", "support"])
def test_results_are_those_of_this_very_code(tmp_path, monkeypatch, folder):
    path, sources = tmp_path / "runs.jsonl", [tmp_path / source.name for source in saved.SOURCES]
    for source in sources:
        source.mkdir()
    monkeypatch.setattr(saved, "SOURCES", sources)
    Saved(path).keep(Run(1), a_result(1))
    assert Saved(path).find(Run(1)) == a_result(1)
    (tmp_path / folder / "new.py").touch()
    assert Saved(path).find(Run(1)) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_has_one_place_to_change(tmp_path, mutant):
    changed(mutant, tmp_path)
    compile((tmp_path / "wxtoken_asgi" / mutant.file).read_bytes(), mutant.file, "exec")
