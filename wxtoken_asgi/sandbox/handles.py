"""What a test or a demo can do with a sandbox, from Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wxtoken_asgi.sandbox.accounts import Account, Kind
from wxtoken_asgi.sandbox.clock import SandboxClock, WallClock
from wxtoken_asgi.sandbox.faults import Fault, FaultKind, Faults
from wxtoken_asgi.sandbox.ledger import Call, Ledger
from wxtoken_asgi.sandbox.tokens import Endpoint, Overlap, Token
from wxtoken_asgi.sandbox.wechat import WeChat


class Handles:
    """Accounts, time, faults and questions; `Sandbox` has these methods.

    Args:
        overlap: what becomes of a token that is superseded on the old endpoint, or by a forced refresh:
            `grace` lets it live 300 s more (never past its own end), `strict` ends it at once. A normal
            renewal of the stable endpoint overlaps by 300 s in both.
        clock: anything with `time()`; the machine's clock if None.
        whitelist: addresses and networks (CIDR) that may call, for accounts that bring none of their own;
            empty: all.
        open: take any well-formed appid (`wx` and 16 hex digits), with any secret.
        seed: makes tokens, tickets and their schedules repeatable.

    Raises:
        ConfigError: a value is wrong; the message names it.

    Attributes:
        clock: sandbox time, `clock.time()`.
        faults: the faults that wait for their calls.
    """

    def __init__(
        self,
        *,
        overlap: Overlap = "grace",
        clock: WallClock | None = None,
        whitelist: Iterable[str] = (),
        open: bool = False,  # noqa: A002 - the word that says it
        seed: int | None = None,
    ) -> None:
        self.clock = SandboxClock(clock)
        self.faults = Faults(self.clock)
        self._ledger = Ledger()
        self._wechat = WeChat(self.clock, overlap=overlap, whitelist=whitelist, any_appid=open, seed=seed)
        self._overlap = overlap
        self._first: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} overlap={self._overlap!r} accounts={len(self._wechat.accounts)}>"

    @property
    def account(self) -> tuple[str, str]:
        """Appid and secret of the first account that was added.

        Raises:
            LookupError: none was.
        """
        if self._first is None:
            raise LookupError("no account was added to the sandbox")
        return self._first

    @property
    def calls(self) -> list[Call]:
        """The calls that came in, oldest first (the last million). An outside fetch is none of them."""
        return self._ledger.calls()

    def add(
        self,
        appid: str,
        secret: str,
        *,
        kind: Kind = "service",
        daily_quota: int = 2000,
        whitelist: Iterable[str] = (),
        ticket_age: float | None = None,
    ) -> None:
        """Register an account.

        Args:
            appid: the AppID; any word will do.
            secret: the AppSecret.
            kind: `service` (an official account) or `mini` (a mini program, which can have no ticket).
            daily_quota: calls of the old endpoint in a day: 2000, or 200 for a test account.
            whitelist: addresses and networks (CIDR) that may call; empty: the sandbox's own list.
            ticket_age: how old its tickets are now, in seconds below 7200; drawn for each type if None.

        Raises:
            ConfigError: a value is wrong, or the account is there already.
        """
        self._wechat.add(
            appid, secret, kind=kind, daily_quota=daily_quota, whitelist=whitelist, ticket_age=ticket_age
        )
        if self._first is None:
            self._first = (appid, secret)

    def reset_secret(self, appid: str, secret: str) -> None:
        """Reset an account's secret, as its owner does in WeChat's console: the old one is wrong at once.

        What becomes of tokens that were fetched with the old one is not documented; here they live on.

        Args:
            appid: whose.
            secret: the new secret.

        Raises:
            UnknownAccount: there is no such account.
            ConfigError: that is no secret.
        """
        self._wechat.account(appid).reset_secret(secret)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's time on, by `seconds` that are not negative."""
        self.clock.advance(seconds)

    def fail(
        self,
        kind: FaultKind = "errcode",
        *,
        path: str | None = None,
        appid: str | None = None,
        times: int | None = 1,
        before: bool = True,
        errcode: int = -1,
        status: int = 502,
        body: object = None,
        seconds: float | None = None,
    ) -> Fault:
        """Arm a fault for the next call that it fits; see `Fault` for the arguments."""
        fault = Fault(kind, path, appid, times, before, errcode, status, body, seconds)
        self.faults.add(fault)
        return fault

    def away(self, seconds: float | None = None) -> None:
        """Let all calls fail as if nobody were there, for `seconds` or until healed."""
        self.fail("away", seconds=seconds)

    def heal(self) -> None:
        """Remove all faults."""
        self.faults.heal()

    def revoke(self, token: str) -> bool:
        """Kill a token before its time; the stable endpoint's normal calls go on answering it.

        Args:
            token: the token.

        Returns:
            Whether the sandbox knew it.
        """
        known = self._wechat.token(token)
        if known is not None:
            known.die_at(self.clock.time())
        return known is not None

    def outside_fetch(self, appid: str, endpoint: Endpoint = "token", *, force: bool = False) -> str:
        """Let another program fetch a token now, which may kill the one you hold. It counts in the quotas.

        Args:
            appid: whose.
            endpoint: `token` (the old one) or `stable`.
            force: ask the stable endpoint for a forced refresh.

        Returns:
            The other program's token.

        Raises:
            UnknownAccount: there is no such account.
            Refused: a quota is spent.
            ConfigError: there is no such endpoint.
        """
        return self._wechat.fetch(appid, endpoint, force=force).value

    def accepts(self, token: str) -> bool:
        """Whether a protected API would take this token now."""
        known = self._wechat.token(token)
        return known is not None and not known.errcode(self.clock.time())

    def accepts_ticket(self, ticket: str) -> bool:
        """Whether a signature made with this ticket would be taken now."""
        return self._wechat.accepts_ticket(ticket)

    def accepts_signature(
        self, appid: str, *, url: str, noncestr: str, timestamp: int | str, signature: str
    ) -> bool:
        """Whether `wx.config` with these values would succeed on the page `url` now.

        Args:
            appid: whose page it is.
            url: the page's address; what follows `#` is left out, as the browser does.
            noncestr: `nonceStr`.
            timestamp: `timestamp`, in seconds.
            signature: `signature`.

        Raises:
            UnknownAccount: there is no such account.
        """
        return self._wechat.accepts_signature(
            appid, url=url, noncestr=noncestr, timestamp=str(timestamp), signed=signature
        )

    def count(self, path: str | None = None, appid: str | None = None) -> int:
        """How many calls came in: all, or those of one path, of one account."""
        return self._ledger.count(path, appid)

    def counts(self, appid: str | None = None) -> dict[str, dict[str, int]]:
        """Calls by path and by errcode; `"none"` where no WeChat answer went out.

        Args:
            appid: whose; None: all.
        """
        return self._ledger.by_path(appid)

    def state(self, appid: str) -> dict[str, Any]:
        """An account's calls, quotas used and current tokens, without a secret or a token.

        Args:
            appid: whose.

        Raises:
            UnknownAccount: there is no such account.
        """
        account = self._wechat.account(appid)
        now = self.clock.time()
        return {
            "appid": appid,
            "kind": account.kind,
            "calls": self.count(appid=appid),
            "used_today": account.used(now),
            "tokens": _tokens(account, now),
        }


def _tokens(account: Account, now: float) -> dict[str, Any]:
    current: dict[str, Token | None] = {"token": account.old.current, "stable": account.stable.current}
    return {
        endpoint: token and {"age": now - token.born, "left": max(0.0, token.dies - now)}
        for endpoint, token in current.items()
    }
