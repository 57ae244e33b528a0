"""What a manager holds in memory of one credential."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wxtoken_asgi.clock import Clock, Moment
from wxtoken_asgi.kinds import Kind
from wxtoken_asgi.policy import State, state_of
from wxtoken_asgi.records import Account, Credential
from wxtoken_asgi.stores.contract import Cut, LastError, Record, Spending

if TYPE_CHECKING:
    from wxtoken_asgi.flights import Flight


@dataclass(frozen=True, slots=True)
class Held:
    """A value with its ends on this process's clocks; replaced as a whole, never changed.

    Args:
        value: the token or ticket.
        version: the record's.
        wall_end: when it ends by the wall clock.
        end: when it ends by the monotonic clock.
        ask_at: when it is due, by the monotonic clock.
        life_end: when it would have ended by the monotonic clock, had its trust never been cut.
        lent: it is the value of the endpoint that the account used before; there is none of this one yet.
        unleased: it was fetched without a lease, and the store has not seen it yet.
    """

    value: str = field(repr=False)
    version: int
    wall_end: float
    end: float
    ask_at: float
    life_end: float = float("-inf")
    lent: bool = False
    unleased: bool = False

    def left(self, clock: Clock) -> float:
        """Seconds until it ends: the smaller of what the two clocks say, so a step of one does no harm."""
        return min(self.wall_end - clock.time(), self.end - clock.monotonic())

    def ask_in(self, clock: Clock) -> float:
        """Seconds until it is due; negative once it is."""
        return self.ask_at - clock.monotonic()

    def cut(self, cut: Cut, at: Moment) -> Held:
        """The same, trusted no further than that, counted from then."""
        return replace(
            self,
            wall_end=min(self.wall_end, at.wall + cut.ttl_s),
            end=min(self.end, at.now + cut.ttl_s),
            ask_at=min(self.ask_at, at.now + cut.ask_in_s),
        )

    def outlived(self, record: Record, at: Moment) -> bool:
        """Whether this has ended, and a record's value was fetched after it, whatever the versions say.

        Versions grow with the store's time; a store that was emptied while its host's clock was set back
        begins with lower ones. A value that was there before this one ends before it: that of a store which
        was rolled back, and which this one may have doomed, is not taken for a new one.
        """
        return self.ended(at) and record.good and at.now + record.ttl_s > self.life_end

    def ended(self, at: Moment) -> bool:
        """Whether it had ended then, by one of the clocks at least."""
        return self.end <= at.now or self.wall_end <= at.wall


@dataclass(slots=True, eq=False)
class Entry:
    """One credential of one account, as this process knows it.

    Attributes:
        account: the account in force; while a fetch is under way, the one that it began with.
        held: the newest value known; it may have ended.
        error: why the last fetch failed, until one succeeds.
        wait_until: when the back-off ends, by the monotonic clock.
        attempts: failures in a row.
        flight: the fetch that is under way in this process.
        refusal: what this configuration was refused with, and when its back-off ends; other processes may
            have another configuration, and another error.
        tried: a first attempt has ended, well or not.
        stumbles: flights of the loop that failed in a row, in this process.
        rests_until: the loop leaves it alone until then, by the monotonic clock.
        compared_at: when it was last compared with the store, by the monotonic clock.
        spent: what was spent in 24 hours, as the store told then.
    """

    account: Account
    kind: Kind
    credential: Credential
    parent: Entry | None = None
    held: Held | None = None
    error: LastError | None = None
    wait_until: float = float("-inf")
    attempts: int = 0
    refusal: tuple[LastError, float] | None = None
    flight: Flight | None = None
    tried: bool = False
    stumbles: int = 0
    rests_until: float = float("-inf")
    compared_at: float = float("-inf")
    spent: tuple[Spending, ...] = ()

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return f"{self.kind.name} of account {self.account.name}"

    @property
    def wanted(self) -> bool:
        """Whether it is kept fresh from the start: tokens, and the tickets that the account lists."""
        return wants(self.account, self.kind)

    @property
    def outdated(self) -> bool:
        """Whether its error was earned by a configuration that is no longer in force."""
        return self.error is not None and self.error.fingerprint not in {"", self.account.fingerprint}

    def good(self, clock: Clock) -> Held | None:
        """The held value, if it has not ended."""
        held = self.held
        return held if held is not None and held.left(clock) > 0 else None

    def left(self, clock: Clock) -> float:
        """Seconds that the held value has left; 0: there is none."""
        return max(self.held.left(clock), 0.0) if self.held is not None else 0.0

    def state(self, clock: Clock) -> State:
        """Where it is in its life."""
        held = self.held
        return state_of(
            has_value=held is not None,
            ttl_s=self.left(clock),
            ask_in_s=held.ask_in(clock) if held is not None else 0.0,
            urgent_s=self.kind.policy.urgent_s,
        )

    def waits(self, clock: Clock) -> float:
        """Seconds of back-off left, for an error that this configuration earned; 0: none."""
        if self.error is None or self.outdated:
            return 0.0
        return max(self.wait_until - clock.monotonic(), 0.0)

    def adopt(self, record: Record, at: Moment) -> bool:
        """Take over what the store said, unless something newer is held.

        Args:
            record: the store's answer.
            at: the moment just before the store was asked.

        Returns:
            Whether the value is a new one.
        """
        self.compared_at, self.spent = at.now, record.spent
        held = self.held
        known = held.version if held is not None and not held.outlived(record, at) else 0
        if record.version < known:
            if record.value is None and held is not None and held.ended(at):  # the store was emptied
                self._take_error(record, at)
            return False
        self._take_error(record, at)
        self.tried = self.tried or record.value is not None or record.error is not None
        if record.value is None or (held is not None and held.lent and not record.good):
            return False
        self.held = Held(
            record.value,
            record.version,
            wall_end=at.wall + record.ttl_s,
            end=at.now + record.ttl_s,
            ask_at=at.now + record.ask_in_s,
            life_end=_life_end(held, record, at),
        )
        return record.version > known

    def give_way(self, version: int, doubt: tuple[Cut, Moment] | None = None) -> None:
        """What was fetched without a lease is older than what has this version, whatever its own says.

        A fetch that is under way has seen no more than that: what has this version is news to it.

        Args:
            version: the newer one's.
            doubt: how far it is trusted nevertheless, and from when on that counts.
        """
        held = self.held
        if held is None or not held.unleased:
            return
        self.held = replace(held, version=min(held.version, version - 1))
        if doubt is not None:
            self.held = self.held.cut(*doubt)
        if self.flight is not None:
            self.flight.seen = min(self.flight.seen, version - 1)

    def renumber(self, version: int) -> None:
        """What was fetched without a lease has this version in the store, whose word on it is to be taken.

        It is no news to a fetch that was asked for while it was held.
        """
        held = self.held
        if held is None or not held.unleased:
            return
        self.held = replace(held, version=min(held.version, version - 1))
        if self.flight is not None and self.flight.seen >= held.version:
            self.flight.seen = version

    def _take_error(self, record: Record, at: Moment) -> None:
        """Take over the shared error; what our own configuration was refused with outlives that of others."""
        error, wait_until, own = record.error, at.now + record.wait_s, self.account.fingerprint
        if error is None or error.fingerprint == own:
            self.refusal = None if error is None else (error, wait_until)
        elif error.fingerprint and self.refusal is not None and self.refusal[0].fingerprint == own:
            error, wait_until = self.refusal
        self.error, self.attempts, self.wait_until = error, record.attempts, wait_until

    def record(self, clock: Clock) -> Record | None:
        """The held value as a record to restore, if it is good."""
        held = self.good(clock)
        if held is None:
            return None
        return Record(
            self.credential,
            version=held.version,
            value=held.value,
            ttl_s=held.left(clock),
            ask_in_s=max(held.ask_in(clock), 0.0),
            fence=0 if held.unleased else held.version,
            spent=self.spent,
        )


def _life_end(held: Held | None, record: Record, at: Moment) -> float:
    end = at.now + record.ttl_s
    return max(end, held.life_end) if held is not None and held.version == record.version else end


def wants(account: Account, kind: Kind) -> bool:
    """Whether it is kept fresh from the start: tokens and their probes, tickets that the account lists."""
    return kind.parent is None or kind.watches or kind.name.removesuffix("_ticket") in account.tickets
