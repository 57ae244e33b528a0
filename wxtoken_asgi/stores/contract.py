"""The store contract: one record per credential, and few atomic operations on it.

A store keeps, for each credential: its value and version, when the value ends, when it is to be asked for
again, the lease of whoever fetches it, the shared back-off with its error, the budgets, and an opaque state.
Whoever writes a store for another database implements `Store`; the rules that each operation follows are
written out once, for one record, in `wxtoken_asgi.stores.row.Row`, which a store may use or translate.

All times that go in or out are durations in seconds, measured by the store's own clock. A record's
lease and its ends must survive a wall clock that steps; hosts need no common clock.

Every operation takes many credentials, and a store should need one round trip for them. Answers come in the
order of the questions. An operation on one credential is atomic; a batch need not be.

Any operation may raise `StoreError`. It may then have happened or not: each can be said again.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wxtoken_asgi.records import Credential

FORMAT = 4
"""The format number of the records. A store that meets another raises `StoreFormatError` when it opens."""


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last fetch failed, in words that every worker may repeat.

    Args:
        cls: the error's class (`wxtoken_asgi.errcodes.ErrorClass`, or `timeout`).
        message: plain words without a secret.
        errcode: WeChat's number, if it said one.
        fingerprint: the account's fingerprint if the error hangs on its configuration; a claim with
            another one does not wait for this error's back-off.
    """

    cls: str
    message: str
    errcode: int | None = None
    fingerprint: str = ""


class Spending(NamedTuple):
    """What was spent under one name in the last 24 hours.

    Args:
        name: of the charge or cost.
        used: how many.
        next_in_s: seconds until some of them no longer count.
    """

    name: str
    used: int
    next_in_s: float


@dataclass(frozen=True, slots=True)
class Record:
    """What a store holds of one credential, with each time as it was left when the store looked.

    Args:
        credential: whose record it is.
        version: grows with every new value; 0: no value yet.
        value: the token or ticket.
        ttl_s: seconds until the value ends; 0 or less: it has ended.
        ask_in_s: seconds until it is due to be asked for again.
        wait_s: seconds of back-off left.
        attempts: failures in a row.
        error: the last one, until a fetch succeeds.
        fence: the number of the last lease granted; 0 in what is restored and was fetched without a lease.
        state: opaque to the store.
        spent: what was spent in the last 24 hours, by name; what was not is left out.
    """

    credential: Credential
    version: int = 0
    value: str | None = field(default=None, repr=False)
    ttl_s: float = 0.0
    ask_in_s: float = 0.0
    wait_s: float = 0.0
    attempts: int = 0
    error: LastError | None = None
    fence: int = 0
    state: str = field(default="", repr=False)
    spent: tuple[Spending, ...] = ()

    def used(self, name: str) -> int:
        """How many were spent under this name in the last 24 hours."""
        return next((spending.used for spending in self.spent if spending.name == name), 0)

    @property
    def good(self) -> bool:
        """Whether it holds a value that has not ended."""
        return self.value is not None and self.ttl_s > 0


class Cut(NamedTuple):
    """How far a held value is still trusted once a newer one may have been issued unseen.

    Args:
        ttl_s: seconds until it ends, at the latest.
        ask_in_s: seconds until it is due, at the latest.
    """

    ttl_s: float
    ask_in_s: float


class Charge(NamedTuple):
    """What a fetch costs: one of `limit` in a rolling 24 hours, counted under `name`."""

    name: str
    limit: int


class Cost(NamedTuple):
    """What a fetch has cost beyond what its claim was charged: so many under `name`, without a limit."""

    name: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to fetch.

    Args:
        credential: what is to be fetched.
        seen: the newest version that the claimer holds and believes good; 0: none.
        asked: somebody asked for a new value: grant although the held one is not due yet.
        settled_s: an asked-for outcome younger than this settles the claim.
        charges: the budgets that the fetch is charged to when it is granted.
        fingerprint: of the account's configuration, see `LastError`.
        lapse: how far the stored value, and all that earlier leases bring later, are still trusted if this
            lease ends without commit or fail, counted from now; None: as before.
    """

    credential: Credential
    seen: int = 0
    asked: bool = False
    settled_s: float = 0.0
    charges: tuple[Charge, ...] = ()
    fingerprint: str = ""
    lapse: Cut | None = None


@dataclass(frozen=True, slots=True)
class Newer:
    """Nothing to fetch: the record holds a newer value, or one that is not due."""

    record: Record


@dataclass(frozen=True, slots=True)
class Granted:
    """The lease is the claimer's, until it commits, fails or the lease ends."""

    record: Record
    fence: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another owner holds the lease, for `retry_in_s` seconds at most."""

    record: Record
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """A back-off runs for `retry_in_s` seconds; `error` is why."""

    record: Record
    retry_in_s: float
    error: LastError


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget has no room for `retry_in_s` seconds."""

    record: Record
    retry_in_s: float
    charge: Charge


@dataclass(frozen=True, slots=True)
class Behind:
    """The store has lost what the claimer has seen: it should `restore` first, and claim again."""

    record: Record


Claimed = Newer | Granted | Busy | Wait | Spent | Behind


@dataclass(frozen=True, slots=True)
class Commit:
    """A fetched value.

    Args:
        credential: what was fetched.
        fence: the lease's.
        value: the token or ticket; the held one again keeps its version.
        ttl_s: seconds until it ends.
        ask_in_s: seconds until it is due.
        asked: it was asked for.
        refund: names of charges to give back.
        costs: what else was spent; counted once for each lease, and only if the commit is taken.
        refused: how far the stored value, and all that leases up to the latest bring later, are trusted if
            this commit comes too late; None: as before.
        state: opaque.
        left_s: seconds of the lease that were left when this was said. If fewer are left when the store hears
            it, the value lives for that much less. None: unknown.
        over_s: there was no lease, and the call was over so many seconds ago, at least; None: there was one.
            What a lease brings that was granted since is newer, whatever the fences say, and so is what a
            later call without a lease has brought.
    """

    credential: Credential
    fence: int
    value: str = field(repr=False)
    ttl_s: float
    ask_in_s: float
    asked: bool = False
    refund: tuple[str, ...] = ()
    costs: tuple[Cost, ...] = ()
    refused: Cut | None = None
    state: str = field(default="", repr=False)
    left_s: float | None = None
    over_s: float | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a commit.

    Args:
        record: as it is now.
        taken: the commit was taken: its fence was the latest, or its value is here already.
        newer: what the record holds was fetched after a call without a lease, whatever the versions say.
        doubt: a lease runs that was granted after a call without one: how far what that call has brought is
            still trusted; None: the store cannot say.
    """

    record: Record
    taken: bool
    newer: bool = False
    doubt: Cut | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """A fetch that brought no new value; the lease ends.

    Args:
        credential: what was to be fetched.
        fence: the lease's; 0: there was none, and this is told late.
        wait_s: seconds of back-off.
        error: why; None: nothing was wrong (the lease is given back).
        asked: it was asked for.
        refund: names of charges to give back.
        costs: what else was spent; counted once for each lease.
        cut: how far the stored value, and all that earlier leases bring later, are still trusted; None: as
            before.
        refused: the same if this comes too late, and also of what the latest lease brings.
        over_s: as in a commit: what a lease brings that was granted since is not cut.
    """

    credential: Credential
    fence: int
    wait_s: float = 0.0
    error: LastError | None = None
    asked: bool = False
    refund: tuple[str, ...] = ()
    costs: tuple[Cost, ...] = ()
    cut: Cut | None = None
    refused: Cut | None = None
    over_s: float | None = None


@dataclass(frozen=True, slots=True)
class Supply:
    """A value from outside, newer than any other: `ttl_s` and `ask_in_s` as for a commit."""

    credential: Credential
    value: str = field(repr=False)
    ttl_s: float
    ask_in_s: float
    state: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due, the most overdue first, and seconds until more will be (None: nothing is in sight).

    Whoever gets them claims them; until then the next call names them again.
    """

    credentials: tuple[Credential, ...]
    next_in_s: float | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a cursor: the credentials, or None for everything."""

    cursor: str
    credentials: tuple[Credential, ...] | None


class Store(abc.ABC):
    """Where records live.

    Attributes:
        shared: other processes see the same records.
        news_s: seconds after which a copy is compared with the store where no loop brings its news.
    """

    shared: bool = True
    news_s: float = 1.0

    @abc.abstractmethod
    async def open(self) -> None:
        """Make ready. May be called again after `close`; opening twice is harmless.

        Raises:
            StoreError: it cannot be reached.
            StoreFormatError: its records have another format.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of connections and threads. Records stay."""

    @abc.abstractmethod
    async def read(self, credentials: Sequence[Credential]) -> list[Record]:
        """The records as they are; an unknown credential's is empty (version 0)."""

    @abc.abstractmethod
    async def claim(self, claims: Sequence[Claim], *, owner: str, lease_s: float) -> list[Claimed]:
        """Ask for leases. The double check is inside: see `Row.claim` for the order of the rules.

        The same owner asking again while it holds the lease is granted again, with the same fence and
        without another charge: a lost answer locks nobody out of its own lease. Fences grow, even over a
        wipe: each is at least the store's time in milliseconds.
        """

    @abc.abstractmethod
    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Write fetched values. Taken only with the fence of the latest lease, which need not run still.

        A fence beyond the latest is taken too: the store has lost the lease, and nobody got a later one.
        So a value that was fetched while the store was emptied is not lost with it.

        One without a lease (`over_s`) is not taken if a lease that was granted since has brought or proved
        what is held, or runs; then only what was held before is cut. If such a lease has failed it is taken,
        under a fence beyond the latest; what failed since stays, and it is trusted as far as later doubts
        allow. Nor is it taken if what is held was brought or proved under a higher fence, as that was said:
        the same message may be heard twice, the second time minutes late. What is held already, and has not
        ended, keeps its end and when it is due.

        One that is heard again, or whose value was restored meanwhile, changes nothing, however long it was
        on its way: the value ends when it would have ended, or earlier.
        """

    @abc.abstractmethod
    async def fail(self, fails: Sequence[Fail]) -> list[Record]:
        """End leases without a new value. One that is said again is ignored.

        One whose fence is older than the latest only cuts (`refused`). An empty record has nothing to cut,
        and stays empty.
        """

    @abc.abstractmethod
    async def restore(self, records: Sequence[Record]) -> list[Record]:
        """Put back records that the store has lost; each is taken only if its version is newer.

        A version that is the latest fence is what that lease brought: the lease ends. What a lease brought
        (`fence` is not 0) and a call may have doomed unseen is cut as that call's `lapse`, `cut` or `refused`
        said, however long ago. A cut that was meant for older values does nothing to it.
        """

    @abc.abstractmethod
    async def supply(self, supplies: Sequence[Supply]) -> list[Record]:
        """Write values that came from outside. A lease that runs is void: its commit will be refused."""

    @abc.abstractmethod
    async def remove(self, credentials: Sequence[Credential]) -> None:
        """Forget records, budgets included. A fetch that is under way will bring its value all the same."""

    @abc.abstractmethod
    async def due(self, limit: int) -> Due:
        """At most `limit` credentials that are due: neither lease nor back-off runs, and the time has come.

        Its cost does not grow with the number of records that are not due.
        """

    @abc.abstractmethod
    async def changes(self, cursor: str, wait_s: float) -> Changes:
        """What has changed since `cursor`, at once if something has, else after at most `wait_s` seconds.

        A change is a new value, a shared error, a held value's cut, a lease that lapsed on a claim with a
        `lapse`, a removal; an unchanged answer is none. The cursor `""` answers now's cursor and nothing;
        one that cannot be followed answers "everything".
        """
