"""Who is told what becomes of a credential: the log and the hooks."""

from __future__ import annotations

import logging

from wxtoken_asgi import deaths
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.deaths import Cause
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import BudgetSpent
from wxtoken_asgi.hooks import EarlyDeathEvent, ErrorEvent, Hooks, TokenEvent
from wxtoken_asgi.stores.contract import LastError, Record
from wxtoken_asgi.troubles import HOPELESS

logger = logging.getLogger("wxtoken_asgi")


class Herald:
    """Tells the log and the hooks.

    Args:
        hooks: who hears of it.
        clock: time.
    """

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock

    def value(self, entry: Entry, held: Held) -> None:
        """There is a new value."""
        if entry.kind.watches:
            return
        left = held.left(self._clock)
        logger.info("new %s, good for %.0f s", entry, left)
        kept = int(entry.kind.policy.may_keep(left, held.ask_in(self._clock)))
        account = entry.account
        self._hooks.tell(
            entry.kind.hook,
            TokenEvent(account.name, account.appid, entry.kind.name, held.value, kept, held.version),
        )

    def error(self, entry: Entry, error: LastError, wait_s: float, *, loud: bool) -> None:
        """A fetch has failed; an operator is told loudly once."""
        worst = logging.ERROR if error.cls in HOPELESS else logging.WARNING
        logger.log(worst if loud else logging.DEBUG, "%s; next attempt in %.0f s", error.message, wait_s)
        self._tell_error(entry, error.cls, error.errcode, error.message, wait_s)

    def death(self, entry: Entry, before: Record, cause: Cause, errcode: int | None) -> None:
        """A token has died early; the first of 24 hours is told loudly, by whichever worker met it.

        Args:
            entry: the credential, as the store has counted it.
            before: what was held before the fetch that brought it to light.
            cause: what most likely killed it.
            errcode: the number by which WeChat refused it, if WeChat was asked.
        """
        number = max(deaths.count(entry.spent), 1)  # a store that was away has counted nothing
        first = deaths.count(entry.spent, cause) <= 1
        account = entry.account
        said = "WeChat gave out another in its place" if errcode is None else f"WeChat says {errcode}"
        why = deaths.explain(account, cause, destructive=entry.kind.policy.destructive)
        message = f"{entry} died about {before.ttl_s / 60:.0f} minutes before its end ({said}): {why}"
        logger.log(logging.WARNING if first else logging.INFO, "%s; %d in 24 hours", message, number)
        self._hooks.tell(
            "error",
            EarlyDeathEvent(
                account.name, account.appid, entry.kind.name, "died_early", errcode, message, 0.0,
                cause.value, number,
            ),
        )  # fmt: skip

    def halted(self, entry: Entry, spent: BudgetSpent) -> None:
        """What is due cannot be fetched: the daily quota is used up."""
        message = f"{spent}; nothing more is fetched until there is room"
        logger.error("%s, in %.0f s", message, spent.retry_in)
        self._tell_error(entry, "quota", None, message, spent.retry_in or 0.0)

    def _tell_error(self, entry: Entry, cls: str, errcode: int | None, message: str, wait_s: float) -> None:
        account = entry.account
        event = ErrorEvent(account.name, account.appid, entry.kind.name, cls, errcode, message, wait_s)
        self._hooks.tell("error", event)
