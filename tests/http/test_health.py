"""`GET {prefix}/health/live` and `/health/ready`."""

from __future__ import annotations

import anyio
import pytest

from wxtoken_asgi import WxTokenMiddleware
from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores.memory import MemoryStore

from support.center import STRANGER, client, mounted, running


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_anybody_may_ask_and_learns_no_detail(world, path, anyio_backend):
    async with running(world) as center:
        await anyio.sleep(1)
        answer = await center.get(path, peer=STRANGER, headers={"origin": "https://evil.example"})
        head = await center.ask("HEAD", path, peer=STRANGER)
    assert answer.status_code == 200
    assert answer.content == b'{"status":"ok"}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert (head.content, head.headers) == (b"", answer.headers)


async def test_ready_waits_until_every_credential_was_tried(world, anyio_backend):
    world.sandbox.fail("slow", times=None, seconds=2)
    async with running(world) as center:
        early = await center.get("/health/ready")
        await anyio.sleep(2.5)
        late = await center.get("/health/ready")
    assert early.status_code == 503
    assert early.json() == {"code": "not_ready", "errmsg": "not ready"}
    assert early.headers["retry-after"] == "1"
    assert late.status_code == 200


async def test_ready_waits_5_s_at_most(world, anyio_backend):
    world.sandbox.fail("hang", times=None)
    statuses = []
    async with running(world) as center:
        for _ in range(7):
            statuses.append((await center.get("/health/ready")).status_code)
            await anyio.sleep(1)
    assert statuses == [503] * 5 + [200] * 2


async def test_one_account_that_is_wrong_keeps_nobody_from_being_ready(world, anyio_backend):
    wrong = world.account("beta", secret="wrong-secret-0123456789")
    async with running(world, world.account("alpha"), wrong) as center:
        await anyio.sleep(0.5)
        assert (await center.get("/token/beta")).status_code == 502
        assert (await center.get("/health/ready")).status_code == 200


async def test_ready_is_red_from_the_shutdown_on_and_live_is_not(world, anyio_backend):
    orders, sent = anyio.Event(), []
    service = WxTokenMiddleware(tokens=world.manager())
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        message = next(messages)
        if message == "lifespan.shutdown":
            await orders.wait()
        return {"type": message}

    async def send(message):
        sent.append(message["type"])

    world.sandbox.fail("slow", times=None, seconds=3)
    async with client(service) as http, anyio.create_task_group() as group:
        group.start_soon(service, {"type": "lifespan", "state": {}}, receive, send)
        await anyio.sleep(4)
        assert (await http.get("/health/ready")).status_code == 200
        group.start_soon(http.put, "/token/alpha")
        await anyio.sleep(0.1)
        orders.set()
        await anyio.sleep(0.1)
        assert sent == ["lifespan.startup.complete"]
        assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.get("/token/alpha")).status_code == 200
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_without_a_lifespan_it_is_ready(world, anyio_backend):
    async with mounted(world) as center:
        assert (await center.get("/health/ready")).status_code == 200


class Away(MemoryStore):
    async def due(self, *arguments, **options):
        raise StoreError("it is away")

    open = read = claim = changes = due


async def test_whatever_wechat_and_the_store_do_it_lives(world, anyio_backend):
    world.sandbox.fail("hang", times=None)
    async with running(world, manager={"store": Away(world.clock)}) as center:
        for _ in range(20):
            started = anyio.current_time()
            assert (await center.get("/health/live")).status_code == 200
            assert anyio.current_time() == started
            await anyio.sleep(1)
        assert (await center.get("/health/ready")).status_code == 200
