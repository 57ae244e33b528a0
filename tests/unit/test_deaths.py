"""Early deaths: what counts as one, what killed it, and in which words that is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wxtoken_asgi import deaths
from wxtoken_asgi.deaths import EARLY_S, Cause
from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.policy import OVERLAP_TRUST_S, ClassicPolicy, StablePolicy, TicketPolicy, heal_after
from wxtoken_asgi.records import Account, Credential
from wxtoken_asgi.sources import Answer, RefusedError
from wxtoken_asgi.stores.contract import LastError, Record, Spending

KEY = Credential("n", "https://api.weixin.qq.com", "wx01", "token", "access_token")
ACCOUNT = Account("alpha", "wx01", "s3cret-appsecret-000000000000")
OLD, STABLE, TICKET = ClassicPolicy(), StablePolicy(), TicketPolicy()
HELD = "held"


def record(ttl_s=5000.0, value=HELD):
    return Record(KEY, 7, value, ttl_s=ttl_s)


def answer(value="new", **more):
    return Answer(value, 7200, 0.0, **more)


@pytest.mark.parametrize(
    ("policy", "said", "cause"),
    [
        # WeChat was asked, and called it dead
        (OLD, answer(found=40001), Cause.OUTSIDE_FETCH),
        (STABLE, answer(found=42001), Cause.OUTSIDE_FETCH),
        (STABLE, answer(found=40001, forced=True), Cause.REVOKED),
        # it was not asked, or called it good: a fetch of the old endpoint always brings another
        (OLD, answer(), None),
        (OLD, answer(HELD, alive=True), None),
        (STABLE, answer(HELD, alive=True), None),
        # the stable endpoint gave out another one, unasked and long before its own renewal
        (STABLE, answer(), Cause.OUTSIDE_FETCH),
        (STABLE, answer(HELD), None),
        (STABLE, answer(forced=True), None),
        # a ticket's end is an estimate
        (TICKET, answer(), None),
    ],
)
def test_what_killed_a_token(policy, said, cause):
    assert deaths.cause_of(record(), said, policy) is cause
    for spent in (record(ttl_s=EARLY_S), record(ttl_s=0), record(value=None)):
        assert deaths.cause_of(spent, said, policy) is None


def test_what_was_put_in_doubt_here_is_never_an_early_death():
    assert deaths.cause_of(record(ttl_s=OVERLAP_TRUST_S), answer(found=40001), OLD) is None
    assert deaths.cause_of(record(ttl_s=STABLE.window_s), answer(), STABLE) is None


@pytest.mark.parametrize(
    ("errcode", "found", "ttl_s", "cause"),
    [
        (40125, 40001, 5000, Cause.SECRET_RESET),
        (40001, 40001, 5000, Cause.SECRET_RESET),
        (40125, 0, 5000, None),
        (40125, 40001, 500, None),
        (40164, 40001, 5000, None),
        (-1, 40001, 5000, None),
    ],
)
def test_a_refusal_tells_of_a_secret_that_was_reset_and_of_nothing_else(errcode, found, ttl_s, cause):
    refusal = RefusedError(errcode, ErrorClass.PERMANENT, "no")
    refusal.found = found
    assert deaths.cause_of_refusal(record(ttl_s), refusal) is cause


@pytest.mark.parametrize(("errcode", "told"), [(40125, True), (40001, True), (40164, False), (None, False)])
def test_what_died_with_its_secret_is_told_until_there_is_another_value_and_not_again(errcode, told):
    held = replace(record(), error=LastError("permanent", "no", errcode))
    refusal = RefusedError(40125, ErrorClass.PERMANENT, "no")
    refusal.found = 40001
    assert deaths.cause_of_refusal(held, refusal) is (None if told else Cause.SECRET_RESET)
    for policy, said in ((OLD, answer(found=40001)), (STABLE, answer())):
        assert deaths.cause_of(held, said, policy) is (None if told else Cause.OUTSIDE_FETCH)


SPENT = (
    Spending("calls", 9, 10.0),
    Spending("outside_fetch", 3, 10.0),
    Spending("revoked", 1, 10.0),
)


def test_deaths_are_counted_by_cause_and_together():
    assert deaths.count(SPENT) == 4
    assert [deaths.count(SPENT, cause) for cause in Cause] == [3, 1, 0]
    assert deaths.count(()) == 0


def test_the_likely_cause_is_that_of_most():
    assert deaths.likely_cause(ACCOUNT, (), destructive=True) is None
    assert deaths.likely_cause(ACCOUNT, SPENT[:1], destructive=True) is None
    for spent, cause in ((SPENT, Cause.OUTSIDE_FETCH), (SPENT[2:], Cause.REVOKED)):
        words = deaths.explain(ACCOUNT, cause, destructive=False)
        assert deaths.likely_cause(ACCOUNT, iter(spent), destructive=False) == words


@pytest.mark.parametrize("destructive", [True, False])
@pytest.mark.parametrize("cause", Cause)
def test_each_cause_is_said_in_words_of_its_own_and_without_a_secret(cause, destructive):
    words = deaths.explain(ACCOUNT, cause, destructive=destructive)
    assert ACCOUNT.secret not in words
    others = {deaths.explain(ACCOUNT, other, destructive=destructive) for other in Cause if other != cause}
    assert words not in others
    if cause is Cause.OUTSIDE_FETCH:
        assert ACCOUNT.appid in words
        assert ('endpoint = "stable"' in words) == destructive
        assert ("force_refresh" in words) != destructive


def test_the_gap_between_replacements_grows_to_half_an_hour():
    gaps = [heal_after(number) for number in range(12)]
    assert gaps[:4] == [60, 60, 60, 60]
    assert gaps[4:] == [120, 240, 480, 960, 1800, 1800, 1800, 1800]
    assert heal_after(10**6) == 1800


def test_a_day_of_replacements_stays_within_the_budget_of_those_that_are_asked_for():
    now, number = 0.0, 0
    while now < 86_400:
        number += 1
        now += heal_after(number)
    assert number <= 56
