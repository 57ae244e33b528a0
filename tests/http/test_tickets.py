"""`GET`, `HEAD` and `PUT {prefix}/ticket/{app}`; what is the same as with tokens is in test_tokens.py."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi.records import digest

from support.center import running
from support.world import APPIDS

GETTICKET = "ticket/getticket"


@pytest.fixture(params=["alpha", "beta"])
def name(request):
    """An account on each endpoint."""
    return request.param


async def test_a_ticket_is_the_whole_body_as_bare_text(world, name, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/ticket/{name}", headers={"accept": "application/json"})
        ticket = await center.tokens.jsapi_ticket(name)
    assert answer.status_code == 200
    assert answer.content == ticket.encode()
    assert world.sandbox.accepts_ticket(ticket)
    assert list(answer.headers.raw) == [
        (b"content-type", b"text/plain"),
        (b"content-length", b"86"),
        (b"cache-control", b"no-store"),
        (b"etag", b'"%s"' % digest(APPIDS[name], "jsapi_ticket", ticket).encode()),
    ]


async def test_a_tickets_json_says_ticket_and_10_minutes_at_most(world, name, anyio_backend):
    async with running(world) as center:
        answer = await center.get(f"/ticket/{name}?format=json")
        assert list(answer.json()) == ["ticket", "expires_in"]
        assert answer.json()["ticket"] == (await center.get(f"/ticket/{name}")).text
    assert answer.json()["expires_in"] == 600


async def test_head_and_if_none_match_are_as_with_tokens(world, anyio_backend):
    async with running(world) as center:
        get, head = [await center.ask(method, "/ticket/alpha") for method in ("GET", "HEAD")]
        again = await center.get("/ticket/alpha", headers={"if-none-match": get.headers["etag"]})
        token = await center.get("/token/alpha", headers={"if-none-match": get.headers["etag"]})
    assert (head.content, head.headers) == (b"", get.headers)
    assert again.status_code == 304
    assert token.status_code == 200


async def test_a_ticket_is_kept_fresh_from_its_first_demand_on(world, anyio_backend):
    async with running(world) as center:
        await anyio.sleep(7200)
        assert world.count(GETTICKET) == 0
        await center.get("/ticket/alpha")
        assert world.count(GETTICKET) == 1
        await anyio.sleep(4 * 3600)
        before = world.count(GETTICKET, "alpha")
        assert before >= 8
        assert world.sandbox.accepts_ticket((await center.get("/ticket/alpha")).text)
        assert world.count(GETTICKET, "alpha") == before
        assert world.count(GETTICKET, "beta") == 0


async def test_a_listed_ticket_is_there_from_the_start(world, anyio_backend):
    async with running(world, world.account("alpha", tickets=("jsapi",))) as center:
        await anyio.sleep(1)
        assert world.count(GETTICKET) == 1
        assert (await center.get("/ticket/alpha")).status_code == 200
        assert world.count(GETTICKET) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_a_mini_programs_ticket_is_404_with_the_reason(world, method, anyio_backend):
    async with running(world, world.account("mini")) as center:
        answers = [await center.ask(method, "/ticket/mini") for _ in range(5)]
        token = await center.get("/token/mini")
    assert {answer.status_code for answer in answers} == {404}
    if method != "HEAD":
        content = answers[-1].json()
        assert list(content) == ["code", "errmsg", "errcode"]
        assert (content["code"], content["errcode"]) == ("no_such_credential", 48001)
        assert "jsapi_ticket of account mini" in content["errmsg"]
    assert "retry-after" not in answers[-1].headers
    assert world.count(GETTICKET) == 1  # the others were answered from memory
    assert world.sandbox.accepts(token.text)


async def test_put_asks_wechat_and_is_ok_though_the_same_ticket_comes_back(world, name, anyio_backend):
    async with running(world) as center:
        before = (await center.get(f"/ticket/{name}")).text
        answer = await center.put(f"/ticket/{name}")
        assert answer.content == b'{"message":"ok"}'
        assert world.count(GETTICKET, name) == 2
        assert (await center.get(f"/ticket/{name}")).text == before
        await center.put(f"/ticket/{name}")
        assert world.count(GETTICKET, name) == 2
        await anyio.sleep(61)
        shown = await center.put(f"/ticket/{name}", headers={"prefer": "return=representation"})
        assert world.count(GETTICKET, name) == 3
    assert shown.text == before


async def test_a_ticket_of_the_next_slot_replaces_the_last_one_on_put(anyio_backend, world):
    async with running(world) as center:
        before = (await center.get("/ticket/alpha")).text
        world.sandbox.advance(7200)
        await center.put("/ticket/alpha")
        after = await center.get("/ticket/alpha")
    assert after.text != before


@pytest.mark.parametrize(
    ("report", "fetched"),
    [
        ('{{"ticket":"{0}"}}', 1),
        ("{0}", 1),
        ('{{"ticket":"{0}","expires_in":600}}', 1),
        ('{{"ticket":"another-ticket-00"}}', 0),
        ("another-ticket-00", 0),
    ],
)
async def test_a_reported_ticket_is_compared(world, report, fetched, anyio_backend):
    async with running(world) as center:
        ticket = (await center.get("/ticket/alpha")).text
        answer = await center.put("/ticket/alpha", content=report.format(ticket))
    assert answer.json() == {"message": "ok"}
    assert world.count(GETTICKET) - 1 == fetched


async def test_a_token_is_no_report_about_a_ticket(world, anyio_backend):
    async with running(world) as center:
        await center.get("/ticket/alpha")
        answer = await center.put("/ticket/alpha", json={"access_token": "x" * 20})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_body")
    assert '{"ticket": "..."}' in answer.json()["errmsg"]


async def test_a_dead_token_is_renewed_for_the_ticket(world, name, anyio_backend):
    async with running(world) as center:
        token = (await center.get(f"/token/{name}")).text
        world.sandbox.revoke(token)
        answer = await center.get(f"/ticket/{name}")
        renewed = (await center.get(f"/token/{name}")).text
    assert world.sandbox.accepts_ticket(answer.text)
    assert renewed != token


async def test_a_first_ticket_waits_for_token_and_ticket_5_s_in_all(world, name, anyio_backend):
    world.sandbox.fail("slow", times=None, seconds=3)
    async with running(world, world.account(name)) as center:
        started = anyio.current_time()
        answer = await center.get(f"/ticket/{name}")
        assert anyio.current_time() - started <= 5.001
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        await anyio.sleep(2)
        assert (await center.get(f"/ticket/{name}")).status_code == 200
    assert world.count(GETTICKET) == 1


async def test_100_callers_wait_for_one_ticket(world, name, anyio_backend):
    world.sandbox.fail("slow", path="/cgi-bin/ticket/getticket", seconds=4)
    answers = []
    async with running(world) as center:

        async def read():
            answers.append((await center.get(f"/ticket/{name}")).text)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(read)
    assert len(answers) == 100
    assert len(set(answers)) == 1
    assert world.count(GETTICKET) == 1


async def test_a_wrong_secret_is_told_at_the_ticket_too(world, anyio_backend):
    async with running(world, world.account("alpha", secret="wrong-secret-0123456789")) as center:
        answer = await center.get("/ticket/alpha")
        await center.get("/ticket/alpha")
    assert answer.status_code == 502
    assert answer.json()["errcode"] == 40125
    assert int(answer.headers["retry-after"]) >= 1
    assert len(world.sandbox.calls) == 1
