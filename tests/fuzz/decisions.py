"""The policy over far wider ranges than WeChat and our own settings can bring about."""

from __future__ import annotations

import math
from random import Random
from typing import Final

from wxtoken_asgi import policy
from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.policy import (
    ClassicPolicy,
    Fetched,
    Kept,
    Policy,
    StablePolicy,
    State,
    TicketPolicy,
    Trouble,
)

from .chance import LAST_DRAW, draw, often, seconds
from .tally import Target, must

ALL: Final = (StablePolicy(), ClassicPolicy(), TicketPolicy())
CLASSES: Final = (*(cls.value for cls in ErrorClass), "timeout", "connect", "a class of tomorrow")
EDGES: Final = (
    0,
    1,
    2,
    4,
    5,
    20,
    30,
    60,
    100,
    180,
    240,
    270,
    295,
    300,
    565,
    600,
    900,
    1800,
    3600,
    7170,
    7200,
)
A_DAY: Final = 86_400.0
AGES: Final = 10**7
ABOUT: Final = 1e-6
"""Beside numbers of this size, doubles are that inexact."""


def life(rng: Random) -> float:
    """What WeChat may state: above 0, at most a day."""
    return seconds(rng, 5e-324, A_DAY, (*EDGES, A_DAY))


def fetched(rng: Random) -> Fetched:
    """An answer, perhaps one that came after the machine had slept for days."""
    elapsed = seconds(rng, 0.0, AGES, EDGES) if often(rng, 0.3) else 20 * rng.random()
    held = seconds(rng, -AGES, A_DAY, EDGES)
    return Fetched(life(rng), elapsed, unchanged=often(rng, 0.5), held_ttl_s=held)


def trouble(rng: Random) -> Trouble:
    attempts = rng.choice((rng.randint(-5, 60), 2**31, 2**63))
    quota = rng.choice((1, 2, 200, 2000, 10**6, 10**12))
    return Trouble(rng.choice(CLASSES), attempts, seconds(rng, -AGES, AGES, EDGES), quota, often(rng, 0.5))


def case(rng: Random, steps: int) -> int:
    """Each decision with drawn numbers."""
    for _ in range(steps):
        rules = rng.choice(ALL)
        _keep(rules, fetched(rng), seconds(rng, 1e-3, AGES, EDGES), draw(rng))
        _may_keep(rules, rng)
        _wait(rules, trouble(rng), draw(rng))
        _small(rng)
    return 4 * steps


def _keep(rules: Policy, answer: Fetched, every: float, chance: float) -> None:
    given = (rules, answer, every, chance)
    kept = rules.keep(answer, draw=chance, ask_every_s=every)
    first = rules.keep(answer, draw=0.0, ask_every_s=every)
    last = rules.keep(answer, draw=LAST_DRAW, ask_every_s=every)
    must(all(map(math.isfinite, kept)), "both are numbers", *given)
    must(kept.ask_in_s >= min(1.0, 0.9 * every), "no ask follows at once", *given)
    must(kept.ask_in_s <= max(kept.ttl_s, 1.0), "it is asked for before it ends", *given)
    must(first.ttl_s == kept.ttl_s == last.ttl_s, "chance does not change an end", *given)
    must(first.ask_in_s <= kept.ask_in_s <= last.ask_in_s, "a later draw asks later", *given)
    must(last.ask_in_s <= _band(rules, first, answer), "the jitter stays in its band", *given)
    _end(rules, answer, kept, given)


def _band(rules: Policy, first: Kept, answer: Fetched) -> float:
    """The latest ask, given the earliest."""
    if isinstance(rules, StablePolicy):
        return first.ask_in_s / 0.9 + ABOUT
    if isinstance(rules, ClassicPolicy):
        return max(1.0, 1.2 * (first.ask_in_s + answer.elapsed_s) - answer.elapsed_s + ABOUT)
    return 3 * first.ask_in_s + ABOUT


def _end(rules: Policy, answer: Fetched, kept: Kept, given: tuple[object, ...]) -> None:
    stated = answer.expires_in - answer.elapsed_s
    if isinstance(rules, TicketPolicy) and answer.unchanged:
        most = max(answer.held_ttl_s, policy.TICKET_PROOF_S - answer.elapsed_s)
        must(kept.ttl_s <= most, "an unchanged ticket is proved for 10 minutes", *given)
    else:
        must(kept.ttl_s <= stated, "nothing lives past the end that WeChat stated", *given)
        must(stated - kept.ttl_s <= policy.MARGIN_S + ABOUT, "the margin is 30 s at most", *given)
    if isinstance(rules, StablePolicy) and stated < policy.STABLE_WINDOW_S:
        quarter = max(1.0, kept.ttl_s / 4)
        must(kept.ask_in_s <= quarter, "in the window no wait is more than a quarter", *given)
    if isinstance(rules, ClassicPolicy):
        half = min(0.5 * answer.expires_in - answer.elapsed_s, 0.75 * kept.ttl_s)
        must(kept.ask_in_s >= half - ABOUT, "the old endpoint is asked once in half a life", *given)


def _may_keep(rules: Policy, rng: Random) -> None:
    ttl, ask = (seconds(rng, -AGES, AGES, EDGES) for _ in range(2))
    more = seconds(rng, 0.0, AGES, EDGES)
    may = rules.may_keep(ttl, ask)
    given = (rules, ttl, ask, more)
    must(may <= ttl, "nothing is kept past its end", *given)
    must(rules.may_keep(ttl + more, ask) >= may, "more life is never kept for less", *given)
    must(rules.may_keep(ttl, ask + more) >= may, "a later refresh never shortens it", *given)
    if rules.destructive:
        overlap = max(ask, 0.0) + policy.KEPT_AFTER_REFRESH_S
        must(may <= overlap, "it is kept 240 s past the planned refresh at most", *given)
    elif isinstance(rules, TicketPolicy):
        must(may == min(ttl, policy.TICKET_PROOF_S), "a ticket is kept for 10 minutes at most", *given)
    else:
        must(may == ttl, "a stable token is kept to its end", *given)


def _wait(rules: Policy, met: Trouble, chance: float) -> None:
    given = (rules, met, chance)
    wait = policy.wait_after(met, rules, draw=chance)
    worse = Trouble(met.cls, met.attempts + 1, met.ttl_s, met.daily_quota, met.minute_quota)
    first, last = (policy.wait_after(met, rules, draw=bound) for bound in (0.0, LAST_DRAW))
    must(policy.wait_after(worse, rules, draw=chance) >= wait, "one more failure never shortens it", *given)
    must(first <= wait <= last, "a later draw waits longer", *given)
    must(last <= max(1.3 * first, 1.0) + ABOUT, "the jitter is 30 % at most", *given)
    must(1.0 <= wait <= _longest(rules, met), "it waits, but not too long", *given)
    if met.cls == "quota":
        least = policy.MINUTE_QUOTA_RETRY_S if met.minute_quota else policy.DAY_QUOTA_RETRY_S
        must(wait >= least, "a quota is waited for", *given)
    elif met.ttl_s > 0:
        wake = met.ttl_s - wait
        line = rules.urgent_s if met.ttl_s > rules.urgent_s else 0.0
        must(wake >= line - 1.0 - ABOUT, "it does not sleep over the line", *given)


def _longest(rules: Policy, met: Trouble) -> float:
    if met.cls == "quota":
        return 1.3 * (policy.MINUTE_QUOTA_RETRY_S if met.minute_quota else policy.DAY_QUOTA_RETRY_S)
    if met.cls in {"permanent", "operator", "state"}:
        return policy.PERMANENT_RETRY_S
    if met.ttl_s > rules.urgent_s:
        return 1.3 * policy.DUE_BACKOFF_CAP_S
    return 1.3 * max(policy.URGENT_BACKOFF_CAP_S, policy.QUOTA_SPREAD * policy.DAY_S / met.daily_quota)


def _small(rng: Random) -> None:
    span, chance = seconds(rng, 0.0, AGES, EDGES), draw(rng)
    must(0 <= policy.margin(span) <= min(policy.MARGIN_S, span / 2), "the margin is in bounds", span)
    look = policy.look_after(chance, span)
    must(0 <= look <= policy.LOOK_S, "it looks within a second", chance, span)
    cut = policy.refused_cut(policy.OVERLAP_TRUST_S - span)
    must(
        210 <= cut.ttl_s <= policy.OVERLAP_TRUST_S,
        "doubt lasts 270 s at most, and takes nothing at once",
        span,
    )
    must(0 <= cut.ask_in_s <= max(cut.ttl_s, 0.0), "what is in doubt is replaced before its end", span)
    fleet = rng.randint(0, 10**7)
    every = policy.ask_every(seconds(rng, 1e-3, AGES, EDGES), fleet)
    must(fleet / every <= policy.FLEET_ASKS_PER_S + ABOUT, "a fleet asks 20 times a second at most", fleet)
    _state(rng)


def _state(rng: Random) -> None:
    has = often(rng, 0.8)
    ttl, ask, urgent = (seconds(rng, -AGES, AGES, EDGES) for _ in range(3))
    found = policy.state_of(has_value=has, ttl_s=ttl, ask_in_s=ask, urgent_s=urgent)
    given = (has, ttl, ask, urgent)
    must((found is State.EMPTY) == (not has), "it is empty without a value", *given)
    good = found in {State.FRESH, State.DUE, State.URGENT}
    must(good == (has and ttl > 0), "it is good until its end", *given)


TARGET: Final = Target("policy", case, 50)
