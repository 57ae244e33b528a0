"""The configuration: where each setting comes from, and what goes before what."""

from __future__ import annotations

import dataclasses
import textwrap

import pytest

from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config.sections import reference
from wxtoken_asgi.config.settings import ACCOUNT, SETTINGS, TOP
from wxtoken_asgi.records import Account

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


# Defaults and the table


def test_without_a_file_all_defaults_hold(folder):
    assert load(environ={}) == Config()


def test_the_defaults_are_those_of_the_table():
    for row in TOP.values():
        if row.name not in {"store", "store_env", "store_file", "include"}:
            assert getattr(Config(), row.name) == row.default, row.name


def test_an_account_s_defaults_are_those_of_the_table():
    for name in {field.name for field in dataclasses.fields(Account)} - {"name", "appid", "secret"}:
        assert getattr(Account("alpha", "wx01", SECRET), name) == ACCOUNT[name].default, name


def test_the_reference_has_a_line_for_each_setting():
    lines = list(reference())
    assert len(lines) == 2 + len(SETTINGS)
    assert '| `api_base` | top and account | text in quotes | `"https://api.weixin.qq.com"` |' in "\n".join(
        lines
    )
    assert "| `keys` | client | a list of texts |  |" in "\n".join(lines)
    assert '| `trusted` | top | a list of texts | `["127.0.0.0/8", "::1"]` |' in "\n".join(lines)


GOOD = {
    "prefix": ("/wx", "/wx", "/wx"),
    "store": ("memory:", "memory:", "memory:"),
    "trusted": (["10.0.0.0/8", "::1"], "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
    "trusted_proxies": (["10.0.0.1"], '["10.0.0.1"]', ("10.0.0.1",)),
    "hosts": (["wx.internal"], "wx.internal", ("wx.internal",)),
    "namespace": ("staging", "staging", "staging"),
    "fetches": (8, "8", 8),
    "ask_every": (60, "60", 60.0),
    "probe_every": (300, "300", 300.0),
    "js_config_ticket": (True, "yes", True),
    "js_config_open": (False, "no", False),
    "watch_every": (0, "0", 0.0),
    "hooks": ("shop.wx:hooks", "shop.wx:hooks", "shop.wx:hooks"),
    "api_base": ("http://127.0.0.1:8001", "http://127.0.0.1:8001", "http://127.0.0.1:8001"),
    "proxy": ("http://proxy:3128", "http://proxy:3128", "http://proxy:3128"),
    "timeout": (2.5, "2.5", 2.5),
    "host": ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
    "port": (0, "0", 0),
    "js_config_host": ("::1", "::1", "::1"),
    "js_config_port": (0, "0", 0),
    "audit_log": ("stdout", "stdout", "stdout"),
    "workers": (4, "4", 4),
    "app": ("shop.main:app", "shop.main:app", "shop.main:app"),
}


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


def test_the_table_of_good_values_is_complete():
    assert set(GOOD) == {field.name for field in dataclasses.fields(Config)} - {
        "accounts",
        "clients",
        "notes",
        "places",
    }


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_comes_from_the_file(read, name):
    assert getattr(read(f"{name} = {toml(GOOD[name][0])}"), name) == GOOD[name][2]


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_comes_from_the_environment(folder, name):
    config = load(environ={f"WXTOKEN_{name.upper()}": GOOD[name][1]})
    assert getattr(config, name) == GOOD[name][2]


@pytest.mark.parametrize("name", GOOD)
def test_a_setting_comes_from_a_flag(folder, name):
    assert getattr(load(environ={}, overrides={name: GOOD[name][0]}), name) == GOOD[name][2]


@pytest.mark.parametrize(("text", "value"), [("on", True), ("TRUE", True), ("0", False), ("no", False)])
def test_a_switch_has_several_words(folder, text, value):
    assert load(environ={"WXTOKEN_JS_CONFIG_TICKET": text}).js_config_ticket is value


def test_a_flag_goes_before_the_environment_and_that_before_the_file(read):
    assert read("port = 1").port == 1
    assert read("port = 1", environ={"WXTOKEN_PORT": "2"}).port == 2
    assert read("port = 1", environ={"WXTOKEN_PORT": "2"}, port=3).port == 3


def test_the_environment_names_the_file(folder):
    (folder / "named.toml").write_text("port = 7")
    (folder / "given.toml").write_text("port = 8")
    assert load(environ={"WXTOKEN_CONFIG": "named.toml"}).port == 7
    assert load("given.toml", environ={"WXTOKEN_CONFIG": "named.toml"}).port == 8


def test_the_process_s_own_environment_is_the_default(folder, monkeypatch):
    monkeypatch.setenv("WXTOKEN_PORT", "9")
    assert load().port == 9


def test_a_file_may_begin_with_a_byte_order_mark(folder):
    (folder / "wx.toml").write_bytes(b"\xef\xbb\xbfport = 1\r\nworkers = 2\r\n")
    assert load("wx.toml", environ={}).workers == 2


@pytest.mark.parametrize("place", ["", "below/"])
def test_a_file_for_audit_records_is_relative_to_the_configuration_file(folder, place):
    (folder / "below").mkdir()
    (folder / f"{place}wx.toml").write_text('audit_log = "audit.log"')
    assert load(f"{place}wx.toml", environ={}).audit_log == f"{place}audit.log"
    assert load(f"{place}wx.toml", environ={"WXTOKEN_AUDIT_LOG": "/a"}).audit_log == "/a"


# Accounts


def test_an_account_is_built_of_its_table(read):
    config = read(
        f"""
        [accounts.alpha]
        appid = "wx01"
        secret = "{SECRET}"
        endpoint = "token"
        tickets = ["jsapi"]
        js_domains = ["www.example.com"]
        daily_quota = 200
        api_base = "http://127.0.0.1:8001"
        proxy = "http://proxy:3128"
        timeout = 5
        """
    )
    assert config.accounts == (
        Account(
            "alpha", "wx01", SECRET, "token", ("jsapi",), ("www.example.com",), 200, "http://127.0.0.1:8001",
            "http://proxy:3128", 5,
        ),
    )  # fmt: skip


def test_the_top_holds_defaults_for_all_accounts(read):
    config = read(
        f"""
        timeout = 3
        api_base = "http://127.0.0.1:8001"
        proxy = "http://proxy:3128"
        {ALPHA}
        [accounts.beta]
        appid = "wx02"
        secret = "{SECRET}"
        timeout = 4
        """
    )
    alpha, beta = config.accounts
    assert (alpha.timeout, alpha.api_base, alpha.proxy) == (3, "http://127.0.0.1:8001", "http://proxy:3128")
    assert (beta.timeout, beta.api_base) == (4, "http://127.0.0.1:8001")


def test_neither_the_repr_nor_that_of_an_account_shows_a_secret(read):
    text = repr(read(f'store = "redis://:{SECRET}@h"\nproxy = "http://u:{SECRET}@h"\n{ALPHA}'))
    assert "alpha" in text
    assert SECRET not in text


ACCOUNT_VARIABLES = {
    "appid": ("wx09", "wx09"),
    "secret": (SECRET, SECRET),
    "endpoint": ("token", "token"),
    "tickets": ("jsapi", ("jsapi",)),
    "js_domains": ('["a.com","b.com"]', ("a.com", "b.com")),
    "daily_quota": ("200", 200),
    "api_base": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "proxy": ("http://h:1", "http://h:1"),
    "timeout": ("1.5", 1.5),
}


def test_the_table_of_account_variables_is_complete():
    assert set(ACCOUNT_VARIABLES) == set(ACCOUNT) - {"secret_env", "secret_file"}


@pytest.mark.parametrize("name", ACCOUNT_VARIABLES)
def test_a_setting_of_an_account_comes_from_the_environment(read, name):
    text, value = ACCOUNT_VARIABLES[name]
    (alpha,) = read(ALPHA, environ={f"WXTOKEN_ACCOUNTS__ALPHA__{name.upper()}": text}).accounts
    assert alpha.name == "alpha"
    assert getattr(alpha, name) == value


@pytest.mark.parametrize(
    ("name", "variable"),
    [("Shop-1", "SHOP_1"), ("a.b-c", "A_B_C"), ("a--b", "A__B"), ("公众号", "公众号"), ("straße", "STRASSE")],
)
def test_a_variable_finds_an_account_of_any_name(read, name, variable):
    text = f'[accounts."{name}"]\nappid = "wx01"'
    (account,) = read(text, environ={f"WXTOKEN_ACCOUNTS__{variable}__SECRET": SECRET}).accounts
    assert (account.name, account.secret) == (name, SECRET)


def test_the_environment_alone_makes_an_account_with_a_name_in_lower_case(folder):
    environ = {"WXTOKEN_ACCOUNTS__GAMMA_2__APPID": "wx01", "WXTOKEN_ACCOUNTS__GAMMA_2__SECRET": SECRET}
    assert load(environ=environ).accounts == (Account("gamma_2", "wx01", SECRET),)
