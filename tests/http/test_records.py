"""What the audit records say of requests."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import anyio
import pytest

from wxtoken_asgi.clients import Client
from wxtoken_asgi.keys import Key, new_key

from support.asking import answered, asked, key
from support.center import running

KEY = new_key()
CLIENTS = [Client("crm", keys=[Key.of(KEY).line])]
STRANGER, LOCAL, HOST = "203.0.113.9", "127.0.0.1", {"host": "localhost"}
PAGE = "/js-config/alpha?url=https://www.example.com/"


@pytest.fixture
def told(caplog):
    """The records so far, shortened."""
    caplog.set_level(logging.INFO, "wxtoken_asgi.audit")

    def short(center, *fields):
        center.service._audit.flush()
        records = [record.audit for record in caplog.records if hasattr(record, "audit")]
        return [tuple(one.get(name) for name in ("event", *fields)) for one in records]

    return short


async def test_a_signature_for_a_key_is_recorded_and_so_is_a_ticket_beside_it(world, told, anyio_backend):
    options = {"clients": CLIENTS, "js_config_open": False, "js_config_ticket": True}
    async with running(world, **options) as center:
        await answered(center.service, asked(STRANGER, key(KEY), "GET", PAGE))
        await answered(center.service, asked(STRANGER, key(KEY), "GET", "/js-config/alpha"))
        await answered(center.service, asked(STRANGER, key(KEY), "GET", PAGE.replace("alpha", "nope")))
        assert sorted(told(center, "client", "account", "kind", "result")) == [
            ("read", "crm", "alpha", "js_config", "bad_url"),
            ("read", "crm", "alpha", "js_config", "ok"),
            ("read", "crm", "alpha", "jsapi_ticket", "ok"),
            ("read", "crm", "nope", "js_config", "unknown_account"),
        ]


async def test_a_wrong_key_beside_an_open_signature_is_recorded_where_a_right_one_brings_the_ticket(
    world, told, anyio_backend
):
    async with running(world, clients=CLIENTS, js_config_ticket=True) as center:
        assert (await answered(center.service, asked(STRANGER, key("wrong"), "GET", PAGE))).status == 200
        assert (await answered(center.service, asked(STRANGER, {}, "GET", PAGE))).status == 200
        assert told(center, "result") == [("refused", "bad_key")]


async def test_what_was_not_done_is_not_recorded_as_done(world, told, anyio_backend):
    async with running(world) as center:
        wants = HOST | {"prefer": "return=representation"}
        for method in ("GET", "PUT"):
            scope = asked(LOCAL, wants, method, "/token/alpha?format=xml")
            assert (await answered(center.service, scope)).status == 400
        assert sorted(told(center, "result")) == [("read", "bad_format"), ("refresh", "bad_format")]


@pytest.mark.parametrize("fault", ["cancelled", "internal_error", "gone", "bad_body"])
async def test_a_refresh_without_an_answer_is_recorded_too(world, told, fault, monkeypatch, anyio_backend):
    async with running(world) as center:

        async def refresh(*_, **__):
            if fault == "internal_error":
                raise RuntimeError("a bug")
            await anyio.sleep_forever()

        monkeypatch.setattr(center.tokens, "refresh", refresh)
        messages = {"gone": {"type": "http.disconnect"}, "bad_body": {"type": "http.request", "body": b"{"}}

        async def receive():
            return messages.get(fault, {"type": "http.request"})

        async def send(_):
            pass

        expected = pytest.raises(RuntimeError) if fault == "internal_error" else nullcontext()
        with anyio.move_on_after(1), expected:
            await center.service(asked(LOCAL, HOST, "PUT", "/token/alpha"), receive, send)
        assert told(center, "account", "result") == [("refresh", "alpha", fault)]


async def test_a_refresh_by_a_key_that_is_revoked_while_the_body_comes_is_no_success(
    world, told, anyio_backend
):
    async with running(world, clients=CLIENTS) as center:

        async def receive():
            await center.service.reload(list(center.tokens.accounts), clients=())
            return {"type": "http.request", "body": b""}

        async def send(_):
            pass

        await center.service(asked(STRANGER, key(KEY), "PUT", "/token/alpha"), receive, send)
        assert told(center, "result", "status") == [("refused", "bad_key", 401), ("refresh", "bad_key", 401)]


async def test_one_caller_has_one_address_whichever_way_it_is_answered(world, told, anyio_backend):
    async with running(world, trusted=["10.0.0.0/8"], clients=CLIENTS) as center:
        for headers in ({}, {}, {}, key(KEY), key(KEY)):
            await answered(center.service, asked("::ffff:10.3.3.3", headers, "GET", "/token/alpha"))
        assert set(told(center, "client", "address")) == {
            ("read", "trusted", "10.3.3.3"),
            ("read", "crm", "10.3.3.3"),
        }


async def test_a_logger_that_is_set_up_later_is_noticed(world, caplog, anyio_backend):
    caplog.set_level(logging.WARNING, "wxtoken_asgi.audit")
    async with running(world) as center:
        await answered(center.service, asked(LOCAL, HOST, "GET", "/token/alpha"))
        caplog.set_level(logging.INFO, "wxtoken_asgi.audit")
        await answered(center.service, asked(LOCAL, HOST, "GET", "/ticket/alpha"))
        center.service._audit.flush()
    assert [record.audit["kind"] for record in caplog.records if hasattr(record, "audit")] == ["jsapi_ticket"]
