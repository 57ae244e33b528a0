"""Signatures for WeChat's JS-SDK, and which pages get one."""

from __future__ import annotations

import json
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtoken_asgi.errors import BadUrl
from wxtoken_asgi.jssdk import JsConfig, host_allowed, js_config, nonce, page_url, signature

TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
NONCE = "Wm3WZYTPz0wzccnW"
TIME = 1414587457

no_deadline = settings(deadline=None)  # a busy machine is no bug

# Numbered as in the fact sheet; the first is the official one.
VECTORS = [
    pytest.param("http://mp.weixin.qq.com?params=value", "0f9de62fce790f9a083d5c99e95740ceb90c27ed", id="1"),
    pytest.param(
        "http://mp.weixin.qq.com?params=value#xxxx", "0f9de62fce790f9a083d5c99e95740ceb90c27ed", id="1b"
    ),
    pytest.param("https://example.com/", "171e7eafc556878f1faabe71f2a6462bef4e98bc", id="3"),
    pytest.param(
        "https://example.com/a/b?x=1&y=%E4%B8%AD", "5bf80bf978c3b04eee7cab48c8f41a9900272618", id="4"
    ),
    pytest.param(
        "https://example.com/a?from=singlemessage&isappinstalled=0",
        "4ff8c6847a760fa5d2366b228ab13531415069a8",
        id="5",
    ),
    pytest.param("https://example.com/中文?q=值", "a6753e95306cf8a70ddb1449b530833cd69749dd", id="6"),
    pytest.param(
        "http://mp.weixin.qq.com/?params=value",
        "f50191877b62b116ef830363a3a613ed652a2d5d",
        id="slash inserted",
    ),
]


@pytest.mark.parametrize(("url", "expected"), VECTORS)
def test_a_page_is_signed_as_wechat_signs_it(url, expected):
    config = js_config("wx1", TICKET, url, timestamp=TIME, nonce=NONCE)
    assert config == JsConfig("wx1", TIME, NONCE, expected, url.removesuffix("#xxxx"))
    assert signature(TICKET, NONCE, TIME, config.url) == expected


def test_vector_2_with_another_ticket_nonce_and_time():
    assert (
        signature(
            "HoagFKDcsGMVCIY2vOjf9t8uL4QYTDQSyx-oq2VBxxW_WqGegW5TzcQtFRnLdJElGJPUBSfZMZqy6Zh3XV31uw",
            "pmpqqmim2y362ccmrsrwmk3zbzrhwmt8",
            1565323172,
            "http://c3.ab.51tywy.com/qrcode/test/test.html",
        )
        == "5da1e238185fdfd5925d1a731c789a8f0f7da93f"
    )


def test_a_time_with_a_fraction_is_not_signed():
    with pytest.raises(ValueError, match="format code"):
        signature(TICKET, NONCE, 1414587457.0, "https://example.com/")


def test_the_configuration_has_the_names_of_wechats_script_and_no_ticket():
    config = js_config("wx1", TICKET, "https://example.com/#top", timestamp=TIME, nonce=NONCE)
    assert json.dumps(config.as_dict()) == json.dumps(
        {
            "appId": "wx1",
            "timestamp": TIME,
            "nonceStr": NONCE,
            "signature": "171e7eafc556878f1faabe71f2a6462bef4e98bc",
            "url": "https://example.com/",
        }
    )
    assert TICKET not in repr(config)


def test_a_page_that_cannot_be_signed_is_not_signed():
    with pytest.raises(BadUrl):
        js_config("wx1", TICKET, "/relative", timestamp=TIME, nonce=NONCE)


def test_a_nonce_is_16_new_letters_and_digits():
    made = {nonce() for _ in range(100)}
    assert len(made) == 100
    assert {len(word) for word in made} == {16}
    assert all(word.isascii() and word.isalnum() for word in made)


def test_a_nonce_takes_all_its_chance_from_its_source():
    assert nonce(lambda count: "ab" * count) == "ab" * 8
    assert nonce.__defaults__ == (secrets.token_hex,)


@pytest.mark.parametrize(
    "url",
    [
        "http://mp.weixin.qq.com?params=value",
        "https://example.com",
        "https://example.com/",
        "HTTPS://EXAMPLE.com/A",
        "HtTp://example.com/",
        "https://example.com:8443/a",
        "https://example.com:/a",
        "https://example.com:65535/",
        "https://example.com./a",
        "http://localhost:3000/",
        "http://127.0.0.1/a",
        "http://[::1]/a",
        "http://[2001:db8::1]:8080?x",
        "https://example.com/中文?q=值",
        "https://例子.测试/a",
        "https://xn--fsqu00a.xn--0zwm56d/a",
        "https://example.com/a/../b//c",
        "https://example.com/?b=2&a=1&a=",
        "https://example.com/?next=https://other.example/@x:y",
        "https://example.com/a@b",
        "https://example.com?a@b",
        "https://example.com/%5C%20%00%zz",
        "https://example.com/😀",
        "https://example.com/" + "a" * (4096 - 20),
    ],
)
def test_a_good_address_is_signed_as_it_stands(url):
    assert page_url(url) == url
    assert page_url(f"{url}#") == url
    assert page_url(f"{url}#/route?a=b#c \\ \x00") == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "missing"),
        ("", "missing"),
        ("#top", "missing"),
        ("foo", "absolute"),
        ("example.com/a", "absolute"),
        ("/a", "absolute"),
        ("//example.com/a", "absolute"),
        ("?x=1", "absolute"),
        ("ftp://example.com/", "absolute"),
        ("file:///etc/passwd", "absolute"),
        ("javascript:alert(1)", "absolute"),
        ("data:text/html,x", "absolute"),
        ("https:example.com", "absolute"),
        ("https:/example.com", "absolute"),
        ("httpss://example.com/", "absolute"),
        ("xhttps://example.com/", "absolute"),
        ("https%3A%2F%2Fexample.com%2F", "encoded once"),
        ("http://", "no host"),
        ("http:///a", "no host"),
        ("http://?a", "no host"),
        ("http://#a", "no host"),
        ("http://:80/", "no host"),
        ("http://./", "no host"),
        ("http://..:80/", "no host"),
        ("https://user@example.com/", "user name"),
        ("https://user:secret@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com@/", "user name"),
        ("https://example.com:80@other.example?x", "user name"),
        ("https://exam<ple.com/", "valid host"),
        ("https://example.com|x/", "valid host"),
        ("https://ex%61mple.com/", "valid host"),
        ("https://other.example／.example.com/", "valid host"),
        ("https://other.example℀.example.com/", "valid host"),
        ("https://[::1/", "valid host"),
        ("https://::1/", "no host"),
        ("https://a:b:80/", "valid port"),
        ("https://[::1]x/", "valid host"),
        ("https://x[::1]/", "valid host"),
        ("https://[]/", "valid host"),
        ("https://[127.0.0.1]/", "valid host"),
        ("https://[fe80::1%eth0]/", "valid host"),
        ("https://[[::1]]/", "valid host"),
        ("https://example.com:65536/", "valid port"),
        ("https://example.com:99999999999/", "valid port"),
        ("https://example.com:x/", "valid port"),
        ("https://example.com:-1/", "valid port"),
        ("https://example.com:+80/", "valid port"),
        ("https://example.com:8_0/", "valid port"),
        ("https://example.com:٨٠/", "valid port"),
        ("https://example.com/" + "a" * (4096 - 19), "longer than 4096"),
        ("https:\\\\example.com/", "U\\+005C"),
        ("https://example.com\\@other.example/", "U\\+005C"),
        ("https://example.com/a\\b", "U\\+005C"),
        ("https://example.com/?a=\\", "U\\+005C"),
        (" https://example.com/", "U\\+0020"),
        ("https://example.com/ ", "U\\+0020"),
        ("https://example.com/a b", "U\\+0020"),
        ("https://exa\tmple.com/", "U\\+0009"),
        ("https://example.com/\r\nX: y", "U\\+000D"),
        ("\nhttps://example.com/", "U\\+000A"),
        ("https://example.com/\x00", "U\\+0000"),
        ("https://example.com/\x1f", "U\\+001F"),
        ("https://example.com/\x7f", "U\\+007F"),
        ("https://example.com/\x80", "U\\+0080"),
        ("https://example.com/\x85", "U\\+0085"),
        ("https://example.com/\x9f", "U\\+009F"),
        ("https://example.com/\xa0", "U\\+00A0"),
        ("https://example.com/\u2003", "U\\+2003"),
        ("https://example.com/\u2028", "U\\+2028"),
        ("https://example.com/\u2029", "U\\+2029"),
        ("https://example.com/\u3000", "U\\+3000"),
        ("https://example.com/\ud800", "U\\+D800"),
        ("https://example.com/\udfff", "U\\+DFFF"),
    ],
)
def test_a_bad_address_is_refused_with_its_reason(url, message):
    with pytest.raises(BadUrl, match=message) as caught:
        page_url(url)
    assert caught.value.status == 400


@pytest.mark.parametrize("code", [*range(0x21), *range(0x7F, 0xA1), 0x5C])
def test_no_control_character_blank_or_backslash_is_signed(code):
    with pytest.raises(BadUrl, match=f"U\\+{code:04X}"):
        page_url(f"https://example.com/a{chr(code)}b")


def test_a_refusal_does_not_repeat_the_address():
    with pytest.raises(BadUrl) as caught:
        page_url("https://user:hunter2@example.com/")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


hosts = st.sampled_from(["example.com", "EXAMPLE.com:8443", "例子.测试", "[::1]:80", "a.b.c."])
addresses = st.one_of(
    st.text(),
    st.tuples(st.sampled_from(["http://", "HTTPS://", "https:", ""]), st.text()).map("".join),
    st.tuples(
        st.sampled_from(["http://", "https://"]), hosts, st.sampled_from(["", "/", "?", "#"]), st.text()
    ).map("".join),
)


@no_deadline
@given(addresses)
def test_what_is_signed_is_the_address_up_to_its_hash_sign(url):
    try:
        page = page_url(url)
    except BadUrl:
        return
    assert url.startswith(page)
    assert "#" not in page
    assert url[len(page) :][:1] in {"", "#"}
    assert page_url(page) == page
    assert page.encode()


@no_deadline
@given(hosts, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\#")))
def test_every_address_that_a_browser_has_is_signed(host, rest):
    url = f"https://{host}/{rest}"
    assert page_url(f"{url}#x") == url


@no_deadline
@given(st.text(), st.text(), st.integers(), st.text())
def test_signing_twice_gives_the_same_and_another_value_gives_another(ticket, word, timestamp, path):
    url = f"https://example.com/{path}"
    first = signature(ticket, word, timestamp, url)
    assert first == signature(ticket, word, timestamp, url)
    assert len(first) == 40
    assert set(first) <= set("0123456789abcdef")
    assert first != signature(ticket, word, timestamp + 1, url)
    assert first != signature(ticket, f"{word}x", timestamp, url)
    assert first != signature(f"{ticket}x", word, timestamp, url)
    assert first != signature(ticket, word, timestamp, f"{url}/")


@pytest.mark.filterwarnings("ignore")  # the library is older than this Python
def test_signatures_are_those_of_wechatpy():
    from wechatpy.client.api.jsapi import WeChatJSAPI

    words = st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs"]), min_size=1)

    @no_deadline
    @given(words, words, st.integers(min_value=0), words)
    def compare(ticket, word, timestamp, path):
        url = f"https://example.com/{path}"
        theirs = WeChatJSAPI.get_jsapi_signature(None, word, ticket, timestamp, url)
        assert signature(ticket, word, timestamp, url) == theirs

    compare()


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("https://www.example.com/a", "www.example.com"),
        ("https://www.example.com", "www.example.com"),
        ("https://www.example.com?a", "www.example.com"),
        ("https://www.example.com#a", "www.example.com"),
        ("http://www.example.com:8080/", "www.example.com"),
        ("https://WWW.Example.COM/", "www.example.com"),
        ("https://www.example.com/", "WWW.EXAMPLE.COM"),
        ("https://www.example.com./", "www.example.com"),
        ("https://www.example.com/", "www.example.com."),
        ("https://a.example.com/", "*.example.com"),
        ("https://a.b.c.example.com/", "*.example.com"),
        ("https://a.example.com.:443/", "*.EXAMPLE.com"),
        ("https://例子.测试/", "例子.测试"),
        ("https://xn--fsqu00a.xn--0zwm56d/", "例子.测试"),
        ("https://XN--FSQU00A.xn--0zwm56d/", "例子.测试"),
        ("https://例子.测试/", "xn--fsqu00a.xn--0zwm56d"),
        ("https://例子。测试/", "xn--fsqu00a.xn--0zwm56d"),
        ("https://www.xn--fsqu00a.xn--0zwm56d/", "*.例子.测试"),
        ("https://www.例子.测试/", "*.xn--fsqu00a.xn--0zwm56d"),
        ("https://ｗｗｗ.example.com/", "www.example.com"),
        ("https://BÜCHER.example/", "xn--bcher-kva.example"),
        ("https://xn--strae-oqa.de/", "straße.de"),
        ("http://127.0.0.1:3000/", "127.0.0.1"),
        ("http://localhost/", "localhost"),
    ],
)
def test_a_listed_host_may_be_signed(url, pattern):
    assert host_allowed(url, [pattern])
    assert host_allowed(url, ("other.example", pattern))
    assert not host_allowed(url, ["other.example"])


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("https://example.com/", "www.example.com"),
        ("https://www.example.com/", "example.com"),
        ("https://example.com/", "*.example.com"),
        ("https://example.com./", "*.example.com"),
        ("https://.example.com/", "*.example.com"),
        ("https://badexample.com/", "*.example.com"),
        ("https://badexample.com/", "example.com"),
        ("https://example.com.evil.example/", "example.com"),
        ("https://a.example.com.evil.example/", "*.example.com"),
        ("https://evil.example/example.com", "example.com"),
        ("https://evil.example/?.example.com", "*.example.com"),
        ("https://evil.example?.example.com", "*.example.com"),
        ("https://evil.example#.example.com", "*.example.com"),
        ("https://wwwxexample.com/", "www.example.com"),
        ("https://strasse.de/", "straße.de"),
        ("https://straße.de/", "strasse.de"),
        ("https://xn--example-.com/", "example.com"),
        ("https://xn--.com/", ".com"),
        ("https://xn--99999999.com/", "example.com"),
        ("https://xn--" + "a" * 70 + ".com/", "example.com"),
        ("https://例え.测试/", "例子.测试"),
        ("https://xn---fsqu00a.测试/", "例子.测试"),
    ],
)
def test_another_host_may_not_be_signed(url, pattern):
    assert not host_allowed(url, [pattern])


def test_without_a_list_every_host_may_be_signed():
    assert host_allowed("https://anything.example/", [])
    assert host_allowed("https://anything.example/", ())


@pytest.mark.parametrize("js_domains", [[], ["example.com"]])
@pytest.mark.parametrize("url", ["", "/a", "https://user@example.com/"])
def test_the_host_of_a_bad_address_is_not_judged(url, js_domains):
    with pytest.raises(BadUrl):
        host_allowed(url, js_domains)


@pytest.mark.parametrize("label", ["xn--99999999", "xn--example-", "xn--" + "a" * 70])
def test_a_label_that_is_no_punycode_is_compared_as_it_stands(label):
    assert host_allowed(f"https://{label}.com/", [f"{label}.com"])
