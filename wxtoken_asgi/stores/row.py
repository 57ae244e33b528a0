"""One record as a store keeps it, and the rules of every operation on it.

Times are absolute, in seconds by the store's own clock (`now`), which must not step. A store that can
run Python inside its transaction keeps a `Row` for each credential; another translates these rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wxtoken_asgi.records import Credential
from wxtoken_asgi.stores import ledger
from wxtoken_asgi.stores.contract import (
    Behind,
    Busy,
    Charge,
    Claim,
    Claimed,
    Commit,
    Committed,
    Cost,
    Cut,
    Fail,
    Granted,
    LastError,
    Newer,
    Record,
    Spending,
    Spent,
    Supply,
    Wait,
)

NEVER = float("-inf")
ALWAYS = float("inf")

LONGER = 1.002
"""What is over for at least so long is over for no more than this times as long: no two clocks go alike."""


@dataclass(slots=True)
class Row:
    """The mutable record of one credential.

    Each operation answers what the contract says; one that others must hear of sets `changed`, which
    the store clears. A row without a fence holds nothing and need not be kept.

    Attributes:
        charged: the budgets that the latest lease was charged to and that were not given back.
        granted_at: when the lease with the latest fence was granted; never: that fence is of none.
        brought_at: no call that has brought the held value, or proved it, was made before: when its lease was
            granted, or as told; never: nobody knows.
        rank: which of two calls without a lease was the later one: the fence that the call has said which
            brought or proved the held value; only the value's version may be greater.
        failed_at: when the latest lease that failed was granted; never: nobody knows.
        unseen: the fence of a lease that ran when a value was put back: its holder knows nothing of that.
        ended: the fence of the last lease that was committed or failed; saying it again does no harm.
        told: the fence of the last call without a lease that was taken; saying it again does no harm.
        doubted: what leases up to this one brought may have been doomed unseen: it ends at `doubt_end` and is
            due at `doubt_ask`, whenever it comes.
        last_doubt: when what the latest such call may have doomed ends; `doubt_end` is that of the first.
        late_end: the same of what the latest lease brings: an earlier one's news came since it was granted.
        late_ask: when that is due.
    """

    credential: Credential
    version: int = 0
    value: str | None = field(default=None, repr=False)
    ends_at: float = NEVER
    ask_at: float = NEVER
    wait_until: float = NEVER
    attempts: int = 0
    error: LastError | None = None
    fence: int = 0
    owner: str = ""
    lease_until: float = NEVER
    granted_at: float = NEVER
    brought_at: float = NEVER
    rank: int = 0
    lapse_end: float | None = None
    lapse_ask: float | None = None
    asked_at: float = NEVER
    asked_error: LastError | None = None
    budgets: dict[str, ledger.Buckets] = field(default_factory=dict)
    charged: tuple[str, ...] = ()
    failed_at: float = NEVER
    unseen: int = 0
    ended: int = 0
    told: int = 0
    doubted: int = 0
    doubt_end: float = NEVER
    doubt_ask: float = NEVER
    last_doubt: float = NEVER
    late_end: float = ALWAYS
    late_ask: float = ALWAYS
    state: str = field(default="", repr=False)
    changed: bool = False

    def record(self, now: float) -> Record:
        """What it looks like from outside at `now`."""
        return Record(
            credential=self.credential,
            version=self.version,
            value=self.value,
            ttl_s=max(self.ends_at - now, 0.0),
            ask_in_s=max(self.ask_at - now, 0.0),
            wait_s=max(self.wait_until - now, 0.0),
            attempts=self.attempts,
            error=self.error,
            fence=self.fence,
            state=self.state,
            spent=self._spending(now) if self.budgets else (),
        )

    def due_at(self) -> float:
        """When `due` has to look at it: the end of its lease, else of back-off and of the time to ask."""
        if self.owner:
            return self.lease_until
        return max(self.wait_until, self.ask_at)

    def lapse(self, now: float) -> bool:
        """A lease that ended without commit or fail: whoever held it may have fetched unseen.

        Returns:
            Whether one has: then `due_at` is another.
        """
        if not self.owner or now < self.lease_until:
            return False
        self.owner = ""
        if self.lapse_end is not None and self.lapse_ask is not None:
            self._doubt(self.lapse_end, self.lapse_ask)
        return True

    def claim(self, claim: Claim, *, owner: str, lease_s: float, now: float, stamp: int) -> Claimed:
        """Who may fetch. The rules in their order: lost record, own lease, news, lease, back-off, budgets."""
        self.lapse(now)
        record = self.record(now)
        if self.version < claim.seen:
            return Behind(record)
        if self.owner == owner:
            return self._grant(claim, owner=owner, until=now + lease_s, now=now)
        if self._settles(claim, now):
            return Newer(record)
        if self.owner:
            return Busy(record, self.lease_until - now)
        return self._hindrance(claim, record, now) or self._lease(claim, owner, lease_s, now, stamp)

    def commit(self, commit: Commit, now: float) -> Committed:
        """Take the value if the fence is the latest; else the stored value is cut as the commit says."""
        self.lapse(now)
        if commit.over_s is not None:
            return self._hear_unleased(commit, commit.over_s, now)
        taken = self._take(commit, now)
        return Committed(self.record(now), taken)

    def _take(self, commit: Commit, now: float) -> bool:
        if commit.fence < self.fence:
            self._hear_late(commit.refused if commit.value != self.value else None, now)
            return False
        if commit.value == self.value and commit.fence in {self.ended, self.version}:
            # It is here already, and this was said perhaps long ago.
            self._trust(now + commit.ttl_s, now + commit.ask_in_s)
            return True
        said_at = now - self._late(commit, now)
        if commit.fence != self.ended:
            self._count(commit.costs, now)
        self._end_lease(commit.fence, commit.refund)
        self.brought_at, self.rank = self.granted_at, commit.fence
        ends_at, ask_at = self._known(commit)
        self._write(commit, said_at)
        self._trust(ends_at, ask_at)
        if commit.asked:
            self.asked_at = now
        return True

    def _known(self, commit: Commit) -> tuple[float, float]:
        """How far a value is trusted that was put back while it was fetched again, and taken for new.

        A ticket says of itself that it is new, however old it is.
        """
        if commit.value != self.value or commit.fence != self.unseen or commit.refused is not None:
            return ALWAYS, ALWAYS
        return self.ends_at, self.ask_at

    def _hear_unleased(self, commit: Commit, over_s: float, now: float) -> Committed:
        """What a call without a lease has brought; its fence is of its host's time, and says little."""
        if commit.value == self.value and commit.fence in {self.ended, self.version, self.told}:
            return Committed(self.record(now), taken=True)  # it is here already
        if self._is_before(over_s, now) or (self.owner and commit.fence < self.fence):
            return self._hear_overtaken(commit, over_s, now)
        if commit.value != self.value and commit.fence < self.rank:
            self._hear_late(commit.refused, now)
            return Committed(self.record(now), taken=False)
        self._take_unleased(commit, over_s, now)
        return Committed(self.record(now), taken=True)

    def _hear_overtaken(self, commit: Commit, over_s: float, now: float) -> Committed:
        """What is held is newer, or another lease runs. The same value is here: there is nothing to say."""
        if commit.value == self.value:
            return Committed(self.record(now), taken=True)
        if not self._is_before(over_s, now):
            self._hear_late(commit.refused, now)
            return Committed(self.record(now), taken=False)
        doubt = self._doubt_while_leased(commit, now)  # before it casts one itself
        newer = self._hear_before(over_s, commit.refused, now)
        return Committed(self.record(now), taken=False, newer=newer, doubt=None if newer else doubt)

    def _doubt_while_leased(self, commit: Commit, now: float) -> Cut | None:
        """How far what came before the lease that runs is trusted, if that has said so.

        Nobody knows that of a call which may be an older one than what is held.
        """
        if self.lapse_end is None or self.lapse_ask is None or commit.fence < self.rank:
            return None
        end, ask = self._doubts_since(commit, now)
        return Cut(min(end, self.lapse_end) - now, min(ask, self.lapse_ask) - now)

    def _take_unleased(self, commit: Commit, over_s: float, now: float) -> None:
        """Take it as newer than any lease: none that was granted since has brought anything, or runs."""
        held, ends_at, ask_at = commit.value == self.value, self.ends_at, self.ask_at
        doubts = self._doubts_since(commit, now)
        failed_since = self.failed_at >= now - over_s
        self._count(commit.costs, now)
        self.rank = max(commit.fence, self.rank) if held else commit.fence
        self._end_lease(max(commit.fence, self.fence + 1), commit.refund)
        self.told = commit.fence
        self.brought_at = now - over_s * LONGER
        self._put(commit, now)
        if held and ends_at > now:  # nobody knows how long this was on its way: it ends when it did
            self.ends_at, self.ask_at = ends_at, ask_at
        self._trust(*doubts)
        if not failed_since:
            self._forgive()

    def _doubts_since(self, commit: Commit, now: float) -> tuple[float, float]:
        """When a value ends and is due by the doubts of calls that came after its own.

        Such a call's doubt ends after the one that its own call has cast on older values. If there were
        several, the first one's end counts; one from before its own call does not. What dooms nothing is
        asked for again before a doubt could end it.
        """
        if commit.refused is None:
            return ALWAYS, ALWAYS
        own = now + commit.refused.ttl_s
        if self.last_doubt <= own:
            return ALWAYS, ALWAYS
        if self.doubted < self.version:
            return max(self.late_end, own), self.late_ask
        return max(min(self.doubt_end, self.late_end), own), min(self.doubt_ask, self.late_ask)

    def fail(self, fail: Fail, now: float) -> None:
        """End the lease, with a back-off if there is an error; one that comes too late only cuts."""
        if fail.fence < self.fence:
            if self._is_before(fail.over_s, now):
                self._hear_before(fail.over_s, fail.refused, now)
            else:
                self._hear_late(fail.refused, now)
            return
        if fail.fence == self.ended:
            return
        self._count(fail.costs, now)
        self._end_lease(fail.fence, fail.refund)
        if fail.cut is not None:
            self._doubt(now + fail.cut.ttl_s, now + fail.cut.ask_in_s)
        if fail.asked:
            self.asked_at, self.asked_error = now, fail.error
        if fail.error is None:
            return
        self.attempts += 1
        self.error = fail.error
        self.failed_at = self.granted_at
        self.wait_until = now + fail.wait_s
        self.changed = True

    def restore(self, record: Record, now: float) -> None:
        """Take back what was lost, if it is newer."""
        if not record.good or record.version <= self.version:
            return
        if record.version == self.fence:  # what its own lease brought, and could not commit
            self._end_lease(record.version, ())
        if self.owner:
            self.unseen = self.fence
        self._advance(max(self.fence, record.version))
        self.brought_at = self.granted_at if record.version == self.fence else NEVER
        self.version = self.rank = record.version
        self.value = record.value
        self.ends_at = now + record.ttl_s
        self.ask_at = now + record.ask_in_s
        self.state = record.state
        self.changed = True
        if not record.fence:
            return
        if self.version <= self.doubted:
            self._trust(self.doubt_end, self.doubt_ask)
        if self.version == self.fence:
            self._trust(self.late_end, self.late_ask)

    def supply(self, supply: Supply, now: float, stamp: int) -> None:
        """Take a value from outside; a lease that runs is void."""
        self._end_lease(max(self.fence + 1, stamp), ())
        self.brought_at, self.rank = NEVER, self.fence
        self._write(supply, now)

    def _settles(self, claim: Claim, now: float) -> bool:
        alive = self.value is not None and self.ends_at > now
        if not claim.asked:
            return alive and self.ask_at > now
        if alive and self.version > claim.seen:
            return True
        return alive and self.asked_error is None and now - self.asked_at < claim.settled_s

    def _hindrance(self, claim: Claim, record: Record, now: float) -> Claimed | None:
        if claim.asked and self.asked_error is not None and not _outdated(self.asked_error, claim):
            left_s = self.asked_at + claim.settled_s - now
            if left_s > 0:
                return Wait(record, max(left_s, self.wait_until - now), self.asked_error)
        if self.error is not None and self.wait_until > now and not _outdated(self.error, claim):
            return Wait(record, self.wait_until - now, self.error)
        return self._spent(claim.charges, record, now)

    def _spent(self, charges: tuple[Charge, ...], record: Record, now: float) -> Spent | None:
        for charge in charges:
            wait_s = ledger.room_in(self.budgets.get(charge.name, {}), charge.limit, now)
            if wait_s > 0:
                return Spent(record, wait_s, charge)
        return None

    def _lease(self, claim: Claim, owner: str, lease_s: float, now: float, stamp: int) -> Granted:
        self._advance(max(self.fence + 1, stamp))
        self.granted_at = now
        for charge in claim.charges:
            self.budgets[charge.name] = ledger.spend(self.budgets.get(charge.name, {}), now)
        self.charged = tuple(charge.name for charge in claim.charges)
        if self.error is not None and _outdated(self.error, claim):
            self.attempts = 0
        return self._grant(claim, owner=owner, until=now + lease_s, now=now)

    def _grant(self, claim: Claim, *, owner: str, until: float, now: float) -> Granted:
        self.owner, self.lease_until = owner, until
        self.lapse_end = self.lapse_ask = None
        if claim.lapse is not None:
            self.lapse_end, self.lapse_ask = now + claim.lapse.ttl_s, now + claim.lapse.ask_in_s
        return Granted(self.record(now), self.fence)

    def _end_lease(self, fence: int, refund: tuple[str, ...]) -> None:
        """End it; a fence beyond the latest is that of a lease which the store has lost."""
        self.owner, self.lease_until = "", NEVER
        self._advance(fence)
        self.ended = fence
        for name in set(refund).intersection(self.charged):
            self.budgets[name] = ledger.refund(self.budgets[name])
        self.charged = tuple(name for name in self.charged if name not in refund)

    def _late(self, commit: Commit, now: float) -> float:
        """Seconds by which a commit is heard later than it was said, as its lease shows."""
        if commit.left_s is None or commit.fence != self.fence or self.lease_until == NEVER:
            return 0.0
        return max(0.0, commit.left_s - (self.lease_until - now))

    def _count(self, costs: tuple[Cost, ...], now: float) -> None:
        for name, number in costs:
            self.budgets[name] = ledger.spend(self.budgets.get(name, {}), now, number)

    def _spending(self, now: float) -> tuple[Spending, ...]:
        every = (
            Spending(name, ledger.used(buckets, now), ledger.eased_in(buckets, now))
            for name, buckets in sorted(self.budgets.items())
        )
        return tuple(spending for spending in every if spending.used)

    def _write(self, fetched: Commit | Supply, said_at: float) -> None:
        self._put(fetched, said_at)
        self._forgive()
        self._trust(self.late_end, self.late_ask)

    def _put(self, fetched: Commit | Supply, said_at: float) -> None:
        if fetched.value != self.value or self.version == 0:
            self.version, self.value = self.fence, fetched.value
            self.changed = True
        self.ends_at = said_at + fetched.ttl_s
        self.ask_at = said_at + fetched.ask_in_s
        self.state = fetched.state

    def _forgive(self) -> None:
        """A value has come: what failed before is over."""
        if self.error is not None:
            self.changed = True
        self.wait_until, self.attempts, self.error = NEVER, 0, None
        if self.asked_error is not None:
            self.asked_at, self.asked_error = NEVER, None

    def _advance(self, fence: int) -> None:
        """Another fence is the latest; what was doubted of the one before is doubted of an older one now."""
        if fence == self.fence:
            return
        if self.late_end < ALWAYS:
            self._remember(self.late_end, self.late_ask, upto=self.fence)
            self.late_end = self.late_ask = ALWAYS
        self.fence, self.granted_at = fence, NEVER

    def _is_before(self, over_s: float | None, now: float) -> bool:
        """Whether a call that is over for so long is older than what is held, or a running lease brings."""
        if over_s is None:
            return False
        then = now - over_s
        return self.brought_at >= then or (bool(self.owner) and self.granted_at >= then)

    def _hear_before(self, over_s: float | None, cut: Cut | None, now: float) -> bool:
        """News of such a call; whether what is held is newer. If not, the call may have doomed it."""
        newer = over_s is not None and self.brought_at >= now - over_s
        if cut is not None and not newer:
            self._doubt(now + cut.ttl_s, now + cut.ask_in_s)
        return newer

    def _hear_late(self, cut: Cut | None, now: float) -> None:
        """News of an earlier lease: its call may have come after the latest one's, which may yet come."""
        if cut is None:
            return
        end, ask = now + cut.ttl_s, now + cut.ask_in_s
        self._doubt(end, ask)
        self.late_end, self.late_ask = min(end, self.late_end), min(ask, self.late_ask)

    def _doubt(self, end: float, ask: float) -> None:
        """A fetch that nobody saw may have doomed what is held, and what earlier leases have yet to bring."""
        self._trust(end, ask)
        self.last_doubt = max(end, self.last_doubt)
        self._remember(end, ask, upto=self.fence - 1)

    def _remember(self, end: float, ask: float, *, upto: int) -> None:
        """Only what is newer than the held value can still come: a doubt about older ones is void."""
        if self.doubted > self.version:
            end, ask = min(end, self.doubt_end), min(ask, self.doubt_ask)
        self.doubted, self.doubt_end, self.doubt_ask = upto, end, ask

    def _trust(self, end: float, ask: float) -> None:
        if self.value is None:
            return
        self.changed = self.changed or end < self.ends_at
        self.ends_at = min(self.ends_at, end)
        self.ask_at = min(self.ask_at, ask)


def _outdated(error: LastError, claim: Claim) -> bool:
    """Whether the error was earned by a configuration that the claimer no longer has."""
    return bool(error.fingerprint) and error.fingerprint != claim.fingerprint
