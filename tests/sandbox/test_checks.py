"""What WeChat refuses, in which order, in which words."""

from __future__ import annotations

import json

import httpx
import pytest

from wxtoken_asgi.sandbox import Sandbox, demo

APPID = "wx00000000000000aa"
SECRET = "secret-aa"
LONG = (
    "invalid credential, access_token is invalid or not latest, could get access_token by "
    "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
)


def without_rid(answer):
    text, rid, _ = answer["errmsg"].partition(" rid: ")
    assert rid
    return answer["errcode"], text


REFUSALS = [
    ({"appid": None}, (41002, "appid missing")),
    ({"appid": ""}, (41002, "appid missing")),
    ({"appid": None, "secret": None, "grant_type": None}, (41002, "appid missing")),
    ({"appid": "test"}, (40013, "invalid appid")),
    ({"appid": "wx0000000000000000"}, (40013, "invalid appid")),
    ({"appid": "test", "grant_type": None}, (40013, "invalid appid")),
    ({"appid": "test", "secret": None}, (40013, "invalid appid")),
    ({"secret": None}, (41004, "appsecret missing")),
    ({"secret": ""}, (41004, "appsecret missing")),
    ({"secret": None, "grant_type": None}, (41004, "appsecret missing")),
    ({"secret": "wrong"}, (40125, "invalid appsecret")),
    ({"secret": "wrong", "grant_type": None}, (40125, "invalid appsecret")),
    ({"grant_type": None}, (40002, "invalid grant_type")),
    ({"grant_type": "authorization_code"}, (40002, "invalid grant_type")),
]


@pytest.mark.parametrize("fetch", ["token", "stable"])
@pytest.mark.parametrize(("changes", "expected"), REFUSALS)
async def test_the_token_endpoints_refuse_in_order(program, sandbox, fetch, changes, expected):
    answer = await getattr(program, fetch)(**changes)
    assert without_rid(answer) == expected
    assert [(call.errcode, call.issued) for call in sandbox.calls] == [(expected[0], False)]


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": 5}, 40013),
        ({"appid": [APPID]}, 40013),
        ({"secret": 5}, 40125),
        ({"secret": [SECRET]}, 40125),
    ],
)
async def test_the_stable_endpoint_refuses_values_that_are_no_text(program, changes, errcode):
    assert (await program.stable(**changes))["errcode"] == errcode


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_the_stable_endpoint_wants_post_before_all_else(program, method):
    answer = await program.call(method, "/cgi-bin/stable_token", params={"appid": "test"})
    assert without_rid(answer) == (43002, "require POST method")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data": {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}},
        {"params": {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}},
        {"content": b"{"},
        {"content": b"\xff\xfe\x00"},
        {"content": b"[" * 100_000},
        {"content": json.dumps([APPID])},
        {"content": "null"},
    ],
    ids=["nothing", "form", "query", "half", "bytes", "deep", "list", "null"],
)
async def test_a_stable_call_whose_body_is_no_json_object_has_no_appid(program, options):
    answer = await program.call("POST", "/cgi-bin/stable_token", **options)
    assert without_rid(answer) == (41002, "appid missing")


async def test_the_old_endpoint_takes_its_query_with_post_too(program):
    params = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
    assert (await program.call("POST", "/cgi-bin/token", params=params))["expires_in"] == 7200


async def test_of_a_name_given_twice_the_first_counts(program):
    url = f"/cgi-bin/token?grant_type=client_credential&appid={APPID}&appid=test&secret={SECRET}"
    assert (await program.call("GET", url))["expires_in"] == 7200


APIS = [
    "/cgi-bin/get_api_domain_ip",
    "/cgi-bin/getcallbackip",
    "/cgi-bin/ticket/getticket",
    "/cgi-bin/clear_quota",
]


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize(
    ("params", "errcode", "text"),
    [
        ({}, 41001, "access_token missing"),
        ({"access_token": ""}, 41001, "access_token missing"),
        ({"access_token": "made-up"}, 40001, LONG),
    ],
)
async def test_an_api_refuses_a_token_that_is_missing_or_unheard_of(program, path, params, errcode, text):
    answer = await program.call("POST", path, params=params, json={"access_token": "in the wrong place"})
    assert without_rid(answer) == (errcode, text)


@pytest.mark.parametrize("path", APIS)
async def test_an_api_refuses_an_expired_token(program, sandbox, path):
    token = (await program.token())["access_token"]
    sandbox.advance(7200)
    answer = await program.call("POST", path, params={"access_token": token, "type": "jsapi"})
    assert without_rid(answer) == (42001, "access_token expired")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", APIS[:2])
async def test_an_api_takes_a_good_token(program, sandbox, method, path):
    token = (await program.token())["access_token"]
    answer = await program.call(method, path, params={"access_token": token})
    assert list(answer) == ["ip_list"]
    assert answer["ip_list"]
    assert (sandbox.calls[-1].appid, sandbox.calls[-1].errcode) == (APPID, 0)


LISTS = [
    (["1.2.3.4"], "1.2.3.4", True),
    (["1.2.3.4"], "::ffff:1.2.3.4", True),
    (["1.2.3.4"], "1.2.3.5", False),
    (["10.0.0.0/8", "1.2.3.4"], "10.9.8.7", True),
    (["10.0.0.0/8"], "11.0.0.0", False),
    (["2001:db8::/32"], "2001:db8::7", True),
    (["2001:db8::/32"], "10.0.0.1", False),
    (["10.0.0.1/8"], "10.2.2.2", True),
    (["10.0.0.0/8"], "testclient", False),
    ([], "testclient", True),
]


@pytest.mark.parametrize("place", ["account", "sandbox"])
@pytest.mark.parametrize(("whitelist", "peer", "allowed"), LISTS)
async def test_the_whitelist(anyio_backend, place, whitelist, peer, allowed):
    sandbox = Sandbox(whitelist=whitelist if place == "sandbox" else ())
    sandbox.add(APPID, SECRET, whitelist=whitelist if place == "account" else ())
    params = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
    async with httpx.AsyncClient(transport=sandbox.transport((peer, 9)), base_url="https://wechat") as http:
        answer = (await http.get("/cgi-bin/token", params=params)).json()
    assert ("access_token" in answer) is allowed
    assert allowed or answer["errcode"] == 40164


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ("8.149.1.108", "invalid ip 8.149.1.108 ipv6 ::ffff:8.149.1.108, not in whitelist"),
        ("::ffff:8.149.1.108", "invalid ip 8.149.1.108 ipv6 ::ffff:8.149.1.108, not in whitelist"),
        ("2001:db8::1", "invalid ip 2001:db8::1 ipv6 2001:db8::1, not in whitelist"),
    ],
)
async def test_a_refusal_by_the_whitelist_names_the_address(sandbox, program_from, peer, text):
    sandbox.add("wx00000000000000bb", "secret-bb", whitelist=["10.0.0.1"])
    async with program_from(peer) as program:
        wrong_secret = await program.token(appid="wx00000000000000bb", secret="wrong", grant_type=None)
        assert without_rid(wrong_secret) == (40164, text)
        assert (await program.token(appid="test"))["errcode"] == 40013


@pytest.mark.parametrize(("kind", "errcode"), [("service", 40164), ("mini", None)])
async def test_the_whitelist_of_an_official_account_covers_its_apis_too(sandbox, program_from, kind, errcode):
    sandbox.add("wx00000000000000bb", "secret-bb", whitelist=["10.0.0.1"], kind=kind)
    token = sandbox.outside_fetch("wx00000000000000bb")
    async with program_from("10.0.0.2") as program:
        assert (await program.try_out(token)).get("errcode") == errcode
    async with program_from("10.0.0.1") as program:
        assert "ip_list" in await program.try_out(token)


async def test_a_caller_without_an_address_is_in_no_whitelist(anyio_backend, sandbox):
    sandbox.add("wx00000000000000bb", "secret-bb", whitelist=["10.0.0.1"])
    async with httpx.AsyncClient(transport=sandbox.transport(None), base_url="https://wechat") as http:
        params = {"appid": "wx00000000000000bb"}
        assert (await http.get("/cgi-bin/token", params=params)).json()["errcode"] == 40164


@pytest.mark.parametrize(
    ("appid", "errcode"),
    [
        ("wx0123456789abcdef", None),
        ("wx0123456789ABCDEF", 40013),
        ("wx0123456789abcde", 40013),
        ("test", 40013),
    ],
)
async def test_an_open_sandbox_takes_any_well_formed_appid_with_any_secret(anyio_backend, appid, errcode):
    sandbox = demo()
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url="https://wechat") as http:
        for secret in ("this", "that"):
            params = {"grant_type": "client_credential", "appid": appid, "secret": secret}
            assert (await http.get("/cgi-bin/token", params=params)).json().get("errcode") == errcode
        params = {"grant_type": "client_credential", "appid": appid}
        assert (await http.get("/cgi-bin/token", params=params)).json()["errcode"] == (errcode or 41004)


async def test_an_account_that_was_added_to_an_open_sandbox_keeps_its_secret(anyio_backend):
    sandbox = demo()
    sandbox.add(APPID, SECRET)
    async with httpx.AsyncClient(transport=sandbox.transport(), base_url="https://wechat") as http:
        params = {"grant_type": "client_credential", "appid": APPID, "secret": "wrong"}
        assert (await http.get("/cgi-bin/token", params=params)).json()["errcode"] == 40125


@pytest.mark.parametrize(
    "path", ["/", "/cgi-bin/nothing", "/cgi-bin/token/", "/sns/oauth2/access_token", "/sandboxes"]
)
async def test_an_unknown_path_is_404_without_a_body(program, sandbox, path):
    response = await program.http.get(path)
    assert (response.status_code, response.content) == (404, b"")
    assert "content-type" not in response.headers
    assert sandbox.calls[-1].errcode is None
