"""Clients beside one another: whose a name and a key is."""

from __future__ import annotations

import pytest

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.clients import Client, Clients
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import Key
from wxtoken_asgi.records import Account

ONE, TWO = "wxk_one", "wxk_two"
SOON, LATE = 2_000_000_000.0, 2_100_000_000.0


def _client(name, *keys, accounts=()):
    return Client(name, keys=[key.line for key in keys], accounts=accounts)


@pytest.mark.parametrize(
    ("ends", "end"),
    [
        ([None], None),
        ([SOON], SOON),
        ([SOON, LATE], LATE),
        ([LATE, SOON], LATE),
        ([SOON, None], None),
        ([None, SOON], None),
        ([SOON, SOON], SOON),
    ],
)
def test_a_key_that_a_client_has_twice_ends_when_all_its_lines_say_so(ends, end):
    client = _client("crm", *(Key.of(ONE, until) for until in ends))
    assert Clients([client]).keys == {Key.of(ONE).digest: (Key.of(ONE, end), client)}


def test_what_is_refused_changes_nothing():
    crm, wms = _client("crm", Key.of(ONE)), _client("wms", Key.of(TWO), Key.of(ONE))
    clients = Clients([crm])
    with pytest.raises(ConfigError, match=r"^client wms: keys: \w{12} is a key of client crm already$"):
        clients.add(wms)
    assert list(clients) == [crm]
    assert clients.keys == {Key.of(ONE).digest: (Key.of(ONE), crm)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crm", "client crm: another client has this name"),
        ("CRM", "client CRM: its name differs from that of client crm in letter case only"),
        ("trusted", "client trusted: the setting trusted is called so; choose another name"),
    ],
)
def test_a_name_is_that_of_one_client(name, words):
    with pytest.raises(ConfigError) as caught:
        Clients([_client("crm", Key.of(ONE)), _client(name, Key.of(TWO))])
    assert str(caught.value) == words


@pytest.mark.parametrize("app", ["shop", "wx01"])
def test_accounts_are_named_by_name_or_appid(app):
    accounts = Accounts([Account("shop", appid="wx01", secret="s")])
    client = _client("crm", Key.of(ONE), accounts=[app])
    assert list(Clients([client], accounts)) == list(Clients([client])) == [client]


@pytest.mark.parametrize(
    ("app", "hint"), [("shpo", "; did you mean shop?"), ("other", ""), (ONE, ""), ("x" * 99, "")]
)
def test_an_account_that_is_not_there_is_refused(app, hint):
    accounts = Accounts([Account("shop", appid="wx01", secret="s")])
    client = _client("crm", Key.of(TWO), accounts=[app])
    with pytest.raises(ConfigError, match=r"^client crm: accounts: '.{,60} is no account") as caught:
        Clients([client], accounts)
    assert str(caught.value).endswith(f" is no account{hint}")
    assert ONE not in str(caught.value)
    Clients([client])  # nobody asked whether it is there
