"""A few seconds of fuzzing; `python -m fuzz` in the folder `tests` goes on for as long as one wishes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wxtoken_asgi import access, answers, door, endpoints, jssdk, policy, sources
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.config import assembly
from wxtoken_asgi.peers import Peers

from .tally import BrokenError, Tally, Target, must, run
from .targets import TARGETS, carry_out, quiet
from .upstream import AT_ONCE
from .wechat import Manager

TESTS = Path(__file__).resolve().parent.parent
SEED = 20
# target: Hypothesis's examples with so many steps each; plain cases
SHARES = {
    "policy": (40, 2, 60),
    "headers": (80, 2, 40),
    "parsers": (200, 4, 100),
    "http": (25, 8, 4),
    "answers": (40, 4, 12),
    "wechat": (8, 8, 1),
    "settings": (60, 2, 15),
}


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    quiet()


@pytest.mark.parametrize("name", TARGETS)
def test_what_hypothesis_thinks_of_does_no_harm(name):
    examples, steps, _ = SHARES[name]

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def play(rng):
        TARGETS[name].case(rng, steps)

    play()


@pytest.mark.parametrize("name", TARGETS)
def test_what_chance_brings_does_no_harm(name):
    tally = carry_out(name, SEED, range(SHARES[name][2]))
    assert not any(tally.counts.values()), "\n".join(map(str, tally.findings))
    assert tally.inputs >= TARGETS[name].steps


def test_a_case_repeats_exactly():
    first, second = (carry_out("http", 3, range(5, 6)) for _ in range(2))
    assert first.inputs == second.inputs > 0


def test_the_command_prints_a_table():
    command = [sys.executable, "-m", "fuzz", "--examples", "1000", "--seed", "1", "--jobs", "1", "--quiet"]
    done = subprocess.run(
        [*command, "--only", "parsers", "--only", "policy"],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["seed", "1"]
    assert [row[0] for row in rows[1:]] == ["target", "parsers", "policy"]
    assert all(int(row[1]) >= 1000 and row[2:5] == ["0", "0", "0"] for row in rows[2:])


# it would notice


def everybody(*_, **__):
    return None


BREAKS = [
    ("policy", policy, "margin", lambda life: -1.0, "broken"),
    ("policy", policy, "wait_after", lambda met, rules, draw: 2.0 * draw / (met.attempts % 7 + 1), "broken"),
    ("headers", Peers, "refusal", everybody, "broken"),
    ("headers", Peers, "_proxy_refusal", everybody, "broken"),
    ("headers", access, "sent_key", everybody, "broken"),
    ("parsers", jssdk, "host_allowed", lambda url, domains: True, "broken"),
    ("parsers", endpoints, "_matches", lambda header, etag: header[1], "crash"),
    ("http", door.Door, "admit", lambda *_: Caller("trusted"), "broken"),
    (
        "http",
        door,
        "_ANSWERS",
        dict.fromkeys(door._ANSWERS, answers.error_answer(403, "no", "not allowed from here")),
        "undocumented",
    ),
    ("http", door, "_ANSWERS", {}, "crash"),
    ("answers", sources, "_is_word", lambda value: True, "broken"),
    ("answers", sources, "LONGEST_LIFE_S", float("inf"), "broken"),
    ("wechat", policy, "wait_after", lambda met, rules, draw: 10_000.0, "broken"),
    ("settings", assembly, "_name", repr, "broken"),
]


@pytest.mark.parametrize(("name", "room", "word", "instead", "kind"), BREAKS)
def test_a_defect_is_found(monkeypatch, name, room, word, *, instead, kind):
    monkeypatch.setattr(room, word, instead)
    for case in range(40):
        tally = carry_out(name, SEED, range(case, case + 1))
        if tally.counts[kind]:
            return
    pytest.fail(f"{word} of {room} is broken, and nobody noticed")


@pytest.mark.parametrize(("pause_s", "hot"), [(0.0, True), (0.01, True), (0.1, False), (1.0, False)])
def test_calls_without_a_pause_are_noticed(pause_s, hot):
    manager = Manager(Random(1), 1)
    manager.wechat.calls = [pause_s * call for call in range(AT_ONCE + 5)]
    with pytest.raises(BrokenError, match="a pause") if hot else nullcontext():
        manager._no_hot_loop()


def test_what_breaks_is_counted_and_told_with_how_to_repeat_it():
    def case(rng, steps):
        must(rng.random() < 0.5, "it is small", b"x" * 10_000)
        return steps

    tally = run(Target("mine", case, 10), 7, range(100))
    broken = tally.counts["broken"]
    assert 20 < broken < 80
    assert tally.inputs == 10 * (100 - broken)
    assert len(tally.findings) == 5
    said = str(tally.findings[0])
    assert said.startswith("broken: it is small\n  given ")
    assert f"--only mine --seed 7 --first {tally.findings[0].case} --cases 1" in said
    assert len(said) < 4000
    sums = Tally()
    sums.add(tally)
    sums.add(tally)
    assert (sums.counts["broken"], sums.inputs, len(sums.findings)) == (2 * broken, 2 * tally.inputs, 5)
