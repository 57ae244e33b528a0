"""The token manager: accounts in, valid tokens out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, Self, cast

import httpx

from wxtoken_asgi import jssdk, options, policy
from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.demand import OnDemand
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.errors import (
    HostNotAllowed,
    NoSuchCredential,
    UnknownAccount,
    UpstreamRefused,
)
from wxtoken_asgi.flights import Flight, Flights
from wxtoken_asgi.herald import Herald
from wxtoken_asgi.hooks import Hook, Hooks
from wxtoken_asgi.keeper import Keeper
from wxtoken_asgi.kinds import KINDS, Kinds, with_probes
from wxtoken_asgi.link import LEASE_S, Link
from wxtoken_asgi.loop import Loop
from wxtoken_asgi.records import Account
from wxtoken_asgi.refresher import Refresher
from wxtoken_asgi.registry import Registry
from wxtoken_asgi.session import Session
from wxtoken_asgi.status import CredentialStatistics, Statistics
from wxtoken_asgi.stores import Store, open_store
from wxtoken_asgi.surroundings import look_around
from wxtoken_asgi.tasks import Tasks
from wxtoken_asgi.uses import Uses
from wxtoken_asgi.waiter import Waiter
from wxtoken_asgi.weixin import Weixin

logger = logging.getLogger("wxtoken_asgi")

ACCESS_TOKEN: Final = "access_token"  # noqa: S105 - the name of a kind
JSAPI_TICKET: Final = "jsapi_ticket"
READ_WAIT_S: Final = 5.0
REFRESH_WAIT_S: Final = 12.0
READY_WAIT_S: Final = 5.0
SHORTEST_LEASE_S: Final = 1.0
LONGEST_LEASE_S: Final = 3600.0
LONGEST_ASK_S: Final = 10 * policy.DAY_S
MOST_FETCHES: Final = 10_000
SHUTDOWN_FETCH_S: Final = 5.0
SHUTDOWN_HOOKS_S: Final = 1.0
SHUTDOWN_STORE_S: Final = 1.0


class TokenManager:
    """Keeps the credentials of many accounts valid.

    Enter it (`async with`, or through the middleware's lifespan) and a background loop keeps them
    fresh. Without that it fetches on demand, just as correctly.

    Args:
        accounts: the accounts.
        store: where records live: an address (`memory:`) or a `Store`. It may be left out unless an
            account uses the old endpoint, where a second store means a second fetcher.
        on_token: hears a `TokenEvent` for each new access token that this process fetched.
        on_ticket: the same for tickets.
        on_error: hears an `ErrorEvent` for each fetch of this process that failed.
        namespace: keeps the records of several services in one store apart.
        fetches: how many fetches may be in flight at a time.
        lease: seconds after which another process takes over a fetch whose holder is gone, at least 1. All
            that a fetch takes, its request included, must end within two thirds of it.
        ask_every: seconds between two asks of a stable token; longer by itself for very many accounts.
        probe_every: seconds between two probes of an access token, 60 to 86400: cheap calls that show
            whether WeChat still takes it, so that one that died early is replaced. None or 0: no probes.
        transport: replaces the network, for tests.
        clock: time and chance, for tests.
        kinds: the table of kinds.

    Attributes:
        accounts: the accounts in force.
        open: the background loop runs.
        draining: the process is about to end; readiness is red.
        beside: what else runs while it is open; read when it is opened.
        reloaded: called after each `reload`, before anything else happens.
        refused: called each time that WeChat refuses an account's configuration, such as its secret.

    Raises:
        ConfigError: an account or option is wrong; the message names it.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        store: str | Store | None = None,
        on_token: Hook | None = None,
        on_ticket: Hook | None = None,
        on_error: Hook | None = None,
        namespace: str = "wxtoken",
        fetches: int = 64,
        lease: float = LEASE_S,
        ask_every: float = policy.ASK_EVERY_S,
        probe_every: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        kinds: Kinds = KINDS,
    ) -> None:
        self.accounts = Accounts(accounts)
        self.beside: list[Callable[[], Awaitable[None]]] = []
        self.reloaded: list[Callable[[], None]] = []
        self.refused: list[Callable[[], None]] = []
        self.clock = clock or Clock()
        self.draining = False
        self.open = False
        self._transport = transport
        self._ask_every = options.seconds("ask_every", ask_every, least=1, most=LONGEST_ASK_S)
        kinds = with_probes(kinds, probe_every)
        self._registry = Registry(self.accounts, kinds, options.word("namespace", namespace))
        self._tasks = Tasks()
        self._hooks = Hooks(on_token=on_token, on_ticket=on_ticket, on_error=on_error, tasks=self._tasks)
        self._store_given = store is not None
        self._registry.check(store_given=self._store_given)
        store = store if isinstance(store, Store) else open_store(store or "memory:", clock=self.clock)
        lease_s = options.seconds("lease", lease, least=SHORTEST_LEASE_S, most=LONGEST_LEASE_S)
        self._link = Link(store, self.clock, tasks=self._tasks, lease_s=lease_s)
        self._keeper = Keeper(self._link, self.clock)
        self._refresher = Refresher(
            self._keeper,
            herald=Herald(self._hooks, self.clock),
            parent=self._parent_value,
            weixin=self._connections,
            ask_every_s=lambda: policy.ask_every(self._ask_every, self._registry.asked_often),
        )
        self._flights = Flights(
            self._fly,
            clock=self.clock,
            tasks=self._tasks,
            total=options.count("fetches", fetches, most=MOST_FETCHES),
            landed=self._landed,
        )
        self._waiter = Waiter(self._flights, self.clock, self._current)
        self._demand = OnDemand(self._keeper, self._flights)
        self._uses = Uses(self._open, self._close)
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"<TokenManager of {len(self.accounts)} accounts>"

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: it lies in the lifespan's state, which hypercorn's `ProxyFixMiddleware` copies whole."""
        return self

    # what users ask for

    async def access_token(self, app: str) -> str:
        """The access token of an account; no I/O while it is fresh.

        Args:
            app: the account's name or appid.

        Raises:
            UnknownAccount: there is no such account.
            NotReady, UpstreamRefused, BudgetSpent, StoreError: there is none now; the error says why.
        """
        return (await self.hold(self.entry(app, ACCESS_TOKEN))).value

    async def jsapi_ticket(self, app: str) -> str:
        """The ticket for the JS-SDK; kept fresh from its first demand on.

        Args:
            app: the account's name or appid.

        Raises:
            UnknownAccount: there is no such account.
            NoSuchCredential: the account can have no ticket (a mini program).
            NotReady, UpstreamRefused, BudgetSpent, StoreError: there is none now; the error says why.
        """
        return (await self.hold(self.entry(app, JSAPI_TICKET))).value

    async def js_config(self, app: str, url: str) -> jssdk.JsConfig:
        """What a page hands to `wx.config`, signed for its address.

        Args:
            app: the account's name or appid.
            url: the page's address; what follows `#` is left out.

        Raises:
            BadUrl: the address cannot be signed.
            HostNotAllowed: its host is not among the account's `js_domains`.
            WxTokenError: as for `jsapi_ticket`.
        """
        entry = self.entry(app, JSAPI_TICKET)
        page = jssdk.page_url(url)
        account = self.accounts.get(app) or entry.account
        if not jssdk.host_allowed(page, account.js_domains):
            msg = f"account {account.name}: the page's host is not in js_domains"
            raise HostNotAllowed(msg)
        ticket = (await self.hold(entry, page=True)).value
        timestamp = int(self.clock.time())
        return jssdk.js_config(account.appid, ticket, page, timestamp=timestamp, nonce=jssdk.nonce())

    async def refresh(self, app: str, kind: str = ACCESS_TOKEN, *, dead: str | None = None) -> str:
        """Ask for a new value.

        Those who ask together share one fetch; a minute after one that succeeded nothing is fetched.

        Args:
            app: the account's name or appid.
            kind: `access_token` or `jsapi_ticket`.
            dead: the value that WeChat does not take any more. Unless it is the current one, nothing
                is fetched.

        Returns:
            The value that is current then.

        Raises:
            UnknownAccount: there is no such account.
            BudgetSpent: too many refreshes were asked for in 24 hours.
            NotReady, UpstreamRefused, NoSuchCredential, StoreError: there is no new one; the error says why.
        """
        entry = self.entry(app, kind)
        if self._on_demand:
            await self._demand.compare(entry)
        await self._waiter.renew(entry, REFRESH_WAIT_S, dead=dead)
        return (entry.good(self.clock) or await self.hold(entry)).value

    async def reload(self, accounts: Iterable[Account]) -> None:
        """Serve these accounts from now on, and no others.

        Whoever reads meanwhile notices nothing: what is held of a credential that stays is served on, under
        another name and with another secret too. A new secret is tried at once where the old one was refused,
        a new account is fetched at once, and one that is not listed any more is unknown from then on; its
        records stay in the store. A fetch under way ends with the secret that it began with.

        Args:
            accounts: all accounts, also those that stay as they are.

        Raises:
            ConfigError: an account is wrong; then everything is as it was.
            WrongLoop: the manager is open in another event loop.
        """
        accounts = tuple(accounts)
        async with self._uses.alone():
            registry = self._registry.next(accounts)
            registry.check(store_given=self._store_given)
            if self.open:
                look_around(self._link.store, registry.dooming)
            new = registry.take_over(self.clock.monotonic())
            self._registry, self.accounts = registry, registry.accounts
            if self._loop is not None:
                self._loop.replace(registry, new)
            for tell in self.reloaded:
                tell()

    def statistics(self) -> Statistics:
        """How things are, without any secret."""
        tried = [entry for entry in self._registry.entries.values() if entry.tried or entry.wanted]
        return Statistics(
            open=self.open,
            fetching=len(self._flights),
            waiting=self._waiter.waiting,
            store_away=self._link.away,
            credentials=tuple(CredentialStatistics.of(entry, self.clock) for entry in tried),
        )

    @property
    def ready(self) -> bool:
        """Whether each credential was tried once, or 5 s have passed; False while shutting down."""
        if self.draining:
            return False
        session = self._session
        if session is None or self.clock.monotonic() - session.since >= READY_WAIT_S:
            return True
        return all(entry.tried or entry.kind.watches for entry in self._registry.wanted)

    # what the package's own rooms ask for

    def entry(self, app: str, kind: str) -> Entry:
        """The entry of a credential.

        Raises:
            UnknownAccount: there is no such account.
            NoSuchCredential: its endpoint knows no such kind.
        """
        found = self._registry.found.get(kind, {}).get(app)
        if found is not None:
            return found
        account = self.accounts.get(app)
        if account is None:
            raise UnknownAccount(app)
        msg = f"account {account.name} can have no {kind}"
        raise NoSuchCredential(msg, account=account.name)

    def serves(self, entry: Entry, app: str) -> bool:
        """Whether this is the entry that `app` means now."""
        return self._registry.found.get(entry.kind.name, {}).get(app) is entry

    def fresh(self, entry: Entry) -> Held | None:
        """The held value, if it can be handed out without looking any further."""
        held, clock = entry.held, self.clock
        if held is None or not self.open:
            return None
        return held if held.end > clock.monotonic() and held.wall_end > clock.time() else None

    async def hold(self, entry: Entry, *, page: bool = False) -> Held:
        """A value that is good now, waited for if need be.

        Args:
            entry: the credential.
            page: a page asks, which anybody can open.

        Raises:
            WxTokenError: there is none; the error says why.
        """
        held = self.fresh(entry)
        if held is not None:
            return held
        if self._on_demand:
            await self._demand.compare(entry)
            await self._demand.renew_due(entry, READ_WAIT_S)
        held = entry.good(self.clock)
        return held if held is not None else await self._waiter.wait(entry, READ_WAIT_S, page=page)

    @property
    def _on_demand(self) -> bool:
        return not self.open and not self._flights.closed

    # flights

    async def _fly(self, entry: Entry, flight: Flight) -> None:
        while True:
            asked_with = entry.account.fingerprint
            try:
                await self._refresher.fly(entry, flight, lambda: self._place(entry, flight))
            except UpstreamRefused:
                if entry.account.fingerprint == asked_with:
                    raise
            else:
                return

    @asynccontextmanager
    async def _place(self, entry: Entry, flight: Flight) -> AsyncIterator[None]:
        """A place among the fetches in flight; a reload meanwhile takes effect at its end."""
        try:
            async with self._flights.place(entry, flight):
                if not self._registry.holds(entry):
                    raise self._registry.gone(entry)
                yield
        finally:
            self._registry.settle(entry)

    def _landed(self, entry: Entry, flight: Flight) -> None:
        if self._loop is not None:
            self._loop.landed(entry, flight)
        if isinstance(flight.error, UpstreamRefused) and entry.error and entry.error.cls == "permanent":
            for tell in self.refused:
                tell()

    def _current(self, entry: Entry) -> Entry:
        return self._registry.current(entry)

    async def _parent_value(self, entry: Entry, dead: str | None) -> str:
        if dead is not None:
            await self._waiter.renew(entry, REFRESH_WAIT_S, dead=dead, found=True)
        held = entry.good(self.clock)
        return (held if held is not None else await self._waiter.wait(entry, REFRESH_WAIT_S)).value

    def _connections(self) -> AbstractAsyncContextManager[Weixin]:
        if self._session is not None and self._uses.at_home:
            return _borrowed(self._session.weixin)
        return Weixin(self._transport)

    # open and close

    async def __aenter__(self) -> Self:
        await self._uses.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._uses.leave()

    @property
    def _loop(self) -> Loop | None:
        return self._session.loop if self._session is not None else None

    async def _open(self) -> None:
        self.clock.reseed()
        self.draining = False
        for warning in look_around(self._link.store, self._registry.dooming):
            logger.warning("%s", warning)
        loop = Loop(self._registry, keeper=self._keeper, flights=self._flights, beside=self.beside)
        session = Session(loop, Weixin(self._transport), self._keeper, self._flights, self._hooks)
        await session.open()
        self._session, self.open = session, True
        session.run(self._tasks)

    async def _close(self) -> None:
        session = cast("Session", self._session)
        self.draining = True
        try:
            await session.stop()
            self._flights.closed = True
            self._session, self.open = None, False
            await session.close(fetch_s=SHUTDOWN_FETCH_S, hooks_s=SHUTDOWN_HOOKS_S, store_s=SHUTDOWN_STORE_S)
        finally:
            self._flights.closed = False


@asynccontextmanager
async def _borrowed(weixin: Weixin) -> AsyncIterator[Weixin]:
    yield weixin
