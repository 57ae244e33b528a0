"""P12: bad input gets a clear error; a wrong configuration stops the start with one line."""

from __future__ import annotations

import pytest

from wxtoken_asgi import Account, ConfigError, TokenManager, WxTokenMiddleware
from wxtoken_asgi.config import load

GOOD = {"name": "alpha", "appid": "wx00000000000000a1", "secret": "s" * 32}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a/b"),
        ("name", ".."),
        ("name", "x" * 65),
        ("appid", "wx 1"),
        ("secret", ""),
        ("secret", "with space"),
        ("tickets", "jsapi"),
        ("js_domains", ["https://example.com"]),
        ("daily_quota", 0),
        ("daily_quota", True),
        ("api_base", "http://example.com"),
        ("proxy", "ftp://proxy"),
        ("timeout", 0),
        ("timeout", 11),
    ],
)
def test_a_wrong_field_is_named_in_one_line(field, value):
    with pytest.raises(ConfigError) as caught:
        Account(**(GOOD | {field: value}))
    said = str(caught.value)
    assert field in said
    assert "account" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prefix", "wx"),
        ("trusted", ["10.0.0.0/33"]),
        ("trusted", "127.0.0.1"),
        ("trusted_proxies", ["proxy"]),
    ],
)
def test_a_wrong_option_of_the_middleware_is_named(field, value):
    tokens = TokenManager([Account(**GOOD)])
    with pytest.raises(ConfigError, match=field):
        WxTokenMiddleware(tokens=tokens, **{field: value})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prefx = "/wx"', "prefix"),
        ('[accounts.alpha]\nappid = "wx1"\nsecret = "s"\nstore = "memory:"', "store"),
        ('[accounts.alpha]\nappid = "wx1"\nappSecret = "s"', "secret"),
        ('[accounts.alpha]\nappid = "wx1"', "secret"),
        ("prefix = [", "line"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, text, said):
    path = tmp_path / "wxtoken.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load(str(path), environ={})
    assert "\n" not in str(caught.value)
