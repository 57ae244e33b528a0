"""Quotas: by the day, by the minute, of forced refreshes, and their reset."""

from __future__ import annotations

import pytest

from wxtoken_asgi.errors import ConfigError, UnknownAccount
from wxtoken_asgi.sandbox import Refused
from wxtoken_asgi.sandbox.accounts import Quota

APPID = "wx00000000000000aa"
TEST_ACCOUNT = {"appid": "wx00000000000000bb", "secret": "secret-bb"}


@pytest.fixture
def three_a_day(sandbox):
    sandbox.add(**TEST_ACCOUNT, daily_quota=3)


async def errcodes(fetch, times, **options):
    return [(await fetch(**options)).get("errcode", 0) for _ in range(times)]


async def test_the_old_endpoint_has_a_daily_quota(program, sandbox, three_a_day):
    assert await errcodes(program.token, 5, **TEST_ACCOUNT) == [0, 0, 0, 45009, 45009]
    assert await errcodes(program.stable, 1, **TEST_ACCOUNT) == [0]
    sandbox.advance(86_399)
    assert await errcodes(program.token, 1, **TEST_ACCOUNT) == [45009]
    sandbox.advance(1)
    assert await errcodes(program.token, 4, **TEST_ACCOUNT) == [0, 0, 0, 45009]


async def test_a_refusal_for_the_quota_kills_no_token(program, sandbox, three_a_day):
    await errcodes(program.token, 2, **TEST_ACCOUNT)
    last = (await program.token(**TEST_ACCOUNT))["access_token"]
    await program.token(**TEST_ACCOUNT)
    sandbox.advance(7199)
    assert sandbox.accepts(last)


async def test_the_quota_is_2000_where_nothing_is_said(program, sandbox):
    for _ in range(1999):
        sandbox.outside_fetch(APPID)
    assert await errcodes(program.token, 1) == [0]
    answer = await program.token()
    assert answer["errcode"] == 45009
    assert answer["errmsg"].startswith("reach max api daily quota limit, could get access_token by getStable")


async def test_calls_that_fail_their_checks_do_not_count(program, three_a_day):
    appid = TEST_ACCOUNT["appid"]
    assert await errcodes(program.token, 5, appid=appid, secret="wrong") == [40125] * 5
    assert await errcodes(program.token, 3, **TEST_ACCOUNT) == [0, 0, 0]


async def test_20_forced_refreshes_a_day(program, sandbox):
    codes = []
    for _ in range(21):
        codes += await errcodes(program.stable, 1, force_refresh=True)
        sandbox.advance(30)
    assert codes == [0] * 20 + [45009]
    assert await errcodes(program.stable, 1) == [0]
    sandbox.advance(86_400)
    assert await errcodes(program.stable, 1, force_refresh=True) == [0]


async def test_forced_calls_within_30_seconds_do_not_count_as_forced(program, sandbox):
    assert await errcodes(program.stable, 30, force_refresh=True) == [0] * 30
    assert sandbox.state(APPID)["used_today"] == {"token": 0, "stable": 29, "forced": 1}


async def test_10_000_stable_calls_a_minute(sandbox, program):
    for _ in range(10_000):
        sandbox.outside_fetch(APPID, "stable")
    answer = await program.stable()
    assert answer["errcode"] == 45011
    assert answer["errmsg"].startswith("api minute-quota reach limit, must slower, retry next minute rid: ")
    sandbox.advance(60)
    assert await errcodes(program.stable, 1) == [0]


async def test_500_000_stable_calls_a_day(sandbox, program):
    account = sandbox._wechat.accounts[APPID]
    account._stable_day._used = 499_999
    assert await errcodes(program.stable, 2) == [0, 45009]
    assert sandbox.state(APPID)["used_today"]["stable"] == 500_000


async def test_clear_quota_sets_all_back(program, sandbox, three_a_day):
    await errcodes(program.token, 3, **TEST_ACCOUNT)
    token = (await program.stable(**TEST_ACCOUNT))["access_token"]
    for _ in range(20):
        token = (await program.stable(**TEST_ACCOUNT, force_refresh=True))["access_token"]
        sandbox.advance(30)
    answer = await program.call("POST", "/cgi-bin/clear_quota", params={"access_token": token})
    assert answer == {"errcode": 0, "errmsg": "ok"}
    assert await errcodes(program.token, 4, **TEST_ACCOUNT) == [0, 0, 0, 45009]
    assert await errcodes(program.stable, 1, **TEST_ACCOUNT, force_refresh=True) == [0]


async def test_clear_quota_wants_post(program):
    assert (await program.call("GET", "/cgi-bin/clear_quota"))["errcode"] == 43002


async def test_quotas_can_be_cleared_10_times_in_30_days(program, sandbox):
    async def clear():
        token = (await program.stable())["access_token"]
        return (await program.call("POST", "/cgi-bin/clear_quota", params={"access_token": token}))["errcode"]

    assert [await clear() for _ in range(11)] == [0] * 10 + [48006]
    sandbox.advance(30 * 86_400)
    assert await clear() == 0


def test_a_quota_counts_again_in_each_stretch():
    quota = Quota(2, 60, since=100)
    quota.take(100)
    quota.take(159)
    with pytest.raises(Refused, match="errcode 45009"):
        quota.take(159)
    assert quota.used(160) == 0
    quota.take(160)
    assert quota.used(161) == 1


def test_outside_fetches_count_too(sandbox, three_a_day):
    for _ in range(3):
        sandbox.outside_fetch(TEST_ACCOUNT["appid"])
    with pytest.raises(Refused) as caught:
        sandbox.outside_fetch(TEST_ACCOUNT["appid"])
    assert caught.value.errcode == 45009


def test_an_outside_fetch_needs_an_account_and_an_endpoint(sandbox):
    with pytest.raises(UnknownAccount):
        sandbox.outside_fetch("wx-unknown")
    with pytest.raises(ConfigError, match="endpoint must be"):
        sandbox.outside_fetch(APPID, "both")
