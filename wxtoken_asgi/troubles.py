"""From what went wrong to the error that a caller gets, in the same words for every worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from wxtoken_asgi import deaths
from wxtoken_asgi.charges import CALLS
from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errcodes import ErrorClass
from wxtoken_asgi.errors import (
    BudgetSpent,
    NoSuchCredential,
    NotReady,
    StoreError,
    UpstreamRefused,
    UpstreamTimeout,
    WxTokenError,
)
from wxtoken_asgi.sources import RefusedError
from wxtoken_asgi.stores.contract import LastError, Record, Spent

_PART: Final = "the part of the daily quota of fetches that is not kept for what is due ({limit} of {quota})"

HOPELESS: Final = frozenset({"permanent", "operator", "state", "quota"})
"""Classes of errors that asking again at once would not help."""

STORE_AWAY: Final = "store"
"""The class of an error of this service alone: the store is away, and it could not be done without."""

DAY_QUOTA: Final = 45009

_BOUND_TO_CONFIGURATION: Final = HOPELESS - {"quota"}
_BUDGETS: Final = {
    CALLS: "the daily quota of fetches ({quota})",
    "asked": "the budget of asked-for refreshes ({limit})",
    "healed": "the budget of values that are replaced because they were found dead ({limit})",
    "blind": "the budget of asked-for refreshes that name no dead token ({limit})",
}


def last_error(entry: Entry, refusal: RefusedError, record: Record) -> LastError:
    """What the store remembers of a refusal.

    Args:
        entry: what was to be fetched.
        refusal: WeChat's answer.
        record: what was known when the fetch began.
    """
    cls = refusal.cls.value
    fingerprint = entry.account.fingerprint if cls in _BOUND_TO_CONFIGURATION else ""
    message = f"{entry}: {refusal}{_who_spent(entry, refusal, record)}"
    return LastError(cls, message, refusal.errcode, fingerprint)


def _who_spent(entry: Entry, refusal: RefusedError, record: Record) -> str:
    """If most of a quota that WeChat calls used up was not spent here, somebody else has spent it."""
    quota = entry.account.daily_quota if entry.kind.budgets.daily_quota else 0
    used = record.used("calls")
    if refusal.errcode != DAY_QUOTA or used > quota / 2:
        return ""
    return f"; of {quota} calls in 24 hours this service has spent {used}: another program spends the rest"


def trouble(entry: Entry, error: LastError, retry_in: float) -> WxTokenError:
    """The error that callers get while this one stands."""
    account = entry.account.name
    if error.errcode in entry.kind.absent:
        return NoSuchCredential(error.message, account=account, errcode=error.errcode)
    if error.cls == STORE_AWAY:
        away = StoreError(error.message)
        away.retry_in = retry_in
        return away
    if error.cls in HOPELESS:
        return UpstreamRefused(error.message, account=account, errcode=error.errcode, retry_in=retry_in)
    kind = UpstreamTimeout if error.cls == "timeout" else NotReady
    return kind(error.message, account=account, retry_in=retry_in, errcode=error.errcode)


def of_parent(parent: Entry, error: WxTokenError) -> LastError:
    """What is remembered of a fetch that waits for its parent's value, which cannot be had just now."""
    if isinstance(error, StoreError):
        return LastError(STORE_AWAY, str(error))
    return replace(parent.error or LastError(ErrorClass.TRANSIENT.value, ""), message=str(error))


def spent(entry: Entry, answer: Spent) -> BudgetSpent:
    """The error that callers get while a budget has no room."""
    limit = max(answer.charge.limit, 0)
    quota = entry.account.daily_quota
    words = _PART if answer.charge.name == CALLS and limit < quota else _BUDGETS[answer.charge.name]
    what = words.format(limit=limit, quota=quota)
    message = f"{entry}: {what} of 24 hours is used up{_because(entry)}"
    return BudgetSpent(message, account=entry.account.name, retry_in=answer.retry_in_s)


def _because(entry: Entry) -> str:
    number = deaths.count(entry.spent)
    return f"; {number} tokens died early meanwhile, see the log" if number else ""


def is_news(before: LastError | None, now: LastError) -> bool:
    """Whether an operator has not been told this yet."""
    return before is None or (before.cls, before.errcode, before.fingerprint) != (
        now.cls,
        now.errcode,
        now.fingerprint,
    )
