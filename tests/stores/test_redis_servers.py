"""Servers as operators run them: with an ACL, a password, TLS, on a socket, behind Sentinels."""

from __future__ import annotations

import contextlib

import anyio
import pytest
import redis.asyncio.sentinel
import trustme

from wxtoken_asgi.errors import StoreError
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.stores.contract import Granted
from wxtoken_asgi.stores.redis import RedisStore
from wxtoken_asgi.stores.redis.address import Sentinels, place_of
from wxtoken_asgi.stores.redis.trouble import ACL
from wxtoken_asgi.testing.stage import KEY, Worker, key, opened

from support.redis_server import redis_server, sentinel_group

PASSWORD = "p%/@:s3cret"
RULES = ACL.removeprefix("ACL SETUSER wxtoken ").replace("PASSWORD", PASSWORD)


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def everything(store):
    """Each operation once."""
    one = Worker(store, "one")
    cursor = await one.cursor()
    fence = await one.lease()
    await one.fail(fence)
    await one.fetch(claim={"asked": True}, credential=key(1))
    await store.restore([await one.read(key(1))])
    assert set(await one.news(cursor)) == {KEY, key(1)}
    await one.due()
    await store.remove([KEY])
    assert (await store.changes(await one.cursor(), 0.1)).credentials == ()
    assert (await one.read(key(1))).value == "value-1"


@pytest.mark.parametrize("binary", ["redis-server", "redis-6.2", "redis-8", "valkey"])
async def test_the_acl_that_is_documented_is_enough_and_is_what_is_needed(tmp_path, binary, caplog):
    rules = f"user wxtoken {RULES}"
    with redis_server(tmp_path, binary=binary, acl=rules, user="wxtoken", password=PASSWORD) as server:
        store = open_store(server.url.replace("/0", "/1"))
        async with opened(store):
            await everything(store)
        assert server.do("ACL", "LOG") == []
        assert "asking for changes" not in caplog.text
        server.do("ACL", "SETUSER", "wxtoken", "-hset")
        with pytest.raises(StoreError, match="ACL") as caught:
            await everything(store)
        assert "s3cret" not in str(caught.value) + repr(store)
        await store.close()


async def test_where_streams_are_not_allowed_changes_are_polled(tmp_path, caplog):
    caplog.set_level("INFO", "wxtoken_asgi")
    rules = f"user wxtoken {RULES} -xread -xadd"
    with redis_server(tmp_path, acl=rules, user="wxtoken", password=PASSWORD) as server:
        async with opened(open_store(server.url)) as store, opened(open_store(server.url)) as other:
            await everything(store)
            cursor = (await store.changes("", 0)).cursor
            heard = []

            async def follow():
                heard.append((await store.changes(cursor, 10)).credentials)

            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    group.start_soon(follow)
                    await anyio.sleep(0.2)
                    await Worker(other, "two").fetch(credential=key(2))
            assert heard == [(key(2),)]
    assert caplog.text.count("asking for changes") == 1


async def test_a_wrong_password_is_told_and_the_right_one_works(tmp_path):
    with redis_server(tmp_path, password=PASSWORD) as server:
        await everything_with(server.url)
        for url in (server.url.replace("s3cret", "wr0ng"), f"redis://127.0.0.1:{server.port}"):
            store = open_store(url)
            with pytest.raises(StoreError, match="another user or password") as caught:
                await store.open()
            assert "wr0ng" not in str(caught.value)
            await store.close()


async def everything_with(url):
    async with opened(open_store(url)) as store:
        await everything(store)


async def test_it_works_over_tls_and_checks_the_certificate(tmp_path):
    paths = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")}
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(paths["ca"])
    issued.private_key_pem.write_to_path(paths["key"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    with redis_server(tmp_path / "redis", tls=paths) as server:
        await everything_with(server.url)
        for wrong in (server.url.partition("?")[0], server.url.replace("localhost", "127.0.0.1")):
            store = open_store(wrong)
            with pytest.raises(StoreError, match="TLS fails"):
                await store.open()
            await store.close()


async def test_it_works_on_a_unix_socket(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("u"), unix=True) as server:
        await everything_with(server.url)


async def test_a_database_that_does_not_exist_is_told(tmp_path):
    with redis_server(tmp_path) as server:
        store = open_store(server.url.replace("/0", "/99"))
        with pytest.raises(StoreError, match="no database of that number"):
            await store.open()
        await store.close()


async def test_it_follows_a_failover_of_sentinels(tmp_path):
    with sentinel_group(tmp_path) as group, contextlib.ExitStack() as stack:
        dead = "127.0.0.1:1,"
        store = open_store(group.url.replace("sentinel://", f"sentinel://{dead}"))
        watcher = redis.asyncio.sentinel.Sentinel([("127.0.0.1", group.sentinels[0].port)])
        given = RedisStore(client=watcher.master_for(group.service))
        assert "Sentinels" in repr(given)
        async with opened(store), opened(given):
            one, two = Worker(store, "one"), Worker(given, "two")
            record = await one.fetch()
            assert (await two.read()).version == record.version
            group.servers[0].kill()
            with anyio.fail_after(20):
                await until(lambda answer: isinstance(answer, Granted), one)
                await until(lambda answer: answer is not None, two)
            assert group.master_port() == group.servers[1].port
            [restored] = await store.restore([record])
            assert restored.version >= record.version
        group.sentinels[0].kill()
        with pytest.raises(StoreError, match="no Sentinel of"):
            await store.open()
        await store.close()
        for client in watcher.sentinels:
            await client.aclose()
        stack.close()


async def until(wanted, worker):
    """Try until the answer is as wanted."""
    answer = await attempt(worker)
    while not wanted(answer):
        answer = await attempt(worker)


async def attempt(worker):
    """A claim's answer, or None while there is none."""
    try:
        seen = (await worker.read()).version
        return await worker.claim(asked=True, seen=seen)
    except StoreError:
        await anyio.sleep(0.1)
        return None


async def test_a_master_that_becomes_a_replica_is_left(tmp_path):
    with redis_server(tmp_path) as server:
        async with opened(open_store(server.url)) as store:
            server.do("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreError, match="replica"):
                await Worker(store, "one").claim()
            assert store._here().wire._connection is None
            server.do("REPLICAOF", "NO", "ONE")
            assert isinstance(await Worker(store, "one").claim(), Granted)


async def test_the_sentinel_that_answered_is_asked_first_the_next_time(monkeypatch):
    asked = []

    async def ask(_, host, port):
        asked.append(host)
        return [b"127.0.0.1", b"7"] if host == "b" else None

    monkeypatch.setattr(Sentinels, "_ask", ask)
    place = place_of("redis+sentinel://a,b,c/tokens")
    for _ in range(2):
        assert "port=7" in repr(await place.dial())
    assert asked == ["a", "b", "b"]
    with pytest.raises(StoreError, match="no Sentinel of c:26379/tokens"):
        await place_of("redis+sentinel://c/tokens").dial()
