"""Questions to the store that come together are asked together, and harm each other in nothing."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from wxtoken_asgi import StoreError, StoreFormatError
from wxtoken_asgi.batches import MOST_AT_ONCE, Batches
from wxtoken_asgi.stores.contract import Claim
from wxtoken_asgi.tasks import Tasks

from support.eager import EAGERLY
from support.faulty_store import FaultyStore
from support.fleet import Fleet
from support.virtual import VirtualLoop


class Said:
    """Doubles numbers, in `seconds`, and keeps what it was asked."""

    def __init__(self, seconds=0.0, error=None):
        self.batches = []
        self.given_up = 0
        self.seconds = seconds
        self.error = error

    async def __call__(self, questions):
        self.batches.append(questions)
        try:
            await anyio.sleep(self.seconds)
        except anyio.get_cancelled_exc_class():
            self.given_up += 1
            raise
        if self.error:
            raise self.error
        return [2 * question for question in questions]


async def ask(batches, question, answers):
    try:
        answers[question] = await batches.ask(question)
    except StoreError as error:
        answers[question] = error


async def ask_all(batches, questions):
    answers = {}
    async with anyio.create_task_group() as group:
        for question in questions:
            group.start_soon(ask, batches, question, answers)
    return answers


async def test_what_is_asked_in_one_turn_is_one_batch_and_each_gets_its_own_answer():
    say = Said()
    answers = await ask_all(Batches(say, Tasks()), range(20))
    assert answers == {number: 2 * number for number in range(20)}
    assert [sorted(batch) for batch in say.batches] == [list(range(20))]


async def test_one_alone_waits_for_nothing():
    say = Said()
    batches = Batches(say, Tasks())
    begun = anyio.current_time()
    assert [await batches.ask(number) for number in (1, 2)] == [2, 4]
    assert anyio.current_time() == begun
    assert say.batches == [[1], [2]]


async def test_a_slow_batch_does_not_hold_up_the_next():
    say = Said(seconds=2)
    batches, answers = Batches(say, Tasks()), {}
    async with anyio.create_task_group() as group:
        group.start_soon(ask, batches, 1, answers)
        await anyio.sleep(1)
        say.seconds = 0
        assert await batches.ask(2) == 4
        assert answers == {}
    assert answers == {1: 2}


class LaterTasks(Tasks):
    """Starts what it is given when it is told to."""

    def __init__(self):
        super().__init__()
        self.waiting = []

    def start(self, work, *args, name):
        self.waiting.append((work, args))

    async def go(self):
        for work, args in self.waiting:
            await work(*args)


async def test_whoever_leaves_before_the_batch_is_sent_takes_its_question_along():
    say, tasks, answers = Said(), LaterTasks(), {}
    batches = Batches(say, tasks)
    async with anyio.create_task_group() as group:
        for question in (1, 2, 3):
            group.start_soon(ask, batches, question, answers)
        with anyio.move_on_after(1):
            await batches.ask(4)
        await tasks.go()
    assert answers == {1: 2, 2: 4, 3: 6}
    assert [sorted(batch) for batch in say.batches] == [[1, 2, 3]]


async def test_a_batch_that_all_have_left_is_not_sent_and_holds_nobody():
    say, tasks, answers = Said(), LaterTasks(), {}
    batches = Batches(say, tasks)
    with anyio.move_on_after(1):
        await batches.ask(1)
    async with anyio.create_task_group() as group:
        group.start_soon(ask, batches, 2, answers)
        await anyio.sleep(1)
        await tasks.go()
    assert answers == {2: 4}
    assert say.batches == [[2]]


async def test_one_that_leaves_while_it_is_asked_harms_no_other():
    say = Said(seconds=2)
    batches, answers = Batches(say, Tasks()), {}
    async with anyio.create_task_group() as group:

        async def leave():
            with anyio.move_on_after(1):
                await batches.ask(2)

        group.start_soon(ask, batches, 1, answers)
        group.start_soon(leave)
    assert answers == {1: 2}
    assert [sorted(batch) for batch in say.batches] == [[1, 2]]
    assert say.given_up == 0


async def test_what_nobody_waits_for_any_more_is_given_up():
    say = Said(seconds=2)
    batches = Batches(say, Tasks())
    with anyio.move_on_after(1):
        await ask_all(batches, (1, 2))
    await anyio.sleep(0.1)
    assert say.given_up == 1


@pytest.mark.parametrize("kind", [StoreError, StoreFormatError])
async def test_an_error_reaches_each_as_one_of_its_own(kind):
    answers = await ask_all(Batches(Said(error=kind("it is away")), Tasks()), range(5))
    assert {(type(error), str(error)) for error in answers.values()} == {(kind, "it is away")}
    assert len({id(error) for error in answers.values()}) == 5


async def test_a_bug_leaves_nobody_waiting(caplog):
    answers = await ask_all(Batches(Said(error=ZeroDivisionError()), Tasks()), range(3))
    assert all("not asked to the end" in str(error) for error in answers.values())
    assert "ZeroDivisionError" in caplog.text


async def test_a_store_that_loses_an_answer_mixes_none_up():
    async def say(questions):
        return questions[1:]

    answers = await ask_all(Batches(say, Tasks()), range(3))
    assert {str(error) for error in answers.values()} == {"the store gave 2 answers to 3 questions"}


async def test_a_batch_has_an_end():
    say = Said()
    answers = await ask_all(Batches(say, Tasks()), range(MOST_AT_ONCE + 7))
    assert len(answers) == MOST_AT_ONCE + 7
    assert sorted(map(len, say.batches)) == [7, MOST_AT_ONCE]


def test_each_event_loop_has_batches_of_its_own():
    say = Said()
    batches = Batches(say, Tasks())
    for backend in ("asyncio", "trio"):
        assert anyio.run(batches.ask, 3, backend=backend) == 6
    assert say.batches == [[3], [3]]


# as the manager uses them


@pytest.fixture
def fleet():
    return Fleet(["token"] * 40, overlap="grace", apart_s=0, tickets=False)


async def test_claims_and_commits_of_many_are_few_calls_of_the_store(fleet):
    store = FaultyStore(fleet.clock, shared=False)
    async with fleet.manager(store=store) as tokens:
        await anyio.sleep(1)
        assert all(item.version for item in tokens.statistics().credentials)
    assert store.calls["claim"] <= 2
    assert store.calls["commit"] <= 10
    assert fleet.sandbox.count("/cgi-bin/token") == 40


async def test_failures_of_many_are_few_calls_of_the_store(fleet):
    store = FaultyStore(fleet.clock, shared=False)
    fleet.sandbox.fail("errcode", errcode=40164, times=None)
    async with fleet.manager(store=store):
        await anyio.sleep(1)
    assert store.calls["fail"] <= 10
    assert fleet.sandbox.count("/cgi-bin/token") == 40


async def test_claims_that_the_store_does_not_answer_end_after_three_seconds_and_hold_up_no_other(fleet):
    store = FaultyStore(fleet.clock, shared=False)
    store.faults["claim"] = "hang"
    tokens = fleet.manager(store=store)
    ended = []

    async def claim(name):
        begun = anyio.current_time()
        entry = tokens.entry(name, "access_token")
        with pytest.raises(StoreError, match="within 3 s"):
            await tokens._keeper.claim(entry, lambda: Claim(entry.credential, asked=True))
        ended.append(anyio.current_time() - begun)

    async with anyio.create_task_group() as group:
        for name in ("account1", "account2"):
            group.start_soon(claim, name)
        await anyio.sleep(1)
        store.faults.clear()
        begun = anyio.current_time()
        await tokens.access_token("account3")
        assert anyio.current_time() - begun < 0.1
    assert ended == [pytest.approx(3), pytest.approx(3)]
    assert store.calls["claim"] == 2


def test_where_tasks_are_eager_tokens_come_with_a_lease_all_the_same(world, caplog):
    """A batch is sent once its first question is in it, and not before."""
    store = FaultyStore(world.clock)

    async def main():
        asyncio.get_running_loop().set_task_factory(EAGERLY)
        tokens = world.manager(store=store)
        for name in ("alpha", "beta"):
            assert world.sandbox.accepts(await tokens.access_token(name))
            assert not tokens.entry(name, "access_token").held.unleased

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert (store.calls["claim"], store.calls["commit"]) == (2, 2)
    assert "away" not in caplog.text
