"""The configuration: secrets that stand elsewhere, and files that a file includes."""

from __future__ import annotations

import textwrap

import pytest

from wxtoken_asgi.config import load
from wxtoken_asgi.errors import ConfigError

SECRET = "5f4dcc3b5aa765d61d8327deb882cf99"
ALPHA = f"""
[accounts.alpha]
appid = "wx01"
secret = "{SECRET}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(folder):
    """Writes `wx.toml` and loads it, as the command line would from its folder."""

    def read(text, *, environ=None, **flags):
        (folder / "wx.toml").write_text(textwrap.dedent(text), encoding="utf-8")
        return load("wx.toml", environ=environ or {}, overrides=flags)

    return read


@pytest.fixture
def refused(read):
    def refused(text, *, environ=None, **flags):
        with pytest.raises(ConfigError) as caught:
            read(text, environ=environ, **flags)
        message = str(caught.value)
        assert SECRET not in message
        assert "\n" not in message
        return message

    return refused


# Secrets that stand elsewhere


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"\xef\xbb\xbfabc\n", "abc"),
    ],
)
def test_one_newline_at_a_secret_file_s_end_is_dropped(read, folder, content, secret):
    (folder / "alpha.secret").write_bytes(content)
    (alpha,) = read('[accounts.alpha]\nappid = "wx01"\nsecret_file = "alpha.secret"').accounts
    assert alpha.secret == secret


def test_a_second_newline_stays_and_is_refused(refused, folder):
    (folder / "alpha.secret").write_bytes(SECRET.encode() + b"\n\n")
    message = refused('[accounts.alpha]\nappid = "wx01"\nsecret_file = "alpha.secret"')
    assert (
        message == "wx.toml: account alpha: secret must be the AppSecret: ASCII, without blanks or line ends"
    )


def test_a_secret_comes_from_the_variable_that_secret_env_names(read):
    text = '[accounts.alpha]\nappid = "wx01"\nsecret_env = "ALPHA"'
    assert read(text, environ={"ALPHA": SECRET}).accounts[0].secret == SECRET


def test_a_variable_that_secret_env_names_may_begin_as_ours_do(read):
    text = '[accounts.alpha]\nappid = "wx01"\nsecret_env = "WXTOKEN_ALPHA"'
    assert read(text, environ={"WXTOKEN_ALPHA": SECRET}).accounts[0].secret == SECRET


def test_a_secret_file_is_relative_to_the_file_that_names_it(read, folder):
    (folder / "accounts.d").mkdir()
    (folder / "accounts.d" / "key").write_text(SECRET)
    (folder / "accounts.d" / "a.toml").write_text('[accounts.alpha]\nappid = "wx01"\nsecret_file = "key"')
    assert read('include = ["accounts.d/a.toml"]').accounts[0].secret == SECRET


@pytest.mark.parametrize("form", ["secret", "secret_env", "secret_file"])
def test_any_form_of_a_secret_in_the_environment_goes_before_any_in_the_file(read, folder, form):
    (folder / "key").write_text("new")
    value = {"secret": "new", "secret_env": "OTHER", "secret_file": "key"}[form]
    environ = {"OTHER": "new", f"WXTOKEN_ACCOUNTS__ALPHA__{form.upper()}": value}
    assert read(ALPHA, environ=environ).accounts[0].secret == "new"


def test_the_store_may_stand_in_a_file_or_a_variable(read, folder):
    (folder / "url").write_text("redis://h\n")
    assert read('store_file = "url"').store == "redis://h"
    assert read('store_env = "STORE"', environ={"STORE": "redis://e"}).store == "redis://e"
    assert read('store_env = "STORE"', store="memory:").store == "memory:"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'secret = "{SECRET}"\nsecret_env = "X"', "secret and secret_env exclude each other"),
        (
            f'secret = "{SECRET}"\nsecret_env = "X"\nsecret_file = "y"',
            "secret and secret_env and secret_file exclude each other",
        ),
        ('secret_env = "NOT_SET"', "secret_env: the environment variable 'NOT_SET' is not set"),
        (f'secret_env = "{SECRET}"', "secret_env: the environment variable named there is not set"),
        ('secret_env = "EMPTY"', "secret_env: nothing stands there"),
        ('secret_env = ""', "secret_env must be something, not empty, on one line"),
        ('secret_env = "SPACED"', "secret must be the AppSecret: ASCII, without blanks or line ends"),
        ('secret_file = "nope"', "secret_file: 'nope' cannot be read: No such file or directory"),
        (f'secret_file = "{SECRET}"', "secret_file: named there cannot be read: No such file or directory"),
        ('secret_file = "."', "secret_file: '.' cannot be read: Is a directory"),
        ('secret_file = "binary"', "secret_file: 'binary' cannot be read: it is no UTF-8 text"),
        ('secret_file = "empty"', "secret_file: nothing stands there"),
        ('secret_file = "a\\u0000b"', "secret_file must be something, not empty, on one line"),
        ('secret = ""', "secret must be the AppSecret: ASCII, without blanks or line ends"),
        ("", "secret, secret_env or secret_file is missing"),
    ],
)
def test_a_secret_that_cannot_be_had_is_refused(refused, folder, line, message):
    (folder / "binary").write_bytes(b"\xff\xfe" + SECRET.encode())
    (folder / "empty").write_bytes(b"\n")
    environ = {"EMPTY": "", "SPACED": f"{SECRET} {SECRET}"}
    said = refused(f'[accounts.alpha]\nappid = "wx01"\n{line}', environ=environ)
    assert said == f"wx.toml: account alpha: {message}"


def test_a_store_that_cannot_be_had_is_refused(refused):
    assert refused('store = "memory:"\nstore_env = "X"') == "wx.toml: store and store_env exclude each other"
    assert refused('store_file = "nope"') == (
        "wx.toml: store_file: 'nope' cannot be read: No such file or directory"
    )
    said = refused('store_env = "X"', environ={"X": f"redis://:{SECRET}@h\nmore"})
    assert said == "wx.toml: store must be something, not empty, on one line"


# Included files


def test_included_files_are_read_in_the_order_of_their_names(read, folder):
    (folder / "accounts.d").mkdir()
    for name in ("b", "a", "c"):
        text = f'[accounts.{name}]\nappid = "wx0{name}"\nsecret = "{SECRET}"'
        (folder / "accounts.d" / f"{name}.toml").write_text(text)
    (folder / "accounts.d" / "readme.txt").write_text("no TOML")
    config = read(f'include = ["accounts.d/*.toml", "accounts.d/a.toml"]\n{ALPHA}')
    assert [account.name for account in config.accounts] == ["alpha", "a", "b", "c"]


def test_a_pattern_may_match_nothing(read):
    assert read('include = ["accounts.d/*.toml"]').accounts == ()


def test_a_pattern_may_be_absolute(read, folder):
    (folder / "more.toml").write_text(ALPHA)
    assert len(read(f'include = ["{folder}/m*.toml"]').accounts) == 1


def test_the_environment_may_name_included_files(folder):
    (folder / "more.toml").write_text(ALPHA)
    assert len(load(environ={"WXTOKEN_INCLUDE": "more.toml"}).accounts) == 1


@pytest.mark.parametrize(
    ("included", "message"),
    [
        ("port = 1", "more.toml: port: an included file may hold [accounts.NAME] and [clients.NAME] only"),
        (ALPHA, "more.toml: account alpha: stands in wx.toml already"),
        ("x = ", "more.toml: no TOML: Invalid value (at line 1, the last one)"),
    ],
)
def test_what_an_included_file_may_not_hold_is_refused(refused, folder, included, message):
    (folder / "more.toml").write_text(included)
    assert refused(f'include = ["more.toml"]\n{ALPHA}') == message


def test_an_included_file_that_is_not_there_is_refused(refused):
    assert refused('include = ["nope.toml"]') == "wx.toml: include: there is no file 'nope.toml'"


def test_an_account_in_two_included_files_names_both(refused, folder):
    (folder / "a.toml").write_text("[accounts.alpha]")
    (folder / "b.toml").write_text("[accounts.alpha]")
    assert refused('include = ["[ab].toml"]') == "b.toml: account alpha: stands in a.toml already"


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ("i1", "i2", "b.toml: account i2: appid is the one of account i1 already"),
        ("shop", "Shop", "b.toml: account Shop: name differs from account shop in upper and lower case only"),
        ("i1", "wx01", "b.toml: account wx01: appid is the one of account i1 already"),
    ],
)
def test_of_two_accounts_that_cannot_live_together_the_file_is_named(refused, folder, one, two, message):
    for name, account in (("a", one), ("b", two)):
        (folder / f"{name}.toml").write_text(f'[accounts.{account}]\nappid = "wx01"\nsecret = "{SECRET}"')
    assert refused('include = ["[ab].toml"]') == message
