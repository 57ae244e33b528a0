"""The ASGI middleware: answers what is ours, passes on the rest as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from wxtoken_asgi.access import DEFAULT_TRUSTED, Access
from wxtoken_asgi.answers import error_answer
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

    def access(self) -> Access:
        """The rules, ready to be applied.

        Raises:
            ConfigError: one is wrong.
        """
        return Access(trusted=self.trusted, trusted_proxies=self.trusted_proxies, hosts=self.hosts)


class WxTokenMiddleware:
    """Serves the tokens of a manager in front of any ASGI app.

    Args:
        app: the app that gets all other traffic; without one, all other paths are 404.
        tokens: the manager; the lifespan opens and closes it.
        prefix: the path below which the service answers, such as `/wx`. Without one, in front of an
            app, only the paths of configured accounts are claimed.
        trusted: addresses and networks that may read and refresh.
        trusted_proxies: proxies whose forwarding headers are believed.
        hosts: names, besides localhost, by which callers on this machine may call it.
        js_config_ticket: whether `/js-config/` gives the ticket to those who may read tickets.

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
    ) -> None:
        if not isinstance(tokens, TokenManager):
            msg = f"tokens: a TokenManager is needed, not {type(tokens).__name__}"
            raise ConfigError(msg)
        self.app = _nothing if app is None else app
        self.tokens = tokens
        self._wrapped = app
        self._prefix = checked_prefix(prefix)
        self._rules = _Rules(trusted, trusted_proxies, hosts, js_config_ticket)
        self._access = self._rules.access()
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
    ) -> None:
        """Serve other accounts, under other rules, from now on; see `TokenManager.reload`.

        Args:
            accounts: all accounts, also those that stay as they are.
            trusted: as when it was made; what is left out stays as it is, here and below.
            trusted_proxies: proxies whose forwarding headers are believed.
            hosts: names, besides localhost.
            js_config_ticket: whether `/js-config/` gives the ticket.

        Raises:
            ConfigError: an account or an option is wrong; then everything is as it was.
            WrongLoop: the manager is open in another event loop.
        """
        before = self._rules
        rules = _Rules(
            before.trusted if trusted is None else trusted,
            before.trusted_proxies if trusted_proxies is None else trusted_proxies,
            before.hosts if hosts is None else hosts,
            before.js_config_ticket if js_config_ticket is None else js_config_ticket,
        )
        access = rules.access()
        await self.tokens.reload(accounts)
        self._rules, self._access = rules, access
        self._furnish()

    def _furnish(self) -> None:
        """Build what answers, of the accounts and rules in force; a request under way ends where it began."""
        tokens, access, prefix = self.tokens, self._access, self._prefix
        shortcut = Shortcut(tokens, access, prefix, {ACCESS_TOKEN: "token", JSAPI_TICKET: "ticket"})
        endpoints = Endpoints(tokens, access, shortcut)
        pages = Pages(tokens, access, with_ticket=self._rules.js_config_ticket)
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
                await found[0](found[1], scope, receive, send)
                return
        await self.app(scope, receive, send)

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


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What is behind us when we wrap no app."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    await NOT_FOUND.send(scope, send)
