"""What a manager tells about itself: frozen, and without any value or secret."""

from __future__ import annotations

from dataclasses import dataclass

from wxtoken_asgi import deaths
from wxtoken_asgi.charges import Budget, ledger
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.entries import Entry
from wxtoken_asgi.policy import State


@dataclass(frozen=True, slots=True)
class CredentialStatistics:
    """One credential.

    Args:
        account: the account's name.
        appid: its AppID.
        kind: `access_token`, `jsapi_ticket` …
        state: where it is in its life.
        version: grows with every new value; 0: none yet.
        ends_in: seconds that the held value has left.
        error: why the last fetch failed, if none has succeeded since.
        errcode: WeChat's number, if it said one.
        retry_in: seconds of back-off left.
        budgets: what was spent in 24 hours, and how much may be. By all who share the store, as it told
            `known_for` seconds ago: what others have spent since is heard of with the next new value, fetch
            or comparison of records, within an hour or so.
        died_early: how many of its values died early in 24 hours, and not through this service.
        likely_cause: what most likely killed them, and what to do.
        known_for: seconds since the store last told of it.
    """

    account: str
    appid: str
    kind: str
    state: State
    version: int
    ends_in: float
    error: str | None
    errcode: int | None
    retry_in: float
    budgets: tuple[Budget, ...] = ()
    died_early: int = 0
    likely_cause: str | None = None
    known_for: float = 0.0

    @classmethod
    def of(cls, entry: Entry, clock: Clock) -> CredentialStatistics:
        """As the entry is now."""
        error = entry.error
        return cls(
            account=entry.account.name,
            appid=entry.account.appid,
            kind=entry.kind.name,
            state=entry.state(clock),
            version=entry.held.version if entry.held is not None else 0,
            ends_in=entry.left(clock),
            error=error.message if error is not None else None,
            errcode=error.errcode if error is not None else None,
            retry_in=entry.waits(clock),
            budgets=ledger(entry),
            died_early=deaths.count(entry.spent),
            likely_cause=_likely_cause(entry),
            known_for=clock.monotonic() - entry.compared_at,
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """A manager.

    Args:
        open: its background loop runs.
        fetching: how many fetches are under way or queued.
        waiting: how many callers wait for one.
        store_away: the store did not answer when it was last asked.
        credentials: those that were ever tried or are kept fresh.
    """

    open: bool
    fetching: int
    waiting: int
    store_away: bool
    credentials: tuple[CredentialStatistics, ...]


def _likely_cause(entry: Entry) -> str | None:
    return deaths.likely_cause(entry.account, entry.spent, destructive=entry.kind.policy.destructive)
