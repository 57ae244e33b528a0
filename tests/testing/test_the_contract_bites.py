"""`StoreContract` catches stores that break a promise.

That it works in a folder of somebody else's is shown with the example of the page on stores, in tests/docs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent

CAUGHT: Final = {
    "NoFenceCheck": "a_commit_that_comes_too_late_is_refused",
    "NoDoubleCheck": "news_go_before_a_lease",
    "LeaseNeverEnds": "a_lease_ends_by_itself",
    "ChargesPerProcess": "a_budget_has_an_end",
    "ChangesLost": "a_new_value_is_news_to_every_follower",
    "ChangesOfThisProcessOnly": "what_is_restored_is_news",
    "EverythingAlwaysChanges": "leases_and_reads_are_no_news",
    "ByTheWallClock": "leases_back_offs_and_ends_do_not_heed_the_wall_clock",
    "FencesBeginAnew": "fences_grow_over_a_wipe",
    "LocksItsOwnerOut": "the_same_owner_is_granted_again_without_another_charge",
    "BackOffIsOnesOwn": "a_failure_is_shared",
    "ForgetsCosts": "what_a_fetch_has_cost_is_told",
    "CountsCostsAgain": "the_costs_of_a_commit_said_again_count_once",
    "BeginsLivesAnew": "a_commit_that_was_on_its_way_while_it_was_said_again_gives_no_longer_life",
    "BelievesWhatIsLate": "what_a_commit_was_on_its_way_is_taken_off_the_life",
    "BelievesWhatIsGivenBack": "what_a_later_lease_may_have_doomed_is_restored_with_its_cut",
    "SpendingIsOnesOwn": "a_charge_is_told_with_the_lease_and_to_all",
}
"""A broken store, and the contract's test that is there to catch it."""


def run(folder: Path, *args: str) -> str:
    """What pytest prints in a folder, without the settings of this project."""
    paths = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    argv = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [*argv, *args], cwd=folder, env=os.environ | {"PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def failed(out: str) -> Sequence[str]:
    """Class and test of each failure."""
    lines = [line.split(" ")[1] for line in out.splitlines() if line.startswith("FAILED ")]
    return [line.partition("::")[2] for line in lines]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_stores.py").write_text((HERE / "broken_stores.py").read_text())
    return tmp_path


def test_each_broken_store_is_caught_and_the_right_one_is_not(folder):
    expected = [f"Test{store}::test_{test}" for store, test in CAUGHT.items()]
    right = [f"TestRight::test_{test}" for test in CAUGHT.values()]
    out = run(folder, *(f"test_stores.py::{name}" for name in (*expected, *right)))
    assert sorted(failed(out)) == sorted(expected), out
    assert f"{len(expected)} failed, {len(right)} passed" in out


def test_a_store_is_broken_here_for_each_test_of_the_table():
    text = (HERE / "broken_stores.py").read_text()
    assert set(CAUGHT) == {name for name in CAUGHT if f"class Test{name}(Bench)" in text}


def test_whoever_forgets_a_fixture_is_told_which(tmp_path):
    (tmp_path / "test_my_store.py").write_text(
        "import pytest\n"
        "from wxtoken_asgi.stores import MemoryStore\n"
        "from wxtoken_asgi.testing import StoreContract\n"
        "class TestNothing(StoreContract): pass\n"
        "class TestNoWipe(StoreContract):\n"
        "    @pytest.fixture\n"
        "    def make(self, clock): return lambda: MemoryStore(clock)\n"
    )
    out = run(tmp_path, "--tb=line", "test_my_store.py", "-k", "fences_grow_over_a_wipe and trio")
    for name in ("make", "wipe"):
        assert f"NotImplementedError: write a fixture `{name}`" in out, out
