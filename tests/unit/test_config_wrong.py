"""The configuration: which line a wrong one gets."""

from __future__ import annotations

import textwrap

import pytest

from wxtoken_asgi.config import load
from wxtoken_asgi.config.settings import ACCOUNT, TOP
from wxtoken_asgi.errors import ConfigError

SECRET = "5f4dcc3b5aa765d61d8327deb882cf99"
LINK = "; it looks like a service link of Kubernetes: set enableServiceLinks to false"
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


# Wrong values

WRONG = [
    ("prefix = 1", "prefix must be text in quotes, not a whole number"),
    ('prefix = "wx"', "prefix must be empty or a path such as '/wx', without a slash at its end, not 'wx'"),
    (
        'prefix = "/wx/"',
        "prefix must be empty or a path such as '/wx', without a slash at its end, not '/wx/'",
    ),
    ('store = ["memory:"]', "store must be text in quotes, not a list"),
    ('store = ""', "store must be something, not empty, on one line"),
    ("store_env = 1", "store_env must be text in quotes, not a whole number"),
    ('store_env = ""', "store_env must be something, not empty, on one line"),
    ("store_file = true", "store_file must be text in quotes, not true or false"),
    ('store_file = ""', "store_file must be something, not empty, on one line"),
    ('trusted = "::1"', "trusted must be a list of texts, not text"),
    ("trusted = [1]", "trusted must be a list of texts, not a list"),
    ('trusted_proxies = "::1"', "trusted_proxies must be a list of texts, not text"),
    ('hosts = "h"', "hosts must be a list of texts, not text"),
    ('include = "a.toml"', "include must be a list of texts, not text"),
    ('include = [""]', "include must be a list of patterns, none of them empty, not ['']"),
    ("namespace = 1", "namespace must be text in quotes, not a whole number"),
    ('namespace = ""', "namespace must be 1-64 letters, digits, '_', '-' or '.', not ''"),
    ('fetches = "8"', "fetches must be a whole number, not text"),
    ("fetches = true", "fetches must be a whole number, not true or false"),
    ("fetches = 8.0", "fetches must be a whole number, not a number"),
    ("fetches = 0", "fetches must be above 0, at most 1000000, not 0"),
    (f"fetches = {10**400}", "fetches must be above 0, at most 1000000, not '***'"),
    ('ask_every = "1"', "ask_every must be a number, not text"),
    ("probe_every = 59", "probe_every must be seconds, 0 or from 60 to 86400, not 59"),
    ("probe_every = -60", "probe_every must be seconds, 0 or from 60 to 86400, not -60"),
    ("probe_every = inf", "probe_every must be seconds, 0 or from 60 to 86400, not inf"),
    ("probe_every = true", "probe_every must be a number, not true or false"),
    ("ask_every = true", "ask_every must be a number, not true or false"),
    ('watch_every = "5"', "watch_every must be a number, not text"),
    ("watch_every = 0.01", "watch_every must be seconds, 0 or from 0.1 to 1000000, not 0.01"),
    ("ask_every = nan", "ask_every must be seconds, above 0, at most 1000000, not nan"),
    ("ask_every = inf", "ask_every must be seconds, above 0, at most 1000000, not inf"),
    ("js_config_ticket = 1", "js_config_ticket must be true or false, not a whole number"),
    ('js_config_ticket = "yes"', "js_config_ticket must be true or false, not text"),
    ("hooks = 1", "hooks must be text in quotes, not a whole number"),
    ('hooks = "shop.wx"', "hooks must be like 'module:object', not 'shop.wx'"),
    ("api_base = 1", "api_base must be text in quotes, not a whole number"),
    (
        'api_base = "http://api.weixin.qq.com"',
        "api_base must be an https:// address (http:// only on loopback), not 'http://api.weixin.qq.com'",
    ),
    ("proxy = 1", "proxy must be text in quotes, not a whole number"),
    (f'proxy = "ftp://u:{SECRET}@h"', "proxy must be a http, https or socks5 address"),
    ('timeout = "5"', "timeout must be a number, not text"),
    ("timeout = 11", "timeout must be seconds, above 0, at most 10, not 11"),
    ("host = 1", "host must be text in quotes, not a whole number"),
    ('host = ""', "host must be something, not empty, on one line, not ''"),
    ("port = 1979-05-27", "port must be a whole number, not a date"),
    ("port = 65536", "port must be 0 to 65535, not 65536"),
    ('js_config_open = "no"', "js_config_open must be true or false, not text"),
    ("js_config_host = 1", "js_config_host must be text in quotes, not a whole number"),
    ("js_config_port = -1", "js_config_port must be 0 to 65535, not -1"),
    ('audit_log = ""', "audit_log must be something, not empty, on one line, not ''"),
    ("workers = {}", "workers must be a whole number, not a table"),
    ("workers = 0", "workers must be 1 to 1024, not 0"),
    ("app = []", "app must be text in quotes, not a list"),
    ('app = "shop:"', "app must be like 'module:object', not 'shop:'"),
    ("accounts = []", "accounts must be tables such as [accounts.alpha]"),
    ("[[accounts]]", "accounts must be tables such as [accounts.alpha]"),
    ('accounts.alpha = "wx01"', "account alpha: must be a table, [accounts.NAME]"),
    ("[[accounts.alpha]]", "account alpha: must be a table, [accounts.NAME]"),
    ("[accounts.alpha]", "account alpha: appid is missing"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[line[:40] for line, _ in WRONG])
def test_a_wrong_value_at_the_top_is_refused(refused, line, message):
    assert refused(line) == f"wx.toml: {message}"


def test_each_setting_of_the_top_is_among_the_wrong_ones():
    assert {line.split(" ")[0] for line, _ in WRONG} >= set(TOP)


SECRET_ELSEWHERE = [
    (f'appid = "{SECRET} "\nsecret = "wx01"', "appid must be letters, digits, '_' and '-', not '***'"),
    (
        f'appid = "{SECRET.upper()}\\n"\nsecret = "wx01"',
        "appid must be letters, digits, '_' and '-', not '***'",
    ),
    (f'js_domains = ["{SECRET}:80"]', "js_domains must be hosts such as www.example.com, not '***'"),
    (
        f'api_base = "http://{SECRET}"',
        "api_base must be an https:// address (http:// only on loopback), not '***'",
    ),
    (f"{SECRET} = 1", "*** is no setting"),
    (f'"x {SECRET}" = 1', "'***' is no setting"),
]


@pytest.mark.parametrize(("line", "message"), SECRET_ELSEWHERE)
def test_a_secret_at_a_wrong_place_of_an_account_is_not_shown(refused, line, message):
    needed = "" if line.startswith("appid") else 'appid = "wx01"\nsecret = "s"'
    assert refused(f"[accounts.alpha]\n{needed}\n{line}") == f"wx.toml: account alpha: {message}"


@pytest.mark.parametrize(
    "text",
    [
        f'"{SECRET}" = 1',
        f'prefix = "{SECRET}"',
        f'include = ["{SECRET}"]',
        f"[accounts.{SECRET}]\nappid = 1",
        f"accounts.alpha.{SECRET} = 1",
        f'[accounts.alpha]\nappid = "wx01"\nsecret_env = "x{SECRET}"',
    ],
)
def test_a_secret_at_a_wrong_place_of_a_file_is_not_shown(refused, text):
    assert "***" in refused(text) or "named there" in refused(text)


def test_a_secret_in_a_variable_s_name_or_at_a_wrong_place_is_not_shown(refused):
    assert refused("", environ={f"WXTOKEN_{SECRET}": "x"}) == "WXTOKEN_*** is no setting"
    assert refused("", environ={"WXTOKEN_PORT": SECRET}).endswith("a whole number, not '***'")


WRONG_IN_ACCOUNT = [
    ("appid = 1", "appid must be text in quotes, not a whole number"),
    ('appid = "wx 1"', "appid must be letters, digits, '_' and '-', not 'wx 1'"),
    ("secret = 1", "secret must be text in quotes, not a whole number"),
    (f'secret = " {SECRET}"', "secret must be the AppSecret: ASCII, without blanks or line ends"),
    ("secret_env = 1", "secret_env must be text in quotes, not a whole number"),
    (f'secret_file = ["{SECRET}"]', "secret_file must be text in quotes, not a list"),
    ("endpoint = true", "endpoint must be text in quotes, not true or false"),
    ('tickets = "jsapi"', "tickets must be a list of texts, not text"),
    ('js_domains = "a.com"', "js_domains must be a list of texts, not text"),
    (
        'js_domains = ["http://a.com"]',
        "js_domains must be hosts such as www.example.com, not ('http://a.com',)",
    ),
    ("daily_quota = 2000.0", "daily_quota must be a whole number, not a number"),
    ("daily_quota = 0", "daily_quota must be a whole number from 1 to 1000000000, not 0"),
    ("api_base = 1", "api_base must be text in quotes, not a whole number"),
    (
        'api_base = "ftp://h"',
        "api_base must be an https:// address (http:// only on loopback), not 'ftp://h'",
    ),
    ("proxy = 1", "proxy must be text in quotes, not a whole number"),
    (f'proxy = "u:{SECRET}@h"', "proxy must be a http, https or socks5 address"),
    ("timeout = true", "timeout must be a number, not true or false"),
    ("timeout = nan", "timeout must be seconds, above 0, at most 10, not nan"),
]


@pytest.mark.parametrize(
    ("line", "message"), WRONG_IN_ACCOUNT, ids=[line[:40] for line, _ in WRONG_IN_ACCOUNT]
)
def test_a_wrong_value_of_an_account_is_refused(refused, line, message):
    needed = {"appid": 'appid = "wx01"', "secret": f'secret = "{SECRET}"'}
    needed.pop(line.split(" ")[0].split("_")[0], None)
    text = "\n".join(["[accounts.alpha]", *needed.values(), line])
    assert refused(text) == f"wx.toml: account alpha: {message}"


def test_each_setting_of_an_account_is_among_the_wrong_ones():
    assert {line.split(" ")[0] for line, _ in WRONG_IN_ACCOUNT} == set(ACCOUNT)


@pytest.mark.parametrize("name", sorted(set(TOP) - set(ACCOUNT)))
def test_a_setting_of_the_top_in_an_account_s_table_is_refused(refused, name):
    said = refused(f"[accounts.alpha]\n{name} = 1")
    assert said == f"wx.toml: account alpha: {name} belongs at the top, above the first [accounts.NAME]"


@pytest.mark.parametrize("name", sorted(set(ACCOUNT) - set(TOP)))
def test_a_setting_of_an_account_at_the_top_is_refused(refused, name):
    assert refused(f"{name} = 1") == f"wx.toml: {name} belongs into an account's table, [accounts.NAME]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prefx = 1", "prefx is no setting; did you mean prefix?"),
        ("Trusted = 1", "Trusted is no setting; did you mean trusted?"),
        ("account = 1", "account is no setting; did you mean accounts?"),
        ("zzz = 1", "zzz is no setting"),
        ('"a\\nb" = 1', "'a\\nb' is no setting"),
        ("list = []", "list is no setting; did you mean [accounts.NAME] tables?"),
        ("trushIp = []", "trushIp is no setting; did you mean trusted?"),
        ("trustIp = []", "trustIp is no setting; did you mean trusted?"),
        ('saveToken = "f"', "saveToken is no setting; did you mean hooks, with on_token?"),
        ('saveTicket = "f"', "saveTicket is no setting; did you mean hooks, with on_ticket?"),
        ('onerror = "f"', "onerror is no setting; did you mean hooks, with on_error?"),
        ('onError = "f"', "onError is no setting; did you mean hooks, with on_error?"),
        ("[accounts.a]\nappId = 1", "account a: appId is no setting; did you mean appid?"),
        ("[accounts.a]\nappSecret = 1", "account a: appSecret is no setting; did you mean secret?"),
        (
            "[accounts.a]\nappName = 1",
            "account a: appName is no setting; did you mean the NAME of [accounts.NAME]?",
        ),
        ("[accounts.a]\nsecert = 1", "account a: secert is no setting; did you mean secret?"),
        (
            "[accounts.a.accounts.b]",
            "account a: accounts belongs at the top, above the first [accounts.NAME]",
        ),
        ('[accounts."a\\nb"]\nx = 1', "account 'a\\nb': x is no setting"),
    ],
)
def test_an_unknown_key_is_refused_and_the_right_one_named(refused, line, message):
    assert refused(line) == f"wx.toml: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = ", "no TOML: Invalid value (at line 1, the last one)"),
        ("port = 1\nport = 2\n", "no TOML: Cannot overwrite a value (at line 2, column 9)"),
        (f'[accounts.a]\nsecret = "{SECRET}\n', "no TOML: Illegal character '\\n' (at line 2, column 43)"),
        (f"x = {'[' * 100_000}", "no TOML: a number or a nesting in it is too large"),
        (f"x = {'9' * 5_000}", "no TOML: a number or a nesting in it is too large"),
    ],
    ids=["value", "twice", "quote", "nesting", "number"],
)
def test_what_is_no_toml_is_refused_with_its_line(refused, text, message):
    assert refused(text) == f"wx.toml: {message}"


def test_a_file_that_cannot_be_read_is_refused(folder):
    with pytest.raises(ConfigError, match=r"^nope\.toml: cannot be read: No such file or directory$"):
        load("nope.toml", environ={})
    (folder / "wx.toml").write_bytes(b"\xff\xff")
    with pytest.raises(ConfigError, match=r"^wx\.toml: cannot be read: it is no UTF-8 text$"):
        load("wx.toml", environ={})


def test_a_wrong_flag_is_named(refused):
    assert refused("", port=70000) == "--port: port must be 0 to 65535, not 70000"
    assert refused("", ask_every="x") == "--ask-every: ask_every must be a number, not text"
    assert refused("", prot=1) == "--prot: prot is no setting; did you mean port?"


# Wrong variables


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("WXTOKEN_PORT", "http", "port must be a whole number, not 'http'"),
        ("WXTOKEN_PORT", "70000", "port must be 0 to 65535, not 70000"),
        ("WXTOKEN_ASK_EVERY", "soon", "ask_every must be a number, not 'soon'"),
        ("WXTOKEN_JS_CONFIG_TICKET", "maybe", "js_config_ticket must be true or false, not 'maybe'"),
        ("WXTOKEN_TRUSTED", '["::1", 1]', "trusted must be a list of texts, not '[\"::1\", 1]'"),
        ("WXTOKEN_TRUSTED", "[::1]", "trusted must be a list of texts, not '[::1]'"),
        (
            "WXTOKEN_PORT",
            "tcp://10.0.0.1:80",
            f"port must be a whole number, not 'tcp://10.0.0.1:80'{LINK}",
        ),
        ("WXTOKEN_ACCOUNTS__ALPHA__TIMEOUT", "x", "account alpha: timeout must be a number, not 'x'"),
        (
            "WXTOKEN_ACCOUNTS__ALPHA__TIMEOUT",
            "11",
            "account alpha: timeout must be seconds, above 0, at most 10, not 11.0",
        ),
        (
            "WXTOKEN_ACCOUNTS__ALPHA__SECRET_ENV",
            "",
            "account alpha: secret_env must be something, not empty, on one line",
        ),
        ("WXTOKEN_ACCOUNTS__ALPHA__SECERT", "x", "account alpha: secert is no setting; did you mean secret?"),
        (
            "WXTOKEN_ACCOUNTS__ALPHA__PREFIX",
            "x",
            "account alpha: prefix belongs at the top, above the first [accounts.NAME]",
        ),
        (
            "WXTOKEN_ACCOUNTS__ALPHA",
            "x",
            "write WXTOKEN_ACCOUNTS__NAME__SETTING, with two underscores before each part",
        ),
        (
            "WXTOKEN_ACCOUNTS__ALPHAA__SECRET",
            "x",
            "account alphaa: appid is missing; did you mean account alpha?",
        ),
    ],
)
def test_a_variable_with_a_wrong_value_is_named(refused, variable, text, message):
    assert refused(ALPHA, environ={variable: text}) == f"{variable}: {message}"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("WXTOKEN_PERFIX", "; did you mean WXTOKEN_PREFIX?"),
        ("WXTOKEN_CONFG", "; did you mean WXTOKEN_CONFIG?"),
        ("WXTOKEN_ZZZ", ""),
        (
            "WXTOKEN_ACCOUNTS_ALPHA_SECRET",
            "; write WXTOKEN_ACCOUNTS__NAME__SETTING, with two underscores before each part",
        ),
        (
            "WXTOKEN_SERVICE_HOST",
            LINK,
        ),
        (
            "WXTOKEN_PORT_80_TCP_ADDR",
            LINK,
        ),
    ],
)
def test_an_unknown_variable_is_refused(refused, variable, hint):
    assert refused(ALPHA, environ={variable: SECRET}) == f"{variable} is no setting{hint}"


def test_a_variable_that_fits_two_accounts_is_refused(refused):
    text = '[accounts.a-b]\nappid = "wx01"\n[accounts."a.b"]\nappid = "wx02"'
    said = refused(text, environ={"WXTOKEN_ACCOUNTS__A_B__SECRET": SECRET})
    assert said == "WXTOKEN_ACCOUNTS__A_B__SECRET: fits more than one account: a-b, a.b"


def test_accounts_that_cannot_live_together_are_refused(refused):
    text = f'{ALPHA}\n[accounts.beta]\nappid = "wx01"\nsecret = "{SECRET}"'
    assert refused(text) == "wx.toml: account beta: appid is the one of account alpha already"


def test_a_wrong_value_of_a_variable_is_not_blamed_on_the_file(refused):
    said = refused(ALPHA, environ={"WXTOKEN_ACCOUNTS__ALPHA__APPID": "wx 1"})
    assert said.startswith("WXTOKEN_ACCOUNTS__ALPHA__APPID: account alpha: appid must be")


def test_a_wrong_account_name_is_refused(refused):
    text = f'[accounts."a b"]\nappid = "wx01"\nsecret = "{SECRET}"'
    assert refused(text) == "wx.toml: account 'a b': name must be 1-64 letters, digits, '_', '-' or '.'"
