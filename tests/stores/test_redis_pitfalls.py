"""What goes wrong between a worker and Redis, and what must not come of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import time
import warnings

import anyio
import pytest
import redis.asyncio
import redis.exceptions

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError, StoreError, StoreFormatError
from wxtoken_asgi.stores import open_store
from wxtoken_asgi.stores.contract import Busy, Charge, Claim, Commit, Cut, Granted, Record, Spent, Supply
from wxtoken_asgi.stores.redis import RedisStore, follow, wire
from wxtoken_asgi.stores.redis import store as redis_store
from wxtoken_asgi.stores.redis.evidence import Evidence
from wxtoken_asgi.stores.redis.trouble import trouble
from wxtoken_asgi.testing.stage import KEY, MovedClock, Worker, about, key, opened

from support.redis_clock import ServerClock, stepped_script
from support.redis_proxy import Proxy
from support.redis_server import redis_server

META = "{wxtoken}:meta"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def admin(running):
    with contextlib.closing(running.client()) as admin:
        admin.flushall()
        admin.script_flush()
        yield admin


@pytest.fixture
def server(running, admin):
    return running


@pytest.fixture
async def store(server):
    async with opened(RedisStore(server.url)) as store:
        yield store


@pytest.fixture
def one(store):
    return Worker(store, "one")


@pytest.fixture
def quick(monkeypatch):
    """Waits that are short."""
    monkeypatch.setattr(wire.Wire.ask, "__defaults__", (0.3,))
    monkeypatch.setattr(follow, "SLICE_S", 0.2)
    monkeypatch.setattr(follow, "LATE_S", 0.2)
    monkeypatch.setattr(follow, "POLL_S", 0.05)


# answers that are lost


@pytest.mark.parametrize("lose", ["close", "silence"])
async def test_a_claim_whose_answer_was_lost_is_granted_again_without_another_charge(
    server, admin, quick, lose
):
    charges = (Charge("asked", 1),)
    async with Proxy(server.port) as proxy, opened(RedisStore(proxy.url)) as store:
        one, two = Worker(store, "one"), Worker(store, "two")
        proxy.lose = lose
        with pytest.raises(StoreError):
            await one.claim(charges=charges)
        proxy.lose = ""
        granted = await one.claim(charges=charges)
        assert isinstance(granted, Granted)
        assert isinstance(await two.claim(), Busy)
        await one.fail(granted.fence, error=None, wait_s=0)
        assert isinstance(await one.claim(charges=charges), Spent)


@pytest.mark.parametrize("lose", ["close", "silence"])
async def test_a_commit_whose_answer_was_lost_is_taken_when_it_is_said_again(server, admin, quick, lose):
    async with Proxy(server.port) as proxy, opened(RedisStore(proxy.url)) as store:
        one = Worker(store, "one")
        fence = await one.lease()
        proxy.lose = lose
        with pytest.raises(StoreError):
            await one.commit(fence)
        proxy.lose = ""
        committed = await one.commit(fence)
        assert committed.taken
        assert committed.record.version == fence


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_word(one, admin):
    await one.fetch()
    admin.client_kill_filter(_type="normal", skipme=True)
    await anyio.sleep(0.05)
    assert (await one.read()).value == "value-1"


async def test_a_call_that_is_cancelled_leaves_its_answer_to_nobody(server, admin):
    async with Proxy(server.port) as proxy, opened(RedisStore(proxy.url)) as store:
        await store.supply([Supply(key(1), "other", 100, 50), Supply(KEY, "mine", 100, 50)])
        proxy.lose = "silence"
        for _ in range(3):
            with anyio.move_on_after(0.05) as scope:
                await store.read([key(1)])
            assert scope.cancelled_caught
        proxy.lose = ""
        assert [record.value for record in await store.read([KEY])] == ["mine"]


async def test_scripts_that_the_server_forgot_are_sent_again(one, admin):
    await one.fetch()
    admin.script_flush()
    assert (await one.read()).value == "value-1"


async def test_a_batch_is_one_round_trip(store, admin):
    claims = [Claim(key(number)) for number in range(300)]
    await store.claim(claims[:1], owner="one", lease_s=30)
    calls = lambda: admin.info("commandstats")["cmdstat_evalsha"]["calls"]  # noqa: E731
    before = calls()
    claimed = await store.claim(claims, owner="one", lease_s=30)
    await store.commit([Commit(one.record.credential, one.fence, "x", 100, 50) for one in claimed])
    await store.read([claim.credential for claim in claims])
    assert calls() - before == 3


async def test_what_is_due_costs_no_more_with_many_that_are_not(store, admin):
    async def touched():
        before = admin.info("commandstats")
        await store.due(5)
        after = admin.info("commandstats")
        return sum(
            after[name]["calls"] - before[name]["calls"]
            for name in ("cmdstat_hmget", "cmdstat_zrangebyscore")
        )

    await store.supply([Supply(key(number), "x", 7000, -1) for number in range(3)])
    await store.due(5)
    few = await touched()
    await store.supply([Supply(key(number), "x", 7000, 3600) for number in range(10, 2000)])
    assert await touched() == few


# the server goes away and comes back


async def test_an_emptied_store_gets_back_what_a_worker_holds(one, admin):
    record = await one.fetch()
    cursor = await one.cursor()
    admin.flushall()
    assert await one.news(cursor) is None
    assert (await one.store.restore([record]))[0].version == record.version
    assert (await one.read()).value == "value-1"


async def test_a_store_that_was_rolled_back_tells_everybody_that_everything_has_changed(tmp_path):
    with redis_server(tmp_path) as server:
        async with opened(RedisStore(server.url)) as store, opened(RedisStore(server.url)) as second:
            one, two = Worker(store, "one"), Worker(second, "two")
            await one.fetch()
            server.do("SAVE")
            early = await two.cursor()
            record = await one.fetch("value-2", claim={"asked": True})
            late = await one.cursor()
            await two.cursor()
            server.restart()
            assert (await two.read()).value == "value-1"
            # more is changed than was lost, before whoever follows looks
            await second.supply([Supply(key(1), "x", 100, 50), Supply(key(2), "x", 100, 50)])
            assert await one.news(late) is None
            assert await two.news(early) is None
            assert (await one.claim(seen=record.version)).record.value == "value-1"
            assert (await store.restore([record]))[0].value == "value-2"


async def test_a_server_that_is_away_is_a_store_error_and_heals(tmp_path):
    with redis_server(tmp_path) as server:
        async with opened(RedisStore(server.url)) as store:
            server.kill()
            for _ in range(2):
                with pytest.raises(
                    StoreError, match=rf"Redis at 127\.0\.0\.1:{server.port}/?0? cannot be reached"
                ):
                    await store.read([KEY])
            with pytest.raises(StoreError):
                await store.changes("a-1", 1)
            server.start()
            assert await store.read([KEY]) == [Record(KEY)]


async def test_a_server_that_is_frozen_is_a_store_error_and_heals(tmp_path, quick):
    with redis_server(tmp_path) as server:
        async with opened(RedisStore(server.url)) as store:
            one = Worker(store, "one")
            fence = await one.lease()
            server.freeze()
            with pytest.raises(StoreError, match="does not answer"):
                await one.commit(fence)
            server.thaw()
            assert (await one.commit(fence)).taken


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (redis.exceptions.NoPermissionError("this user has no permissions"), "ACL"),
        (redis.exceptions.AuthenticationError("invalid username-password pair"), "another user or password"),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "replica"),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "maxmemory"),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save"), "its log"),
        (redis.exceptions.MovedError("1 127.0.0.1:7000"), "cluster"),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), "script"),
        (redis.exceptions.ResponseError("max number of clients reached"), "maxclients"),
        (redis.exceptions.ResponseError("unknown command 'EVALSHA'"), "lacks a command"),
        (redis.exceptions.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "certificate"),
        (redis.exceptions.TimeoutError("Timeout reading"), "does not answer"),
        (redis.exceptions.ConnectionError("Error 111 connecting"), "cannot be reached"),
        (redis.exceptions.ResponseError("s3cret whatever"), "an error (ResponseError)"),
    ],
)
def test_an_error_of_redis_is_one_line_that_says_what_to_do(said, meant):
    message = str(trouble(said, "host:6379"))
    assert message.startswith("store: Redis at host:6379")
    assert meant in message
    assert "\n" not in message
    assert "s3cret" not in message


async def test_a_full_memory_is_told_and_reads_go_on(one, admin):
    await one.fetch()
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match="maxmemory"):
            await one.claim(key(1))
    finally:
        admin.config_set("maxmemory", 0)
    assert (await one.read()).value == "value-1"


async def test_foreign_keys_in_the_way_are_told(store, admin):
    admin.flushall()
    admin.set(META, "somebody else's")
    with pytest.raises(StoreError, match="another program's keys"):
        await store.read([KEY])


@pytest.mark.parametrize("other", [1, 2, 3, 5])
async def test_another_format_is_refused(server, admin, other):
    admin.hset(META, "format", other)
    with pytest.raises(StoreFormatError, match=f"format {other} and this version knows 4; run the version"):
        await RedisStore(server.url).open()


# news


async def test_where_the_bell_is_silent_changes_are_asked_for_and_the_log_says_so_once(
    store, admin, quick, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    monkeypatch.setattr(follow.Bell, "_listen", follow.Bell._listen)
    await store.supply([Supply(KEY, "a", 100, 50)])
    cursor = (await store.changes("", 0)).cursor
    admin.delete("{wxtoken}:bell")
    admin.set("{wxtoken}:bell", "no stream")  # XREAD is refused, and so is XADD
    async with anyio.create_task_group() as group:
        heard = []

        async def wait():
            heard.append(await store.changes(cursor, 5))

        group.start_soon(wait)
        await anyio.sleep(0.2)
        await store.supply([Supply(KEY, "b", 100, 50)])
    assert heard[0].credentials == (KEY,)
    assert (await store.changes(heard[0].cursor, 0.2)).credentials == ()
    assert [record.message for record in caplog.records if "asking for changes" in record.message] == [
        f"Redis at {store._place.name}: it refuses XREAD BLOCK; asking for changes every 0.05 s instead"
    ]
    admin.delete("{wxtoken}:bell")
    await store.supply([Supply(KEY, "c", 100, 50)])
    assert admin.hget(META, "mute") == ""


async def test_where_answers_to_a_blocking_read_do_not_come_changes_are_asked_for(
    server, admin, quick, caplog
):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    async with Proxy(server.port) as proxy, opened(RedisStore(server.url)) as store:
        bell = store._here().bell
        bell._dial = RedisStore(proxy.url)._place.dial
        proxy.lose = "silence"
        cursor = (await store.changes("", 0)).cursor
        assert (await store.changes(cursor, 1.5)).credentials == ()
        assert "answers to XREAD BLOCK do not come" in caplog.text


async def test_a_store_that_may_not_ring_is_polled(store, admin, quick, caplog):
    caplog.set_level(logging.INFO, "wxtoken_asgi")
    admin.hset(META, "mute", "1")
    cursor = (await store.changes("", 0)).cursor
    assert (await store.changes(cursor, 0.2)).credentials == ()
    assert "may not write" in caplog.text


async def test_the_bell_carries_no_secret(one, admin):
    await one.fetch("s3cret-token")
    assert "s3cret" not in repr(admin.xrange("{wxtoken}:bell"))
    assert admin.xlen("{wxtoken}:bell") == 1


async def test_news_of_what_was_removed_do_not_pile_up(one, admin):
    await one.fetch()
    cursor = await one.cursor()
    admin.zadd("{wxtoken}:news", {f'["a","b","c","d","{number}"]': 0 for number in range(10_010)})
    await one.store.supply([Supply(KEY, "new", 100, 50)])
    assert admin.zcard("{wxtoken}:news") == 10_002
    assert await one.news(cursor) == (KEY,)
    epoch = cursor.rpartition("-")[0]
    admin.hset(META, "floor", 1)
    assert await one.news(f"{epoch}-0") is None


# time


@pytest.fixture
def server_clock(admin, monkeypatch):
    monkeypatch.setattr(redis_store, "script", stepped_script)
    return ServerClock(admin)


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_step_that_one_worker_sees_is_believed_by_the_others(server, server_clock, seconds):
    one, two = Worker(RedisStore(server.url), "one"), Worker(RedisStore(server.url), "two")
    await one.fetch()
    await two.read()
    server_clock.step(seconds)
    for worker in (one, two, Worker(RedisStore(server.url), "late")):
        assert (await worker.read()).ttl_s == about(7000)
        assert (await worker.read()).ttl_s == about(7000)
        await worker.store.close()
    assert float(server_clock.admin.hget(META, "offset")) / 1e6 == about(-seconds)


async def test_without_evidence_time_never_goes_back(server, server_clock):
    async with opened(RedisStore(server.url)) as store:
        await Worker(store, "one").fetch()
    server_clock.step(-3600)
    async with opened(RedisStore(server.url)) as store:
        assert (await Worker(store, "two").read()).ttl_s == about(7000)


async def test_a_worker_that_was_frozen_is_judged_by_the_others(server, server_clock):
    frozen = MovedClock()
    one, two = Worker(RedisStore(server.url, clock=frozen), "one"), Worker(RedisStore(server.url), "two")
    watch = MovedClock()
    two.store._clock = watch
    await two.store.open()
    await one.fetch()
    watch.ahead += 100
    server_clock.step(100)  # 100 s pass, in which the first worker's clocks stand still
    await two.read()
    assert (await one.read()).ttl_s == about(6900)
    for worker in (one, two):
        await worker.store.close()


async def test_a_clock_that_does_not_go_evenly_is_a_store_error(server, server_clock, monkeypatch):
    async with opened(RedisStore(server.url)) as store:
        monkeypatch.setattr(Evidence, "judge", lambda *_: None)
        server_clock.step(3600)
        with pytest.raises(StoreError, match="does not go evenly"):
            await store.read([KEY])


class _Hands(Clock):
    """A clock whose hands are set."""

    def __init__(self):
        super().__init__()
        self.wall = self.boot = 0.0

    def time(self):
        return self.wall

    def monotonic(self):
        return self.boot


def test_evidence_is_given_only_where_it_proves_something():
    clock = _Hands()
    evidence = Evidence(clock)
    assert evidence.say() == {}
    evidence.hear(10, 0, clock.moment())
    clock.wall = clock.boot = 4.0
    assert evidence.say() == {"seen": {"raw": 10, "offset": 0, "elapsed": 4_000_000, "since": 10}}
    clock.wall = 60.0
    assert evidence.say() == {}, "the worker's own clocks disagree"
    clock.wall = 4.0
    evidence.forget()
    assert evidence.say() == {}, "another connection"


def test_an_answer_that_took_long_proves_nothing():
    clock = _Hands()
    evidence = Evidence(clock)
    sent = clock.moment()
    clock.boot = clock.wall = 3.0
    evidence.hear(10, 0, sent)
    assert evidence.say() == {}
    evidence.hear(10, 0, clock.moment())
    sent = clock.moment()
    clock.boot = clock.wall = 6.0
    evidence.judge(3_600_000_010, 0, sent)
    assert evidence.say() == {}


def test_a_step_is_judged_by_what_has_passed_here():
    clock = _Hands()
    evidence = Evidence(clock)
    evidence.hear(10, 5, clock.moment())
    clock.boot = clock.wall = 2.0
    evidence.judge(3_602_000_010, 5, clock.moment())
    assert evidence.say() == {"fix": (5, 5 - 3_600_000_000)}
    evidence.hear(3_602_000_010, 5 - 3_600_000_000, clock.moment())
    assert evidence.say()["seen"]["since"] == 3_602_000_010
    evidence.forget()
    evidence.judge(10, 0, clock.moment())
    assert evidence.say() == {}


async def test_what_nobody_wants_for_a_month_is_forgotten_unless_it_holds_a_state(server, server_clock):
    clock = MovedClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        await store.supply([Supply(key(1), "x", 10, 5), Supply(key(2), "x", 10, 5, state="kept")])
        clock.ahead += 31 * 86_400
        server_clock.step(31 * 86_400)
        assert (await store.due(10)).credentials == (key(2),)
        assert [record.version > 0 for record in await store.read([key(1), key(2)])] == [False, True]


async def test_many_leases_that_lapsed_are_looked_at_in_one_call(server, server_clock):
    clock = MovedClock()
    async with opened(RedisStore(server.url, clock=clock)) as store:
        many = [key(number) for number in range(400)]
        await store.supply([Supply(one, "x", 7000, 3600) for one in many])
        await store.claim(
            [Claim(one, asked=True, seen=10**15 * 0, lapse=None) for one in many], owner="one", lease_s=30
        )
        records = await store.read(many)
        wishes = [Claim(record.credential, asked=True, seen=record.version) for record in records]
        await store.claim(wishes, owner="one", lease_s=30)
        await store.supply([Supply(KEY, "x", 7000, 40)])
        clock.ahead += 50
        server_clock.step(50)
        due = await store.due(3)
        assert (due.credentials, due.next_in_s) == ((KEY,), pytest.approx(3550, abs=60))


# clients, loops, processes, addresses


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_client_may_be_given_and_is_left_alone(server, admin, decode, protocol):
    client = redis.asyncio.Redis(port=server.port, decode_responses=decode, protocol=protocol)
    async with opened(RedisStore(client=client)) as store:
        assert (await Worker(store, "one").fetch("\u5fae\u4fe1")).value == "\u5fae\u4fe1"
    assert await client.ping()
    await client.aclose()


@pytest.mark.parametrize("client", [object(), redis.Redis()])
def test_a_client_of_another_kind_is_refused(client):
    with pytest.raises(ConfigError, match=r"redis\.asyncio\.Redis"):
        RedisStore(client=client)


def test_it_takes_an_address_or_a_client():
    for options in ({}, {"url": "redis://host", "client": object()}):
        with pytest.raises(ConfigError, match="either an address or a client"):
            RedisStore(**options)


@pytest.mark.parametrize("namespace", ["", "{a}", "a b", "x" * 65])
def test_a_namespace_is_one_word(namespace):
    with pytest.raises(ConfigError, match="namespace"):
        RedisStore("redis://host", namespace=namespace)


async def test_namespaces_are_kept_apart(server, admin):
    async with (
        opened(RedisStore(server.url, namespace="a")) as a,
        opened(RedisStore(server.url, namespace="b")) as b,
    ):
        await Worker(a, "one").fetch()
        assert await Worker(b, "one").read() == Record(KEY)
    assert {name.partition(":")[0] for name in admin.keys("*")} == {"{a}", "{b}"}


def test_nothing_is_connected_before_it_is_opened():
    assert repr(RedisStore("redis://user:s3cret@127.0.0.1:1/3")) == "<RedisStore at 127.0.0.1:1/3>"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host:6379/0?socket_timeout=never",
        "redis://:s3cret@host:6379/0?no_such_option=1",
        "redis+sentinel://:s3cret@host",
        "redis+sentinel://:s3cret@/service",
        "redis+sentinel://:s3cret@host,:1/service",
        "redis+sentinel://:s3cret@host:port/service",
    ],
)
def test_a_wrong_address_is_told_in_one_line_without_its_password(url):
    with pytest.raises(ConfigError, match="store: ") as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://:s3cret@host", "host:6379"),
        ("rediss://user:s3cret@host:7/2", "host:7/2"),
        ("rediss://host?ssl_cert_reqs=none&ssl_check_hostname=false", "host:6379"),
        ("unix://user:s3cret@/run/redis.sock?db=1", "/run/redis.sock/1"),
        ("redis+sentinel://user:s3cret@a,b:7/tokens/1?sentinel_password=s3cret", "a:26379,b:7/tokens"),
        ("rediss+sentinel://a/tokens", "a:26379/tokens"),
    ],
)
def test_an_address_names_a_place(url, name):
    store = open_store(url)
    assert repr(store) == f"<RedisStore at {name}>"
    assert repr(store._place) == f"<Redis at {name}>"
    assert "s3cret" not in repr(vars(store))


def test_without_redis_py_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wxtoken_asgi.stores.redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'wxtoken-asgi\[redis\]'"):
        open_store("redis://host")


def test_on_trio_it_says_that_it_cannot():
    with pytest.raises(ConfigError, match="asyncio only"):
        anyio.run(RedisStore("redis://host").open, backend="trio")


def test_each_event_loop_has_connections_of_its_own(server, admin):
    store = RedisStore(server.url)

    async def fetch(number):
        return (await Worker(store, "one").fetch(credential=key(number))).version

    async def end():
        assert await store.read([key(0)])
        await store.close()
        await store.close()

    with warnings.catch_warnings():  # loops that ended without `close` leave their sockets to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        assert all(asyncio.run(fetch(number)) for number in range(3))
        asyncio.run(end())
        assert store._lines == {}
        gc.collect()


async def test_another_thread_has_a_loop_and_connections_of_its_own(store, admin):
    await store.supply([Supply(KEY, "x", 100, 50)])

    async def read():
        values = [record.value for record in await store.read([KEY])]
        await store.close()
        return values

    assert await asyncio.to_thread(asyncio.run, read()) == ["x"]
    assert len(store._lines) == 1


def _child(store, answers):
    async def read():
        answers.put((await store.read([KEY]))[0].value)
        await store.close()

    asyncio.run(read())


async def test_after_a_fork_the_child_connects_anew(store, admin):
    await Worker(store, "one").fetch()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=_child, args=(store, answers))
        child.start()
    assert await asyncio.to_thread(answers.get, timeout=20) == "value-1"
    await asyncio.to_thread(child.join, 20)
    assert (await Worker(store, "one").read()).value == "value-1"


async def test_a_hundred_that_ask_at_once_get_their_own_answers(store, admin):
    await store.supply([Supply(key(number), f"value-{number}", 100, 50) for number in range(100)])

    async def ask(number):
        assert [one.value for one in await store.read([key(number)])] == [f"value-{number}"]

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(ask, number)


async def test_appsecrets_and_clear_words_are_only_where_they_belong(one, admin):
    await one.fetch("s3cret-token", state="opaque")
    holds = [name for name in admin.keys("*") if "s3cret" in repr(_dump(admin, name))]
    assert holds == [f"{{wxtoken}}:r:{redis_store.codec.name_of(KEY)}"]


def _dump(admin, name):
    read = {"hash": admin.hgetall, "zset": lambda one: admin.zrange(one, 0, -1), "stream": admin.xrange}
    return read[admin.type(name)](name)


def test_the_longest_durations_stay_exact():
    assert redis_store.codec.micros(float("inf")) == 10**15
    assert redis_store.codec.micros(-1e300) == -(10**15)
    assert time.time() * 1e6 + 10**15 < 2**53
    assert Cut(1, 2) == (1, 2)
