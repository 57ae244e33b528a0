"""The memory store keeps the contract; the ledger keeps its limit in any 24 hours."""

from __future__ import annotations

import threading

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.stores import MemoryStore, ledger, open_store
from wxtoken_asgi.stores.contract import Charge, Claim, Fail, Granted, Spent, Supply
from wxtoken_asgi.stores.row import Row
from wxtoken_asgi.testing.stage import KEY, Worker, key

from support.virtual import VirtualClock
from support.virtual_stage import VirtualStage

DAY_S = 86_400


class TestMemoryStore(VirtualStage):
    @pytest.fixture
    def make(self, clock):
        store = MemoryStore(clock)
        return lambda: store

    @pytest.fixture
    def wipe(self, store):
        async def empty():
            store.wipe()

        return empty


def test_an_address_names_the_store():
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("memory:", clock=VirtualClock()), MemoryStore)


@pytest.mark.parametrize("url", ["nonsense:somewhere", "nonsense://user:s3cret@host/0"])
def test_an_address_that_names_no_store_is_told_without_its_password(url):
    with pytest.raises(ConfigError, match="'nonsense' is no store") as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)


def test_a_memory_store_is_one_processs_own():
    store = MemoryStore()
    assert (store.shared, store.news_s) == (False, 0)
    assert repr(store) == "<MemoryStore of 0 records>"


async def test_its_schedule_does_not_grow_with_its_use():
    store = MemoryStore(VirtualClock())
    for number in range(2000):
        await store.supply([Supply(KEY, f"value-{number}", 100, number % 7), Supply(key(1), "x", 100, 50)])
        await store.due(1)
    assert len(store._due) < 100


def test_a_memory_store_goes_on_in_another_event_loop():
    store = MemoryStore(VirtualClock())

    async def follow():
        cursor = (await store.changes("", 0)).cursor
        with anyio.move_on_after(0.01):
            await store.changes(cursor, 30)
        async with anyio.create_task_group() as group:
            group.start_soon(Worker(store, "one").store.changes, cursor, 30)
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.01)
            await store.supply([Supply(KEY, "x", 100, 50)])

    for backend in ("asyncio", "asyncio", "trio", "trio", "asyncio"):
        anyio.run(follow, backend=backend)
        store.wipe()


def test_threads_that_claim_at_once_are_granted_one_lease():
    store = MemoryStore(VirtualClock())
    claimed = []
    gate = threading.Barrier(8)

    def work(owner):
        async def ask():
            gate.wait()
            claimed.extend([await Worker(store, owner).claim() for _ in range(50)])

        anyio.run(ask)

    threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grants = [answer for answer in claimed if isinstance(answer, Granted)]
    assert len(grants) == 50
    assert len({grant.fence for grant in grants}) == 1


def test_the_repr_of_a_row_shows_no_value():
    row = Row(KEY)
    row.supply(Supply(KEY, "s3cret", 100, 50, state="s3cret"), 0.0, 1)
    assert "s3cret" not in repr(row)


# budgets


moves = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 7200), st.integers(DAY_S - 3700, DAY_S + 3700)),
        st.booleans(),
    ),
    max_size=80,
)


@given(st.integers(-DAY_S, DAY_S), moves)
def test_less_is_spent_as_soon_as_it_is_said_and_not_before(begun, moves):
    buckets, now = {}, float(begun)
    for gap, many in moves:
        now += gap
        buckets = ledger.spend(buckets, now, 3 if many else 1)
        used, eased_in = ledger.used(buckets, now), ledger.eased_in(buckets, now)
        assert 0 < eased_in <= 25 * 3600
        assert ledger.used(buckets, now + eased_in - 0.01) == used
        assert ledger.used(buckets, now + eased_in) < used
    assert ledger.eased_in(buckets, now + 2 * DAY_S) == 0


@given(st.integers(1, 6), st.integers(-DAY_S, DAY_S), moves)
def test_no_24_hours_ever_see_more_than_the_limit(limit, begun, moves):
    row, now, spent = Row(KEY), float(begun), []
    for gap, refund in moves:
        now += gap
        claim = Claim(KEY, charges=(Charge("asked", limit),))
        claimed = row.claim(claim, owner="one", lease_s=30, now=now, stamp=0)
        if isinstance(claimed, Spent):
            assert 0 < claimed.retry_in_s <= 25 * 3600
            continue
        row.fail(Fail(KEY, claimed.fence, refund=("asked",) if refund else ()), now)
        if not refund:
            spent.append(now)
        assert sum(moment > now - DAY_S for moment in spent) <= limit


@given(st.integers(0, 5), st.lists(st.integers(0, 40_000), max_size=30))
def test_after_the_wait_that_is_told_there_is_room(limit, gaps):
    buckets, now = {}, 0.0
    for gap in gaps:
        now += gap
        if ledger.room_in(buckets, limit, now) == 0:
            buckets = ledger.spend(buckets, now)
    wait_s = ledger.room_in(buckets, limit, now)
    assert 0 <= wait_s <= 25 * 3600
    assert ledger.room_in(buckets, limit, now + wait_s) == 0 or limit == 0
    if wait_s > 0 and limit:
        assert ledger.room_in(buckets, limit, now + wait_s - 1) > 0


def test_room_comes_back_bucket_by_bucket():
    buckets = {0: 3, 5: 1}
    assert ledger.used(buckets, 5 * 3600) == 4
    assert ledger.room_in(buckets, 4, 5 * 3600) == 20 * 3600
    assert ledger.room_in(buckets, 1, 5 * 3600) == 25 * 3600
    assert ledger.spend(buckets, 26 * 3600) == {5: 1, 26: 1}
    assert ledger.refund({5: 1, 26: 1}) == {5: 1}
    assert ledger.refund({5: 2}) == {5: 1}
