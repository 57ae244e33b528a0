"""Each row of the table of errors, brought about."""

from __future__ import annotations

import re

import anyio
import httpx
import pytest
from errors_table import ERRORS, NEVER_OVER_HTTP

from wxtoken_asgi import errors, waiter
from wxtoken_asgi.access import MOST_HEADERS, MOST_WRONG_KEYS
from wxtoken_asgi.answers import answer_of
from wxtoken_asgi.door import LONGEST_QUERY
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import STRANGER, running, scope_of
from support.world import APPIDS, SECRETS

BY_CODE = {row.code: row for row in ERRORS}
WRONG_KEY = {"authorization": "Bearer wrong"}


async def _put(center, receive):
    answer = await center.raw("PUT", "/token/alpha", receive=receive)
    return httpx.Response(answer.status, headers=answer.sent[0]["headers"], content=answer.body)


async def bad_body(world, monkeypatch):
    async with running(world) as center:
        return await center.put("/token/alpha", content="what?")


async def bad_format(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/token/alpha?format=xml")


async def bad_url(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/js-config/alpha")


async def host_not_allowed(world, monkeypatch):
    async with running(world, world.account("alpha", js_domains=("a.example",))) as center:
        return await center.get("/js-config/alpha?url=https%3A%2F%2Fb.example")


async def not_allowed(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/token/alpha", peer=STRANGER)


async def bad_key(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/token/alpha", headers=WRONG_KEY)


async def too_many_wrong_keys(world, monkeypatch):
    async with running(world) as center:
        for _ in range(MOST_WRONG_KEYS):
            assert (await center.get("/token/alpha", headers=WRONG_KEY)).status_code == 401
        return await center.get("/token/alpha", headers=WRONG_KEY)


async def too_many_headers(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/token/alpha", headers=[("x-a", "b")] * (MOST_HEADERS + 1))


async def query_too_long(world, monkeypatch):
    async with running(world) as center:
        return await center.get(f"/token/alpha?{'a' * (LONGEST_QUERY + 1)}")


async def no_such_credential(world, monkeypatch):
    async with running(world, world.account("mini")) as center:
        return await center.get("/ticket/mini")


async def not_found(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/tokens/alpha")


async def unknown_account(world, monkeypatch):
    async with running(world) as center:
        return await center.get("/token/nope")


async def method_not_allowed(world, monkeypatch):
    async with running(world) as center:
        return await center.ask("DELETE", "/token/alpha")


async def body_timeout(world, monkeypatch):
    async def receive():
        await anyio.sleep(6)

    async with running(world) as center:
        return await _put(center, receive)


async def body_too_large(world, monkeypatch):
    async def receive():
        return {"type": "http.request", "body": b"a" * 4096 + b"\n", "more_body": False}

    async with running(world) as center:
        return await _put(center, receive)


async def budget_spent(world, monkeypatch):
    async with running(world, world.account("beta", daily_quota=1)) as center:
        await center.get("/token/beta")
        return await center.put("/token/beta")


async def upstream_refused(world, monkeypatch):
    world.sandbox.fail(errcode=45009, times=None)
    async with running(world) as center:
        return await center.get("/token/alpha")


async def not_ready(world, monkeypatch):
    world.sandbox.away()
    async with running(world) as center:
        return await center.get("/token/alpha")


class Odd(MemoryStore):
    """A store that fails from the second moment on."""

    error: type[errors.StoreError] | None = None

    async def read(self, *arguments, **options):
        if self.error is not None:
            raise self.error("the store is gone")
        return await super().read(*arguments)

    async def claim(self, claims, **options):
        await self.read([])
        return await super().claim(claims, **options)


async def _with_store(world, error):
    store = Odd(world.clock)
    async with running(world, world.account("beta"), manager={"store": store}) as center:
        await center.get("/token/beta")
        store.error = error
        return await center.put("/token/beta")


async def store_unavailable(world, monkeypatch):
    return await _with_store(world, errors.StoreError)


async def store_format(world, monkeypatch):
    return await _with_store(world, errors.StoreFormatError)


async def too_many_waiting(world, monkeypatch):
    monkeypatch.setattr(waiter, "MOST_WAITING", 0)
    async with running(world) as center:
        return await center.get("/token/alpha")


async def upstream_timeout(world, monkeypatch):
    world.sandbox.fail("hang", times=None)
    async with running(world) as center:
        await anyio.sleep(10.1)
        return await center.get("/token/alpha")


SCENARIOS = [
    bad_body,
    bad_format,
    bad_key,
    bad_url,
    body_timeout,
    body_too_large,
    budget_spent,
    host_not_allowed,
    method_not_allowed,
    no_such_credential,
    not_allowed,
    not_found,
    not_ready,
    query_too_long,
    store_format,
    store_unavailable,
    too_many_headers,
    too_many_waiting,
    too_many_wrong_keys,
    unknown_account,
    upstream_refused,
    upstream_timeout,
]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_an_error_is_as_the_table_says(world, monkeypatch, scenario, anyio_backend):
    row = BY_CODE[scenario.__name__]
    answer = await scenario(world, monkeypatch)
    content = answer.json()
    assert (answer.status_code, content["code"]) == (row.status, row.code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert ("retry-after" in answer.headers) == row.retry_after
    assert ("www-authenticate" in answer.headers) == (row.code in {"bad_key", "too_many_wrong_keys"})
    if row.retry_after:
        assert re.fullmatch(r"[1-9][0-9]*", answer.headers["retry-after"])
    wanted = ["code", "errmsg", "errcode"] if row.errcode else ["code", "errmsg"]
    assert list(content) == wanted
    assert content["errmsg"]
    assert "\n" not in content["errmsg"]
    assert not any(secret in answer.text for secret in SECRETS.values())


def test_each_row_has_a_scenario_and_a_code_of_its_own():
    assert sorted(BY_CODE) == sorted(scenario.__name__ for scenario in SCENARIOS)
    assert len(BY_CODE) == len(ERRORS)
    assert sorted(ERRORS) == ERRORS


def _tree(root):
    return [root] + [error for child in root.__subclasses__() for error in _tree(child)]


def test_each_error_of_the_package_is_in_the_table_with_its_status():
    ours = [error for error in _tree(errors.WxTokenError) if error.__module__ == errors.__name__]
    assert len(ours) >= 14
    for error in ours:
        if error.code not in NEVER_OVER_HTTP:
            assert BY_CODE[error.code].status == error.status


@pytest.mark.parametrize(
    ("retry_in", "header"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (299.5, b"300")]
)
def test_retry_after_is_whole_seconds_above_0_and_never_too_early(retry_in, header):
    answer = answer_of(errors.NotReady("x", account="alpha", retry_in=retry_in))
    assert dict(answer.headers)[b"retry-after"] == header


def test_an_answers_repr_shows_neither_headers_nor_body():
    answer = answer_of(errors.UnknownAccount("hidden"))
    assert repr(answer) == "Answer(status=404)"


async def test_an_answers_messages_are_made_anew_for_each_request(world, anyio_backend):
    async with running(world) as center:
        first, second = [await center.raw("GET", "/token/alpha") for _ in range(2)]
        first.sent[0]["headers"].append((b"x", b"y"))
        assert second.sent[0]["headers"] == first.sent[0]["headers"][:-1]
        third = await center.raw("GET", "/token/alpha")
    assert third.sent == second.sent


async def test_a_server_that_fails_to_send_ends_the_request_with_its_own_error(world, anyio_backend):
    async def send(message):
        raise OSError("the connection is closed")

    async with running(world) as center:
        with pytest.raises(OSError, match="closed"):
            await center.service(scope_of("GET", f"/token/{APPIDS['alpha']}"), None, send)
