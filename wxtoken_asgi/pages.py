"""`{prefix}/js-config/{app}`: signed JS-SDK configurations for browsers."""

from __future__ import annotations

import logging
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from wxtoken_asgi import jssdk
from wxtoken_asgi.answers import NO_STORE, Answer, Headers, answer_of, json_answer
from wxtoken_asgi.audit import Audit
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clients import JS_CONFIG, READ
from wxtoken_asgi.door import LONG_QUERY, LONGEST_QUERY, Door
from wxtoken_asgi.errors import BadUrl, HostNotAllowed, UnknownAccount, WxTokenError
from wxtoken_asgi.manager import JSAPI_TICKET, TokenManager
from wxtoken_asgi.records import Account
from wxtoken_asgi.routes import Row

logger = logging.getLogger("wxtoken_asgi")

METHODS: Final = b"GET, HEAD, OPTIONS"
PREFLIGHT_S: Final = b"600"
KNOWN: Final = frozenset({"url"})
JS_CONFIG_KIND: Final = "js_config"
"""What records call a signature."""


class Pages:
    """Answers pages: no trust is needed, and other origins may read the answer.

    Args:
        tokens: the manager.
        door: who may read tickets.
        audit: hears of signatures for callers who are known, and of tickets.
        open_to_all: whether everybody may ask; else those who may `js-config`.
        with_ticket: whether those who may read tickets get the ticket too.
    """

    def __init__(
        self, tokens: TokenManager, door: Door, audit: Audit, *, open_to_all: bool, with_ticket: bool
    ) -> None:
        self._tokens = tokens
        self._door = door
        self._audit = audit
        self._open = open_to_all
        self._with_ticket = with_ticket
        self._warned: set[str] = set()

    @property
    def row(self) -> Row:
        """`GET`, `HEAD` and `OPTIONS`."""
        handlers = {"GET": self._sign, "HEAD": self._sign, "OPTIONS": self._preflight}
        return Row(handlers, self._untried)

    def _untried(self, app: str, scope: Scope) -> Headers:
        """CORS where nobody was asked who he is: a closed service says the same of all accounts."""
        return _cors(self._tokens.accounts.get(app) if self._open else None, scope)

    async def _sign(self, app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        caller = self._admit(app, scope)
        if isinstance(caller, Answer):
            await caller.adding(_cors(None, scope)).send(scope, send)
            return
        account = self._tokens.accounts.get(app)
        try:
            if account is None:
                raise UnknownAccount(app)
            _check_origin(account, scope)
            config = await self._tokens.js_config(app, self._url(account, scope))
            reply = json_answer(200, config.as_dict() | await self._ticket(app, account, scope))
        except WxTokenError as error:
            reply = answer_of(error)
        if caller is not None:
            self._audit.read(caller, app if account is None else account.name, JS_CONFIG_KIND, reply.code)
        await reply.adding(self._headers(account, scope)).send(scope, send)

    def _headers(self, account: Account | None, scope: Scope) -> Headers:
        """CORS, and what a shared cache must know of if it keeps what nobody may store."""
        headers = _cors(account, scope)
        if self._open and not self._with_ticket:
            return headers
        names = [value for name, value in headers if name == b"vary"]
        others = [pair for pair in headers if pair[0] != b"vary"]
        return [*others, (b"vary", b", ".join([*names, b"authorization"]))]

    def _admit(self, app: str, scope: Scope) -> Caller | Answer | None:
        """Who asks, if that matters; or why this caller may not."""
        if not self._open:
            return self._door.admit(scope, JS_CONFIG, app, JS_CONFIG_KIND)
        return LONG_QUERY if len(scope["query_string"]) > LONGEST_QUERY else None

    async def _preflight(self, app: str, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        allow = (
            (b"allow", METHODS),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", b"*"),
            (b"access-control-max-age", PREFLIGHT_S),
        )
        await Answer(204, (NO_STORE, *allow, *self._untried(app, scope))).send(scope, send)

    def _url(self, account: Account, scope: Scope) -> str:
        try:
            query: str = scope["query_string"].decode("ascii")
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise BadUrl("url: the query is not percent-encoded UTF-8") from None
        urls = [value for name, value in pairs if name == "url"]
        if not urls or not urls[0]:
            raise BadUrl("url is required: the page's address, location.href, through encodeURIComponent")
        if len(urls) > 1:
            raise BadUrl("url is given more than once")
        if any(name not in KNOWN for name, _ in pairs):
            self._warn(account)
        return urls[0]

    def _warn(self, account: Account) -> None:
        """A page that forgot encodeURIComponent has its address cut at the first `&`."""
        if account.name in self._warned:
            return
        self._warned.add(account.name)
        logger.warning(
            "account %s: js-config was asked with parameters beside url; "
            "the page should send its address through encodeURIComponent",
            account.name,
        )

    async def _ticket(self, app: str, account: Account, scope: Scope) -> dict[str, Any]:
        if not self._with_ticket:
            return {}
        caller = self._door.knows(scope, READ, app, JSAPI_TICKET)
        if caller is None:
            return {}
        ticket = await self._tokens.jsapi_ticket(app)
        self._audit.read(caller, account.name, JSAPI_TICKET)
        return {"jsapi_ticket": ticket}


def _check_origin(account: Account, scope: Scope) -> None:
    """A browser would not hand the answer to a page of another origin; it does not get that far.

    Raises:
        HostNotAllowed: the page that asks is not of the account's `js_domains`.
    """
    origins = _origins(scope)
    if account.js_domains and origins and (len(origins) > 1 or not _is_ours(origins[0], account)):
        msg = f"account {account.name}: the Origin is not in js_domains"
        raise HostNotAllowed(msg)


def _origins(scope: Scope) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"origin"]


def _cors(account: Account | None, scope: Scope) -> Headers:
    """Open to all pages, or to those of the account's `js_domains`."""
    if account is None or not account.js_domains:
        return [(b"access-control-allow-origin", b"*")]
    vary = (b"vary", b"origin")
    origins = _origins(scope)
    if len(origins) != 1 or not _is_ours(origins[0], account):
        return [vary]
    return [(b"access-control-allow-origin", origins[0]), vary]


def _is_ours(origin: bytes, account: Account) -> bool:
    try:
        return jssdk.host_allowed(origin.decode("ascii"), account.js_domains)
    except (BadUrl, UnicodeDecodeError):
        return False
