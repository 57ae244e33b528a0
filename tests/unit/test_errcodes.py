"""The table of WeChat's error numbers, and what is said about them."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtoken_asgi.errcodes import ERRCODES, WECOM, ErrCode, ErrorClass, classify, explain, lookup, seen_ip
from wxtoken_asgi.errtable import accounts, components, credentials, wecom

P = ErrorClass.PERMANENT
O = ErrorClass.OPERATOR  # noqa: E741  the letters of the fact sheet's table
R = ErrorClass.DEAD_TOKEN
T = ErrorClass.TRANSIENT
Q = ErrorClass.QUOTA
S = ErrorClass.STATE

CLASSES = {
    P: (
        *(40002, 40013, 40066, 40125, 40234, 40237, 41001, 41002, 41003, 41004, 41018, 43001, 43002, 43003),
        *(44002, 47001, 48017, 61024, 76001, 76002, 76003, 76021, 76022, 85005),
    ),
    O: (
        *(40048, 40164, 40243, 45035, 48001, 48004, 50001, 50002, 50003, 50004, 50007, 60011, 60020, 61004),
        *(89501, 89503, 89504, 89506, 89507),
    ),
    R: (40001, 40014, 42001, 42012),
    T: (-1, 0),
    Q: (45009, 45011, 48006),
    S: (40091, 40094, 42007, 61003, 61005, 61006, 61007, 61009, 61010, 61011, 61014, 61015, 61023),
}
# WeChat's own meaning of numbers that the fact sheet knows from WeCom.
OWN_MEANING = {40093: P, 42009: S, 45033: S, 48002: S}

ROWS = [
    *ERRCODES.values(),
    *WECOM.values(),
    credentials.WRONG_SECRET,
    accounts.CODE_MANAGEMENT,
    lookup(999999),
]

SECRET = "0123456789abcdef0123456789abcdef"

no_deadline = settings(deadline=None)  # a busy machine is no bug
IP_REFUSED = (
    "invalid ip 8.149.1.108 ipv6 ::ffff:8.149.1.108, not in whitelist rid: 6aac005a-01bfdbee-79769285"
)
WECOM_IP_REFUSED = (
    "not allow to access from your ip, hint: [1754279539], from ip: 8.149.1.108, "
    "more info at https://open.work.weixin.qq.com/devtool/query?e=60020"
)


@pytest.mark.parametrize(
    ("code", "cls"),
    [(code, cls) for cls, codes in CLASSES.items() for code in codes] + [*OWN_MEANING.items()],
)
def test_each_number_has_the_class_of_the_fact_sheet(code, cls):
    assert ERRCODES[code].code == code
    assert lookup(code).cls is cls


def test_the_table_holds_exactly_the_numbers_tested_here():
    assert sorted(ERRCODES) == sorted([code for codes in CLASSES.values() for code in codes] + [*OWN_MEANING])


def test_no_number_stands_in_the_table_twice():
    assert len(ERRCODES) == sum(map(len, (credentials.ROWS, accounts.ROWS, components.ROWS, wecom.ONLY)))
    assert len(WECOM) == len(wecom.OTHERWISE)
    assert not set(WECOM) & {row.code for row in wecom.ONLY}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.code))
def test_each_row_speaks_english_and_chinese_in_one_line_each(row):
    for words in (row.meaning, row.action):
        assert words.isascii()
        assert words == words.strip()
        assert words[-1] not in ".,;:"
        assert not re.search(r"[\x00-\x1f]", words)
    for words in (row.meaning_zh, row.action_zh):
        assert any("CJK UNIFIED" in unicodedata.name(char, "") for char in words)
        assert words == words.strip()
        assert words[-1] not in "。，；：.,;:"
        assert not re.search(r"[\x00-\x1f]", words)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.code))
def test_latin_words_and_numbers_are_set_off_from_chinese_by_a_blank(row):
    for words in (row.meaning_zh, row.action_zh):
        assert not re.search(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", words)
        assert not re.search(r"[,;:!?()]", words.replace("https://", "")), "Chinese punctuation"


@pytest.mark.parametrize("mapping", [ERRCODES, WECOM])
def test_the_table_cannot_be_changed(mapping):
    with pytest.raises(TypeError):
        mapping[1] = lookup(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        mapping[-1].cls = P


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (40013, "invalid appid"),
        (40125, "invalid appsecret"),
        (41002, "appid missing"),
        (42001, "access_token expired"),
        (45011, "api minute-quota reach limit, must slower, retry next minute"),
        (48006, "forbid to clear quota because of reaching the limit"),
        (50004, "user not allow to use accesstoken, maybe for punishment"),
        (61006, "component ticket is invalid"),
        (61024, "must use api(api_component_token) to get token for component acct"),
    ],
)
def test_a_row_knows_the_text_that_wechat_serves(code, text):
    assert lookup(code).text == text


def test_a_number_that_nobody_knows_is_worth_another_try():
    row = lookup(123456)
    assert (row.code, row.cls, row.text) == (123456, T, "")
    assert row.meaning == "WeChat answered with a number that this version does not know"


@pytest.mark.parametrize(("code", "known"), [(84999, False), (85000, True), (85999, True), (86000, False)])
def test_the_numbers_of_code_management_share_one_row(code, known):
    row = lookup(code)
    assert row.code == code
    assert row.cls is (P if known else T)
    assert ("code management" in row.meaning) is known
    assert lookup(code, wecom=True).cls is T


def test_code_management_does_not_hide_a_row_of_its_own():
    assert lookup(85005).text == "appid not bind weapp"


@pytest.mark.parametrize(
    ("code", "wechat", "wecom"),
    [
        (40001, R, P),
        (40091, S, P),
        (40093, P, R),
        (40094, S, P),
        (42009, S, R),
        (45033, S, T),
        (48002, S, O),
        (85005, P, O),
    ],
)
def test_wecom_means_something_else_by_some_numbers(code, wechat, wecom):
    assert lookup(code).cls is wechat
    assert lookup(code, wecom=True).cls is wecom
    assert lookup(code, wecom=True).meaning != lookup(code).meaning


@pytest.mark.parametrize("code", [40014, 42001, 60011, 60020, 42012])
def test_the_other_numbers_mean_the_same_at_wecom(code):
    assert lookup(code, wecom=True) is lookup(code)


def test_40001_is_a_wrong_secret_where_a_token_is_asked_for_and_a_dead_token_elsewhere():
    assert classify(40001, at_token_endpoint=True) is P
    assert classify(40001, at_token_endpoint=False) is R


@pytest.mark.parametrize("at_token_endpoint", [True, False])
def test_40001_of_wecom_is_a_wrong_secret_everywhere(at_token_endpoint):
    assert classify(40001, at_token_endpoint=at_token_endpoint, wecom=True) is P


@pytest.mark.parametrize(
    "code",
    [40013, 40125, 40001, 40002, 41002, 41004, 43002, 40164, 40243, 50004, 50007, 61024, 89503, 89506, 89507],
)
def test_what_only_a_person_can_cure_is_never_taken_for_a_passing_trouble(code):
    assert classify(code, at_token_endpoint=True) in {P, O}


@pytest.mark.parametrize("code", [40014, 42001, 42012])
def test_a_token_endpoint_never_speaks_of_a_dead_token(code):
    assert classify(code, at_token_endpoint=False) is R
    assert classify(code, at_token_endpoint=True) is T


@pytest.mark.parametrize(("code", "cls"), [(45009, Q), (45011, Q), (-1, T), (777, T), (61023, S)])
@pytest.mark.parametrize("at_token_endpoint", [True, False])
def test_other_numbers_mean_the_same_at_every_endpoint(code, cls, at_token_endpoint):
    assert classify(code, at_token_endpoint=at_token_endpoint) is cls


@no_deadline
@given(st.integers(), st.booleans(), st.booleans())
def test_every_number_has_a_class(code, at_token_endpoint, wecom):
    cls = classify(code, at_token_endpoint=at_token_endpoint, wecom=wecom)
    assert isinstance(cls, ErrorClass)
    assert not (at_token_endpoint and cls is R)


@pytest.mark.parametrize(
    ("errmsg", "ip"),
    [
        (IP_REFUSED, "8.149.1.108"),
        ("invalid ip 119.253.43.19, not in whitelist hint: [x]", "119.253.43.19"),
        ("access clientip is not registered hint: [XX] requestIP: 58.101.200.168", "58.101.200.168"),
        ("access clientip is not registered requestIP:58.101.200.168", "58.101.200.168"),
        (WECOM_IP_REFUSED, "8.149.1.108"),
        ("invalid ip 1.2.3.4.", "1.2.3.4"),
        ("invalid ip ::ffff:1.2.3.4, not in whitelist", "1.2.3.4"),
        ("invalid ip 2001:DB8::1 ipv6", "2001:db8::1"),
        ("invalid ip fe80::, not in whitelist", "fe80::"),
        ("invalid ip 1.2.3.400, from ip: 1.2.3.4", "1.2.3.4"),
        ("", None),
        ("ok", None),
        ("1.2.3.4", None),
        ("invalid ip", None),
        ("invalid ip , not in whitelist", None),
        ("invalid ip 1.2.3", None),
        ("invalid ip 1.2.3.256", None),
        ("invalid ip 1.2.3.4x", None),
        ("invalid ip 1.2.3.4-5", None),
        ("invalid ip 1.2.3.4%25", None),
        ("invalid ip fe80::1%eth0", None),
        ("invalid ip 01.2.3.4", None),
        (f"invalid ip {SECRET}", None),
        ("invalid ip " + "1" * 46, None),
        ("invalid ip 16909060", None),
        ("invalid ip \u0661.2.3.4", None),
    ],
)
def test_the_address_that_wechat_saw_is_found_and_nothing_else(errmsg, ip):
    assert seen_ip(errmsg) == ip


@no_deadline
@given(st.ip_addresses())
def test_any_address_is_found(address):
    mapped = getattr(address, "ipv4_mapped", None)
    assert seen_ip(f"invalid ip {address}, not in whitelist") == str(mapped or address)


def test_the_explanation_names_the_address_and_the_rid():
    assert explain(40164, IP_REFUSED) == (
        "WeChat 40164: this server's public IP address is not in the account's IP whitelist"
        " (the address seen is 8.149.1.108); add it to the IP whitelist on the WeChat developer platform;"
        " that takes effect within minutes / 本服务器的出口 IP 不在该账号的 IP 白名单中"
        "（对方看到的 IP 为 8.149.1.108）；请到微信开发者平台将该 IP 加入“IP 白名单”，几分钟后生效"
        " (rid: 6aac005a-01bfdbee-79769285)"
    )


@pytest.mark.parametrize("row", ERRCODES.values(), ids=lambda row: str(row.code))
def test_the_explanation_says_meaning_and_action_in_both_languages(row):
    said = explain(row.code, at_token_endpoint=False)
    assert said == f"WeChat {row.code}: {row.meaning}; {row.action} / {row.meaning_zh}；{row.action_zh}"


def test_the_explanation_of_40001_depends_on_the_endpoint():
    assert "AppSecret is wrong" in explain(40001)
    assert "AppSecret is wrong" not in explain(40001, at_token_endpoint=False)
    assert "another program" in explain(40001, at_token_endpoint=False)


def test_the_explanation_of_wecom_is_wecoms():
    said = explain(60020, WECOM_IP_REFUSED, wecom=True)
    assert said.startswith("WeCom 60020: ")
    assert "(the address seen is 8.149.1.108)" in said
    assert "（对方看到的 IP 为 8.149.1.108）" in said
    assert "Secret is wrong" in explain(40001, wecom=True)
    assert "admin console" in explain(40001, wecom=True)


def test_an_unknown_number_is_explained_as_such():
    assert explain(123456).startswith("WeChat 123456: WeChat answered with a number that this version")


@pytest.mark.parametrize("code", [40164, 45035, 60020, 61004])
def test_refusals_of_an_address_name_it(code):
    assert "8.149.1.108" in explain(code, IP_REFUSED)
    assert "address seen" not in explain(code, "not in whitelist")


@pytest.mark.parametrize("code", [-1, 40013, 40125, 89503, 999])
def test_other_errors_name_no_address(code):
    assert "8.149.1.108" not in explain(code, IP_REFUSED)


@pytest.mark.parametrize(
    ("errmsg", "rid"),
    [
        ("invalid appid rid: 6aac005a-01bfdbee-79769285", "6aac005a-01bfdbee-79769285"),
        ("invalid appid, rid: 6aac005a-01bfdbee-79769285", "6aac005a-01bfdbee-79769285"),
        ("invalid appid hint: [x] rid: 5f0d-1a2b-3c4d, more", "5f0d-1a2b-3c4d"),
        (f"x rid: {SECRET} rid: 6aac005a-01bfdbee-79769285", "6aac005a-01bfdbee-79769285"),
        ("invalid appid", None),
        ("invalid appid hint: [XXXXXa0000yyy0]", None),
        ("rid: ", None),
        (f"rid: {SECRET}", None),
        ("rid: 6aac005a-01bfdbee", None),
        ("rid: 6aac005a-01bfdbee-79769285x", None),
        ("rid: 6aac005a-01bfdbee-79769285-", None),
        ("rid: 6aac005a-01bfdbee-797692850", None),
        ("rid: 6aac005a-01bfdbee-79769285-79769285-79769285", None),
        ("rid: 6AAC005A-01bfdbee-zzzz", None),
        ("grid: 6aac005a-01bfdbee-79769285", None),
    ],
)
def test_the_explanation_keeps_a_rid_and_only_a_rid(errmsg, rid):
    expected = explain(40013) + (f" (rid: {rid})" if rid else "")
    assert explain(40013, errmsg) == expected


secrets_and_tokens = st.from_regex(r"[0-9a-f]{32}|[0-9]{2}_[A-Za-z0-9_-]{60,150}", fullmatch=True)


@no_deadline
@given(st.sampled_from(sorted(ERRCODES)), secrets_and_tokens, st.booleans())
def test_nothing_that_wechat_echoes_gets_into_the_explanation(code, secret, wecom):
    errmsg = f"{secret} invalid ip {secret} requestIP: {secret} from ip: {secret} rid: {secret} {secret}"
    assert explain(code, errmsg, wecom=wecom) == explain(code, wecom=wecom)


@no_deadline
@given(st.integers(), st.text(), st.booleans(), st.booleans())
def test_the_explanation_is_one_line_of_bounded_length(code, errmsg, at_token_endpoint, wecom):
    said = explain(code, errmsg, at_token_endpoint=at_token_endpoint, wecom=wecom)
    assert len(said.splitlines()) == 1
    assert len(said) < 600 + len(str(code))


def test_a_row_is_a_plain_value():
    row = ERRCODES[40013]
    assert dataclasses.replace(row) == row
    assert row != dataclasses.replace(row, code=1)
    assert isinstance(row, ErrCode)
