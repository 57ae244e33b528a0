"""Client keys: how they are made, written down and read."""

from __future__ import annotations

import re

import pytest

from wxtoken_asgi import ConfigError
from wxtoken_asgi.clients import RIGHTS, Client, trusted_client
from wxtoken_asgi.keys import MARK, Key, digest_of, new_key, sent_key

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
        (LINE + " until 2027-01-31T12:00:00", "needs a time zone"),
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
        ({"keys": []}, "client crm: it needs keys, or networks"),
    ],
)
def test_a_wrong_client_is_refused_by_name_and_field(options, words):
    options = {"name": "crm", "keys": [LINE]} | options
    with pytest.raises(ConfigError, match=re.escape(words)):
        Client(**options)
