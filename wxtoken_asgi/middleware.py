"""The ASGI middleware: answers what is ours, passes on the rest as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from wxtoken_asgi.access import DEFAULT_TRUSTED, Access
from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.answers import error_answer
from wxtoken_asgi.audit import Audit
from wxtoken_asgi.clients import Client, Clients
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.door import Door
from wxtoken_asgi.endpoints import Endpoints
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.lifespan import run_lifespan
from wxtoken_asgi.manager import ACCESS_TOKEN, JSAPI_TICKET, TokenManager
from wxtoken_asgi.pages import Pages
from wxtoken_asgi.records import Account
from wxtoken_asgi.routes import Routes, Row, checked_prefix, route_path
from wxtoken_asgi.shortcut import Shortcut

STATE_KEY = "wxtoken"
"""Where the manager is found in the lifespan's state: `request.state.wxtoken`."""

NOT_FOUND = error_answer(404, "not_found", "there is nothing here")


class _Rules(NamedTuple):
    """Who may ask, as it was written down."""

    trusted: Sequence[str]
    trusted_proxies: Sequence[str]
    hosts: Sequence[str]
    js_config_ticket: bool
    js_config_open: bool
    clients: Sequence[Client]

    def access(self, accounts: Accounts, clock: Clock | None = None) -> Access:
        """The rules, ready to be applied.

        Raises:
            ConfigError: one is wrong.
        """
        return Access(
            trusted=self.trusted,
            trusted_proxies=self.trusted_proxies,
            hosts=self.hosts,
            clients=self.clients,
            accounts=accounts,
            clock=clock,
        )

    def check(self, accounts: Accounts) -> None:
        """Check them beside these accounts.

        Raises:
            ConfigError: one is wrong, or a client names an account that is not there.
        """
        self.access(accounts)
        Clients(self.clients, accounts)


class WxTokenMiddleware:
    """Serves the tokens of a manager in front of any ASGI app.

    Args:
        app: the app that gets all other traffic; without one, all other paths are 404.
        tokens: the manager; the lifespan opens and closes it.
        prefix: the path below which the service answers, such as `/wx`. Without one, in front of an
            app, only the paths of configured accounts are claimed.
        trusted: addresses and networks that may do everything; `unix` stands for peers on a Unix socket.
        trusted_proxies: proxies whose forwarding headers are believed.
        hosts: names, besides localhost, by which callers on this machine may call it.
        js_config_ticket: whether `/js-config/` gives the ticket to those who may read tickets.
        js_config_open: whether `/js-config/` answers everybody; else only clients that may `js-config`.
        clients: programs that may ask, known by a key or by their networks.

    Raises:
        ConfigError: an option is wrong; the message names it.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        tokens: TokenManager | None = None,
        *,
        prefix: str = "",
        trusted: Sequence[str] = DEFAULT_TRUSTED,
        trusted_proxies: Sequence[str] = (),
        hosts: Sequence[str] = (),
        js_config_ticket: bool = False,
        js_config_open: bool = True,
        clients: Sequence[Client] = (),
    ) -> None:
        if not isinstance(tokens, TokenManager):
            msg = f"tokens: a TokenManager is needed, not {type(tokens).__name__}"
            raise ConfigError(msg)
        self.app = _nothing if app is None else app
        self.tokens = tokens
        self._wrapped = app
        self._prefix = checked_prefix(prefix)
        self._rules = _Rules(trusted, trusted_proxies, hosts, js_config_ticket, js_config_open, clients)
        self._rules.check(tokens.accounts)
        self._audit = Audit(tokens.clock)
        tokens.beside.append(self._audit.run)
        self._furnish()
        tokens.reloaded.append(self._furnish)

    def __repr__(self) -> str:
        return f"<WxTokenMiddleware of {self.tokens!r}>"

    async def reload(
        self,
        accounts: Iterable[Account],
        *,
        trusted: Sequence[str] | None = None,
        trusted_proxies: Sequence[str] | None = None,
        hosts: Sequence[str] | None = None,
        js_config_ticket: bool | None = None,
        js_config_open: bool | None = None,
        clients: Sequence[Client] | None = None,
    ) -> None:
        """Serve other accounts, under other rules, from now on; see `TokenManager.reload`.

        Args:
            accounts: all accounts, also those that stay as they are.
            trusted: as when it was made; what is left out stays as it is, here and below.
            trusted_proxies: proxies whose forwarding headers are believed.
            hosts: names, besides localhost.
            js_config_ticket: whether `/js-config/` gives the ticket.
            js_config_open: whether `/js-config/` answers everybody.
            clients: programs that may ask.

        Raises:
            ConfigError: an account or an option is wrong; then everything is as it was.
            WrongLoop: the manager is open in another event loop.
        """
        given: dict[str, Any] = {
            "trusted": trusted,
            "trusted_proxies": trusted_proxies,
            "hosts": hosts,
            "js_config_ticket": js_config_ticket,
            "js_config_open": js_config_open,
            "clients": clients,
        }
        new = {name: value for name, value in given.items() if value is not None}
        accounts = Accounts(accounts)
        self._rules._replace(**new).check(accounts)
        await self.tokens.reload(accounts)
        self._rules = self._rules._replace(**new)  # another reload may have come in between
        self._furnish()

    def _furnish(self) -> None:
        """Build what answers, of the accounts and rules in force; a request under way ends where it began."""
        tokens, rules, audit, prefix = self.tokens, self._rules, self._audit, self._prefix
        access = rules.access(tokens.accounts, tokens.clock)
        self._door = door = Door(access, audit)
        shortcut = Shortcut(tokens, access, audit, prefix, {ACCESS_TOKEN: "token", JSAPI_TICKET: "ticket"})
        endpoints = Endpoints(tokens, lambda: self._door, audit, shortcut)
        open_to_all = rules.js_config_open
        pages = Pages(tokens, door, audit, open_to_all=open_to_all, with_ticket=rules.js_config_ticket)
        public = Pages(tokens, door, audit, open_to_all=open_to_all, with_ticket=False)
        self._routes = Routes(
            prefix,
            apps={"token": endpoints.token, "ticket": endpoints.ticket, "js-config": pages.row},
            fixed={
                "health/live": Row({"GET": endpoints.live, "HEAD": endpoints.live}),
                "health/ready": Row({"GET": endpoints.ready, "HEAD": endpoints.ready}),
            },
            guest_of=tokens.accounts.apps if self._wrapped is not None and not prefix else None,
            wrong_method=endpoints.wrong_method,
        )
        self._public = Routes(
            prefix,
            apps={"js-config": public.row},
            fixed={"health/live": Row({"GET": endpoints.live, "HEAD": endpoints.live})},
            guest_of=None,
            wrong_method=endpoints.wrong_method,
        )
        self._claims = self._routes.claims
        self._first, self._beyond = self._routes.span
        self._ready = shortcut.find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or hand it on untouched."""
        try:
            path = scope["path"]
            if scope["root_path"]:
                path = route_path(path, scope["root_path"])
        except KeyError:  # no path: the lifespan; no root_path: there is none
            if scope["type"] == "lifespan":
                await self._lifespan(scope, receive, send)
                return
            path = scope.get("path", "")
        claims = self._claims
        claimed = path in claims if claims is not None else self._first <= path < self._beyond
        if claimed and scope["type"] == "http":
            ready = self._ready(path, scope)
            if ready is not None:
                headers = ready.headers.copy()
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": ready.body})
                return
            found = self._routes.find(path, scope["method"])
            if found is not None:
                await found[0](found[1], _readable(scope), receive, send)
                return
        await self.app(scope, receive, send)

    async def pages(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI app for a listener that anybody may reach: only `/js-config/` and `/health/live`."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = route_path(scope.get("path", ""), scope.get("root_path", ""))
        first, beyond = self._public.span
        if scope["type"] == "http" and first <= path < beyond:
            found = self._public.find(path, scope["method"])
            if found is not None:
                await found[0](found[1], _readable(scope), receive, send)
                return
        await _nothing(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await run_lifespan(
            self._wrapped,
            scope,
            receive,
            send,
            manager=self.tokens,
            state_key=STATE_KEY,
            on_shutdown=self._drain,
        )

    def _drain(self) -> None:
        self.tokens.draining = True


def _readable(scope: Scope) -> Scope:
    """The scope with headers that can be read more than once; ASGI allows any iterable."""
    headers = scope["headers"]
    return scope if isinstance(headers, (list, tuple)) else {**scope, "headers": list(headers)}


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What is behind us when we wrap no app."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    await NOT_FOUND.send(scope, send)
