"""Questions to the store that come together go to it together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.errors import StoreError, StoreFormatError
from wxtoken_asgi.tasks import Tasks

MOST_AT_ONCE: Final = 500
"""A batch is no larger, so that none comes near the time that a store may take."""

Q = TypeVar("Q")
A = TypeVar("A")


class Batches(Generic[Q, A]):
    """Gathers what is asked in one turn of the event loop, and asks it as one batch.

    One question alone waits for nothing but that turn. Whoever goes away before the batch is sent takes
    its question along, and harms no other; a batch that nobody waits for any more is given up.

    Args:
        say: asks the store; one answer for each question, in their order.
        tasks: where batches are sent, so that they belong to no asker.
    """

    def __init__(self, say: Callable[[list[Q]], Awaitable[Sequence[A]]], tasks: Tasks) -> None:
        self._say = say
        self._tasks = tasks
        self._gathering: dict[EventLoopToken, _Batch[Q, A]] = {}

    async def ask(self, question: Q) -> A:
        """The answer to this question.

        Raises:
            StoreError: the store gave none; each asker gets an error of its own.
        """
        here = current_token()
        batch = self._batch(here)
        number = batch.add(question)
        try:
            await batch.done.wait()
        finally:
            batch.leave(number)
            if not batch.questions:
                self._close(here, batch)
        return batch.answer(number)

    def _batch(self, here: EventLoopToken) -> _Batch[Q, A]:
        batch = self._gathering.get(here)
        if batch is None or len(batch.questions) >= MOST_AT_ONCE:
            batch = self._gathering[here] = _Batch()
            self._tasks.start(self._send, here, batch, name="wxtoken batch")
        return batch

    def _close(self, here: EventLoopToken, batch: _Batch[Q, A]) -> None:
        if self._gathering.get(here) is batch:
            del self._gathering[here]

    async def _send(self, here: EventLoopToken, batch: _Batch[Q, A]) -> None:
        self._close(here, batch)
        await batch.send(self._say)


class _Batch(Generic[Q, A]):
    """Questions that go to the store together.

    Attributes:
        questions: those whose askers still wait, by number.
        done: set when there are answers, or will be none.
    """

    def __init__(self) -> None:
        self.questions: dict[int, Q] = {}
        self.done = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self._answers: dict[int, A] = {}
        self._error = StoreError("the store was not asked to the end")
        self._last = 0

    def add(self, question: Q) -> int:
        self._last += 1
        self.questions[self._last] = question
        return self._last

    def leave(self, number: int) -> None:
        del self.questions[number]
        if not self.questions and self._scope is not None and not self.done.is_set():
            self._scope.cancel()

    def answer(self, number: int) -> A:
        if number in self._answers:
            return self._answers[number]
        kind = StoreFormatError if isinstance(self._error, StoreFormatError) else StoreError
        raise kind(str(self._error))

    async def send(self, say: Callable[[list[Q]], Awaitable[Sequence[A]]]) -> None:
        numbers = list(self.questions)
        try:
            if numbers:
                with anyio.CancelScope() as self._scope:
                    self._take(numbers, await say(list(self.questions.values())))
        except StoreError as error:
            self._error = error
        finally:
            self.done.set()

    def _take(self, numbers: list[int], answers: Sequence[A]) -> None:
        if len(answers) != len(numbers):
            raise StoreError(f"the store gave {len(answers)} answers to {len(numbers)} questions")
        self._answers = dict(zip(numbers, answers, strict=True))
