"""Places for fetches: bounded, the urgent first, and none is ever lost."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import pytest
from anyio import wait_all_tasks_blocked

from wxtoken_asgi.slots import Slots


def queued(slots):
    return len(slots._urgent) + len(slots._patient)


class Crowd:
    """Those who want a place, in the order in which they got one."""

    def __init__(self, total):
        self.slots = Slots(total)
        self.served = []
        self.inside = self.most = 0

    async def visit(self, who, *, urgent=False, gate=None):
        async with self.slots.hold(who, urgent=urgent):
            self.served.append(who)
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await (anyio.lowlevel.checkpoint() if gate is None else gate.wait())
            finally:
                self.inside -= 1

    async def queue(self, group, *names, urgent=False):
        for name in names:
            group.start_soon(lambda name=name: self.visit(name, urgent=urgent))
            await wait_all_tasks_blocked()


@pytest.fixture
def crowd():
    return Crowd(1)


async def test_no_more_than_the_total_are_inside():
    crowd = Crowd(3)
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(crowd.visit, number)
    assert (crowd.most, len(crowd.served), crowd.slots.free, queued(crowd.slots)) == (3, 50, 3, 0)


async def test_those_that_callers_wait_for_go_first_and_else_the_first_come(crowd):
    gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: crowd.visit("first", gate=gate))
        await wait_all_tasks_blocked()
        await crowd.queue(group, "patient-1", "patient-2")
        await crowd.queue(group, "urgent-1", "urgent-2", urgent=True)
        assert queued(crowd.slots) == 4
        gate.set()
    assert crowd.served == ["first", "urgent-1", "urgent-2", "patient-1", "patient-2"]


async def test_whoever_is_waited_for_now_is_moved_up(crowd):
    gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: crowd.visit("first", gate=gate))
        await wait_all_tasks_blocked()
        await crowd.queue(group, "a", "b", "c")
        await crowd.queue(group, "urgent", urgent=True)
        crowd.slots.promote("c")
        crowd.slots.promote("c")
        crowd.slots.promote("first")
        crowd.slots.promote("a stranger")
        assert queued(crowd.slots) == 4
        gate.set()
    assert crowd.served == ["first", "urgent", "c", "a", "b"]


@pytest.mark.parametrize("urgent", [False, True])
async def test_whoever_stops_waiting_leaves_the_queue(crowd, urgent):
    gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: crowd.visit("first", gate=gate))
        await wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            await crowd.visit("impatient", urgent=urgent)
        assert queued(crowd.slots) == 0
        gate.set()
    assert crowd.served == ["first"]
    assert crowd.slots.free == 1


async def test_a_place_given_to_one_who_has_just_been_cancelled_goes_on(crowd):
    gate = anyio.Event()
    scope = anyio.CancelScope()

    async def doomed():
        with scope:
            await crowd.visit("doomed")

    async with anyio.create_task_group() as group:
        async with crowd.slots.hold("first", urgent=False):
            group.start_soon(doomed)
            await wait_all_tasks_blocked()
            group.start_soon(lambda: crowd.visit("next", gate=gate))
            await wait_all_tasks_blocked()
            scope.cancel()
        await wait_all_tasks_blocked()
        assert crowd.served == ["next"]
        gate.set()
    assert crowd.slots.free == 1


async def test_an_error_inside_gives_the_place_back(crowd):
    with pytest.raises(ZeroDivisionError):
        async with crowd.slots.hold("one", urgent=True):
            raise ZeroDivisionError
    assert crowd.slots.free == 1


async def test_no_place_is_lost_in_a_crowd_that_comes_and_goes():
    crowd, chance = Crowd(3), random.Random(5)

    async def visitor(number):
        with anyio.move_on_after(chance.uniform(0, 0.02)):
            async with crowd.slots.hold(number, urgent=chance.random() < 0.5):
                await anyio.sleep(chance.uniform(0, 0.01))

    async with anyio.create_task_group() as group:
        for number in range(300):
            group.start_soon(visitor, number)
            if number % 10 == 0:
                await anyio.lowlevel.checkpoint()
                crowd.slots.promote(number - chance.randrange(9))
    assert (crowd.slots.free, queued(crowd.slots)) == (3, 0)
