"""The control over HTTP."""

from __future__ import annotations

import pytest

from wxtoken_asgi.sandbox.tickets import signature

APPID = "wx00000000000000aa"
SECRET = "secret-aa"


@pytest.fixture
def control(program):
    async def call(method, path, **options):
        response = await program.http.request(method, f"/sandbox/{path}", **options)
        assert response.headers["content-type"] == "application/json"
        return response.status_code, response.json()

    return call


async def test_state_tells_of_an_account_without_a_secret(control, program, sandbox):
    await program.token()
    sandbox.advance(10)
    stable = (await program.stable())["access_token"]
    sandbox.advance(5)
    assert await control("GET", "state", params={"appid": APPID}) == (
        200,
        {
            "appid": APPID,
            "kind": "service",
            "calls": 2,
            "used_today": {"token": 1, "stable": 1, "forced": 0},
            "tokens": {"token": {"age": 15.0, "left": 7185.0}, "stable": {"age": 5.0, "left": 7195.0}},
        },
    )
    sandbox.revoke(stable)
    sandbox.advance(5)
    assert sandbox.state(APPID)["tokens"]["stable"] == {"age": 10.0, "left": 0.0}


async def test_state_of_an_account_without_tokens(control):
    _, state = await control("GET", "state", params={"appid": APPID})
    assert state["tokens"] == {"token": None, "stable": None}


async def test_calls_are_counted_by_path_and_errcode(control, program, sandbox):
    await program.token()
    await program.token(secret="wrong")
    await program.token(appid="test")
    await program.token(appid="wx-other")
    sandbox.fail("status")
    await program.http.get("/cgi-bin/stable_token")
    assert await control("GET", "calls") == (
        200,
        {"/cgi-bin/token": {"0": 1, "40125": 1, "40013": 2}, "/cgi-bin/stable_token": {"none": 1}},
    )
    assert await control("GET", "calls", params={"appid": APPID}) == (
        200,
        {"/cgi-bin/token": {"0": 1, "40125": 1}},
    )


async def test_accepts_follows_the_token(control, program):
    token = (await program.token())["access_token"]
    assert await control("GET", "accepts", params={"token": token}) == (200, {"accepts": True})
    assert await control("POST", "revoke", json={"token": token}) == (200, {"revoked": True})
    assert await control("GET", "accepts", params={"token": token}) == (200, {"accepts": False})


async def test_accepts_ticket_and_signature(control, program):
    ticket = (await program.ticket((await program.token())["access_token"]))["ticket"]
    assert await control("GET", "accepts-ticket", params={"ticket": ticket}) == (200, {"accepts": True})
    assert await control("GET", "accepts-ticket", params={"ticket": "made-up"}) == (200, {"accepts": False})
    page = {"url": "https://shop.example/?a=1&b=2", "noncestr": "nonce", "timestamp": "1800000000"}
    given = {"appid": APPID, **page, "signature": signature(ticket, **page)}
    assert await control("GET", "accepts-signature", params=given) == (200, {"accepts": True})
    given["noncestr"] = "other"
    assert await control("GET", "accepts-signature", params=given) == (200, {"accepts": False})


async def test_advance_moves_the_time(control, sandbox):
    before = sandbox.clock.time()
    assert await control("POST", "advance", json={"seconds": 60}) == (200, {"time": before + 60})
    assert sandbox.clock.time() == before + 60


async def test_faults_are_added_and_healed(control, program, sandbox):
    fault = {"path": "/cgi-bin/token", "errcode": -1, "times": 3}
    assert await control("POST", "fault", json=fault) == (200, {"faults": 1})
    assert (await program.token())["errcode"] == -1
    assert await control("POST", "heal") == (200, {"faults": 0})
    assert "access_token" in await program.token()


async def test_faults_do_not_hit_the_control(control, sandbox):
    sandbox.away()
    assert await control("GET", "calls") == (200, {})
    assert sandbox.count() == 0


async def test_an_outside_fetch(control, program, sandbox):
    token = (await program.token())["access_token"]
    assert await control("POST", "outside-fetch", json={"appid": APPID}) == (200, {"appid": APPID})
    sandbox.advance(300)
    assert not sandbox.accepts(token)


async def test_an_account_can_be_added(control, program):
    account = {"appid": "wx00000000000000bb", "secret": "secret-bb", "kind": "mini", "daily_quota": 1}
    assert await control("POST", "account", json=account) == (200, {"appid": "wx00000000000000bb"})
    assert "access_token" in await program.token(appid="wx00000000000000bb", secret="secret-bb")
    body = {"appid": "wx00000000000000bb"}
    status, answer = await control("POST", "outside-fetch", json=body)
    assert (status, answer["errcode"]) == (409, 45009)


@pytest.mark.parametrize(
    ("call", "options", "status"),
    [
        ("GET state", {}, 400),
        ("GET state", {"params": {"appid": "wx-unknown"}}, 400),
        ("GET state", {"params": {"appid": APPID, "more": "1"}}, 400),
        ("POST advance", {}, 400),
        ("POST advance", {"json": {"seconds": "60"}}, 400),
        ("POST advance", {"json": {"seconds": -60}}, 400),
        ("POST fault", {"json": {"kind": "fire"}}, 400),
        ("POST fault", {"json": {"colour": "red"}}, 400),
        ("POST revoke", {"json": {"token": ["x"]}}, 400),
        ("POST account", {"json": {"appid": "wx00000000000000bb"}}, 400),
        ("POST account", {"json": {"appid": APPID, "secret": "again"}}, 400),
        ("POST account", {"json": {"appid": ["x"], "secret": "s"}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": ""}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": 5}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "kind": "shop"}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "daily_quota": "9"}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "daily_quota": -1}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "whitelist": ["home"]}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "ticket_age": 7200}}, 400),
        ("POST account", {"json": {"appid": "wx1", "secret": "s", "ticket_age": "old"}}, 400),
        ("POST outside-fetch", {"json": {"appid": APPID, "endpoint": "both"}}, 400),
        ("POST state", {}, 404),
        ("GET heal", {}, 404),
        ("GET ", {}, 404),
        ("GET calls/", {}, 404),
    ],
)
async def test_what_is_wrong_is_said(control, sandbox, call, options, status):
    got, answer = await control(*call.split(" "), **options)
    assert got == status
    assert answer["error"]
    assert SECRET not in answer["error"]
    assert list(sandbox._wechat.accounts) == [APPID]


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.9.9.9", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.1", 403),
        ("::ffff:10.0.0.1", 403),
        ("testclient", 403),
        ("", 403),
    ],
)
async def test_only_loopback_may_control(sandbox, program_from, peer, status):
    sandbox.fail(times=None)
    async with program_from(peer) as program:
        response = await program.http.post("/sandbox/heal")
    assert response.status_code == status
    assert len(sandbox.faults) == (status == 403)


@pytest.mark.parametrize("endpoint", ["token", "stable"])
async def test_a_secret_that_is_reset_is_wrong_at_once_and_what_was_issued_lives_on(
    control, program, sandbox, endpoint
):
    fetch = getattr(program, endpoint)
    token = (await fetch())["access_token"]
    said = await control("POST", "reset-secret", json={"appid": APPID, "secret": "secret-bb"})
    assert said == (200, {"appid": APPID})
    assert (await fetch())["errcode"] == 40125
    assert sandbox.accepts(token)
    assert sandbox.accepts((await fetch(secret="secret-bb"))["access_token"])


@pytest.mark.parametrize("given", [{"appid": "wx-other", "secret": "s"}, {"appid": APPID, "secret": ""}])
async def test_a_reset_that_is_wrong_changes_nothing(control, program, given):
    status, said = await control("POST", "reset-secret", json=given)
    assert status == 400
    assert said["error"]
    assert "access_token" in await program.token()
