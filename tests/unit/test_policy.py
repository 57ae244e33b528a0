"""The decisions, without a clock: tables for every number, and what must hold for all of them."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wxtoken_asgi import policy
from wxtoken_asgi.policy import ClassicPolicy, Fetched, Kept, StablePolicy, State, TicketPolicy, Trouble

STABLE, CLASSIC, TICKET = StablePolicy(), ClassicPolicy(), TicketPolicy()
ALL = (STABLE, CLASSIC, TICKET)
LAST_DRAW = 1 - 2**-53

draws = st.floats(0, 1, exclude_max=True)
lives = st.floats(1, 86_400)
elapsed = st.floats(0, 20)
any_policy = st.sampled_from(ALL)
any_class = st.sampled_from(
    ["transient", "timeout", "connect", "dead_token", "permanent", "operator", "state", "quota"]
)


def troubles(lefts):
    return st.builds(Trouble, any_class, st.integers(-5, 10_000), lefts, st.integers(1, 10**6), st.booleans())


def keep(rules, expires_in, *, elapsed_s=0.0, draw=0.0, every=270.0, **more):
    return rules.keep(Fetched(expires_in, elapsed_s, **more), draw=draw, ask_every_s=every)


def wait(rules=CLASSIC, cls="transient", *, attempts=0, ttl_s=5000.0, quota=2000, draw=0.0, **more):
    return policy.wait_after(Trouble(cls, attempts, ttl_s, quota, **more), rules, draw=draw)


# how long a value lives


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(
    ("expires_in", "elapsed_s", "ttl_s"),
    [
        (7200, 0, 7170),
        (7200, 4, 7166),
        (86_400, 0, 86_370),
        (60, 0, 30),
        (40, 0, 20),
        (2, 0, 1),
        (300, 10, 260),
    ],
)
def test_a_value_ends_30_seconds_before_its_end_counted_from_the_sending(rules, expires_in, elapsed_s, ttl_s):
    assert keep(rules, expires_in, elapsed_s=elapsed_s).ttl_s == ttl_s


@pytest.mark.parametrize(("life", "margin"), [(7200, 30), (60, 30), (59, 29.5), (10, 5), (0, 0)])
def test_a_very_short_life_is_given_up_at_half(life, margin):
    assert policy.margin(life) == margin


@given(
    any_policy,
    st.builds(Fetched, lives, elapsed, unchanged=st.booleans(), held_ttl_s=st.floats(0, 7200)),
    draws,
)
@example(CLASSIC, Fetched(60, 0), LAST_DRAW)
@example(STABLE, Fetched(45, 20), LAST_DRAW)
@example(TICKET, Fetched(630, 0), 0)
def test_the_next_ask_is_never_past_the_end(rules, fetched, draw):
    kept = rules.keep(fetched, draw=draw, ask_every_s=270.0)
    assert 1 <= kept.ask_in_s <= max(kept.ttl_s, policy.SHORTEST_WAIT_S)


# the stable endpoint


@pytest.mark.parametrize(
    ("expires_in", "ask_in_s"),
    [
        (7200, 270),
        (86_400, 270),
        (565, 270),
        (564, 269),
        (400, 105),
        (301, 6),
        (300, 5),
        (299, 5),
        (100, 5),
        (60, 5),
        (40, 5),
        (24, 3),
        (4, 1),
        (1, 1),
    ],
)
def test_the_stable_endpoint_is_asked_every_270_seconds_and_where_its_window_opens(expires_in, ask_in_s):
    assert keep(STABLE, expires_in, draw=LAST_DRAW).ask_in_s == pytest.approx(ask_in_s)


@given(st.floats(566, 86_400), draws)
def test_the_jitter_of_the_stable_endpoint_stays_within_its_tenth(expires_in, draw):
    assert 243 <= keep(STABLE, expires_in, draw=draw).ask_in_s <= 270


@given(st.floats(301, 7200), draws)
def test_the_first_ask_in_the_window_falls_at_its_opening_and_leaves_259_seconds_for_retries(left, draw):
    while left > policy.STABLE_WINDOW_S:
        left -= keep(STABLE, left, draw=draw).ask_in_s
    assert 290 <= left <= 300
    assert keep(STABLE, left).ttl_s >= 259


@given(st.floats(1, 299.9), elapsed, draws)
def test_inside_the_window_every_ask_comes_after_a_quarter_of_what_is_left_at_most(left, elapsed_s, draw):
    kept = keep(STABLE, left, elapsed_s=elapsed_s, draw=draw)
    assert kept.ask_in_s <= max(kept.ttl_s / 4, policy.SHORTEST_WAIT_S)


@pytest.mark.parametrize(
    ("knob", "fleet", "every"),
    [
        (270, 0, 270),
        (270, 5400, 270),
        (270, 5401, 270.05),
        (270, 100_000, 5000),
        (60, 1, 60),
        (600, 6000, 600),
    ],
)
def test_a_fleet_asks_20_times_a_second_at_most(knob, fleet, every):
    assert policy.ask_every(knob, fleet) == every
    assert fleet / policy.ask_every(knob, fleet) <= 20


def test_a_longer_interval_still_meets_the_opening_of_the_window():
    assert keep(STABLE, 7200, every=5000.0, draw=LAST_DRAW).ask_in_s == pytest.approx(5000)
    assert keep(STABLE, 3000, every=5000.0).ask_in_s == 3000 - 295


def test_a_stable_token_may_be_kept_to_its_end():
    assert STABLE.may_keep(7000.0, 10.0) == 7000.0


# the old endpoint


@pytest.mark.parametrize(
    ("expires_in", "draw", "ask_in_s"),
    [
        (7200, 0, 3600),
        (7200, 0.5, 3960),
        (7200, LAST_DRAW, 4320),
        (86_400, 0, 43_200),
        (600, LAST_DRAW, 360),
        (60, 0, 22.5),
        (60, LAST_DRAW, 22.5),
        (4, 0, 1.5),
        (1, 0, 1),
    ],
)
def test_a_token_of_the_old_endpoint_is_due_at_50_to_60_percent_of_its_life(expires_in, draw, ask_in_s):
    assert keep(CLASSIC, expires_in, draw=draw).ask_in_s == pytest.approx(ask_in_s)


@given(st.floats(150, 86_400), elapsed, draws)
def test_that_point_is_counted_from_the_sending(expires_in, elapsed_s, draw):
    point = keep(CLASSIC, expires_in, elapsed_s=elapsed_s, draw=draw).ask_in_s + elapsed_s
    assert 0.5 * expires_in - 0.001 <= point <= 0.6 * expires_in + 0.001


@pytest.mark.parametrize(
    ("ttl_s", "ask_in_s", "kept_s"),
    [(7170, 3600, 3840), (3570, 0, 240), (3570, -50, 240), (270, 0, 240), (100, 0, 100), (270, 210, 270)],
)
def test_it_may_be_kept_until_240_seconds_past_the_planned_refresh(ttl_s, ask_in_s, kept_s):
    assert CLASSIC.may_keep(ttl_s, ask_in_s) == kept_s


@given(lives, draws)
def test_it_is_never_kept_past_its_end_nor_into_the_last_minute_of_the_overlap(expires_in, draw):
    kept = keep(CLASSIC, expires_in, draw=draw)
    may = CLASSIC.may_keep(*kept)
    assert may <= kept.ttl_s
    assert may <= kept.ask_in_s + 240


@pytest.mark.parametrize(
    ("ttl_s", "cut"),
    [(270, Kept(270, 210)), (260, Kept(260, 200)), (210, Kept(210, 150)), (-3330, Kept(210, 150))],
)
def test_late_news_of_a_lease_leave_210_seconds_at_least_to_a_later_one_s_token(ttl_s, cut):
    assert policy.refused_cut(ttl_s) == cut


# tickets


@pytest.mark.parametrize(
    ("fetched", "ttl_s", "soonest", "latest"),
    [
        (Fetched(7200, 0), 7170, 600, 1800),
        (Fetched(7200, 5), 7165, 600, 1800),
        (Fetched(7200, 0, unchanged=True, held_ttl_s=5000), 5000, 600, 1800),
        (Fetched(7200, 0, unchanged=True, held_ttl_s=1000), 1000, 600, 700),
        (Fetched(7200, 0, unchanged=True, held_ttl_s=700), 700, 400, 400),
        (Fetched(7200, 0, unchanged=True, held_ttl_s=30), 600, 120, 300),
        (Fetched(7200, 10, unchanged=True, held_ttl_s=0), 590, 120, 295),
        (Fetched(7200, 10, unchanged=True, held_ttl_s=-5), 590, 120, 295),
        (Fetched(60, 0), 30, 15, 15),
        (Fetched(86_400, 0), 86_370, 600, 1800),
        (Fetched(1, 0), 0.5, 1, 1),
    ],
)
def test_a_ticket_is_asked_for_more_often_past_its_estimated_end(fetched, ttl_s, soonest, latest):
    first = TICKET.keep(fetched, draw=0, ask_every_s=270)
    last = TICKET.keep(fetched, draw=LAST_DRAW, ask_every_s=270)
    assert first.ttl_s == last.ttl_s == ttl_s
    assert first.ask_in_s == pytest.approx(soonest)
    assert last.ask_in_s == pytest.approx(latest)


@given(st.floats(0, 7170), elapsed, draws)
def test_an_answer_proves_an_unchanged_ticket_for_10_minutes_and_no_answer_for_7200_seconds(
    held, elapsed_s, draw
):
    fetched = Fetched(7200, elapsed_s, unchanged=True, held_ttl_s=held - elapsed_s)
    kept = TICKET.keep(fetched, draw=draw, ask_every_s=270)
    assert kept.ttl_s == max(held, 600) - elapsed_s


@given(st.lists(draws, min_size=30, max_size=30))
def test_a_ticket_that_wechat_serves_for_ever_is_never_without_5_minutes_of_proof(drawn):
    ttl = 7170.0
    for draw in drawn:
        kept = TICKET.keep(Fetched(7200, 0, unchanged=True, held_ttl_s=ttl), draw=draw, ask_every_s=270)
        ttl = kept.ttl_s - kept.ask_in_s
        assert ttl >= 299.999


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(7170, 600), (600, 600), (599, 599), (10, 10)])
def test_a_ticket_may_be_kept_for_10_minutes_at_most(ttl_s, kept_s):
    assert TICKET.may_keep(ttl_s, 1000) == kept_s


# states


@pytest.mark.parametrize(
    ("has_value", "ttl_s", "ask_in_s", "state"),
    [
        (False, 0, 0, State.EMPTY),
        (False, 100, 100, State.EMPTY),
        (True, 0, 100, State.EXPIRED),
        (True, -1, 0, State.EXPIRED),
        (True, 7000, 3600, State.FRESH),
        (True, 7000, 0, State.DUE),
        (True, 601, -5, State.DUE),
        (True, 600, 0, State.URGENT),
        (True, 1, -5, State.URGENT),
        (True, 600, 120, State.FRESH),
    ],
)
def test_a_credential_goes_through_its_states(has_value, ttl_s, ask_in_s, state):
    found = policy.state_of(has_value=has_value, ttl_s=ttl_s, ask_in_s=ask_in_s, urgent_s=600)
    assert found is state


@pytest.mark.parametrize(("rules", "urgent_s"), [(STABLE, 180), (CLASSIC, 600), (TICKET, 600)])
def test_the_last_minutes_are_urgent(rules, urgent_s):
    assert rules.urgent_s == urgent_s


def test_only_the_old_endpoint_is_destructive_and_only_the_stable_one_has_a_window():
    assert [rules.destructive for rules in ALL] == [False, True, False]
    assert [rules.window_s for rules in ALL] == [300, 0, 0]


# waiting after an error


@pytest.mark.parametrize(
    ("attempts", "wait_s"),
    [(-1, 2), (0, 2), (1, 4), (2, 8), (6, 128), (7, 256), (8, 300), (30, 300), (10_000, 300)],
)
@pytest.mark.parametrize("cls", ["transient", "timeout", "connect", "dead_token"])
def test_the_back_off_doubles_from_2_seconds_to_300(cls, attempts, wait_s):
    assert wait(cls=cls, attempts=attempts) == wait_s
    assert wait(cls=cls, attempts=attempts, draw=LAST_DRAW) == pytest.approx(1.3 * wait_s)


@pytest.mark.parametrize(
    ("rules", "ttl_s", "quota", "cap"),
    [
        (CLASSIC, 600, 2000, 60.48),
        (CLASSIC, 0, 2000, 60.48),
        (CLASSIC, -100, 2000, 60.48),
        (CLASSIC, 0, 200, 604.8),
        (CLASSIC, 0, 10_000, 60),
        (STABLE, 0, 1_000_000, 60),
        (TICKET, 600, 1_000_000, 60),
    ],
)
def test_near_the_end_and_past_it_the_cap_is_60_seconds_or_what_the_quota_allows(rules, ttl_s, quota, cap):
    assert wait(rules, attempts=10_000, ttl_s=ttl_s, quota=quota) == pytest.approx(cap)


@pytest.mark.parametrize("cls", ["permanent", "operator", "state"])
@pytest.mark.parametrize("attempts", [0, 1, 10_000])
@pytest.mark.parametrize("ttl_s", [5000, 0, -100])
def test_permanent_errors_are_tried_again_within_5_minutes(cls, attempts, ttl_s):
    assert wait(cls=cls, attempts=attempts, ttl_s=ttl_s) == 270
    assert wait(cls=cls, attempts=attempts, ttl_s=ttl_s, draw=LAST_DRAW) == pytest.approx(300)


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize("ttl_s", [5000, 200, 10, 0])
def test_a_quota_is_waited_for_and_never_less(rules, ttl_s):
    assert wait(rules, cls="quota", ttl_s=ttl_s) == 600
    assert wait(rules, cls="quota", ttl_s=ttl_s, draw=LAST_DRAW) == pytest.approx(780)
    assert wait(rules, cls="quota", ttl_s=ttl_s, minute_quota=True) == 60
    assert wait(rules, cls="quota", ttl_s=ttl_s, minute_quota=True, draw=LAST_DRAW) == pytest.approx(78)


@given(any_policy, troubles(st.floats(-1000, 90_000)), draws)
@example(CLASSIC, Trouble("transient", 10_000, 0.5, 200), LAST_DRAW)
def test_a_wait_is_always_above_0_and_bounded(rules, trouble, draw):
    wait_s = policy.wait_after(trouble, rules, draw=draw)
    assert 1 <= wait_s <= 1.3 * max(600, 1.4 * 86_400 / trouble.daily_quota)


@given(any_policy, troubles(st.floats(0.01, 90_000)), draws)
@example(CLASSIC, Trouble("transient", 50, 599, 200), LAST_DRAW)
@example(CLASSIC, Trouble("timeout", 50, 30, 2000), LAST_DRAW)
def test_the_sleep_never_jumps_over_the_urgent_line_nor_over_the_end(rules, trouble, draw):
    if trouble.cls == "quota":
        return
    wake = trouble.ttl_s - policy.wait_after(trouble, rules, draw=draw)
    line = rules.urgent_s if trouble.ttl_s > rules.urgent_s else 0
    assert wake >= line - policy.SHORTEST_WAIT_S


@given(any_class, st.integers(0, 50), st.floats(0.01, 300), draws)
def test_in_the_window_every_wait_is_a_quarter_of_what_is_left_at_most(cls, attempts, ttl_s, draw):
    if cls != "quota":
        assert wait(STABLE, cls, attempts=attempts, ttl_s=ttl_s, draw=draw) <= max(
            ttl_s / 4, policy.SHORTEST_WAIT_S
        )


# outages, as simulations of the decisions alone


def attempts_within(seconds, *, rules, ttl_s, quota, seed):
    """The moments of the attempts while WeChat is away, all workers sharing one back-off."""
    chance, now, made = random.Random(seed), 0.0, []
    while now < seconds:
        made.append(now)
        now += wait(rules, attempts=len(made) - 1, ttl_s=ttl_s - now, quota=quota, draw=chance.random())
    return made


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ttl_s", [3570, 600, 0])
def test_24_hours_without_wechat_cost_no_more_than_1300_calls_of_the_old_endpoint(ttl_s, seed):
    assert 1100 < len(attempts_within(86_400, rules=CLASSIC, ttl_s=ttl_s, quota=2000, seed=seed)) <= 1300


@pytest.mark.parametrize("quota", [200, 2000])
@pytest.mark.parametrize("ttl_s", [3570, 0])
def test_24_hours_without_wechat_stay_inside_the_quota_though_chance_be_at_its_worst(quota, ttl_s):
    made, now = 0, 0.0
    while now < 86_400:
        now += wait(CLASSIC, attempts=made, ttl_s=ttl_s - now, quota=quota)
        made += 1
    assert made < quota


@pytest.mark.parametrize("rules", ALL)
def test_attempts_are_spaced(rules):
    made = attempts_within(7200, rules=rules, ttl_s=3000, quota=2000, seed=1)
    assert min(later - earlier for earlier, later in pairwise(made)) >= 1


class StableEndpoint:
    """WeChat's: the same token with its remaining life, renewed in its last 300 s."""

    def __init__(self, born):
        self.ends = born + 7200.0

    def ask(self, now):
        if self.ends - now <= 300:
            self.ends = now + 7200.0
        return self.ends - now


class ClassicEndpoint:
    def ask(self, now):
        return 7200.0


def worst_left(rules, wechat, kept, *, away_from, away_s, hangs_s, draw, until):
    """The least that the held token had left just before it was replaced; 0 or less: there was a gap."""
    now, attempts, worst = 0.0, 0, float("inf")
    ends, ask_at = kept.ttl_s, kept.ask_in_s
    while now < until:
        now = ask_at
        if away_from <= now < away_from + away_s:
            ask_at = now + hangs_s + wait(rules, "timeout", attempts=attempts, ttl_s=ends - now, draw=draw())
            attempts += 1
            continue
        worst = min(worst, ends - now)
        kept = rules.keep(Fetched(wechat.ask(now), 0.0), draw=draw(), ask_every_s=270.0)
        ends, ask_at, attempts = now + kept.ttl_s, now + kept.ask_in_s, 0
    return worst


def draw_of(seed):
    return {"low": lambda: 0.0, "high": lambda: LAST_DRAW}.get(seed) or random.Random(seed).random


@pytest.mark.parametrize("hangs_s", [0, 10])
@pytest.mark.parametrize("away_s", [60, 120, 240])
@pytest.mark.parametrize("seed", ["low", "high", 1])
def test_the_stable_endpoint_may_be_away_for_4_minutes_at_any_age_of_the_token(away_s, seed, hangs_s):
    for age in [*range(0, 6500, 100), *range(6500, 7250)]:
        first = keep(STABLE, 7200)
        gap = worst_left(
            STABLE, StableEndpoint(0.0), first,
            away_from=age, away_s=away_s, hangs_s=hangs_s, draw=draw_of(seed), until=7600.0,
        )  # fmt: skip
        assert gap > 0, f"no valid token in an outage of {away_s} s that began at the age of {age} s"


def test_the_simulation_finds_a_gap_where_there_must_be_one():
    gap = worst_left(
        STABLE, StableEndpoint(0.0), keep(STABLE, 7200),
        away_from=6800, away_s=500, hangs_s=0, draw=draw_of("low"), until=7600.0,
    )  # fmt: skip
    assert gap < 0


@pytest.mark.parametrize("minutes", [10, 20, 30, 45])
@pytest.mark.parametrize("seed", ["low", "high", 1, 2])
def test_the_old_endpoint_may_be_away_for_45_minutes_at_any_age_of_the_token(minutes, seed):
    for age in range(0, 7200, 20):
        gap = worst_left(
            CLASSIC, ClassicEndpoint(), keep(CLASSIC, 7200, draw=draw_of(seed)()),
            away_from=age, away_s=60 * minutes, hangs_s=0, draw=draw_of(seed), until=12_000.0,
        )  # fmt: skip
        assert gap > 0, f"no valid token in an outage of {minutes} min that began at the age of {age} s"


# probes


def test_a_probe_is_due_after_its_interval_or_a_tenth_sooner_or_later():
    probe = policy.ProbePolicy(300)
    kept = [probe.keep(Fetched(0, 0.0), draw=draw, ask_every_s=1.0) for draw in (0.0, 0.5, LAST_DRAW)]
    assert [round(one.ask_in_s) for one in kept] == [270, 300, 330]
    assert {one.ttl_s for one in kept} == {policy.PROBE_KEPT_S}
    assert probe.may_keep(1000, 100) == 0
