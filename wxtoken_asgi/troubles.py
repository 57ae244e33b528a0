"""From what went wrong to the error that a caller gets, in the same words for every worker."""

from __future__ import annotations

from typing import Final

from wxtoken_asgi.entries import Entry
from wxtoken_asgi.errors import (
    BudgetSpent,
    NoSuchCredential,
    NotReady,
    UpstreamRefused,
    UpstreamTimeout,
    WxTokenError,
)
from wxtoken_asgi.sources import RefusedError
from wxtoken_asgi.stores.contract import LastError, Spent

HOPELESS: Final = frozenset({"permanent", "operator", "state", "quota"})
"""Classes of errors that asking again at once would not help."""

_BOUND_TO_CONFIGURATION: Final = HOPELESS - {"quota"}
_BUDGETS: Final = {
    "calls": "the daily quota of fetches ({quota}, of which {limit} may be spent on this)",
    "asked": "the budget of asked-for refreshes ({limit})",
    "blind": "the budget of asked-for refreshes that name no dead token ({limit})",
}


def last_error(entry: Entry, refusal: RefusedError) -> LastError:
    """What the store remembers of a refusal."""
    cls = refusal.cls.value
    fingerprint = entry.account.fingerprint if cls in _BOUND_TO_CONFIGURATION else ""
    return LastError(cls, f"{entry}: {refusal}", refusal.errcode, fingerprint)


def trouble(entry: Entry, error: LastError, retry_in: float) -> WxTokenError:
    """The error that callers get while this one stands."""
    account = entry.account.name
    if error.errcode in entry.kind.absent:
        return NoSuchCredential(error.message, account=account, errcode=error.errcode)
    if error.cls in HOPELESS:
        return UpstreamRefused(error.message, account=account, errcode=error.errcode, retry_in=retry_in)
    kind = UpstreamTimeout if error.cls == "timeout" else NotReady
    return kind(error.message, account=account, retry_in=retry_in, errcode=error.errcode)


def spent(entry: Entry, answer: Spent) -> BudgetSpent:
    """The error that callers get while a budget has no room."""
    what = _BUDGETS[answer.charge.name].format(limit=answer.charge.limit, quota=entry.account.daily_quota)
    message = f"{entry}: {what} of 24 hours is used up"
    return BudgetSpent(message, account=entry.account.name, retry_in=answer.retry_in_s)


def is_news(before: LastError | None, now: LastError) -> bool:
    """Whether an operator has not been told this yet."""
    return before is None or (before.cls, before.errcode, before.fingerprint) != (
        now.cls,
        now.errcode,
        now.fingerprint,
    )
