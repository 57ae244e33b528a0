"""Accounts: found by name or appid, and never two under one."""

from __future__ import annotations

import pytest

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account


def account(name, appid, **more):
    return Account(name, appid=appid, secret="not-to-be-shown", **more)


ALPHA = account("alpha", "wx01")
BETA = account("beta", "wx02")


@pytest.mark.parametrize(
    ("app", "found"),
    [("alpha", ALPHA), ("wx01", ALPHA), ("beta", BETA), ("wx02", BETA), ("gamma", None), ("ALPHA", None)],
)
def test_an_account_is_found_by_its_name_or_its_appid(app, found):
    assert Accounts([ALPHA, BETA]).get(app) is found


def test_accounts_keep_their_order():
    accounts = Accounts(iter([BETA, ALPHA]))
    assert list(accounts) == [BETA, ALPHA]
    assert len(accounts) == 2


def test_there_may_be_no_account_at_all():
    assert len(Accounts([])) == 0


def test_a_name_may_be_its_own_appid():
    same = account("wx01", "wx01")
    assert Accounts([same]).get("wx01") is same


def test_the_repr_names_the_accounts_and_no_secret():
    assert repr(Accounts([ALPHA, BETA])) == "Accounts(alpha, beta)"


@pytest.mark.parametrize(
    ("accounts", "message"),
    [
        ([ALPHA, account("alpha", "wx03")], "account alpha: name is taken by another account"),
        (
            [ALPHA, account("Alpha", "wx03")],
            "account Alpha: name differs from account alpha in upper and lower case only",
        ),
        ([ALPHA, account("gamma", "wx01")], "account gamma: appid is the one of account alpha already"),
        (
            [ALPHA, account("gamma", "wx01", api_base="http://127.0.0.1:8000")],
            "account gamma: appid is the one of account alpha already",
        ),
        ([ALPHA, account("wx01", "wx03")], "account wx01: name is the appid of account alpha"),
        ([account("wx01", "wx03"), ALPHA], "account wx01: name is the appid of account alpha"),
        (["alpha"], "accounts must be Account objects, not str"),
        ([{"secret": "not-to-be-shown"}], "accounts must be Account objects, not dict"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_accounts_that_cannot_live_together_are_refused(accounts, message):
    with pytest.raises(ConfigError) as caught:
        Accounts(accounts)
    assert str(caught.value) == message
