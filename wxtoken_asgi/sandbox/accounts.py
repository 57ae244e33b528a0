"""Accounts as WeChat keeps them: secret, kind, whitelist, quotas, and what was issued. No I/O, no clock."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable
from typing import Literal, get_args

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.sandbox.clock import duration, is_whole
from wxtoken_asgi.sandbox.errcodes import Refused
from wxtoken_asgi.sandbox.tickets import SLOT, TYPES, Tickets
from wxtoken_asgi.sandbox.tokens import Issue, OldEndpoint, Overlap, StableEndpoint, Token

Kind = Literal["service", "mini"]

MINUTE = 60
DAY = 86_400
MONTH = 30 * DAY


class Quota:
    """So many calls in each stretch of time; the stretches begin when the account was added.

    Args:
        limit: calls in one stretch.
        length: of a stretch, in seconds.
        since: the start of the first one, in seconds of sandbox time.
        errcode: what WeChat says beyond the limit.
    """

    def __init__(self, limit: int, length: float, since: float, errcode: int = 45009) -> None:
        self._limit = limit
        self._length = length
        self._since = since
        self._errcode = errcode
        self._stretch = 0
        self._used = 0

    def used(self, now: float) -> int:
        """Calls in the stretch of `now`."""
        stretch = int((now - self._since) // self._length)
        if stretch != self._stretch:
            self._stretch, self._used = stretch, 0
        return self._used

    def take(self, now: float) -> None:
        """Count one call.

        Raises:
            Refused: there is none left.
        """
        if self.used(now) >= self._limit:
            raise Refused(self._errcode)
        self._used += 1

    def clear(self) -> None:
        """Forget the calls of this stretch."""
        self._used = 0


class Account:
    """One account.

    The numbers of the quotas are WeChat's: the old endpoint 2000 a day (200 for a test account), the stable
    one 10 000 a minute and 500 000 a day, forced refreshes 20 a day, resets of the quotas 10 a month.

    Args:
        appid: the AppID.
        secret: the AppSecret, or None where any is taken.
        kind: `service` (an official account) or `mini` (a mini program, which has no tickets).
        daily_quota: calls of the old endpoint in a day.
        whitelist: addresses and networks (CIDR) that may call; empty: all.
        overlap: `grace` or `strict`.
        ticket_age: how old the tickets are now, in seconds below 7200; drawn per type if None.
        now: seconds of sandbox time.
        rng: where chance comes from.
        issue: makes a token.

    Raises:
        ConfigError: a value is wrong; the message names it.
    """

    def __init__(
        self,
        appid: str,
        secret: str | None,
        *,
        kind: Kind,
        daily_quota: int,
        whitelist: Iterable[str],
        overlap: Overlap,
        ticket_age: float | None,
        now: float,
        rng: random.Random,
        issue: Issue,
    ) -> None:
        if kind not in get_args(Kind):
            raise ConfigError(f"account {appid}: kind must be 'service' or 'mini', not {kind!r}")
        if not is_whole(daily_quota) or daily_quota < 0:
            raise ConfigError(f"account {appid}: daily_quota must be a whole number, not {daily_quota!r}")
        if ticket_age is not None and duration(ticket_age, "ticket_age") >= SLOT:
            raise ConfigError(f"account {appid}: ticket_age must be below {SLOT} seconds")
        self.appid = appid
        self.kind = kind
        self._secret = None if secret is None else _checked(appid, secret)
        self._networks = _networks(appid, whitelist)
        self.old = OldEndpoint(issue, overlap)
        self.stable = StableEndpoint(issue, overlap)
        self.tickets = {
            name: Tickets(now - (rng.uniform(0, SLOT) if ticket_age is None else ticket_age), rng)
            for name in TYPES
        }
        self._old_day = Quota(daily_quota, DAY, now)
        self._stable_minute = Quota(10_000, MINUTE, now, 45011)
        self._stable_day = Quota(500_000, DAY, now)
        self._forced_day = Quota(20, DAY, now)
        self._clears = Quota(10, MONTH, now, 48006)

    def knows(self, secret: object) -> bool:
        """Whether this is the account's secret."""
        return self._secret is None or secret == self._secret

    def reset_secret(self, secret: str) -> None:
        """Give it another secret; the old one is wrong at once, and what was issued lives on.

        Raises:
            ConfigError: that is no secret.
        """
        self._secret = _checked(self.appid, secret)

    def lists(self, peer: str) -> bool:
        """Whether the whitelist lets this address call."""
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def fetch_old(self, now: float) -> Token:
        """A call of the old endpoint.

        Raises:
            Refused: the day's quota is spent.
        """
        self._old_day.take(now)
        return self.old.fetch(now)

    def fetch_stable(self, now: float, *, force: bool) -> Token:
        """A call of the stable endpoint.

        Within 30 s of a forced refresh no other takes place. WeChat does not say what it answers then; here
        it is the answer of a normal call, and counts as one.

        Raises:
            Refused: a quota is spent.
        """
        if force and self.stable.may_force(now):
            self._forced_day.take(now)
            return self.stable.force(now)
        self._stable_minute.take(now)
        self._stable_day.take(now)
        return self.stable.fetch(now)

    def clear_quotas(self, now: float) -> None:
        """Set all quotas back, that of forced refreshes too.

        Raises:
            Refused: it was done 10 times in 30 days.
        """
        self._clears.take(now)
        for quota in (self._old_day, self._stable_minute, self._stable_day, self._forced_day):
            quota.clear()

    def used(self, now: float) -> dict[str, int]:
        """Calls counted today: of the old endpoint, of the stable one, and forced refreshes."""
        return {
            "token": self._old_day.used(now),
            "stable": self._stable_day.used(now),
            "forced": self._forced_day.used(now),
        }


def _checked(appid: str, secret: object) -> str:
    if isinstance(secret, str) and secret:
        return secret
    raise ConfigError(f"account {appid}: secret must be a word")


def _networks(
    appid: str, whitelist: Iterable[str]
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(entry, strict=False) for entry in whitelist)
    except ValueError as error:
        raise ConfigError(f"account {appid}: whitelist takes addresses and networks: {error}") from None
