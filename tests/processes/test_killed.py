"""A few rounds of `processes.killed`, each with another fate of the lease's holder."""

from __future__ import annotations

import signal

import pytest

from processes.killed import FATES, Fate, arena

PLAYED = {
    "sqlite": (
        Fate("claimed"),
        Fate("asking"),
        Fate("committing", within_s=0.003),
        Fate("answered", signal.SIGSTOP),
    ),
    "redis": (Fate("answered"), Fate("committed"), Fate("claimed", signal.SIGSTOP)),
}


@pytest.mark.parametrize("word", PLAYED)
def test_the_others_go_on_within_a_lease_and_agree(tmp_path, word):
    fates = PLAYED[word]
    assert set(fates) <= set(FATES)
    with arena(tmp_path, word, rounds=len(fates), seed=1) as ground:
        games = [ground.play(number, fate) for number, fate in enumerate(fates)]
    assert [fault for game in games for fault in game.faults] == []
    assert all(game.reads > 10 and game.fetches for game in games)
