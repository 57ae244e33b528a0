"""The machine's clocks."""

from __future__ import annotations

import time

import pytest

from wxtoken_asgi import clock as module
from wxtoken_asgi.clock import Clock


def test_the_wall_clock_is_the_machines():
    assert Clock().time() == pytest.approx(time.time(), abs=5)


def test_the_monotonic_clock_does_not_go_back():
    clock = Clock()
    moments = [clock.monotonic() for _ in range(100)]
    assert moments == sorted(moments)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no boot-time clock here")
def test_the_monotonic_clock_counts_a_suspended_machines_sleep():
    assert Clock().monotonic() == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)


def test_without_a_boot_time_clock_the_plain_monotonic_one_serves(monkeypatch):
    monkeypatch.setattr(module, "_BOOT", None)
    assert Clock().monotonic() == pytest.approx(time.monotonic(), abs=5)


def test_a_moment_is_what_both_clocks_say():
    clock = Clock()
    assert clock.moment() == pytest.approx((clock.time(), clock.monotonic()), abs=5)


def drawn(clock):
    return [clock.random.random() for _ in range(5)]


def test_chance_is_drawn_anew():
    clock = Clock()
    state = clock.random.getstate()
    clock.reseed()
    assert clock.random.getstate() != state
    assert drawn(Clock()) != drawn(Clock())


def test_a_fixed_seed_stays_fixed():
    clock = Clock(seed=7)
    first = clock.random
    clock.reseed()
    assert clock.random is first
    assert drawn(clock) == drawn(Clock(seed=7))


def test_a_clock_of_ones_own_may_replace_one_of_the_two_and_keep_the_other():
    class Late(Clock):
        def time(self):
            return super().time() - 3600

    class Later(Clock):
        def monotonic(self):
            return super().monotonic() + 3600

    clock = Clock()
    assert clock.time() - Late().time() == pytest.approx(3600, abs=5)
    assert Late().monotonic() == pytest.approx(clock.monotonic(), abs=5)
    assert Later().monotonic() - clock.monotonic() == pytest.approx(3600, abs=5)
    assert Later().time() == pytest.approx(clock.time(), abs=5)
