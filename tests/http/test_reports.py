"""The body of a `PUT`: a report that a value is dead, nothing, or what is refused."""

from __future__ import annotations

import gzip
import json

import anyio
import pytest

from support.center import exchange, running
from support.world import APPIDS

NOTHING, OTHER = "no report: a new token", "a report of another value: nothing is fetched"
WORD = "0123456789-abcdef_XYZ"


def _json(value, size):
    """A report of `size` bytes."""
    body = json.dumps({"access_token": value, "pad": ""})
    return body.replace('""', '"%s"' % ("x" * (size - len(body)))).encode()


BODIES = [
    (b"", NOTHING),
    (b" \r\n\t ", NOTHING),
    (b"{}", NOTHING),
    (b" { } \n", NOTHING),
    (b"null", NOTHING),
    (b'""', NOTHING),
    (b" " * 4096, NOTHING),
    (b"a" * 16, OTHER),
    (b"a" * 1024, OTHER),
    (b"1234567890123456", OTHER),
    (WORD.encode(), OTHER),
    (b" " + WORD.encode() + b"\r\n", OTHER),
    (b'{"access_token":"x"}', OTHER),
    (b'\n{"access_token": "\\u4e2d", "expires_in": 7200, "a": {"b": [1]}}', OTHER),
    (b'{"access_token":null,"access_token":"x"}', OTHER),
    (json.dumps({"access_token": "中"}, ensure_ascii=False).encode(), OTHER),
    (_json("x", 4096), OTHER),
    (_json("x", 4097), 413),
    (b" " * 4097, 413),
    (b"a" * 100_000, 413),
    (b"a" * 15, 400),
    (b"a" * 1025, 400),
    (b"a" * 16 + b".", 400),
    (b"a" * 16 + b"=", 400),
    (b"a" * 16 + "é".encode(), 400),
    (b"a" * 16 + b" " + b"b" * 16, 400),
    (b"a" * 16 + b"\0", 400),
    (b'"' + b"a" * 16 + b'"', 400),
    (b'{"access_token":""}', 400),
    (b'{"access_token":null}', 400),
    (b'{"access_token":7200}', 400),
    (b'{"access_token":["x"]}', 400),
    (b'{"access_token":{"access_token":"x"}}', 400),
    (b'{"accessToken":"x"}', 400),
    (b'{"ticket":"x"}', 400),
    (b'{"message":"ok"}', 400),
    (b"[]", 400),
    (b'[{"access_token":"x"}]', 400),
    (b"0", 400),
    (b"false", 400),
    (b"NaN", 400),
    (b"9" * 4096, 400),
    (b"{", 400),
    (b"{}{}", 400),
    (b"[" * 4096, 400),
    (b"undefined", 400),
    (b"access_token=" + b"a" * 16, 400),
    (b"\xff\xfe", 400),
    (b"{}".replace(b"", b"\0"), 400),
    ("{}".encode("utf-16"), 400),
    ("{}".encode("utf-16-le"), 400),
    ('{"access_token":"x"}'.encode("utf-32"), 400),
    ("{}".encode("utf-8-sig"), 400),
    ('{"access_token":"é"}'.encode("latin-1"), 400),
    (gzip.compress(b"{}", mtime=0), 400),
]
CODES = {400: "bad_body", 413: "body_too_large"}


@pytest.mark.parametrize(("body", "outcome"), BODIES)
async def test_what_a_body_means(world, body, outcome, anyio_backend):
    async with running(world) as center:
        before = (await center.get("/token/beta")).text
        answer = await center.raw("PUT", "/token/beta", receive=coming(body))
        after = (await center.get("/token/beta")).text
    assert (after != before) == (outcome is NOTHING)
    if outcome in CODES:
        assert (answer.status, json.loads(answer.body)["code"]) == (outcome, CODES[outcome])
        assert b"retry-after" not in answer.headers
    else:
        assert (answer.status, answer.body) == (200, b'{"message":"ok"}')


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json", "image/png", "nonsense"])
@pytest.mark.parametrize("body", [WORD, '{"access_token":"x"}', "{}", ""])
async def test_the_content_type_does_not_matter(world, content_type, body, anyio_backend):
    headers = {"content-type": content_type} if content_type else {}
    async with running(world) as center:
        await center.get("/token/beta")
        answer = await center.put("/token/beta", content=body, headers=headers)
    assert answer.json() == {"message": "ok"}


async def test_the_message_about_a_bad_body_says_what_to_send_and_repeats_nothing(world, anyio_backend):
    async with running(world) as center:
        answer = await center.put("/token/alpha", content="SECRETS=" + WORD)
    assert answer.json() == {
        "code": "bad_body",
        "errmsg": 'send nothing, or the dead value: alone as text, or as JSON {"access_token": "..."}',
    }


# how it comes


def coming(*messages, then=None):
    """A `receive` that brings chunks; a number is a pause in seconds."""
    waiting = list(messages)

    async def receive():
        if waiting and isinstance(waiting[0], (int, float)):
            await anyio.sleep(waiting.pop(0))
        if waiting:
            chunk = waiting.pop(0)
            more = bool(waiting) or then is not None
            return {"type": "http.request", "body": chunk, "more_body": more}
        if then is None:
            raise AssertionError("it was asked for more than there is")
        return await then()

    return receive


async def disconnect():
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ([b""], NOTHING),
        ([b"", b"", b""], NOTHING),
        ([b"{", b"", b"}"], NOTHING),
        ([b"0123456789", b"-abcdef"], OTHER),
        ([1, b"0123456789", 3.5, b"-abcdef"], OTHER),
        ([bytes([byte]) for byte in b'{"access_token":"x"}'], OTHER),
        ([b" " * 2048, b" " * 2048], NOTHING),
        ([b" " * 2048, b" " * 2048, b" "], 413),
        ([6, b""], 408),
        ([b"{", 4, b"", 4, b"}"], 408),
        ([2, b"a"] * 10, 408),
    ],
)
async def test_a_body_may_come_in_pieces_but_within_5_s(world, chunks, outcome, anyio_backend):
    async with running(world) as center:
        before = (await center.get("/token/beta")).text
        started = anyio.current_time()
        answer = await center.raw("PUT", "/token/beta", receive=coming(*chunks))
        took = anyio.current_time() - started
        after = (await center.get("/token/beta")).text
    assert answer.status == (outcome if isinstance(outcome, int) else 200)
    assert (after != before) == (outcome is NOTHING)
    assert took <= 5.001
    if outcome == 408:
        assert took > 4.9
        assert json.loads(answer.body) == {
            "code": "body_timeout",
            "errmsg": "the body did not come within 5 s",
        }


async def test_a_body_without_the_optional_keys_is_empty(world, anyio_backend):
    async def receive():
        return {"type": "http.request"}

    async with running(world) as center:
        assert (await center.raw("PUT", "/token/beta", receive=receive)).status == 200


async def test_too_large_a_body_is_answered_before_it_has_come(world, anyio_backend):
    async with running(world) as center:
        answer = await center.raw("PUT", "/token/beta", receive=coming(b"a" * 5000, then=anyio.sleep_forever))
    assert answer.status == 413


@pytest.mark.parametrize("chunks", [[], [b"{"], [b"0123456789-abcdef_XYZ"]])
async def test_a_caller_that_goes_away_in_its_body_gets_nothing_and_fetches_nothing(
    world, chunks, anyio_backend
):
    async with running(world) as center:
        token = (await center.get("/token/beta")).text
        answer = await center.raw("PUT", "/token/beta", receive=coming(*chunks, then=disconnect))
        assert answer.sent == []
        await anyio.sleep(10)
        assert (await center.get("/token/beta")).text == token


async def test_of_unknown_accounts_and_strangers_no_body_is_read(world, anyio_backend):
    async with running(world) as center:
        unknown = await exchange(center.service, "PUT", "/token/nope", receive=coming(3600, b""))
        refused = await exchange(
            center.service, "PUT", "/token/alpha", receive=coming(3600, b""), peer="192.0.2.1"
        )
    assert (unknown.status, refused.status) == (404, 403)
    assert anyio.current_time() < 3600


# P8: a report is compared


async def test_a_report_of_the_current_token_fetches_a_new_one(world, anyio_backend):
    async with running(world) as center:
        token = (await center.get("/token/beta")).text
        assert (await center.put("/token/beta", content=token)).json() == {"message": "ok"}
        assert (await center.get("/token/beta")).text != token
    assert world.count("token", "beta") == 2


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_a_report_of_an_old_or_unknown_token_asks_nobody(world, name, anyio_backend):
    async with running(world) as center:
        old = (await center.get(f"/token/{name}")).text
        await center.put(f"/token/{name}")
        token, calls = (await center.get(f"/token/{name}")).text, len(world.sandbox.calls)
        await anyio.sleep(62)
        for body in (old, json.dumps({"access_token": old}), token[:-1], WORD):
            assert (await center.put(f"/token/{name}", content=body)).json() == {"message": "ok"}
        assert (await center.get(f"/token/{name}")).text == token
        assert len(world.sandbox.calls) == calls


async def test_a_stable_token_that_still_works_is_probed_and_kept(world, anyio_backend):
    async with running(world, world.account("alpha")) as center:
        token = (await center.get("/token/alpha")).text
        assert (await center.put("/token/alpha", content=token)).json() == {"message": "ok"}
        assert (await center.get("/token/alpha")).text == token
    assert [call.path for call in world.sandbox.calls] == [
        "/cgi-bin/stable_token",
        "/cgi-bin/get_api_domain_ip",
    ]


async def test_a_stable_token_that_is_dead_is_replaced_by_force(world, anyio_backend):
    async with running(world, world.account("alpha")) as center:
        token = (await center.get("/token/alpha")).text
        world.sandbox.revoke(token)
        await center.put("/token/alpha", content=token)
        assert world.sandbox.accepts((await center.get("/token/alpha")).text)
    assert [call.forced for call in world.sandbox.calls] == [False, False, False, True]


@pytest.mark.parametrize("name", ["alpha", "beta"])
async def test_100_reports_of_one_dead_token_cause_one_fetch(world, name, anyio_backend):
    statuses = []
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.revoke(token)

        async def report():
            statuses.append((await center.put(f"/token/{name}", content=token)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(report)
        new = (await center.get(f"/token/{name}")).text
        assert world.sandbox.accepts(new)
        await center.put(f"/token/{name}", content=token)
        assert (await center.get(f"/token/{name}")).text == new
    assert statuses == [200] * 100
    assert len([call for call in world.sandbox.calls if call.issued and call.appid == APPIDS[name]]) == 2


@pytest.mark.parametrize("body", ["", WORD])
async def test_where_nothing_is_held_a_put_waits_for_the_first_value(world, body, anyio_backend):
    world.sandbox.fail("slow", seconds=8)
    async with running(world, world.account("beta")) as center:
        started = anyio.current_time()
        answer = await center.put("/token/beta", content=body)
        took = anyio.current_time() - started
    assert answer.json() == {"message": "ok"}
    assert 7.9 < took < 8.1
    assert world.count("token") == 1
