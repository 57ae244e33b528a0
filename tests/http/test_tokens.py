"""`GET`, `HEAD` and `PUT {prefix}/token/{app}`."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import anyio
import pytest

from wxtoken_asgi import waiter
from wxtoken_asgi.records import digest
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import mounted, running
from support.world import APPIDS

NEW_S = 61  # an asked-for refresh settles those of the next minute


@pytest.fixture(params=["alpha", "beta"])
def name(request):
    """An account on each endpoint."""
    return request.param


def fetches(world, name):
    """Calls that can bring a new token."""
    return world.count("token" if name == "beta" else "stable_token", name)


# GET, HEAD


async def test_a_token_is_the_whole_body_as_bare_text(world, name, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/token/{name}")
        token = await center.tokens.access_token(name)
    assert answer.status_code == 200
    assert answer.content == token.encode()
    assert world.sandbox.accepts(token)
    assert list(answer.headers.raw) == [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(token)),
        (b"cache-control", b"no-store"),
        (b"etag", b'"%s"' % digest(APPIDS[name], "access_token", token).encode()),
    ]


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*", "image/png", ""])
async def test_a_token_is_text_whatever_accept_says(world, accept, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/alpha", headers={"accept": accept})
    assert answer.headers["content-type"] == "text/plain"
    assert world.sandbox.accepts(answer.text)


async def test_name_and_appid_lead_to_one_token(world, name, anyio_backend):
    async with running(world) as center:
        answers = [await center.get(f"/token/{app}") for app in (name, APPIDS[name], f"{name}/")]
    assert len({(answer.text, answer.headers["etag"]) for answer in answers}) == 1
    assert fetches(world, name) == 1


@pytest.mark.parametrize("query", ["", "?format=json"])
async def test_head_is_get_without_the_body(world, query, anyio_backend):
    async with running(world) as center:
        get, head = [await center.ask(method, f"/token/beta{query}") for method in ("GET", "HEAD")]
        (_, sent) = (await center.raw("HEAD", "/token/beta", query=query[1:].encode())).sent
    assert head.status_code == 200
    assert head.headers.raw == get.headers.raw
    assert sent == {"type": "http.response.body", "body": b""}


async def test_json_is_shaped_as_wechat_shapes_it(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/alpha?format=json")
        token = await center.tokens.access_token("alpha")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    assert answer.text == f'{{"access_token":"{token}","expires_in":{answer.json()["expires_in"]}}}'
    assert 7165 <= answer.json()["expires_in"] <= 7170


async def test_a_token_of_the_old_endpoint_may_be_kept_240_s_past_its_planned_refresh(world, anyio_backend):
    async with running(world) as center:
        token, kept_until = (await center.get("/token/beta")).text, []
        while await center.tokens.access_token("beta") == token:
            now = anyio.current_time()
            answer = (await center.get("/token/beta?format=json")).json()
            assert answer["access_token"] == token
            kept_until.append(now + answer["expires_in"])
            await anyio.sleep(10)
    assert 3600 <= now <= 4320 + 10
    assert max(kept_until) - min(kept_until) <= 11
    assert now + 230 <= min(kept_until) <= max(kept_until) <= now + 250


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("format=text", "text"),
        ("format=json", "json"),
        ("FORMAT=json", "text"),
        ("access_token=x&other", "text"),
        ("format=text&format=json", "json"),
        ("x=%E4%B8%AD&format=json", "json"),
        ("x=%FF%00", "text"),
        ("%66ormat=%6ason", "json"),
    ],
)
async def test_only_format_decides_the_form(world, query, form, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/token/alpha?{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == {"text": "text/plain", "json": "application/json"}[form]


@pytest.mark.parametrize(
    "query", ["format=xml", "format=", "format", "format=JSON", "format=json&format=%E4"]
)
async def test_another_format_is_400(world, query, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/token/alpha?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_format")


@pytest.mark.parametrize("query", [b"x=\xe4", b"\xff\xfe", b"%", b"%zz&&==&", b"&" * 5000])
async def test_no_query_is_too_odd_for_a_read(world, query, anyio_backend):
    async with running(world) as center:
        answer = await center.raw("GET", "/token/alpha", query=query)
    assert answer.status == 200


# ETag


async def test_the_etag_is_a_digest_of_appid_kind_and_value(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/alpha")
    words = "\0".join((APPIDS["alpha"], "access_token", answer.text))
    wanted = base64.urlsafe_b64encode(hashlib.sha256(words.encode()).digest())[:22].decode()
    assert answer.headers["etag"] == f'"{wanted}"'
    assert re.fullmatch(r'"[A-Za-z0-9_-]{22}"', answer.headers["etag"])


async def test_the_etag_outlives_a_restart_and_even_the_store(world, anyio_backend):
    etags = []
    for store in (MemoryStore(world.clock), MemoryStore(world.clock)):
        for _ in range(2):
            async with running(world, manager={"store": store}) as center:
                etags.append((await center.get("/token/alpha")).headers["etag"])
    assert len(etags) == 4
    assert len(set(etags)) == 1


async def test_the_etag_changes_with_the_token(world, name, anyio_backend):
    async with running(world) as center:
        before = (await center.get(f"/token/{name}")).headers["etag"]
        await center.put(f"/token/{name}")
        after = await center.get(f"/token/{name}", headers={"if-none-match": before})
    assert after.status_code == 200
    assert after.headers["etag"] != before


MATCHES = [
    ("{0}", 304),
    ("W/{0}", 304),
    ("*", 304),
    (' "a", {0}', 304),
    ('W/"a",W/{0} , "b"', 304),
    ("{0},", 304),
    ('"a"', 200),
    ("{0}x", 200),
    ("w/{0}", 200),
    ('"*"', 200),
    ("", 200),
    ("\u00ff", 200),
]


@pytest.mark.parametrize(("condition", "status"), MATCHES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_if_none_match_is_answered_with_304(world, condition, status, method, anyio_backend):
    async with running(world) as center:
        etag = (await center.get("/token/alpha")).headers["etag"]
        value = condition.format(etag).encode("latin-1")
        answer = await center.ask(method, "/token/alpha", headers={b"if-none-match": value})
    assert answer.status_code == status
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "no-store"
    if status == 304:
        assert answer.content == b""
        assert "content-length" not in answer.headers
        assert "content-type" not in answer.headers


async def test_each_line_of_if_none_match_is_looked_at(world, anyio_backend):
    async with running(world) as center:
        etag = (await center.get("/token/alpha")).headers["etag"]
        lines = [("if-none-match", '"a"'), ("if-none-match", etag)]
        assert (await center.get("/token/alpha", headers=lines)).status_code == 304


async def test_json_has_no_etag_and_no_304(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/alpha?format=json", headers={"if-none-match": "*"})
    assert answer.status_code == 200


# PUT without a report; reports are in test_reports.py


async def test_put_fetches_and_says_ok(world, name, anyio_backend):
    async with running(world) as center:
        before = (await center.get(f"/token/{name}")).text
        answer = await center.put(f"/token/{name}")
        after = (await center.get(f"/token/{name}")).text
    assert answer.status_code == 200
    assert answer.content == b'{"message":"ok"}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert before != after
    assert world.sandbox.accepts(after)


async def test_a_put_on_the_stable_endpoint_asks_first_and_forces_only_if_the_same_token_came_back(
    world, anyio_backend
):
    async with running(world) as center:
        await center.get("/token/alpha")
        world.sandbox.outside_fetch(APPIDS["alpha"], "stable", force=True)
        await center.put("/token/alpha")
        assert [call.forced for call in world.sandbox.calls if "stable" in call.path] == [False, False]
        await anyio.sleep(NEW_S)
        await center.put("/token/alpha")
        assert [call.forced for call in world.sandbox.calls if "stable" in call.path][-2:] == [False, True]


async def test_puts_that_come_together_share_one_fetch(world, name, anyio_backend):
    answers = []
    async with running(world) as center:
        await center.get(f"/token/{name}")
        before = fetches(world, name)
        world.sandbox.fail("slow", seconds=3)

        async def put():
            answers.append((await center.put(f"/token/{name}")).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(put)
    assert answers == [200] * 50
    assert fetches(world, name) - before == (1 if name == "beta" else 2)


async def test_a_put_within_a_minute_after_one_that_succeeded_is_ok_without_a_fetch(
    world, name, anyio_backend
):
    async with running(world) as center:
        await center.get(f"/token/{name}")
        await center.put(f"/token/{name}")
        token, before = (await center.get(f"/token/{name}")).text, fetches(world, name)
        await anyio.sleep(58)
        assert (await center.put(f"/token/{name}")).json() == {"message": "ok"}
        assert ((await center.get(f"/token/{name}")).text, fetches(world, name)) == (token, before)
        await anyio.sleep(3)
        assert (await center.put(f"/token/{name}")).json() == {"message": "ok"}
        assert (await center.get(f"/token/{name}")).text != token


async def test_a_put_within_a_minute_after_one_that_failed_gets_its_error(world, name, anyio_backend):
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.fail(errcode=-1, appid=APPIDS[name])
        failed = await center.put(f"/token/{name}")
        before = fetches(world, name)
        await anyio.sleep(50)
        again = await center.put(f"/token/{name}")
        assert fetches(world, name) - before <= 1  # the loop's own
        assert (await center.get(f"/token/{name}")).status_code == 200
    for answer in (failed, again):
        assert answer.status_code == 503
        assert answer.json()["errcode"] == -1
        assert int(answer.headers["retry-after"]) >= 1
    assert world.sandbox.accepts(token)


@pytest.mark.parametrize(("account", "most"), [("beta", 25), ("alpha", 5)])
async def test_puts_without_a_report_may_spend_half_the_budget(world, account, most, anyio_backend):
    statuses = []
    async with running(world) as center:
        await center.get(f"/token/{account}")
        for _ in range(most + 2):
            answer = await center.put(f"/token/{account}")
            statuses.append(answer.status_code)
            await anyio.sleep(NEW_S)
        good = (await center.get(f"/token/{account}")).status_code
    assert statuses == [200] * most + [429] * 2
    assert answer.json()["code"] == "budget_spent"
    assert 80_000 < int(answer.headers["retry-after"]) <= 25 * 3600
    assert good == 200


@pytest.mark.parametrize(("account", "most"), [("beta", 50), ("alpha", 10)])
async def test_reports_may_spend_all_of_it(world, account, most, anyio_backend):
    statuses = []
    async with running(world) as center:
        for _ in range(most + 2):
            token = (await center.get(f"/token/{account}")).text
            world.sandbox.revoke(token)
            answer = await center.put(f"/token/{account}", content=token)
            statuses.append(answer.status_code)
            await anyio.sleep(NEW_S)
    assert statuses == [200] * most + [429] * 2
    assert answer.json()["code"] == "budget_spent"


async def test_a_spent_budget_does_not_stop_scheduled_fetches(world, anyio_backend):
    async with running(world) as center:
        for _ in range(27):
            spent = (await center.put("/token/beta")).status_code
            await anyio.sleep(NEW_S)
        before = fetches(world, "beta")
        await anyio.sleep(3 * 7200)
        after = fetches(world, "beta")
        assert world.sandbox.accepts((await center.get("/token/beta")).text)
    assert spent == 429
    assert after - before >= 5


async def test_after_24_hours_there_is_room_again(world, anyio_backend):
    async with running(world) as center:
        await center.get("/token/alpha")
        for _ in range(6):
            answer = await center.put("/token/alpha")
            await anyio.sleep(NEW_S)
        assert answer.status_code == 429
        await anyio.sleep(int(answer.headers["retry-after"]) - NEW_S)
        assert (await center.put("/token/alpha")).status_code == 200


async def test_the_daily_quota_caps_all_fetches(world, anyio_backend):
    async with running(world, world.account("beta", daily_quota=51)) as center:  # 48 are for what is due
        await center.get("/token/beta")
        statuses = []
        for _ in range(4):
            answer = await center.put("/token/beta")
            statuses.append(answer.status_code)
            await anyio.sleep(NEW_S)
    assert statuses == [200, 200, 429, 429]
    assert "not kept for what is due (3 of 51)" in answer.json()["errmsg"]
    assert fetches(world, "beta") == 3


# Prefer


PREFERENCES = [
    ({"prefer": "return=representation"}, True),
    ({"prefer": "Return = Representation"}, True),
    ({"prefer": 'return="representation"'}, True),
    ({"prefer": "respond-async, return=representation; x=1, wait=10"}, True),
    ({"prefer": "return=minimal"}, False),
    ({"prefer": "return=minimal, return=representation"}, False),
    ({"prefer": "return"}, False),
    ({"prefer": "x-return=representation"}, False),
    ({"prefer": "return=representations"}, False),
    ({"x-prefer": "return=representation"}, False),
    ({"prefer": ""}, False),
    ({}, False),
]


@pytest.mark.parametrize(("headers", "wanted"), PREFERENCES)
async def test_prefer_return_representation_answers_the_new_token(world, headers, wanted, anyio_backend):
    async with running(world) as center:
        before = (await center.get("/token/beta")).text
        answer = await center.put("/token/beta", headers=headers)
        after = (await center.get("/token/beta")).text
    assert answer.status_code == 200
    assert after != before
    assert answer.text == (after if wanted else '{"message":"ok"}')
    assert answer.headers.get("preference-applied") == ("return=representation" if wanted else None)
    assert answer.headers["cache-control"] == "no-store"


async def test_two_prefer_lines_are_one_list(world, anyio_backend):
    lines = [("prefer", "wait=1"), ("prefer", "return=representation"), ("prefer", "return=minimal")]
    async with running(world) as center:
        assert world.sandbox.accepts((await center.put("/token/beta", headers=lines)).text)


async def test_a_preferred_representation_can_be_json_and_is_never_a_304(world, anyio_backend):
    prefer = {"prefer": "return=representation", "if-none-match": "*"}
    async with running(world) as center:
        await center.get("/token/alpha")
        text = await center.put("/token/alpha", headers=prefer)
        shaped = await center.put("/token/alpha?format=json", headers=prefer)
    assert shaped.json()["access_token"] == text.text
    assert shaped.json()["expires_in"] > 7000
    assert text.status_code == 200
    assert text.headers["etag"]


async def test_a_preferred_representation_in_an_unknown_format_refreshes_nothing(world, anyio_backend):
    async with running(world) as center:
        before = (await center.get("/token/beta")).text
        answer = await center.put("/token/beta?format=xml", headers={"prefer": "return=representation"})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_format")
        assert (await center.get("/token/beta")).text == before
        assert (await center.put("/token/beta?format=xml")).json() == {"message": "ok"}


async def test_prefer_changes_nothing_about_an_error(world, anyio_backend):
    async with running(world) as center:
        await center.get("/token/beta")
        world.sandbox.fail(errcode=40125, appid=APPIDS["beta"])
        answer = await center.put("/token/beta", headers={"prefer": "return=representation"})
    assert answer.status_code == 502
    assert "preference-applied" not in answer.headers


# waiting, bounded


async def test_100_callers_wait_for_one_first_fetch(world, name, anyio_backend):
    world.sandbox.fail("slow", seconds=4)
    world.sandbox.fail("slow", seconds=4)
    answers = []
    async with running(world) as center:

        async def read():
            answers.append(await center.get(f"/token/{name}"))

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(read)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert fetches(world, name) == 1


@pytest.mark.parametrize("fault", ["hang", "slow"])
async def test_a_read_waits_5_s_for_a_first_value(world, name, fault, anyio_backend):
    world.sandbox.fail(fault, times=None, seconds=9 if fault == "slow" else None)
    async with running(world) as center:
        started = anyio.current_time()
        answer = await center.get(f"/token/{name}")
        took = anyio.current_time() - started
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        assert 4.5 < took <= 5.001
        await anyio.sleep(5)
        later = await center.get(f"/token/{name}")
    assert later.status_code == (504 if fault == "hang" else 200)


async def test_after_a_timeout_reads_are_504_with_the_time_of_the_next_attempt(world, name, anyio_backend):
    world.sandbox.fail("hang", times=None)
    async with running(world) as center:
        for _ in range(20):
            await anyio.sleep(7)
            started = anyio.current_time()
            answer = await center.get(f"/token/{name}")
            assert anyio.current_time() - started <= 5.001
            assert answer.status_code == 504
            assert answer.json()["code"] == "upstream_timeout"
            assert 1 <= int(answer.headers["retry-after"]) <= 78


async def test_a_put_waits_12_s_at_most(world, name, anyio_backend):
    async with running(world) as center:
        await center.get(f"/token/{name}")
        world.sandbox.fail("slow", times=None, seconds=7)
        started = anyio.current_time()
        answer = await center.put(f"/token/{name}")  # on the stable endpoint it makes two calls
        took = anyio.current_time() - started
        assert took <= 12.001
        assert answer.status_code == (200 if name == "beta" else 504)
        if name == "alpha":
            assert int(answer.headers["retry-after"]) >= 1
        assert (await center.get(f"/token/{name}")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_nothing_waits_longer_than_it_may_while_wechat_hangs(world, name, method, anyio_backend):
    world.sandbox.fail("hang", times=None)
    async with running(world) as center:
        for _ in range(10):
            started = anyio.current_time()
            answer = await center.ask(method, f"/token/{name}")
            assert anyio.current_time() - started <= (5.001 if method == "GET" else 12.001)
            assert answer.status_code in {503, 504}
            assert int(answer.headers["retry-after"]) >= 1
            await anyio.sleep(1)


async def test_a_held_token_is_read_at_once_whatever_wechat_does(world, name, anyio_backend):
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.fail("hang", times=None)
        for _ in range(20):
            started = anyio.current_time()
            assert (await center.get(f"/token/{name}")).text == token
            assert anyio.current_time() == started
            await anyio.sleep(120)


async def test_past_the_stated_end_a_token_is_never_served(world, name, anyio_backend):
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.away()
        await anyio.sleep(7165)
        assert (await center.get(f"/token/{name}")).text == token
        await anyio.sleep(10)
        answer = await center.get(f"/token/{name}")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        world.sandbox.heal()
        await anyio.sleep(90)
        assert world.sandbox.accepts((await center.get(f"/token/{name}")).text)


async def test_too_many_waiting_callers_are_sent_away(world, monkeypatch, anyio_backend):
    monkeypatch.setattr(waiter, "MOST_WAITING", 3)
    world.sandbox.fail("slow", times=None, seconds=2)
    answers = []
    async with running(world) as center:

        async def read():
            answers.append(await center.get("/token/alpha"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(read)
        first, second, *others = answers
        for answer in (first, second):
            assert (answer.status_code, answer.json()["code"]) == (503, "too_many_waiting")
            assert answer.headers["retry-after"] == "1"
        assert [answer.status_code for answer in others] == [200] * 3
        assert center.tokens.statistics().waiting == 0


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_caller_that_goes_away_ends_no_fetch(world, name, method, anyio_backend):
    world.sandbox.fail("slow", times=None, seconds=3)
    async with running(world) as center:
        with anyio.move_on_after(1):
            await center.ask(method, f"/token/{name}")
        assert center.tokens.statistics().waiting == 0
        world.sandbox.heal()
        await anyio.sleep(3)
        started = anyio.current_time()
        assert (await center.get(f"/token/{name}")).status_code == 200
        assert anyio.current_time() == started
    assert fetches(world, name) == 1


# without a lifespan


async def test_without_a_lifespan_tokens_are_fetched_on_demand(world, name, caplog, anyio_backend):
    async with mounted(world) as center:
        assert fetches(world, name) == 0
        first = await center.get(f"/token/{name}")
        again = await center.get(f"/token/{name}", headers={"if-none-match": first.headers["etag"]})
        assert (await center.put(f"/token/{name}")).json() == {"message": "ok"}
        after = (await center.get(f"/token/{name}")).text
        assert (await center.get(f"/ticket/{name}")).status_code == 200
    assert again.status_code == 304
    assert after != first.text
    assert world.sandbox.accepts(after)
    assert len([record for record in caplog.records if "lifespan did not run" in record.getMessage()]) == 1


async def test_without_a_lifespan_100_callers_share_one_fetch_and_wait_5_s_at_most(
    world, name, anyio_backend
):
    world.sandbox.fail("slow", seconds=6)
    answers = []
    async with mounted(world) as center:

        async def read():
            answers.append((await center.get(f"/token/{name}")).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(read)
        assert anyio.current_time() <= 5.001
        await anyio.sleep(1.1)
        assert (await center.get(f"/token/{name}")).status_code == 200
    assert answers == [503] * 100
    assert fetches(world, name) == 1


async def test_without_a_lifespan_a_put_waits_12_s_at_most(world, anyio_backend):
    async with mounted(world) as center:
        token = (await center.get("/token/alpha")).text
        await anyio.sleep(5000)
        world.sandbox.fail("slow", times=None, seconds=9)
        started = anyio.current_time()
        await center.put("/token/alpha", content=token)
        assert anyio.current_time() - started <= 12.001


# errors that asking again would not help


async def test_a_wrong_secret_is_answered_from_memory(world, name, anyio_backend):
    async with running(world, world.account(name, secret="wrong-secret-0123456789")) as center:
        first = await center.get(f"/token/{name}")
        calls = len(world.sandbox.calls)
        for method in ("GET", "PUT", "HEAD"):
            started = anyio.current_time()
            again = await center.ask(method, f"/token/{name}")
            assert again.status_code == 502
            assert anyio.current_time() == started
        assert len(world.sandbox.calls) == calls == 1
        await anyio.sleep(310)
        assert len(world.sandbox.calls) == 2
    content = first.json()
    assert first.status_code == 502
    assert content["code"] == "upstream_refused"
    assert content["errcode"] == 40125
    assert "secret" in content["errmsg"].lower()
    assert name in content["errmsg"]
    assert "wrong-secret" not in first.text
    assert 1 <= int(first.headers["retry-after"]) <= 300


async def test_an_address_that_is_not_listed_is_named(world, name, anyio_backend):
    world.sandbox.fail(errcode=40164, times=None)
    async with running(world) as center:
        answers = [await center.get(f"/token/{name}") for _ in range(5)]
        assert fetches(world, name) == 1
    assert {answer.status_code for answer in answers} == {502}
    assert answers[-1].json()["errcode"] == 40164
    assert "127.0.0.1" in answers[-1].json()["errmsg"]


async def test_a_refusal_leaves_a_good_token_alone(world, name, anyio_backend):
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.fail(errcode=40125, times=None)
        assert (await center.put(f"/token/{name}")).status_code == 502
        assert (await center.get(f"/token/{name}")).text == token


async def test_errors_are_json_with_fixed_keys(world, anyio_backend):
    async with running(world) as center:
        answer = await center.get("/token/nope")
    assert list(json.loads(answer.content)) == ["code", "errmsg"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content)
