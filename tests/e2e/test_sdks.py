"""Real SDKs, unmodified: first against the sandbox alone, then with their token from `wxtoken serve`.

They speak with https://api.weixin.qq.com as ever; a proxy with a throw-away CA puts the sandbox there.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from support.connect_proxy import connect_proxy
from support.launcher import TICKET, TOKEN

PROGRAMS = Path(__file__).parent / "programs"
APPID = "wx00000000000000a1"
ADDRESSES = ["203.0.113.10", "203.0.113.11"]
CALLBACK_IP = "/cgi-bin/getcallbackip"


@pytest.fixture
def proxy(wechat, tmp_path):
    with connect_proxy(wechat.port, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def sdk(launch, proxy):
    """Begin one of the programs; `result` waits for it."""

    def begin(name, **environ):
        script = str(PROGRAMS / f"{name}.py")
        return launch.program("-W", "ignore", script, name=name, APPID=APPID, **proxy.environ, **environ)

    return begin


def result(program):
    assert program.wait() == 0, program.err
    return json.loads(program.out)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_these_are_the_releases_that_are_meant():
    assert (version("wechatpy"), version("WeRoBot")) == ("1.8.18", "1.13.1")


def test_both_take_the_sandbox_for_wechat_and_without_us_are_two_fetchers(sdk, wechat, proxy):
    secret = wechat.accounts["alpha"]["secret"]
    begun = [sdk(name, APPSECRET=secret) for name in ("wechatpy_alone", "werobot_alone")]
    wechatpy, werobot = map(result, begun)
    assert wechatpy["addresses"] == werobot["addresses"] == ADDRESSES
    assert wechat.sandbox.accepts_signature(APPID, **wechatpy["signed"])
    assert [wechat.count(path) for path in (TOKEN, CALLBACK_IP, TICKET)] == [2, 2, 1]
    assert wechatpy["token"] != werobot["token"]
    assert set(proxy.tunnels) == {"CONNECT api.weixin.qq.com:443"}


@pytest.mark.parametrize("endpoint", ["stable", "token"])
def test_both_take_their_token_from_us_and_there_is_one_fetch_in_all(sdk, launch, wechat, proxy, endpoint):
    served = launch.serve({"alpha": wechat.accounts["alpha"] | {"endpoint": endpoint}})
    programs = [sdk(name, TOKEN_CENTER=served.url) for name in ("wechatpy_ours", "werobot_ours")]
    found = [result(program) for program in programs]
    token = served.get("/token/alpha").text
    assert [one["addresses"] for one in found] == [ADDRESSES] * 2
    assert {one["token"] for one in found} == {digest(token)}
    assert wechat.sandbox.accepts_signature(APPID, **found[0]["signed"])
    assert wechat.fetches() == 1
    assert wechat.count(TICKET) == 1
    assert wechat.count(CALLBACK_IP) == len(proxy.tunnels) == 2
    assert served.end() == 0
