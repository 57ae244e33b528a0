"""One refresh from end to end: claim, fetch, commit; and what becomes of it when a part fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from wxtoken_asgi import deaths, policy
from wxtoken_asgi.charges import CALLS, FORCED, charges, names
from wxtoken_asgi.deaths import Cause
from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.errors import BudgetSpent, NotReady, WxTokenError
from wxtoken_asgi.flights import Flight
from wxtoken_asgi.herald import Herald
from wxtoken_asgi.keeper import Keeper, Permit
from wxtoken_asgi.link import LEASE_S
from wxtoken_asgi.policy import Fetched, Kept, Trouble
from wxtoken_asgi.sources import Answer, Ask, Reason, RefusedError
from wxtoken_asgi.stores.contract import Busy, Claim, Commit, Cost, Cut, Fail, LastError
from wxtoken_asgi.tally import Tally
from wxtoken_asgi.troubles import is_news, last_error, of_parent, trouble
from wxtoken_asgi.weixin import UpstreamError, Weixin

logger = logging.getLogger("wxtoken_asgi")

FETCH_S: Final = 17.0
"""All calls of one lease of 30 s; with the commit it ends within 20 s of the claim. Of another lease it is
the same part."""

SETTLED_S: Final = 60.0
"""An asked-for refresh younger than this answers the next one."""

BUSY_POLL_S: Final = 0.2
LONGEST_BUSY_POLL_S: Final = 1.0
CROSSED_REST_S: Final = 1.0
MINUTE_QUOTA: Final = 45011
NO_QUOTA: Final = 1_000_000
Place = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One lease and what is done under it.

    Args:
        entry: the credential.
        flight: why it is fetched.
        permit: the lease.
        tried: the parent's value that was tried before this one; None: none was.
        parent: the parent's value.
        tally: the calls.
    """

    entry: Entry
    flight: Flight
    permit: Permit
    tried: str | None = field(repr=False)
    parent: str | None = field(repr=False)
    tally: Tally = field(default_factory=Tally)

    @property
    def may_renew_parent(self) -> bool:
        """Unless that was tried already, now or under the lease before, and did not help."""
        error = self.permit.record.error
        was_dead = error is not None and error.cls == ErrorClass.DEAD_TOKEN
        return self.parent is not None and self.tried is None and not was_dead

    @property
    def in_vain(self) -> bool:
        """The parent's value was to be replaced, and was not."""
        return self.parent is not None and self.parent == self.tried

    @property
    def parent_died(self) -> bool:
        """An operator was told already that the parent's values die early."""
        parent = self.entry.parent
        return parent is not None and deaths.count(parent.spent) > 0

    @property
    def may_have_doomed(self) -> bool:
        """Whether a call was sent that dooms the value before it: of the old endpoint, or a forced one."""
        return self.entry.kind.policy.destructive or self.tally.sent(FORCED)

    @property
    def unspent(self) -> tuple[str, ...]:
        """What the lease was charged to, and was not sent after all."""
        forced_only = self.entry.kind.budgets.forced_only and not self.tally.sent(FORCED)
        unsent = names(self.entry, self.flight) if forced_only else ()
        return unsent if self.tally.sent(CALLS) else (CALLS, *unsent)

    def costs(self, cause: Cause | None = None) -> tuple[Cost, ...]:
        """What the store is to count: calls, and a death if there was one."""
        died = () if cause is None else (Cost(cause.value),)
        charged = names(self.entry, self.flight) if self.permit.leased else ()
        return self.tally.costs(charged) + died


class Refresher:
    """Carries out flights.

    Args:
        keeper: speaks with the store.
        herald: tells who wants to hear of it.
        parent: waits for a parent credential's value; renews it first if the value given is dead.
        weixin: the connections to WeChat for one flight.
        ask_every_s: seconds between two asks of a stable token, now.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        herald: Herald,
        parent: Callable[[Entry, str | None], Awaitable[str]],
        weixin: Callable[[], AbstractAsyncContextManager[Weixin]],
        ask_every_s: Callable[[], float],
    ) -> None:
        self._keeper = keeper
        self._clock = keeper.clock
        self._herald = herald
        self._parent = parent
        self._weixin = weixin
        self._ask_every_s = ask_every_s

    async def fly(self, entry: Entry, flight: Flight, place: Place) -> None:
        """Refresh a credential, unless somebody else has or does.

        Args:
            entry: the credential.
            flight: why, and what was held then.
            place: a place among the fetches in flight, taken before the lease and given back after it.

        Raises:
            WxTokenError: no new value; the error says why and when to try again.
        """
        if entry.parent is None:
            await self._attempt(entry, flight, place)
            return
        parent = await self._parent(entry.parent, None)
        if not await self._attempt(entry, flight, place, parent):
            renewed = await self._renewed(entry, entry.parent, parent)
            await self._attempt(entry, flight, place, renewed, tried=parent)

    async def _renewed(self, entry: Entry, parent: Entry, dead: str) -> str:
        """A parent's value in place of one that is dead; the same, if it may not be replaced just now.

        Raises:
            WxTokenError: it cannot be had now, nor can what hangs on it.
        """
        try:
            return await self._parent(parent, dead)
        except BudgetSpent as spent:
            logger.debug("%s", spent)
            return dead
        except WxTokenError as error:
            self._rest(entry, of_parent(parent, error), error.retry_in or 0.0)
            raise

    def _rest(self, entry: Entry, error: LastError, wait_s: float) -> None:
        """A back-off in this process, where there is no lease to end with one: else each reader would ask."""
        met = Trouble(error.cls, entry.attempts, entry.left(self._clock), NO_QUOTA)
        own_s = policy.wait_after(met, entry.kind.policy, draw=self._clock.random.random())
        fail = Fail(entry.credential, 0, wait_s=max(wait_s, own_s), error=error)
        self._keeper.fail_alone(entry, fail)

    async def _attempt(
        self, entry: Entry, flight: Flight, place: Place, parent: str | None = None, tried: str | None = None
    ) -> bool:
        """Claim, and fetch if it is granted; False if the parent's value is dead and may be renewed."""
        poll_s = BUSY_POLL_S
        while True:
            news = flight.listen()
            async with place():
                if self._settled(entry, flight):
                    return True
                permit = await self._claimed(entry, flight)
                if permit is None:
                    return True
                if isinstance(permit, Permit):
                    return await self._fetch(_Attempt(entry, flight, permit, tried, parent))
            if not flight.awaited:
                raise self._crossed(entry, flight, permit)
            with anyio.move_on_after(min(permit.retry_in_s, poll_s)):
                await news.wait()
            poll_s = min(2 * poll_s, LONGEST_BUSY_POLL_S)

    def _settled(self, entry: Entry, flight: Flight) -> bool:
        """Whether another process has brought what this flight is for, as the store has told meanwhile."""
        held = entry.good(self._clock)
        return held is not None and held.version > flight.seen

    def _crossed(self, entry: Entry, flight: Flight, busy: Busy) -> NotReady:
        """Another process fetches what nobody here waits for; its news will tell."""
        flight.crossed = True
        rest_s = min(busy.retry_in_s, CROSSED_REST_S * (1 + self._clock.random.random()))
        message = f"{entry}: another process fetches it"
        return NotReady(message, account=entry.account.name, retry_in=rest_s)

    async def _claimed(self, entry: Entry, flight: Flight) -> Permit | Busy | None:
        try:
            return await self._keeper.claim(entry, lambda: self._claim(entry, flight))
        except BudgetSpent as spent:
            if not flight.asked and not entry.stumbles:  # the first of those that follow upon each other
                self._herald.halted(entry, spent)
            raise

    def _claim(self, entry: Entry, flight: Flight) -> Claim:
        held = entry.good(self._clock)
        return Claim(
            entry.credential,
            seen=0 if held is None else min(flight.seen, held.version) if flight.asked else held.version,
            asked=flight.asked,
            settled_s=_settled_s(entry, flight),
            charges=charges(entry, flight),
            fingerprint=entry.account.fingerprint,
            lapse=Cut(policy.OVERLAP_TRUST_S, 0.0) if _may_doom(entry, flight) else None,
        )

    async def _fetch(self, attempt: _Attempt) -> bool:
        entry = attempt.entry
        begun = self._clock.monotonic()
        left_s = self._keeper.left(attempt.permit, FETCH_S / LEASE_S)
        if left_s <= 0:
            raise await self._too_late(attempt)
        try:
            answer = await self._answer(attempt, left_s)
        except RefusedError as refusal:
            if refusal.cls is ErrorClass.DEAD_TOKEN and attempt.may_renew_parent:
                await self._give_back(attempt)
                return False
            raise await self._refused(attempt, refusal) from None
        except UpstreamError as lost:
            error = LastError(lost.cls, f"{entry}: {lost}")
            cut = self._cut(attempt, begun) if lost.undecided else None
            raise await self._failed(attempt, error, self._wait_after(attempt, error), cut=cut) from None
        await self._succeeded(attempt, answer)
        return not answer.parent_dead

    async def _answer(self, attempt: _Attempt, within_s: float) -> Answer:
        entry, record = attempt.entry, attempt.permit.record
        held = record.value if record.good else None
        ask = Ask(entry.account, attempt.flight.reason, held=held, parent=attempt.parent)
        try:
            with anyio.fail_after(within_s):
                async with self._weixin() as weixin:
                    return await entry.kind.source.fetch(ask, attempt.tally.over(weixin), self._clock)
        except (UpstreamError, RefusedError):
            raise
        except TimeoutError:
            msg = f"WeChat did not answer within {within_s:.3g} s"
            raise UpstreamError(msg, cls="timeout", undecided=True) from None
        except Exception as error:  # a bug in a source must not end the flight without a back-off
            logger.exception("the source of %s failed", entry)
            msg = f"its source failed ({type(error).__name__})"
            raise UpstreamError(msg, undecided=True) from None

    async def _succeeded(self, attempt: _Attempt, answer: Answer) -> None:
        entry, flight, permit = attempt.entry, attempt.flight, attempt.permit
        if answer.alive:
            logger.info("%s was said to be dead, but WeChat still takes it", entry)
            await self._give_back(attempt, asked=True)
            return
        elapsed = self._clock.monotonic() - answer.sent_at
        kept = self._keep(attempt, answer, elapsed)
        cause = deaths.cause_of(permit.record, answer, entry.kind.policy)
        commit = Commit(
            entry.credential,
            permit.fence,
            answer.value,
            ttl_s=kept.ttl_s,
            ask_in_s=kept.ask_in_s,
            asked=flight.asked,
            refund=names(entry, flight) if entry.kind.budgets.forced_only and not answer.forced else (),
            costs=attempt.costs(cause),
            refused=self._cut(attempt, answer.sent_at),
            state=answer.state,
        )
        new = await self._keeper.commit(entry, commit, permit)
        if cause is not None:
            self._herald.death(entry, permit.record, cause, answer.found or None)
        if new is not None:
            self._herald.value(entry, new)

    def _keep(self, attempt: _Attempt, answer: Answer, elapsed_s: float) -> Kept:
        held = attempt.permit.record
        fetched = Fetched(
            answer.expires_in,
            elapsed_s,
            unchanged=answer.value == held.value,
            held_ttl_s=held.ttl_s - elapsed_s,
        )
        draw = self._clock.random.random()
        return attempt.entry.kind.policy.keep(fetched, draw=draw, ask_every_s=self._ask_every_s())

    async def _give_back(self, attempt: _Attempt, *, asked: bool = False) -> None:
        """End the lease: nothing was fetched, and nothing was wrong."""
        entry, permit = attempt.entry, attempt.permit
        refund = names(entry, attempt.flight)
        fail = Fail(entry.credential, permit.fence, asked=asked, refund=refund, costs=attempt.costs())
        await self._keeper.fail(entry, fail, permit)

    async def _too_late(self, attempt: _Attempt) -> NotReady:
        """The lease came late (a slow store, or this process was stopped meanwhile): nothing is sent."""
        await self._give_back(attempt)
        message = f"{attempt.entry}: the store took too long to give leave to fetch it"
        return NotReady(message, account=attempt.entry.account.name, retry_in=CROSSED_REST_S)

    async def _refused(self, attempt: _Attempt, refusal: RefusedError) -> Exception:
        """WeChat said no. Where only a forced refresh was refused, what is due is not held up by it."""
        entry, record = attempt.entry, attempt.permit.record
        error = last_error(entry, refusal, record)
        in_vain = refusal.cls is ErrorClass.DEAD_TOKEN and attempt.in_vain
        if in_vain:
            error = replace(error, cls=ErrorClass.TRANSIENT.value)  # it may be replaced some other time
        weight = replace(error, cls=ErrorClass.TRANSIENT.value) if refusal.forced else error
        cause = deaths.cause_of_refusal(record, refusal)
        # What was found dead is due: a reload that brings another secret fetches it at once.
        cut = Cut(record.ttl_s, 0.0) if refusal.found else None
        wait_s = self._wait_after(attempt, weight)
        told = in_vain and attempt.parent_died
        trouble = await self._failed(attempt, error, wait_s, cut=cut, cause=cause, told=told)
        if cause is not None:
            self._herald.death(entry, record, cause, refusal.found)
        return trouble

    async def _failed(
        self,
        attempt: _Attempt,
        error: LastError,
        wait_s: float,
        *,
        cut: Cut | None = None,
        cause: Cause | None = None,
        told: bool = False,
    ) -> Exception:
        entry, permit = attempt.entry, attempt.permit
        fail = Fail(
            entry.credential,
            permit.fence,
            wait_s=wait_s,
            error=error,
            asked=attempt.flight.asked,
            refund=attempt.unspent,
            costs=attempt.costs(cause),
            cut=cut,
        )
        loud = is_news(permit.record.error, error) and not told
        self._herald.error(entry, error, wait_s, loud=loud)
        await self._keeper.fail(entry, fail, permit)
        return trouble(entry, error, wait_s)

    def _cut(self, attempt: _Attempt, begun: float) -> Cut | None:
        """What a call that was begun then leaves of another token, if it was carried out."""
        if not attempt.may_have_doomed:
            return None
        return Cut(policy.OVERLAP_TRUST_S - (self._clock.monotonic() - begun), 0.0)

    def _wait_after(self, attempt: _Attempt, error: LastError) -> float:
        entry, record = attempt.entry, attempt.permit.record
        met = Trouble(
            error.cls,
            attempts=record.attempts,
            ttl_s=record.ttl_s if record.good else 0.0,
            daily_quota=entry.account.daily_quota if entry.kind.budgets.daily_quota else NO_QUOTA,
            minute_quota=error.errcode == MINUTE_QUOTA,
        )
        return policy.wait_after(met, entry.kind.policy, draw=self._clock.random.random())


def _may_doom(entry: Entry, flight: Flight) -> bool:
    """Whether a fetch may come to doom the value before it, as far as is known before it begins."""
    return entry.kind.policy.destructive or (flight.asked and entry.kind.budgets.forced_only)


def _settled_s(entry: Entry, flight: Flight) -> float:
    """An asked-for outcome younger than this settles the claim."""
    if not flight.asked:
        return 0.0
    if flight.reason is Reason.FOUND:
        return policy.heal_after(deaths.count(entry.spent))
    return SETTLED_S
