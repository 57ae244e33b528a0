"""The Redis store keeps the contract on real servers, and answers as `MemoryStore` does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import (
    Charge,
    Claim,
    Commit,
    Cost,
    Cut,
    Fail,
    Granted,
    LastError,
    Record,
    Supply,
)
from wxtoken_asgi.stores.redis import RedisStore
from wxtoken_asgi.stores.redis import store as redis_store
from wxtoken_asgi.testing import StoreContract
from wxtoken_asgi.testing.stage import MovedClock, key

from support.redis_clock import ServerClock, stepped_script
from support.redis_server import redis_server


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Starts a server of a version, once."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def run(binary):
            return stack.enter_context(redis_server(tmp_path_factory.mktemp("redis"), binary=binary))

        yield run


class RedisRules(StoreContract):
    binary = "redis-server"
    most_changes = redis_store.MOST_NEWS

    @pytest.fixture
    def server(self, running):
        return running(self.binary)

    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"

    @pytest.fixture
    def server_clock(self, server, monkeypatch):
        monkeypatch.setattr(redis_store, "script", stepped_script)
        with contextlib.closing(server.client()) as admin:
            admin.flushall()
            yield ServerClock(admin)

    @pytest.fixture
    def make(self, clock, server, server_clock):
        return lambda: RedisStore(server.url, clock=clock)

    @pytest.fixture
    def wipe(self, server_clock):
        async def empty():
            server_clock.admin.flushall()
            server_clock.put()

        return empty

    @pytest.fixture
    def later(self, clock, server_clock):
        def pass_by(seconds):
            clock.ahead += seconds
            server_clock.step(seconds)

        return pass_by

    @pytest.fixture
    def step(self, server_clock):
        return server_clock.step

    @pytest.fixture
    def wall(self, server_clock):
        return server_clock.time


class TestRedisStore(RedisRules):
    pass


class WithoutWaiting(RedisRules):
    """What takes seconds is tried out with one version."""

    test_a_follower_waits_for_news_and_hears_them_at_once = None
    test_a_follower_waits_no_longer_than_it_wants_to = None
    test_a_follower_may_go_away = None
    test_a_wipe_wakes_those_who_wait = None
    test_for_a_cursor_that_is_too_far_behind_everything_has_changed = None


class TestOldRedis(WithoutWaiting):
    binary = "redis-6.2"


class TestNewRedis(WithoutWaiting):
    binary = "redis-8"


class TestValkey(WithoutWaiting):
    binary = "valkey"


# The same answers as the memory store's. All moments lie on multiples of 20 s and all ends half-way
# between, so the milliseconds that a real server takes decide nothing.

steps = st.sampled_from([0, 0, 20, 40, 100, 1200, 3600, 7200, 25 * 3600 + 40])
ends = st.sampled_from([-10.0, 10.0, 30.0, 70.0, 3610.0, 100_010.0])
cuts = st.none() | st.builds(Cut, ends, ends)
keys = st.sampled_from([key(1), key(2)])
values = st.sampled_from(["a", "b", "\u5fae\u4fe1 \x00\"'"])
owners = st.sampled_from(["one", "two"])
fingerprints = st.sampled_from(["", "before", "after"])
errors = st.none() | st.builds(LastError, st.just("permanent"), values, st.none() | st.just(-1), fingerprints)
charges = st.lists(st.builds(Charge, st.sampled_from(["x", "y"]), st.integers(0, 3)), max_size=2).map(tuple)
refunds = st.lists(st.sampled_from(["x", "y", "z"]), max_size=2).map(tuple)
costs = st.lists(st.builds(Cost, st.sampled_from(["x", "died"]), st.integers(1, 3)), max_size=2).map(tuple)
overs = st.none() | st.sampled_from([10.0, 30.0, 70.0, 3610.0])
pasts = st.integers(-1, 2)
"""Which fence or version is meant: the latest granted, one before it, one beyond it."""

claims = st.builds(
    Claim, keys, seen=st.just(0), asked=st.booleans(), settled_s=st.sampled_from([0.0, 50.0]),
    charges=charges, fingerprint=fingerprints, lapse=cuts,
)  # fmt: skip
commits = st.builds(
    Commit,
    keys,
    st.just(0),
    values,
    ends,
    ends,
    asked=st.booleans(),
    refund=refunds,
    costs=costs,
    refused=cuts,
    state=values,
    left_s=st.none() | st.sampled_from([-40.0, 0.0, 10.0, 29.0]),
    over_s=overs,
)
fails = st.builds(
    Fail,
    keys,
    st.just(0),
    ends.filter(lambda end: end > 0),
    errors,
    asked=st.booleans(),
    refund=refunds,
    costs=costs,
    cut=cuts,
    refused=cuts,
    over_s=overs,
)
records = st.builds(
    Record,
    keys,
    version=st.just(0),
    value=values | st.none(),
    ttl_s=ends,
    ask_in_s=ends,
    fence=st.sampled_from([0, 1]),
    state=values,
)
supplies = st.builds(Supply, keys, values, ends, ends, state=values)
moves = st.one_of(
    st.tuples(st.just("claim"), claims, owners, pasts),
    st.tuples(st.just("commit"), commits, owners, pasts),
    st.tuples(st.just("fail"), fails, owners, pasts),
    st.tuples(st.just("restore"), records, owners, pasts),
    st.tuples(st.just("supply"), supplies, owners, pasts),
    st.tuples(st.just("remove"), keys, owners, pasts),
    st.tuples(st.just("read"), keys, owners, pasts),
    st.tuples(st.just("due"), st.sampled_from([0, 3]), owners, pasts),
)


class Twins:
    """A memory store and a Redis store that are told the same, in one time."""

    def __init__(self, server, admin):
        self.clock = MovedClock()
        self.server_clock = ServerClock(admin)
        admin.flushall()
        # store time begins 10 s after a full hour, in both
        self.server_clock.step(10 - self.server_clock.time() % 3600)
        self.clock.ahead = 10 - super(MovedClock, self.clock).monotonic() % 3600
        self.stores = (MemoryStore(self.clock), RedisStore(server.url, clock=self.clock))
        self.fences = [{}, {}]
        self.cursors = ["", ""]

    def pass_by(self, seconds):
        self.clock.ahead += seconds
        self.server_clock.step(seconds)

    async def say(self, name, what, owner, past):
        """Each store's answer, with fences by their order and times by the second."""
        return [await self._say(number, name, what, owner, past) for number in (0, 1)]

    async def _say(self, number, name, what, owner, past):
        store, fences = self.stores[number], self.fences[number]
        if name == "due":
            due = await store.due(what)
            # those that are due since ever come in any order
            return set(due.credentials), due.next_in_s and round(due.next_in_s, -1)
        if name in {"read", "remove"}:
            answer = await getattr(store, name)([what])
            return answer and self._shape(answer[0], fences)
        latest = fences.get(what.credential, [0])[-1]
        meant = latest + past if latest else 0
        what = _with(what, name, meant)
        if name == "claim":
            [answer] = await store.claim([what], owner=owner, lease_s=30)
            if isinstance(answer, Granted):
                known = fences.setdefault(what.credential, [0])
                known += [answer.fence] if answer.fence not in known else []
            record = self._shape(answer.record, fences)
            left = getattr(answer, "retry_in_s", 0.0)
            more = getattr(answer, "error", None), getattr(answer, "charge", None)
            return type(answer), record, round(left, -1), more
        [answer] = await getattr(store, name)([what])
        if name == "commit":
            doubt = answer.doubt and [round(one, -1) for one in answer.doubt]
            return answer.taken, answer.newer, doubt, self._shape(answer.record, fences)
        if name == "supply":
            fences.setdefault(what.credential, [0]).append(answer.fence)
        return self._shape(answer, fences)

    def _shape(self, record, fences):
        known = fences.get(record.credential, [0])

        def place(fence):
            nearest = max((index for index, one in enumerate(known) if one <= fence), default=0)
            beyond = fence - known[nearest] if nearest else bool(fence)
            return nearest, beyond if beyond < 10 else "a moment of its own"

        times = [round(one, -1) for one in (record.ttl_s, record.ask_in_s, record.wait_s)]
        fixed = (record.value, record.attempts, record.error, record.state)
        spent = [(name, used, round(next_in, -1)) for name, used, next_in in record.spent]
        return fixed, spent, times, place(record.version), place(record.fence)

    async def news(self):
        told = []
        for number, store in enumerate(self.stores):
            changes = await store.changes(self.cursors[number], 0)
            self.cursors[number] = changes.cursor
            told.append(changes.credentials if changes.credentials is None else set(changes.credentials))
        return told


def _with(what, name, number):
    if name == "supply":
        return what
    if name == "restore":  # brought by a lease, or not
        return replace(what, version=number, fence=what.fence and number)
    return replace(what, **{{"claim": "seen"}.get(name, "fence"): number})


@pytest.fixture(scope="module")
def twin_server(tmp_path_factory):
    with (
        redis_server(tmp_path_factory.mktemp("twin")) as server,
        contextlib.closing(server.client()) as admin,
    ):
        yield server, admin


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(st.tuples(steps, moves), min_size=5, max_size=25))
def test_any_sequence_is_answered_as_the_memory_store_answers_it(twin_server, sequence):
    async def run():
        twins = Twins(*twin_server)
        await twins.news()
        try:
            for seconds, move in sequence:
                twins.pass_by(seconds)
                memory, redis = await twins.say(*move)
                assert redis == memory, move
                assert len(set(map(repr, await twins.news()))) == 1, move
        finally:
            await twins.stores[1].close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_store, "script", stepped_script)
        asyncio.run(run())
