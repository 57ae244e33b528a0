"""Tickets that repeat with 7200 and change when they like."""

from __future__ import annotations

import re

import pytest

from wxtoken_asgi.sandbox import Sandbox
from wxtoken_asgi.sandbox.tickets import signature

APPID = "wx00000000000000aa"
# The vectors of WeChat's JS-SDK document, appendix 1, and the same ticket with other addresses.
TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
VECTORS = [
    ("http://mp.weixin.qq.com?params=value", "0f9de62fce790f9a083d5c99e95740ceb90c27ed"),
    ("https://example.com/", "171e7eafc556878f1faabe71f2a6462bef4e98bc"),
    ("https://example.com/中文?q=值", "a6753e95306cf8a70ddb1449b530833cd69749dd"),
]


async def ask(program, kind="jsapi"):
    token = (await program.stable())["access_token"]
    return await program.ticket(token, kind)


async def test_a_ticket_looks_like_a_real_one(program):
    assert re.fullmatch(r"[A-Za-z0-9_-]{86}", (await ask(program))["ticket"])


async def test_the_same_ticket_answers_every_token_and_always_says_7200(program, sandbox):
    first = await ask(program)
    sandbox.advance(7199)
    old = (await program.token())["access_token"]
    assert await program.ticket(old) == await ask(program) == first
    assert first["expires_in"] == 7200


@pytest.mark.parametrize(("age", "changes_after"), [(0, 7200), (10, 7190), (7199, 1)])
async def test_the_ticket_changes_on_its_own_schedule(program, clock, age, changes_after):
    sandbox = Sandbox(clock=clock)
    sandbox.add(APPID, "secret-aa", ticket_age=age)
    program.http._transport.app = sandbox
    first = (await ask(program))["ticket"]
    sandbox.advance(changes_after - 1)
    assert (await ask(program))["ticket"] == first
    sandbox.advance(1)
    second = (await ask(program))["ticket"]
    assert second != first
    sandbox.advance(7199)
    assert (await ask(program))["ticket"] == second
    sandbox.advance(1)
    assert (await ask(program))["ticket"] not in {first, second}


async def test_an_old_ticket_is_accepted_until_3_hours_after_its_slot_began(program, sandbox):
    sandbox.advance(5000)  # first asked for late in its slot
    old = (await ask(program))["ticket"]
    sandbox.advance(5799)
    new = (await ask(program))["ticket"]
    assert new != old
    assert sandbox.accepts_ticket(old)
    sandbox.advance(1)
    assert not sandbox.accepts_ticket(old)
    assert sandbox.accepts_ticket(new)
    assert not sandbox.accepts_ticket("made-up")


async def test_a_ticket_of_slots_long_past_is_forgotten(program, sandbox):
    first = (await ask(program))["ticket"]
    sandbox.advance(72_000)
    await ask(program)
    assert not sandbox.accepts_ticket(first)
    assert len(sandbox._wechat.accounts[APPID].tickets["jsapi"]._values) == 1


async def test_the_two_types_of_tickets_differ(program, sandbox):
    jsapi, card = (await ask(program))["ticket"], (await ask(program, "wx_card"))["ticket"]
    assert jsapi != card
    assert sandbox.accepts_ticket(jsapi)
    assert sandbox.accepts_ticket(card)


def test_schedules_are_drawn_per_account_and_type(clock):
    sandbox = Sandbox(clock=clock)
    for number in range(4):
        sandbox.add(f"wx{number}", "secret")
    lines = [line for account in sandbox._wechat.accounts.values() for line in account.tickets.values()]
    assert len({line._since for line in lines}) == 8
    assert all(clock.now - 7200 <= line._since <= clock.now for line in lines)


@pytest.mark.parametrize("kind", ["", "2", "JSAPI", "agent_config"])
async def test_an_unknown_type_is_refused(program, kind):
    assert (await ask(program, kind))["errcode"] == 40097


async def test_a_mini_program_can_have_no_ticket(program, sandbox):
    sandbox.add("wx00000000000000bb", "secret-bb", kind="mini")
    token = sandbox.outside_fetch("wx00000000000000bb", "stable")
    answer = await program.ticket(token)
    assert answer["errcode"] == 48001
    assert answer["errmsg"].startswith("api unauthorized rid: ")
    assert (await program.ticket("made-up"))["errcode"] == 40001


@pytest.mark.parametrize(("url", "signed"), VECTORS)
def test_the_signature_is_the_documented_one(url, signed):
    assert signature(TICKET, url=url, noncestr="Wm3WZYTPz0wzccnW", timestamp="1414587457") == signed


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({}, True),
        ({"url": "https://shop.example/a?b=1#part"}, True),
        ({"url": "https://shop.example/a?b=2"}, False),
        ({"noncestr": "other"}, False),
        ({"timestamp": "1800000000"}, True),
        ({"timestamp": 1800000001}, False),
        ({"signature": "0" * 40}, False),
    ],
)
async def test_a_page_is_accepted_with_the_right_signature_alone(program, sandbox, changes, accepted):
    ticket = (await ask(program))["ticket"]
    page = {"url": "https://shop.example/a?b=1", "noncestr": "nonce", "timestamp": 1800000000}
    signed = signature(ticket, url=page["url"], noncestr="nonce", timestamp="1800000000")
    assert sandbox.accepts_signature(APPID, **{**page, "signature": signed, **changes}) is accepted


async def test_a_signature_outlives_its_ticket_s_slot_and_not_its_3_hours(program, sandbox):
    ticket = (await ask(program))["ticket"]
    page = {"url": "https://shop.example/", "noncestr": "nonce", "timestamp": "1800000000"}
    signed = signature(ticket, **page)
    sandbox.advance(10_799)
    assert sandbox.accepts_signature(APPID, signature=signed, **page)
    sandbox.advance(1)
    assert not sandbox.accepts_signature(APPID, signature=signed, **page)
