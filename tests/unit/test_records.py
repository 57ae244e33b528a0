"""Accounts and credentials: what is taken, what is refused with which words, and what is never shown."""

from __future__ import annotations

import dataclasses

import pytest

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import shown
from wxtoken_asgi.records import Account, Credential, digest, is_loopback_url

SECRET = "0123456789abcdef-appsecret"
PROXY = "http://user:proxy-password@proxy.example:3128"


def account(**changes):
    return Account(**({"name": "alpha", "appid": "wx01", "secret": SECRET} | changes))


def complaint(**changes):
    with pytest.raises(ConfigError) as caught:
        account(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    assert "proxy-password" not in message
    return message


def test_the_defaults_are_the_designs():
    alpha = account()
    assert (alpha.endpoint, alpha.tickets, alpha.js_domains) == ("stable", (), ())
    assert (alpha.daily_quota, alpha.timeout, alpha.proxy) == (2000, 10, None)
    assert alpha.api_base == "https://api.weixin.qq.com"


def test_an_account_cannot_be_changed_and_shows_no_secret():
    alpha = account(proxy=PROXY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        alpha.name = "beta"
    assert SECRET not in repr(alpha)
    assert "proxy-password" not in repr(alpha)
    assert "wx01" in repr(alpha)


GOOD = [
    *[("name", name) for name in ("a", "Alpha-1_b.c", "公众号", "Кириллица", "٣", "x" * 64, ".a", "a.")],
    *[("appid", appid) for appid in ("wx0123456789abcdef", "ww_corp-1", "x" * 64)],
    *[("secret", secret) for secret in ("x", "a~!@#$%^&*()", "0" * 500)],
    ("endpoint", "token"), ("endpoint", "another"),
    ("tickets", ("jsapi",)), ("tickets", ()),
    ("js_domains", ("www.example.com", "*.example.com", "例子.中国")),
    ("daily_quota", 1), ("daily_quota", 200), ("timeout", 0.1), ("timeout", 10), ("timeout", 10.0),
    ("api_base", "https://sh.api.weixin.qq.com"), ("api_base", "https://gateway.example:8443/wechat/v1"),
    ("api_base", "http://127.0.0.1:8000"), ("api_base", "http://localhost"), ("api_base", "http://[::1]:1"),
    ("api_base", "http://127.8.9.10:1"),
    ("proxy", None), ("proxy", PROXY), ("proxy", "https://p:1"), ("proxy", "socks5://p"), ("proxy", "socks5h://p:1"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_good_values_are_kept(field, value):
    assert getattr(account(**{field: value}), field) == value


BAD = [
    *[("name", name) for name in ("", "x" * 65, "a b", "a/b", "a\n", "..", ".", "😀", 7, None, b"alpha")],
    *[("appid", appid) for appid in ("", "x" * 65, "wx 01", "wx/01", "wx01\n", "微信", 7, None)],
    *[("secret", secret) for secret in ("", " ", f"{SECRET} ", f"{SECRET}\n", f"{SECRET}密")],
    ("secret", f"{SECRET}\x00"), ("secret", 7), ("secret", None),
    ("endpoint", None), ("endpoint", 7),
    ("tickets", "jsapi"), ("tickets", None), ("tickets", ["jsapi", 7]), ("tickets", {"jsapi"}),
    ("js_domains", "www.example.com"), ("js_domains", ["https://www.example.com"]), ("js_domains", [""]),
    ("js_domains", ["a b"]), ("js_domains", ["www.example.com:443"]), ("js_domains", ["a.*.com"]),
    ("daily_quota", 0), ("daily_quota", -1), ("daily_quota", 2000.0), ("daily_quota", "2000"),
    ("daily_quota", True), ("daily_quota", None),
    *[("timeout", number) for number in (0, -1, 10.1, float("nan"), float("inf"), "10", True, None)],
    *[
        ("api_base", address)
        for address in (
            "", "api.weixin.qq.com", "http://api.weixin.qq.com", "ftp://127.0.0.1", "https://", "https:///path",
            "https://api.weixin.qq.com?", "https://api.weixin.qq.com?a=b", "https://api.weixin.qq.com#",
            "https://api.weixin.qq.com/#x", "https://user@api.weixin.qq.com", "https://u:p@api.weixin.qq.com",
            "https://api.weixin.qq.com:99999", "https://api.weixin.qq.com:port", "https://[::1",
            "https://a b", "https://user:proxy-password@api.weixin.qq.com",
            "https://api.weixin.qq.com\n", "https://api.weixin.qq.com\t/x", " https://api.weixin.qq.com",
            "https://微信", "https://api.weixin.qq.com\\@evil.example", "http://127.0.0.1.evil.example",
            "http://localhost.evil.example", "http://127.0.0.1@evil.example", "http://128.0.0.1", 7, None,
        )
    ],
    *[
        ("proxy", address)
        for address in (
            "", "proxy:3128", "user:proxy-password@proxy:3128", "ftp://user:proxy-password@proxy",
            "http://", "http://user:proxy-password@", "http://user:proxy-password@proxy:port",
            "http://user:proxy-password@proxy:99999", "http://user:proxy-password@[::1", "http://proxy\n",
            "http://pro xy", 7, ["http://proxy"],
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_values_are_refused_in_one_line_that_names_account_and_field(field, value):
    message = complaint(**{field: value})
    if field == "name":
        assert message == f"account {shown(value)}: name must be 1-64 letters, digits, '_', '-' or '.'"
    else:
        assert message.startswith(f"account alpha: {field} must be ")
    if field not in {"secret", "proxy"} and "@" not in str(value):
        assert message.endswith(f"not {shown(value)}") or field in {"name", "js_domains"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.weixin.qq.com/", "https://api.weixin.qq.com"),
        ("https://g.example/a//", "https://g.example/a"),
    ],
)
def test_an_api_base_loses_its_last_slashes(given, kept):
    assert account(api_base=given).api_base == kept


def test_lists_become_tuples_so_that_accounts_can_be_compared_and_hashed():
    listed = account(tickets=["jsapi"], js_domains=["www.example.com"])
    assert listed == account(tickets=("jsapi",), js_domains=("www.example.com",))
    assert len({listed, account()}) == 2


# what decides whether WeChat says yes


@pytest.mark.parametrize(
    "changes",
    [
        {"appid": "wx02"}, {"secret": "another"}, {"endpoint": "token"}, {"proxy": PROXY},
        {"api_base": "https://sh.api.weixin.qq.com"},
    ],
)  # fmt: skip
def test_the_fingerprint_changes_with_what_wechat_sees(changes):
    assert account(**changes).fingerprint != account().fingerprint


@pytest.mark.parametrize(
    "changes", [{"name": "beta"}, {"tickets": ["jsapi"]}, {"timeout": 5}, {"daily_quota": 200}, {}]
)
def test_the_fingerprint_does_not_change_with_anything_else(changes):
    assert account(**changes).fingerprint == account().fingerprint


def test_the_fingerprint_tells_nothing_of_the_secret():
    fingerprint = account(proxy=PROXY).fingerprint
    assert SECRET not in fingerprint
    assert len(fingerprint) == 22


def test_a_digest_is_22_characters_and_keeps_its_words_apart():
    assert len(digest("a", "b")) == 22
    assert digest("a", "b") == digest("a", "b") != digest("ab")
    assert digest("a", "bc") != digest("ab", "c")
    assert digest("公众号") != digest("号众公")


# credentials


def test_a_credential_is_named_by_what_identifies_it():
    credential = Credential("wxtoken", "https://api.weixin.qq.com", "wx01", "token", "access_token")
    assert str(credential) == "wxtoken https://api.weixin.qq.com wx01 token access_token"
    assert credential == Credential(*credential)
    assert credential != credential._replace(namespace="other")


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True), ("http://LOCALHOST", True), ("https://127.0.0.1/x", True),
        ("http://127.255.0.3", True), ("http://[::1]:1/", True), ("http://0.0.0.0", False),
        ("http://localhost.example", False), ("http://127.0.0.1.example", False), ("http://[::2]", False),
        ("not an address", False),
    ],
)  # fmt: skip
def test_loopback_is_known_by_its_addresses(url, loopback):
    assert is_loopback_url(url) is loopback
