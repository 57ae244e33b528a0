"""Tokens that die before their time: how that is seen, what it most likely means, in plain words."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

from wxtoken_asgi.policy import Policy
from wxtoken_asgi.records import Account
from wxtoken_asgi.sources import Answer, RefusedError
from wxtoken_asgi.stores.contract import Record, Spending

EARLY_S: Final = 600.0
"""A token that has more than this left and is dead, or was replaced by WeChat, has died early. What this
service itself has put in doubt (a fetch of which nobody knows the outcome) has 270 s at most."""

SECRET_REFUSED: Final = frozenset({40001, 40125})
"""How the token endpoints say that the AppSecret is wrong."""


class Cause(enum.StrEnum):
    """What most likely killed a token; the word under which the store counts it."""

    OUTSIDE_FETCH = "outside_fetch"
    REVOKED = "revoked"
    SECRET_RESET = "secret_reset"  # noqa: S105 - a cause


def cause_of(record: Record, answer: Answer, policy: Policy) -> Cause | None:
    """What killed the value that was held when a fetch began; None: nothing did.

    Only the current value counts: what an own fetch has replaced is no longer current. WeChat itself
    renews a stable token in its last 5 minutes alone (getStableAccessToken.html).

    Args:
        record: what was held.
        answer: what the fetch brought.
        policy: of its kind.
    """
    if not _is_news(record) or answer.alive:
        return None
    if answer.found:
        return Cause.REVOKED if answer.forced else Cause.OUTSIDE_FETCH
    renewed = policy.window_s > 0 and not answer.forced and answer.value != record.value
    return Cause.OUTSIDE_FETCH if renewed else None


def cause_of_refusal(record: Record, refusal: RefusedError) -> Cause | None:
    """The same where no new value was to be had: only a refused AppSecret tells anything then."""
    if _is_news(record) and refusal.found and refusal.errcode in SECRET_REFUSED:
        return Cause.SECRET_RESET
    return None


def _is_news(record: Record) -> bool:
    """Whether it had time left, and was not counted yet.

    One that died with its AppSecret is found dead again and again, until there is another secret.
    """
    if record.value is None or record.ttl_s <= EARLY_S:
        return False
    return record.error is None or record.error.errcode not in SECRET_REFUSED


def count(spent: Iterable[Spending], cause: Cause | None = None) -> int:
    """How many died early in the last 24 hours, of one cause or of any."""
    names = set(Cause) if cause is None else {cause}
    return sum(spending.used for spending in spent if spending.name in names)


def likely_cause(account: Account, spent: Iterable[Spending], *, destructive: bool) -> str | None:
    """The cause of most early deaths of the last 24 hours, and what to do; None: there were none."""
    spent = tuple(spent)
    cause = max(Cause, key=lambda cause: count(spent, cause))
    return explain(account, cause, destructive=destructive) if count(spent, cause) else None


def explain(account: Account, cause: Cause, *, destructive: bool) -> str:
    """What most likely happened, and what an operator does.

    Args:
        account: whose token it was.
        cause: what killed it.
        destructive: each fetch of its endpoint kills the token before it.
    """
    if cause is Cause.SECRET_RESET:
        return (
            "WeChat refuses the AppSecret too, so it was most likely reset: put the new one into the "
            "configuration"
        )
    if cause is Cause.REVOKED:
        return (
            "WeChat still gives it out, so nobody has fetched another: most likely the AppSecret was reset, "
            "or WeChat revoked it"
        )
    who = (
        f"most likely another program fetches tokens with the AppID {account.appid}: a development machine, "
        "an old server, or a copy of this service that does not share the store (or the AppSecret was reset "
        "just now)"
    )
    if destructive:
        return (
            f"{who}. On the old endpoint each of its fetches kills our token after about 5 minutes. Let it "
            'read the token from here; or set endpoint = "stable" for this account: no fetch on the old '
            "endpoint touches a stable token"
        )
    return (
        f"{who}. On the stable endpoint it must have forced a renewal (force_refresh). Let it read the token "
        "from here, or ask without forcing"
    )
