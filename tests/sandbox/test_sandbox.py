"""The sandbox as an object: its options, its record of calls, its cost."""

from __future__ import annotations

import dataclasses
import time

import pytest

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.sandbox import Call, Sandbox
from wxtoken_asgi.sandbox.errcodes import Refused
from wxtoken_asgi.sandbox.ledger import Ledger

APPID = "wx00000000000000aa"
SECRET = "secret-aa"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "lenient"}, "overlap must be 'grace' or 'strict'"),
        ({"whitelist": ["nowhere"]}, "whitelist takes addresses and networks"),
    ],
)
def test_a_wrong_option_is_refused_in_words(options, message):
    with pytest.raises(ConfigError, match=message):
        Sandbox(**options).add(APPID, SECRET)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), "60", None, True])
def test_time_moves_forward_by_a_number_of_seconds(sandbox, seconds):
    before = sandbox.clock.time()
    with pytest.raises(ConfigError):
        sandbox.advance(seconds)
    assert sandbox.clock.time() == before


def test_time_is_the_given_clocks_and_the_offset(sandbox, clock):
    sandbox.advance(5)
    clock.now += 7
    assert sandbox.clock.time() == 1_800_000_012


def test_time_is_the_machines_where_no_clock_is_given():
    sandbox = Sandbox()
    assert abs(sandbox.clock.time() - time.time()) < 5


async def test_calls_are_recorded(program, sandbox):
    await program.token()
    sandbox.advance(1)
    await program.stable(force_refresh=True)
    await program.token(appid="wx-other")
    assert sandbox.calls == [
        Call("/cgi-bin/token", APPID, 0, 1_800_000_000.0, forced=False, issued=True),
        Call("/cgi-bin/stable_token", APPID, 0, 1_800_000_001.0, forced=True, issued=True),
        Call("/cgi-bin/token", "wx-other", 40013, 1_800_000_001.0, forced=False, issued=False),
    ]


@pytest.mark.parametrize(
    ("path", "appid", "expected"),
    [
        (None, None, 4),
        ("/cgi-bin/token", None, 3),
        ("/cgi-bin/token", APPID, 2),
        (None, APPID, 3),
        (None, "wx-other", 1),
        ("/cgi-bin/stable_token", "wx-other", 0),
        ("/other", None, 0),
    ],
)
async def test_calls_are_counted_by_path_and_account(program, sandbox, path, appid, expected):
    await program.token()
    await program.token(secret="wrong")
    await program.token(appid="wx-other")
    await program.stable()
    assert sandbox.count(path, appid) == expected


def test_a_call_cannot_be_changed():
    call = Call("/", None, None, 0.0, forced=False, issued=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        call.path = "/other"


def test_the_record_of_calls_is_bounded_and_the_count_is_not():
    ledger = Ledger()
    assert ledger._calls.maxlen == 1_000_000
    ledger._calls = type(ledger._calls)(maxlen=2)
    for at in range(3):
        ledger.add(Call("/", None, 0, float(at), forced=False, issued=False))
    assert [call.at for call in ledger.calls()] == [1.0, 2.0]
    assert ledger.count() == 3


def test_the_first_account_is_at_hand(sandbox):
    sandbox.add("wx00000000000000bb", "secret-bb")
    assert sandbox.account == (APPID, SECRET)


def test_without_an_account_there_is_none_at_hand():
    with pytest.raises(LookupError, match="no account was added"):
        _ = Sandbox().account


def test_a_seed_repeats_everything(clock):
    pair = []
    for _ in range(2):
        sandbox = Sandbox(clock=clock, seed=7)
        sandbox.add(APPID, SECRET)
        pair.append((sandbox.outside_fetch(APPID), sandbox._wechat.accounts[APPID].tickets["jsapi"]._since))
    assert pair[0] == pair[1]


async def test_no_repr_shows_a_secret_or_a_token(program, sandbox):
    token = (await program.token())["access_token"]
    ticket = (await program.ticket(token))["ticket"]
    known = sandbox._wechat.token(token)
    account = sandbox._wechat.accounts[APPID]
    seen = " ".join(map(repr, [sandbox, known, account, sandbox.calls, Refused(40001), sandbox.faults]))
    assert repr(sandbox) == "<Sandbox overlap='grace' accounts=1>"
    assert not any(secret in seen for secret in (SECRET, token, ticket))


def test_two_days_of_calls_are_cheap_and_stay_small(sandbox):
    started = time.process_time()
    for _ in range(8):
        for _ in range(500):
            sandbox.outside_fetch(APPID)
            sandbox.outside_fetch(APPID, "stable")
            sandbox.advance(43.2)
        sandbox.advance(86_400)
    assert time.process_time() - started < 5
    assert len(sandbox._wechat._tokens) < 1500
