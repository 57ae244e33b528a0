"""Leases across processes: how long they are, and what becomes of a fetch of which nobody knows the outcome.

Each manager reaches the one store through a `FaultyStore` of its own, so that one of them can be cut off.
"""

from __future__ import annotations

import contextlib
import math

import anyio
import httpx
import pytest

from wxtoken_asgi import ConfigError, NotReady, StoreError, UpstreamRefused, UpstreamTimeout
from wxtoken_asgi.stores import MemoryStore
from wxtoken_asgi.stores.contract import Claim, Cut

from support.faulty_store import FaultyStore


class StoppedRoad(httpx.AsyncBaseTransport):
    """The way to WeChat of a process that is stopped (SIGSTOP) before or after its next call takes effect."""

    def __init__(self, world):
        self._road = httpx.ASGITransport(world.sandbox)
        self.before_s = self.after_s = 0.0
        self.in_time = False

    async def handle_async_request(self, request):
        before_s, after_s, self.before_s, self.after_s = self.before_s, self.after_s, 0.0, 0.0
        with anyio.CancelScope(shield=True):
            await anyio.sleep(before_s)
            answer = await self._road.handle_async_request(request)
            await anyio.sleep(after_s)
        if self.in_time:  # it looks at the time before it takes the answer
            await anyio.lowlevel.checkpoint()
        return answer


class Pair:
    """Two managers of one account on one store; beta is of the old endpoint."""

    def __init__(self, world, name="beta"):
        self.world = world
        self.name = name
        self.road = StoppedRoad(world)
        self.way, self.others_way = FaultyStore(world.clock), FaultyStore(world.clock)
        self.others_way.inner = self.store = self.way.inner
        self.one = world.manager(world.account(name), store=self.way, transport=self.road)
        self.two = world.manager(world.account(name), store=self.others_way)

    async def agree(self, within_s):
        """Both serve one token within so many seconds, and until then none that is dead."""
        for _ in range(within_s):
            served = [await tokens.access_token(self.name) for tokens in (self.one, self.two)]
            assert all(self.world.sandbox.accepts(token) for token in served)
            await anyio.sleep(1)
        assert len({await tokens.access_token(self.name) for tokens in (self.one, self.two)}) == 1

    async def left(self):
        """Seconds that the stored token has left."""
        return (await self.store.read([self.one.entry(self.name, "access_token").credential]))[0].ttl_s

    async def settle(self):
        """Until both hold the same token, a minute old."""
        await self.one.access_token(self.name)
        await anyio.sleep(61)


@pytest.fixture
def pair(world):
    return Pair(world)


# the lease


@pytest.mark.parametrize("lease", [0, 0.999, -30, math.inf, math.nan, "30", True, None])
def test_a_lease_is_a_number_of_seconds_not_below_one(world, lease):
    with pytest.raises(ConfigError, match="lease must be 1 to 3600 seconds, not"):
        world.manager(lease=lease)


async def test_a_short_lease_is_taken_over_soon(world):
    store = MemoryStore(world.clock)
    tokens = world.manager(world.account("beta"), store=store, lease=2)
    credential = tokens.entry("beta", "access_token").credential
    await store.claim([Claim(credential, lapse=Cut(270, 0))], owner="dead", lease_s=2)
    async with tokens:
        begun = anyio.current_time()
        assert world.sandbox.accepts(await tokens.access_token("beta"))
        assert anyio.current_time() - begun <= 2.2


@pytest.mark.parametrize(("lease", "within_s"), [(30, 10), (12, 6.8), (3, 1.7), (1, 0.567)])
async def test_the_calls_of_a_fetch_end_in_time(world, lease, within_s):
    async with world.manager(world.account("beta"), lease=lease) as tokens:
        await tokens.access_token("beta")
        await anyio.sleep(61)
        world.sandbox.fail("hang", times=1)
        begun = anyio.current_time()
        with pytest.raises(UpstreamTimeout):
            await tokens.refresh("beta")
        assert anyio.current_time() - begun == pytest.approx(within_s, abs=0.01)


@pytest.mark.parametrize("lease", [30, 6, 3])
@pytest.mark.parametrize("operation", ["commit", "fail"])
@pytest.mark.parametrize("fault", ["hang", "away"])
async def test_everything_under_a_lease_ends_within_two_thirds_of_it(world, lease, operation, fault):
    """However late WeChat answers, and whatever the store does then."""
    store = FaultyStore(world.clock, shared=False)
    async with world.manager(world.account("beta"), store=store, lease=lease) as tokens:
        await tokens.access_token("beta")
        for part in (0.0, 0.3):
            await anyio.sleep(61)
            store.faults[operation] = fault
            if operation == "commit":
                world.sandbox.fail("slow", times=1, seconds=part * lease)
            else:
                world.sandbox.fail("errcode", errcode=-1, times=1)
            begun = anyio.current_time()
            with contextlib.suppress(NotReady):
                await tokens.refresh("beta")
            while tokens.statistics().fetching:  # noqa: ASYNC110 - time is virtual
                await anyio.sleep(0.01)
            assert anyio.current_time() - begun <= lease * 2 / 3 + 0.02
            store.faults.clear()


async def test_a_lease_that_comes_too_late_is_given_back_and_nothing_is_sent(world):
    store = FaultyStore(world.clock, shared=False)
    tokens = world.manager(world.account("beta"), store=store, lease=3)
    claim = store.inner.claim

    async def slow(claims, *, owner, lease_s):
        answers = await claim(claims, owner=owner, lease_s=lease_s)
        await anyio.sleep(1.8)
        return answers

    store.inner.claim = slow
    flight = tokens._flights.join(tokens.entry("beta", "access_token"))
    await flight.done.wait()
    assert "the store took too long" in str(flight.error)
    assert len(world.sandbox.calls) == 0
    store.inner.claim = claim
    begun = anyio.current_time()
    assert world.sandbox.accepts(await tokens.access_token("beta"))
    assert anyio.current_time() - begun < 0.1  # the lease was given back


# an outcome that nobody knows


async def test_a_holder_that_is_cut_off_after_its_fetch_leaves_a_token_in_doubt(pair, world):
    async with pair.one, pair.two:
        await pair.settle()
        pair.way.faults.update({"commit": "away", "restore": "away", "fail": "away"})
        begun = world.clock.monotonic()
        await pair.one.refresh("beta")  # a new one, of which only the first knows
        assert await pair.one.access_token("beta") != await pair.two.access_token("beta")
        await anyio.sleep(29 - (world.clock.monotonic() - begun))
        assert await pair.left() > 300
        await pair.agree(6)
        assert world.count("token") == 3
        pair.way.faults.clear()
        await pair.agree(600)
        assert world.count("token") == 3


async def test_a_forced_refresh_that_is_cut_off_leaves_a_stable_token_in_doubt(world):
    pair = Pair(world, "alpha")
    async with pair.one, pair.two:
        await pair.settle()
        pair.way.faults.update({"commit": "away", "restore": "away", "fail": "away"})
        new = await pair.one.refresh("alpha")  # forced, and only the first knows
        assert await pair.two.access_token("alpha") != new
        await anyio.sleep(25)
        assert await pair.left() > 300
        await anyio.sleep(9)  # its lease has ended: WeChat is asked again, long before the old one dies
        assert await pair.two.access_token("alpha") == new
        pair.way.faults.clear()
        await pair.agree(600)


async def test_a_forced_refresh_of_which_nobody_knows_leaves_a_stable_token_in_doubt(world):
    pair = Pair(world, "alpha")
    async with pair.one, pair.two:
        await pair.settle()
        held = await pair.two.access_token("alpha")
        world.sandbox.fail("slow", path="/cgi-bin/stable_token", times=1, seconds=0.1)  # it brings the same
        world.sandbox.fail("reset", path="/cgi-bin/stable_token", times=1, before=False)
        before = world.count("stable_token")
        with pytest.raises(NotReady):
            await pair.one.refresh("alpha")
        assert (world.sandbox.calls[-1].forced, world.sandbox.calls[-1].issued) == (True, True)
        assert await pair.left() <= 270
        await anyio.sleep(5)
        assert world.count("stable_token") == before + 3, "it is asked again at once, not after 270 s"
        await pair.agree(60)
        assert await pair.two.access_token("alpha") != held
        assert await pair.left() > 3000


@pytest.mark.parametrize("fault", ["reset", "hang"])
async def test_a_normal_call_of_which_nobody_knows_leaves_a_stable_token_its_trust(world, fault):
    """A refresh was asked for, and nothing was forced: WeChat's own token is the one that is held."""
    async with world.manager(world.account("alpha")) as tokens:
        held = await tokens.access_token("alpha")
        await anyio.sleep(61)
        world.sandbox.fail(fault, path="/cgi-bin/stable_token", times=None)
        with pytest.raises((NotReady, UpstreamTimeout)):
            await tokens.refresh("alpha")
        assert not any(call.forced for call in world.sandbox.calls)
        await anyio.sleep(1200)
        assert tokens.statistics().credentials[0].ends_in > 5000
        assert await tokens.access_token("alpha") == held


async def test_a_holder_that_comes_back_within_its_lease_loses_nothing(pair, world):
    async with pair.one, pair.two:
        await pair.settle()
        pair.way.faults.update({"commit": "away", "restore": "away"})
        new = await pair.one.refresh("beta")
        await anyio.sleep(10)
        pair.way.faults.clear()
        await pair.agree(600)
        assert await pair.two.access_token("beta") == new
        assert world.count("token") == 2


async def test_a_commit_that_another_lease_has_overtaken_puts_the_stored_token_in_doubt_for_both(pair, world):
    async with pair.one, pair.two:
        await pair.settle()
        world.sandbox.fail("slow", path="/cgi-bin/token", times=1, seconds=8, before=False)
        async with anyio.create_task_group() as group:
            begun = world.clock.monotonic()
            group.start_soon(pair.one.refresh, "beta")
            await anyio.sleep(1)
            pair.store.wipe()  # and the lease with it
            await anyio.sleep(1)
            await pair.two.refresh("beta")
        await anyio.sleep(0.5)
        for tokens in (pair.one, pair.two):
            ends_at = world.clock.monotonic() + tokens.statistics().credentials[0].ends_in
            assert ends_at - begun == pytest.approx(270, abs=0.5)
        await pair.agree(300)
        assert world.count("token") == 4
        assert await pair.left() > 3000


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("before", [True, False], ids=["before its call", "after its call"])
async def test_a_holder_that_is_stopped_past_its_lease_does_no_harm(pair, world, before, in_time):
    async with pair.one, pair.two:
        await pair.settle()
        pair.road.in_time = in_time
        pair.road.before_s, pair.road.after_s = (0.0, 40.0) if not before else (40.0, 0.0)

        async def refresh():
            with pytest.raises((UpstreamTimeout, NotReady)):
                await pair.one.refresh("beta")

        async with anyio.create_task_group() as group:
            group.start_soon(refresh)
            await anyio.sleep(35)
            assert world.count("token") == (2 if before else 3)
        await pair.agree(250)  # what it says comes too late, and doubts what the other one has fetched
        calls = [call.at for call in world.sandbox.calls]
        assert len(calls) == 4
        assert calls[-1] - calls[0] - 61 == pytest.approx(210, abs=1.1)


async def test_what_a_stopped_holder_gives_back_is_doubted_if_the_next_one_died(pair, world):
    """The next one's fetch has doomed it, and nobody could tell."""
    async with pair.one, pair.two:
        await pair.settle()
        pair.road.after_s = 100.0
        pair.way.faults["commit"] = "away"
        pair.others_way.faults.update({"commit": "away", "fail": "away", "restore": "away"})
        with pytest.raises(UpstreamTimeout):
            await pair.one.refresh("beta")
        await anyio.sleep(87)
        assert world.count("token") == 3
        assert await pair.one.access_token("beta") != await pair.two.access_token("beta")
        await anyio.sleep(2)
        pair.way.faults.clear()
        for _ in range(400):
            assert world.sandbox.accepts(await pair.one.access_token("beta"))
            await anyio.sleep(1)
        assert world.count("token") == 4


async def test_a_retried_commit_counts_its_doubt_from_the_call_all_the_same(pair, world):
    async with pair.one, pair.two:
        await pair.settle()
        world.sandbox.fail("slow", path="/cgi-bin/token", times=1, seconds=2, before=False)
        async with anyio.create_task_group() as group:
            begun = world.clock.monotonic()
            group.start_soon(pair.one.refresh, "beta")
            await anyio.sleep(1)
            pair.store.wipe()
            await anyio.sleep(0.5)
            await pair.two.refresh("beta")
            pair.way.faults["commit"] = "hang"
            await anyio.sleep(3)
            pair.way.faults.clear()
        await anyio.sleep(0.5)
        assert world.clock.monotonic() + await pair.left() - begun == pytest.approx(270, abs=0.5)


class Deaf(FaultyStore):
    """Does not hear the first message about a failed fetch."""

    def __init__(self, clock):
        super().__init__(clock)
        self.said = []

    async def fail(self, fails):
        self.said.extend(fails)
        if len(self.said) == 1:
            raise StoreError("one message was lost")
        return await super().fail(fails)


async def test_one_lost_message_about_a_failed_fetch_costs_no_trust(world):
    """WeChat said no, so nothing is in doubt: only a lease that nobody ends cuts the token."""
    store = Deaf(world.clock)
    async with world.manager(world.account("beta"), store=store) as tokens:
        held = await tokens.access_token("beta")
        await anyio.sleep(61)
        world.sandbox.fail("errcode", errcode=40164, path="/cgi-bin/token", times=None)
        with pytest.raises(UpstreamRefused):
            await tokens.refresh("beta")
        lost, heard = store.said
        assert heard.wait_s == pytest.approx(lost.wait_s - 1), "said a second later"
        [record] = await store.read([tokens.entry("beta", "access_token").credential])
        assert record.error.errcode == 40164
        await anyio.sleep(1000)
        assert tokens.statistics().credentials[0].ends_in > 6000
        assert await tokens.access_token("beta") == held
