"""Client keys: how they are made, written down and read."""

from __future__ import annotations

import re

import pytest

from wxtoken_asgi import ConfigError
from wxtoken_asgi.clients import RIGHTS, Client, trusted_client
from wxtoken_asgi.keys import MARK, Key, digest_of, hide, mask, new_key, sent_key, shown
from wxtoken_asgi.networks import Networks
from wxtoken_asgi.peers import Peers

SLIP = "wxk_not-to-be-shown"
LINE = "sha256:" + "ab" * 32


def test_a_key_has_a_mark_and_256_random_bits():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(MARK + "[A-Za-z0-9_-]{43}", key) for key in keys)


@pytest.mark.parametrize("until", [None, 1_800_000_000.0])
def test_a_key_s_line_is_read_back_and_tells_nothing_of_it(until):
    key = new_key()
    line = Key.of(key, until).line
    assert Key.parse("keys", line) == Key(digest_of(key.encode()), until)
    assert key not in line
    assert Key.of(key).id in line
    assert len(Key.of(key).id) == 12


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2027-01-31", 1_801_353_600.0),
        ("2027-01-31T00:00:00Z", 1_801_353_600.0),
        ("2027-01-31T08:00:00+08:00", 1_801_353_600.0),
    ],
)
def test_an_end_is_a_day_in_utc_or_a_time_with_its_zone(text, until):
    assert Key.parse("keys", f"{LINE} until {text}").until == until


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "a line that `wxtoken key` prints"),
        ("sha256:ab", "a line that `wxtoken key` prints"),
        (LINE.upper(), "a line that"),
        (LINE + " ", "a line that"),
        ("wxk_something-secret", "that is the key itself"),
        (LINE + " until tomorrow", "'tomorrow' is no date"),
        (LINE + " until 2027-01-31T12:00:00", "'2027-01-31T12:00:00' needs a time zone"),
        (LINE + " until 2027-01-31t12:00", "needs a time zone"),
        (LINE + " until 20270131", "needs a time zone"),
        (LINE + " until 2027-W04-7", "needs a time zone"),
        (LINE + " until 9999-12-31T23:59:59-14:00", "no time from the year 1 to 9999"),
        (LINE + " until 0001-01-01T00:00:00+14:00", "no time from the year 1 to 9999"),
        (LINE + " until wxk_something-secret", "until 'wxk_\\*\\*\\*' is no date"),
        ("my-WXK%5fsomething-secret", "that is the key itself"),
    ],
)
def test_what_is_no_key_s_line_is_refused_and_not_repeated_where_it_may_be_the_key(line, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Key.parse("client crm: keys", line)
    assert str(caught.value).startswith("client crm: keys: ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer   abc  ", b"abc"),
        (b"BEARER a.b-c_d~e+f/g=", b"a.b-c_d~e+f/g="),
        (b"Bearer", b""),
        (b"Bearer a b", b""),
        (b"Bearer \xff", b""),
        (b"Bearer " + b"a" * 257, b""),
        (b"Basic dXNlcjpwYXNz", None),
        (b"", None),
        (b"abc", None),
    ],
)
def test_a_key_is_sent_as_a_bearer_token(header, key):
    assert sent_key(header) == key


# clients


def test_a_client_says_what_it_is_and_no_key():
    key = new_key()
    client = Client("crm", keys=[Key.of(key).line], accounts=["alpha"], networks=["10.0.0.0/8"])
    assert client.may == ("read", "refresh", "js-config")
    assert key not in repr(client)
    assert trusted_client(["::1"]).may == RIGHTS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a b"}, "client 'a b': name must be"),
        ({"name": "..."}, "name must be"),
        ({"name": 3}, "name must be"),
        ({"keys": LINE}, "client crm: keys: must be a list"),
        ({"keys": ["x"]}, "client crm: keys: a key must be"),
        ({"accounts": 3}, "client crm: accounts: must be a list"),
        (
            {"may": ["read", "write"]},
            "client crm: may: 'write' is none of read, refresh, call, operate, js-config",
        ),
        ({"networks": ["10.0.0.1/8"]}, "client crm: networks: '10.0.0.1/8' has host bits set"),
        ({"keys": None}, "client crm: it needs keys, or networks"),
        ({"keys": SLIP}, "client crm: keys: must be a list of strings, not str"),
        ({"networks": SLIP}, "client crm: networks: must be a list of strings, not str"),
        ({"networks": [SLIP]}, "client crm: networks: 'wxk_***' is no address or network"),
        ({"networks": ["::1", 1]}, "client crm: networks: must be a list of strings; int is none"),
        ({"networks": ["fe80::1%eth0"]}, "client crm: networks: 'fe80::1%eth0' has a zone; write 'fe80::1'"),
        ({"may": [SLIP]}, "client crm: may: 'wxk_***' is none of read"),
        ({"name": SLIP}, "client 'wxk_***': name must not begin as a key does"),
        ({"name": f"a {SLIP}"}, "client 'wxk_***': name must be"),
        ({"name": SLIP.upper()}, "client 'wxk_***': name must not begin as a key does"),
        ({"name": "Trusted"}, "client Trusted: the setting trusted is called so; choose another name"),
    ],
)
def test_a_wrong_client_is_refused_by_name_and_field(options, words):
    options = {"name": "crm", "keys": [LINE]} | options
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        Client(**options)
    assert "not-to-be-shown" not in str(caught.value).lower()


def test_a_client_without_keys_is_another_than_one_whose_keys_are_all_revoked():
    assert Client("lan", networks=["::1"]).keys is None
    assert Client("crm", keys=[]).keys == ()
    assert Client("crm", keys=(), networks=["::1"]).known_keys == ()


# what messages show


@pytest.mark.parametrize(
    "text",
    [SLIP, f"x{SLIP}", f"http://h/?k={SLIP}", SLIP.upper(), "wxk%5Fnot-to-be-shown", f"{'x' * 80}{SLIP}"],
)
def test_of_a_value_with_a_key_in_it_nothing_is_shown(text):
    assert shown(text) == shown([text]) == "'wxk_***'"
    assert "not-to-be-shown" not in hide(f"see {text}, and {text}").lower()


@pytest.mark.parametrize("text", ["5ec5" * 8, f"x {'5EC5' * 8} y", f"{'0' * 70}"])
def test_of_a_value_that_may_be_an_appsecret_nothing_is_shown(text):
    assert shown(text) == shown([text]) == "'***'"
    with pytest.raises(ConfigError, match=r"^hosts: '\*\*\*' is no host name"):
        Peers(hosts=[f"{text} "])


def test_what_is_shorter_than_an_appsecret_is_shown():
    assert shown("5ec5" * 7 + "5ec") == f"'{'5ec5' * 7}5ec'"
    assert mask(f"a {'5ec5' * 9}: b") == "a ***: b"


def test_a_value_without_a_key_is_shown_as_far_as_a_line_has_room():
    assert shown("wxk") == "'wxk'"
    assert shown("x" * 100) == f"'{'x' * 56}..."
    assert hide("names begin with 'wxk_'") == "names begin with 'wxk_'"
    assert hide(hide(f"a {SLIP} b")) == "a wxk_*** b"


def test_a_key_among_addresses_is_not_shown():
    for entry in (SLIP, f"::1/{SLIP}", f"{SLIP}/8"):
        with pytest.raises(ConfigError, match=r"^trusted: 'wxk_\*\*\*' is no address or network$"):
            Networks.parse("trusted", [entry])
