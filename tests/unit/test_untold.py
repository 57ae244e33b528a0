"""What the store is told late of calls without a lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores.contract import Commit, Cut, Fail
from wxtoken_asgi.untold import Untold, aged, aged_fail

KEY = Credential("default", "https://api.weixin.qq.com", "wx1", "token", "access_token")
COMMIT = Commit(KEY, 7, "value", ttl_s=7000, ask_in_s=3600, refused=Cut(265, 0))


def trusted(ttl_s, ask_in_s):
    return min(ttl_s, 270), min(ask_in_s, 0)


def test_nothing_is_told_of_nothing():
    assert Untold().fails(KEY, 50) == Untold().commits(50, trusted) == []


@pytest.mark.parametrize("begun", [(5, 9), (9, 5)])
def test_lost_calls_doubt_what_is_stored_since_the_first_of_them(begun):
    untold = Untold()
    for at in begun:
        untold = untold.with_loss(at, at + 10)
    assert untold.fails(KEY, 105) == [Fail(KEY, 0, refused=Cut(170, 0), over_s=pytest.approx(66, abs=0.1))]


def test_a_value_is_told_cut_and_due_however_long_it_lives():
    [told] = Untold().with_value(COMMIT, 5).commits(6, trusted)
    assert (told.value, told.ttl_s, told.ask_in_s, told.refused) == ("value", 270, 0, Cut(264, -1))


def test_a_value_is_told_with_how_long_its_call_is_over_at_least():
    """No two clocks go alike: the store must not take the call for an older one than it is."""
    [told] = Untold().with_value(COMMIT, 5).commits(1005, trusted)
    assert 990 < told.over_s < 1000


def test_what_may_have_been_followed_by_another_call_is_trusted_as_long_as_a_doomed_one():
    assert Untold().with_value(COMMIT, 5).doubt(105) == Cut(170, 0)
    assert Untold().with_value(replace(COMMIT, refused=None), 5).doubt(105) == Cut(270, 0)


def test_a_value_that_is_told_an_hour_late_leaves_nothing_of_the_stored_one():
    """No lease says that the stored one is younger than the call: the floor for late news is not for them."""
    [told] = Untold().with_value(COMMIT, 5).commits(3605, trusted)
    assert (told.ttl_s, told.refused.ttl_s) == (270, -3335)


def test_a_call_lost_later_ends_the_value_before_it():
    untold = Untold().with_value(COMMIT, 5).with_loss(105, 110)
    [told] = untold.commits(305, trusted)
    assert told.ttl_s == 70
    assert untold.fails(KEY, 305) == [Fail(KEY, 0, refused=Cut(70, 0), over_s=pytest.approx(175, abs=0.2))]


def test_a_value_brought_later_lets_nobody_forget_a_lost_call():
    untold = Untold().with_loss(5, 10).with_value(COMMIT, 105)
    assert [told.ttl_s for told in untold.commits(305, trusted)] == [270]
    assert untold.fails(KEY, 305) == [Fail(KEY, 0, refused=Cut(-30, 0), over_s=pytest.approx(275, abs=0.3))]


def test_a_commit_without_a_doubt_stays_without():
    plain = Commit(KEY, 7, "value", ttl_s=7000, ask_in_s=3600)
    assert aged(plain, 10) == Commit(KEY, 7, "value", ttl_s=6990, ask_in_s=3590)


def test_a_failure_that_is_said_later_waits_and_trusts_the_less():
    told = aged_fail(Fail(KEY, 7, wait_s=60, cut=Cut(270, 0), refused=Cut(265, 0), refund=("calls",)), 10)
    assert told == Fail(KEY, 7, wait_s=50, cut=Cut(260, -10), refused=Cut(265, 0), refund=("calls",))


def test_a_failure_without_a_doubt_stays_without_and_nobody_waits_less_than_not_at_all():
    assert aged_fail(Fail(KEY, 7, wait_s=2), 10) == Fail(KEY, 7, wait_s=0)
