"""One refresh from end to end: claim, fetch, commit; and what becomes of it when a part fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio

from wxtoken_asgi import policy
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.errors import NotReady
from wxtoken_asgi.flights import Flight
from wxtoken_asgi.hooks import ErrorEvent, Hooks, TokenEvent
from wxtoken_asgi.keeper import LEASE_S, Keeper, Permit
from wxtoken_asgi.policy import Fetched, Kept, Trouble
from wxtoken_asgi.sources import Answer, Ask, RefusedError
from wxtoken_asgi.stores.contract import Busy, Charge, Claim, Commit, Cut, Fail, LastError
from wxtoken_asgi.troubles import HOPELESS, is_news, last_error, trouble
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
RESERVED: Final = 48
"""So much of the daily quota is kept for what is due: a day's 24 fetches, and as many that fail."""


CALLS: Final = "calls"
ASKED: Final = "asked"
BLIND: Final = "blind"

Place = Callable[[], AbstractAsyncContextManager[None]]


class Refresher:
    """Carries out flights.

    Args:
        keeper: speaks with the store.
        hooks: who hears of it.
        parent: waits for a parent credential's value; renews it first if the value given is dead.
        weixin: the connections to WeChat for one flight.
        ask_every_s: seconds between two asks of a stable token, now.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        hooks: Hooks,
        parent: Callable[[Entry, str | None], Awaitable[str]],
        weixin: Callable[[], AbstractAsyncContextManager[Weixin]],
        ask_every_s: Callable[[], float],
    ) -> None:
        self._keeper = keeper
        self._clock = keeper.clock
        self._hooks = hooks
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
            await self._attempt(entry, flight, None, place, last=True)
            return
        parent = await self._parent(entry.parent, None)
        if not await self._attempt(entry, flight, parent, place):
            renewed = await self._parent(entry.parent, parent)
            await self._attempt(entry, flight, renewed, place, last=True)

    async def _attempt(
        self, entry: Entry, flight: Flight, parent: str | None, place: Place, *, last: bool = False
    ) -> bool:
        """Claim, and fetch if it is granted; False if the parent's value is dead and may be renewed."""
        poll_s = BUSY_POLL_S
        while True:
            news = flight.listen()
            async with place():
                if self._settled(entry, flight):
                    return True
                permit = await self._keeper.claim(entry, self._claim(entry, flight))
                if permit is None:
                    return True
                if isinstance(permit, Permit):
                    return await self._fetch(entry, flight, permit, parent, last=last)
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

    def _claim(self, entry: Entry, flight: Flight) -> Claim:
        held = entry.good(self._clock)
        return Claim(
            entry.credential,
            seen=0 if held is None else flight.seen if flight.asked else held.version,
            asked=flight.asked,
            settled_s=SETTLED_S if flight.asked else 0.0,
            charges=_charges(entry, flight),
            fingerprint=entry.account.fingerprint,
            lapse=Cut(policy.OVERLAP_TRUST_S, 0.0) if _dooms(entry, flight) else None,
        )

    async def _fetch(
        self, entry: Entry, flight: Flight, permit: Permit, parent: str | None, *, last: bool
    ) -> bool:
        begun = self._clock.monotonic()
        left_s = self._keeper.left(permit, FETCH_S / LEASE_S)
        if left_s <= 0:
            raise await self._too_late(entry, flight, permit)
        held = permit.record.value if permit.record.good else None
        ask = Ask(entry.account, flight.reason, held=held, parent=parent)
        try:
            answer = await self._answer(entry, ask, left_s)
        except RefusedError as refusal:
            if refusal.cls is ErrorClass.DEAD_TOKEN and not last and not _was_dead(permit):
                await self._give_back(entry, flight, permit)
                return False
            error, cut = last_error(entry, refusal), None
        except UpstreamError as lost:
            error = LastError(lost.cls, f"{entry}: {lost}")
            cut = self._doubt(entry, flight, begun) if lost.undecided else None
        else:
            await self._succeeded(entry, flight, permit, answer)
            return True
        raise await self._failed(entry, flight, permit, error, cut)

    async def _answer(self, entry: Entry, ask: Ask, within_s: float) -> Answer:
        try:
            with anyio.fail_after(within_s):
                async with self._weixin() as weixin:
                    return await entry.kind.source.fetch(ask, weixin, self._clock)
        except (UpstreamError, RefusedError):
            raise
        except TimeoutError:
            msg = f"WeChat did not answer within {within_s:.3g} s"
            raise UpstreamError(msg, cls="timeout", undecided=True) from None
        except Exception as error:  # a bug in a source must not end the flight without a back-off
            logger.exception("the source of %s failed", entry)
            msg = f"its source failed ({type(error).__name__})"
            raise UpstreamError(msg, undecided=True) from None

    async def _succeeded(self, entry: Entry, flight: Flight, permit: Permit, answer: Answer) -> None:
        if answer.alive:
            logger.info("%s was reported dead, but WeChat still takes it", entry)
            await self._give_back(entry, flight, permit, asked=True)
            return
        elapsed = self._clock.monotonic() - answer.sent_at
        kept = self._keep(entry, permit, answer, elapsed)
        commit = Commit(
            entry.credential,
            permit.fence,
            answer.value,
            ttl_s=kept.ttl_s,
            ask_in_s=kept.ask_in_s,
            asked=flight.asked,
            refund=_names(entry, flight) if entry.kind.budgets.forced_only and not answer.forced else (),
            refused=Cut(*policy.refused_cut(elapsed)) if _dooms(entry, flight) else None,
            state=answer.state,
        )
        new = await self._keeper.commit(entry, commit, permit)
        if new is not None:
            self._tell_value(entry, new)

    def _keep(self, entry: Entry, permit: Permit, answer: Answer, elapsed_s: float) -> Kept:
        held = permit.record
        fetched = Fetched(
            answer.expires_in,
            elapsed_s,
            unchanged=held.good and answer.value == held.value,
            held_ttl_s=held.ttl_s - elapsed_s,
        )
        draw = self._clock.random.random()
        return entry.kind.policy.keep(fetched, draw=draw, ask_every_s=self._ask_every_s())

    async def _give_back(self, entry: Entry, flight: Flight, permit: Permit, *, asked: bool = False) -> None:
        """End the lease: nothing was fetched, and nothing was wrong."""
        fail = Fail(entry.credential, permit.fence, asked=asked, refund=_names(entry, flight))
        await self._keeper.fail(entry, fail, permit)

    async def _too_late(self, entry: Entry, flight: Flight, permit: Permit) -> NotReady:
        """The lease came late (a slow store, or this process was stopped meanwhile): nothing is sent."""
        await self._give_back(entry, flight, permit)
        message = f"{entry}: the store took too long to give leave to fetch it"
        return NotReady(message, account=entry.account.name, retry_in=CROSSED_REST_S)

    async def _failed(
        self, entry: Entry, flight: Flight, permit: Permit, error: LastError, cut: Cut | None
    ) -> Exception:
        wait_s = self._wait_after(entry, permit, error)
        fail = Fail(
            entry.credential,
            permit.fence,
            wait_s=wait_s,
            error=error,
            asked=flight.asked,
            refund=(CALLS,) if error.cls == "connect" and entry.kind.budgets.daily_quota else (),
            cut=cut,
        )
        self._tell_error(entry, error, wait_s, loud=is_news(permit.record.error, error))
        await self._keeper.fail(entry, fail, permit)
        return trouble(entry, error, wait_s)

    def _doubt(self, entry: Entry, flight: Flight, begun: float) -> Cut | None:
        """A call of which nobody knows whether it was carried out: the held value may be doomed."""
        if not _dooms(entry, flight):
            return None
        return Cut(policy.OVERLAP_TRUST_S - (self._clock.monotonic() - begun), 0.0)

    def _wait_after(self, entry: Entry, permit: Permit, error: LastError) -> float:
        record = permit.record
        met = Trouble(
            error.cls,
            attempts=record.attempts,
            ttl_s=record.ttl_s if record.good else 0.0,
            daily_quota=entry.account.daily_quota if entry.kind.budgets.daily_quota else NO_QUOTA,
            minute_quota=error.errcode == MINUTE_QUOTA,
        )
        return policy.wait_after(met, entry.kind.policy, draw=self._clock.random.random())

    def _tell_value(self, entry: Entry, held: Held) -> None:
        left = held.left(self._clock)
        logger.info("new %s, good for %.0f s", entry, left)
        kept = int(entry.kind.policy.may_keep(left, held.ask_in(self._clock)))
        account = entry.account
        self._hooks.tell(
            entry.kind.hook,
            TokenEvent(account.name, account.appid, entry.kind.name, held.value, kept, held.version),
        )

    def _tell_error(self, entry: Entry, error: LastError, wait_s: float, *, loud: bool) -> None:
        worst = logging.ERROR if error.cls in HOPELESS else logging.WARNING
        logger.log(worst if loud else logging.DEBUG, "%s; next attempt in %.0f s", error.message, wait_s)
        account = entry.account
        self._hooks.tell(
            "error",
            ErrorEvent(
                account.name, account.appid, entry.kind.name, error.cls, error.errcode, error.message, wait_s
            ),
        )


def _was_dead(permit: Permit) -> bool:
    """A new parent was tried already and did not help; another would not either."""
    error = permit.record.error
    return error is not None and error.cls == ErrorClass.DEAD_TOKEN


def _dooms(entry: Entry, flight: Flight) -> bool:
    """Whether a fetch may doom the value before it: each of the old endpoint does, and a forced one."""
    return entry.kind.policy.destructive or (flight.asked and entry.kind.budgets.forced_only)


def _charges(entry: Entry, flight: Flight) -> tuple[Charge, ...]:
    budgets = entry.kind.budgets
    reserve = RESERVED if flight.asked else 0
    charges = [Charge(CALLS, entry.account.daily_quota - reserve)] if budgets.daily_quota else []
    if flight.asked:
        charges.append(Charge(ASKED, budgets.asked))
    if flight.asked and flight.blind:
        charges.append(Charge(BLIND, budgets.asked // 2))
    return tuple(charges)


def _names(entry: Entry, flight: Flight) -> tuple[str, ...]:
    return tuple(charge.name for charge in _charges(entry, flight))
