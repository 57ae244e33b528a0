"""What WeChat answers: the paths of api.weixin.qq.com that the sandbox has. No I/O."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from wxtoken_asgi.errors import ConfigError, UnknownAccount
from wxtoken_asgi.sandbox.accounts import DAY, Account, Kind
from wxtoken_asgi.sandbox.clock import WallClock
from wxtoken_asgi.sandbox.errcodes import Refused, text
from wxtoken_asgi.sandbox.tickets import signature
from wxtoken_asgi.sandbox.tokens import LIFE, Endpoint, Overlap, Token, new_value
from wxtoken_asgi.sandbox.wire import Reply, Request, compact

OLD_PATH: Final = "/cgi-bin/token"
STABLE_PATH: Final = "/cgi-bin/stable_token"

_APPID: Final = re.compile("wx[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: the reply, its errcode (None where there is none), whether a token was issued."""

    reply: Reply
    errcode: int | None
    issued: bool = False


class WeChat:
    """All accounts, and the answers that they get.

    The order of checks is: method, appid, whitelist, secret, grant_type. A malformed or unknown appid wins
    over all else that is wrong (observed); that the whitelist comes before the secret is not known.

    Args:
        clock: the sandbox's time.
        overlap: `grace` or `strict`.
        whitelist: for accounts that bring none of their own.
        any_appid: whether any well-formed appid (`wx` and 16 hex digits) has an account, with any secret.
        seed: makes tokens and schedules repeatable.
    """

    def __init__(
        self,
        clock: WallClock,
        *,
        overlap: Overlap,
        whitelist: Iterable[str],
        any_appid: bool,
        seed: int | None,
    ) -> None:
        if overlap not in {"grace", "strict"}:
            raise ConfigError(f"overlap must be 'grace' or 'strict', not {overlap!r}")
        self._clock = clock
        self._overlap = overlap
        self._whitelist = tuple(whitelist)
        self._any_appid = any_appid
        self._rng = random.Random(seed)
        self._tokens: dict[str, Token] = {}  # in the order of their birth, hence of their ends
        self._issued = 0
        self.accounts: dict[str, Account] = {}
        self._routes: dict[str, Callable[[Request], dict[str, Any]]] = {
            OLD_PATH: self._token,
            STABLE_PATH: self._stable_token,
            "/cgi-bin/ticket/getticket": self._ticket,
            "/cgi-bin/get_api_domain_ip": self._addresses,
            "/cgi-bin/getcallbackip": self._addresses,
            "/cgi-bin/clear_quota": self._clear_quota,
        }

    def add(
        self,
        appid: str,
        secret: str | None,
        *,
        kind: Kind = "service",
        daily_quota: int = 2000,
        whitelist: Iterable[str] = (),
        ticket_age: float | None = None,
    ) -> Account:
        """Register an account; see `Account` for the arguments.

        Raises:
            ConfigError: a value is wrong, or the account is there already.
        """
        if not (isinstance(appid, str) and appid):
            raise ConfigError(f"an appid must be a word, not {appid!r}")
        if appid in self.accounts:
            raise ConfigError(f"account {appid}: it is in the sandbox already")

        def issue(endpoint: Endpoint) -> Token:
            return self._issue(appid, endpoint)

        self.accounts[appid] = Account(
            appid,
            secret,
            kind=kind,
            daily_quota=daily_quota,
            whitelist=tuple(whitelist) or self._whitelist,
            overlap=self._overlap,
            ticket_age=ticket_age,
            now=self._clock.time(),
            rng=self._rng,
            issue=issue,
        )
        return self.accounts[appid]

    def account(self, appid: str) -> Account:
        """The account of an appid.

        Raises:
            UnknownAccount: there is none.
        """
        account = self._find(appid)
        if account is None:
            raise UnknownAccount(appid)
        return account

    def answer(self, request: Request) -> Outcome:
        """Process a call."""
        route = self._routes.get(request.path)
        if route is None:
            # What api.weixin.qq.com answers on unknown paths is not known; WeCom's host answers this.
            return Outcome(Reply(404, b"", None), None)
        issued = self._issued
        try:
            payload = route(request)
        except Refused as refused:
            return self.refusal(request, refused.errcode)
        return Outcome(Reply(200, compact(payload)), 0, issued=self._issued > issued)

    def refusal(self, request: Request, errcode: int) -> Outcome:
        """An error answer, as WeChat words it; HTTP 200 as always."""
        message = f"{text(errcode, path=request.path, peer=request.peer)} rid: {self._rid()}"
        return Outcome(Reply(200, compact({"errcode": errcode, "errmsg": message})), errcode)

    def appid_of(self, request: Request) -> str | None:
        """The appid that a call is about: the one it names, or the owner of its token."""
        if request.path in {OLD_PATH, STABLE_PATH}:
            source = request.query if request.path == OLD_PATH else request.json or {}
            appid = source.get("appid")
            return appid if isinstance(appid, str) else None
        token = self._tokens.get(request.query.get("access_token", ""))
        return token.appid if token else None

    def token(self, value: str) -> Token | None:
        """A token by its value, living or not."""
        return self._tokens.get(value)

    def fetch(self, appid: str, endpoint: Endpoint, *, force: bool) -> Token:
        """Fetch a token as any program with the account's secret can.

        Raises:
            UnknownAccount: there is no such account.
            Refused: a quota is spent.
            ConfigError: there is no such endpoint.
        """
        account = self.account(appid)
        if endpoint == "token":
            return account.fetch_old(self._clock.time())
        if endpoint == "stable":
            return account.fetch_stable(self._clock.time(), force=force)
        raise ConfigError(f"endpoint must be 'token' or 'stable', not {endpoint!r}")

    def accepts_ticket(self, ticket: str) -> bool:
        """Whether a page or card signed with this ticket would be taken now."""
        now = self._clock.time()
        lines = (line for account in list(self.accounts.values()) for line in account.tickets.values())
        return any(ticket in line.accepted(now) for line in lines)

    def accepts_signature(self, appid: str, *, url: str, noncestr: str, timestamp: str, signed: str) -> bool:
        """Whether `wx.config` with this signature would succeed on the page `url` now."""
        tickets = self.account(appid).tickets["jsapi"].accepted(self._clock.time())
        page = url.partition("#")[0]
        return signed in (
            signature(ticket, url=page, noncestr=noncestr, timestamp=timestamp) for ticket in tickets
        )

    def _find(self, appid: object) -> Account | None:
        if not isinstance(appid, str):
            return None
        if appid not in self.accounts and self._any_appid and _APPID.fullmatch(appid):
            self.add(appid, None)
        return self.accounts.get(appid)

    def _issue(self, appid: str, endpoint: Endpoint) -> Token:
        now = self._clock.time()
        self._forget(now)
        self._issued += 1
        token = Token(new_value(now, self._rng), appid, endpoint, born=now, end=now + LIFE, dies=now + LIFE)
        self._tokens[token.value] = token
        return token

    def _forget(self, now: float) -> None:
        """Drop the tokens that ended a day ago, so that long simulations stay small."""
        while self._tokens and (oldest := next(iter(self._tokens.values()))).end < now - DAY:
            del self._tokens[oldest.value]

    def _rid(self) -> str:
        first, second = self._rng.getrandbits(32), self._rng.getrandbits(32)
        return f"{int(self._clock.time()):08x}-{first:08x}-{second:08x}"

    def _admit(self, params: dict[str, Any], peer: str) -> Account:
        """The checks of the two token endpoints. A call that fails them does not count (not known)."""
        if not params.get("appid"):
            raise Refused(41002)
        account = self._find(params["appid"])
        if account is None:
            raise Refused(40013)
        if not account.lists(peer):
            raise Refused(40164)
        if not params.get("secret"):
            raise Refused(41004)
        if not account.knows(params["secret"]):
            raise Refused(40125)
        if params.get("grant_type") != "client_credential":
            raise Refused(40002)
        return account

    def _token(self, request: Request) -> dict[str, Any]:
        # 43001 (GET wanted) is not among the errors of this endpoint's page, so no method is refused.
        token = self._admit(request.query, request.peer).fetch_old(self._clock.time())
        return {"access_token": token.value, "expires_in": LIFE}

    def _stable_token(self, request: Request) -> dict[str, Any]:
        if request.method != "POST":
            raise Refused(43002)
        params = request.json or {}
        now = self._clock.time()
        token = self._admit(params, request.peer).fetch_stable(now, force=params.get("force_refresh") is True)
        return {"access_token": token.value, "expires_in": int(token.left(now))}

    def _authorised(self, request: Request) -> Account:
        """The checks of an API that takes an access token.

        The whitelist of an official account covers these calls too (WeChat's whitelist page, 2025; older
        pages differ), that of a mini program covers the token endpoints alone.
        """
        value = request.query.get("access_token")
        if not value:
            raise Refused(41001)
        token = self._tokens.get(value)
        errcode = token.errcode(self._clock.time()) if token else 40001
        if token is None or errcode:
            raise Refused(errcode)
        account = self.accounts[token.appid]
        if account.kind == "service" and not account.lists(request.peer):
            raise Refused(40164)
        return account

    def _ticket(self, request: Request) -> dict[str, Any]:
        account = self._authorised(request)
        if account.kind == "mini":
            raise Refused(48001)
        tickets = account.tickets.get(request.query.get("type", ""))
        if tickets is None:
            raise Refused(40097)  # what WeChat says of an unknown type is not known
        ticket = tickets.current(self._clock.time())
        return {"errcode": 0, "errmsg": "ok", "ticket": ticket, "expires_in": 7200}

    def _addresses(self, request: Request) -> dict[str, Any]:
        self._authorised(request)
        return {"ip_list": ["203.0.113.10", "203.0.113.11"]}  # addresses for documentation (RFC 5737)

    def _clear_quota(self, request: Request) -> dict[str, Any]:
        if request.method != "POST":
            raise Refused(43002)
        self._authorised(request).clear_quotas(self._clock.time())
        return {"errcode": 0, "errmsg": "ok"}
