"""What a fetch is charged to, under which names the store counts it, and what of each name is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wxtoken_asgi.entries import Entry
from wxtoken_asgi.flights import Flight
from wxtoken_asgi.sources import Reason
from wxtoken_asgi.stores.contract import Charge, Spending

RESERVED: Final = 48
"""So much of the daily quota is kept for what is due: a day's 24 fetches, and as many that fail."""

CALLS: Final = "calls"
UNRESERVED: Final = "unreserved"
FORCED: Final = "forced"
PROBES: Final = "probes"
ASKED: Final = "asked"
BLIND: Final = "blind"
HEALED: Final = "healed"


@dataclass(frozen=True, slots=True)
class Budget:
    """One line of a credential's ledger, over 24 hours.

    Args:
        name: `calls` of its endpoint, and against what is `unreserved` of the daily quota: above it nothing
            that is asked for is fetched; `forced` ones, `probes` (whether its value still works), `asked`
            (new values that callers asked for), `blind` (those for which nobody named a dead value),
            `healed` (values that this service itself found dead).
        used: how many were spent.
        limit: how many may be; None: no limit is known.
        next_in_s: seconds until there is room again, of `unreserved` at the earliest; 0: there is.
    """

    name: str
    used: int
    limit: int | None
    next_in_s: float


def charges(entry: Entry, flight: Flight) -> tuple[Charge, ...]:
    """What a claim for this flight is charged to."""
    budgets = entry.kind.budgets
    reserve = RESERVED if flight.asked else 0
    every = [Charge(CALLS, entry.account.daily_quota - reserve)] if budgets.daily_quota else []
    if flight.asked:
        heals = flight.reason is Reason.FOUND and not budgets.forced_only  # forced calls have one budget
        every.append(Charge(HEALED if heals else ASKED, budgets.asked))
    if flight.asked and flight.blind:
        every.append(Charge(BLIND, budgets.asked // 2))
    return tuple(every)


def names(entry: Entry, flight: Flight) -> tuple[str, ...]:
    """The names of these charges."""
    return tuple(charge.name for charge in charges(entry, flight))


def ledger(entry: Entry) -> tuple[Budget, ...]:
    """What the store told last of each name."""
    spent = {spending.name: spending for spending in entry.spent}
    if CALLS in spent:
        spent[UNRESERVED] = spent[CALLS]
    every = (_budget(name, limit, spent.get(name)) for name, limit in _limits(entry).items())
    always = PROBES if entry.kind.watches else CALLS
    return tuple(budget for budget in every if budget.used or budget.limit or budget.name == always)


def _limits(entry: Entry) -> dict[str, int | None]:
    if entry.kind.watches:  # it fetches nothing
        return {PROBES: None}
    budgets = entry.kind.budgets
    quota = entry.account.daily_quota
    capped = {CALLS: quota, UNRESERVED: max(quota - RESERVED, 0)}
    limits: dict[str, int | None] = {
        **(capped if budgets.daily_quota else {CALLS: budgets.calls}),
        PROBES: None,
        ASKED: budgets.asked,
        BLIND: budgets.asked // 2,
    }
    return limits | ({FORCED: budgets.forced} if budgets.forced_only else {HEALED: budgets.asked})


def _budget(name: str, limit: int | None, spending: Spending | None) -> Budget:
    if spending is None:
        return Budget(name, 0, limit, 0.0)
    full = limit is not None and spending.used >= limit
    return Budget(name, spending.used, limit, spending.next_in_s if full else 0.0)
