"""What a manager tells about itself: frozen, and without any value or secret."""

from __future__ import annotations

from dataclasses import dataclass

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
