"""Issuing, overlapping, renewing and forcing access tokens."""

from __future__ import annotations

import random
import re

import pytest

from wxtoken_asgi.sandbox.tokens import new_value

APPID = "wx00000000000000aa"
OK = 0
NOT_LATEST = 40001
EXPIRED = 42001


async def verdict(program, token):
    return (await program.try_out(token)).get("errcode", OK)


async def test_each_call_of_the_old_endpoint_issues_a_token_for_7200_seconds(program, sandbox):
    answers = [await program.token() for _ in range(3)]
    assert [list(answer) for answer in answers] == [["access_token", "expires_in"]] * 3
    assert {answer["expires_in"] for answer in answers} == {7200}
    assert len({answer["access_token"] for answer in answers}) == 3
    assert [call.issued for call in sandbox.calls] == [True] * 3


def test_tokens_look_like_real_ones():
    rng = random.Random(1)
    values = [new_value(1_800_000_000, rng) for _ in range(500)]
    assert all(re.fullmatch(r"\d+_[A-Za-z0-9_-]+", value) for value in values)
    assert {len(value) for value in values} == set(range(136, 158))
    assert len(set(values)) == 500


@pytest.mark.parametrize(
    ("now", "number"), [(0, "1"), (1_725_148_800, "84"), (1_725_148_800 + 12 * 2_629_800, "96")]
)
def test_the_number_in_front_of_a_token_grows_with_time(now, number):
    assert new_value(now, random.Random(1)).partition("_")[0] == number


@pytest.mark.parametrize(
    ("overlap", "fetched_after", "asked_after", "expected"),
    [
        ("grace", 100, 0, OK),
        ("grace", 100, 299, OK),
        ("grace", 100, 300, NOT_LATEST),
        ("grace", 100, 7200, NOT_LATEST),
        ("grace", 7000, 199, OK),
        ("grace", 7000, 200, EXPIRED),  # the overlap does not reach beyond the token's own end
        ("grace", 6900, 300, EXPIRED),
        ("grace", 6899, 300, NOT_LATEST),
        ("strict", 100, 0, NOT_LATEST),
        ("strict", 7200, 0, EXPIRED),
    ],
    indirect=["overlap"],
)
async def test_a_token_superseded_on_the_old_endpoint(program, sandbox, fetched_after, asked_after, expected):
    old = (await program.token())["access_token"]
    sandbox.advance(fetched_after)
    new = (await program.token())["access_token"]
    sandbox.advance(asked_after)
    assert await verdict(program, old) == expected
    assert sandbox.accepts(old) is (expected == OK)
    assert await verdict(program, new) == (OK if asked_after < 7200 else EXPIRED)


@pytest.mark.parametrize("fetch", ["token", "stable"])
async def test_a_token_lives_until_its_stated_end_and_then_is_expired(program, sandbox, fetch):
    token = (await getattr(program, fetch)())["access_token"]
    sandbox.advance(7199.5)
    assert await verdict(program, token) == OK
    sandbox.advance(0.5)
    assert await verdict(program, token) == EXPIRED


async def test_a_token_unheard_of_is_not_the_latest(program, sandbox):
    assert await verdict(program, "84_never-issued") == NOT_LATEST
    assert not sandbox.accepts("84_never-issued")


async def test_a_third_token_does_not_end_the_first_ones_overlap(program, sandbox):
    first = (await program.token())["access_token"]
    await program.token()
    sandbox.advance(299)
    await program.token()
    assert sandbox.accepts(first)


@pytest.mark.parametrize("overlap", ["grace", "strict"], indirect=True)
async def test_the_stable_endpoint_repeats_its_token_with_the_time_that_is_left(program, sandbox):
    first = await program.stable()
    assert first["expires_in"] == 7200
    sandbox.advance(1000.25)
    assert await program.stable() == {"access_token": first["access_token"], "expires_in": 6199}
    sandbox.advance(5899.75)
    assert await program.stable() == {"access_token": first["access_token"], "expires_in": 300}


@pytest.mark.parametrize("overlap", ["grace", "strict"], indirect=True)
async def test_the_stable_endpoint_renews_in_the_last_300_seconds_and_both_tokens_are_good(program, sandbox):
    old = (await program.stable())["access_token"]
    sandbox.advance(6900.01)
    new = await program.stable()
    assert new["expires_in"] == 7200
    assert new["access_token"] != old
    sandbox.advance(299)
    assert await verdict(program, old) == await verdict(program, new["access_token"]) == OK
    sandbox.advance(1)
    assert await verdict(program, old) == EXPIRED


async def test_no_answer_of_the_stable_endpoint_says_less_than_300(program, sandbox):
    left = []
    for _ in range(200):
        left.append((await program.stable())["expires_in"])
        sandbox.advance(97.3)
    assert min(left) >= 300
    assert max(left) == 7200


@pytest.mark.parametrize("first", [3789.8, 3091.8, 1_800_000_000.123456])
async def test_fractions_of_a_second_cost_a_new_token_no_second(program, sandbox, clock, first):
    clock.now = first
    assert (await program.stable())["expires_in"] == 7200


@pytest.mark.parametrize(
    ("overlap", "asked_after", "expected"),
    [("grace", 0, OK), ("grace", 299, OK), ("grace", 300, NOT_LATEST), ("strict", 0, NOT_LATEST)],
    indirect=["overlap"],
)
async def test_a_forced_refresh_issues_and_supersedes(program, sandbox, asked_after, expected):
    old = (await program.stable())["access_token"]
    new = await program.stable(force_refresh=True)
    assert new["expires_in"] == 7200
    assert new["access_token"] != old
    sandbox.advance(asked_after)
    assert await verdict(program, old) == expected
    assert await verdict(program, new["access_token"]) == OK


async def test_within_30_seconds_of_a_forced_refresh_no_other_takes_place(program, sandbox):
    forced = await program.stable(force_refresh=True)
    sandbox.advance(29.9)
    again = await program.stable(force_refresh=True)
    assert again == {"access_token": forced["access_token"], "expires_in": 7170}
    sandbox.advance(0.1)
    assert (await program.stable(force_refresh=True))["access_token"] != forced["access_token"]
    assert [call.forced for call in sandbox.calls] == [True] * 3
    assert [call.issued for call in sandbox.calls] == [True, False, True]


async def test_a_second_forced_refresh_kills_a_leaked_token(program, sandbox):
    leaked = (await program.stable())["access_token"]
    between = (await program.stable(force_refresh=True))["access_token"]
    sandbox.advance(30)
    assert sandbox.accepts(leaked)
    await program.stable(force_refresh=True)
    assert await verdict(program, leaked) == NOT_LATEST
    assert sandbox.accepts(between)


@pytest.mark.parametrize("value", [False, "true", 1, None])
async def test_only_a_json_true_forces(program, sandbox, value):
    first = await program.stable()
    assert await program.stable(force_refresh=value) == first
    assert not sandbox.calls[-1].forced


@pytest.mark.parametrize("overlap", ["strict"], indirect=True)
async def test_the_two_endpoints_know_nothing_of_each_other(program, sandbox):
    stable = (await program.stable())["access_token"]
    old = (await program.token())["access_token"]
    await program.stable(force_refresh=True)
    assert await verdict(program, old) == OK
    stable = (await program.stable())["access_token"]
    await program.token()
    assert await verdict(program, stable) == OK


async def test_accounts_know_nothing_of_each_other(program, sandbox):
    sandbox.add("wx00000000000000bb", "secret-bb")
    mine = (await program.token())["access_token"]
    theirs = (await program.token(appid="wx00000000000000bb", secret="secret-bb"))["access_token"]
    await program.token()
    sandbox.advance(300)
    assert not sandbox.accepts(mine)
    assert sandbox.accepts(theirs)


@pytest.mark.parametrize("fetch", ["token", "stable"])
async def test_a_revoked_token_is_dead_at_once(program, sandbox, fetch):
    token = (await getattr(program, fetch)())["access_token"]
    assert sandbox.revoke(token)
    assert await verdict(program, token) == NOT_LATEST


async def test_the_stable_endpoint_repeats_a_revoked_token_until_it_is_forced(program, sandbox):
    token = (await program.stable())["access_token"]
    sandbox.revoke(token)
    assert (await program.stable())["access_token"] == token
    forced = (await program.stable(force_refresh=True))["access_token"]
    assert sandbox.accepts(forced)
    assert (await program.stable())["access_token"] == forced


def test_a_token_unheard_of_cannot_be_revoked(sandbox):
    assert not sandbox.revoke("84_never-issued")


@pytest.mark.parametrize("overlap", ["strict"], indirect=True)
@pytest.mark.parametrize(
    ("fetch", "endpoint", "force"), [("token", "token", False), ("stable", "stable", True)]
)
async def test_an_outside_fetch_kills_the_token_held_here(program, sandbox, fetch, endpoint, force):
    held = (await getattr(program, fetch)())["access_token"]
    theirs = sandbox.outside_fetch(APPID, endpoint, force=force)
    assert theirs != held
    assert sandbox.accepts(theirs)
    assert await verdict(program, held) == NOT_LATEST
    assert sandbox.count("/cgi-bin/token") + sandbox.count("/cgi-bin/stable_token") == 1


async def test_an_outside_fetch_of_the_stable_token_shares_it(program, sandbox):
    assert sandbox.outside_fetch(APPID, "stable") == (await program.stable())["access_token"]


async def test_tokens_that_ended_a_day_ago_are_forgotten(program, sandbox):
    old = (await program.token())["access_token"]
    sandbox.advance(7200 + 86_400)
    await program.token()
    assert await verdict(program, old) == EXPIRED
    sandbox.advance(1)
    await program.token()
    assert await verdict(program, old) == NOT_LATEST
