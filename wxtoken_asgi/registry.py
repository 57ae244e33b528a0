"""Which accounts a manager serves, and the entry of each credential that they can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.entries import Entry, wants
from wxtoken_asgi.errors import ConfigError, NotReady, UnknownAccount, WxTokenError
from wxtoken_asgi.keys import shown
from wxtoken_asgi.kinds import Kind, Kinds
from wxtoken_asgi.records import Account, Credential

GONE_S = 1.0


class Registry:
    """The entries of one set of accounts, which never changes: a reload puts another registry in its place.

    What is known of a credential outlives a reload: its entry goes over to the next registry. Only its
    account is exchanged, and that not while a fetch is under way: what WeChat says of the old secret is then
    remembered as said of that one.

    Args:
        accounts: the accounts.
        kinds: the table of kinds.
        namespace: keeps the records of several services in one store apart.
        before: the registry that this one replaces.

    Raises:
        ConfigError: an account names an endpoint or a ticket that the table of kinds does not have.

    Attributes:
        accounts: the accounts.
        entries: all entries, by credential.
        found: the entries of each kind, by account name and by appid.
        leaving: entries that are gone, but of which a fetch was under way: if they come back, it is theirs.
        wanted: those that are kept fresh from the start.
        asked_often: how many of them are asked for every few minutes: those that WeChat renews inside a
            window of its own.
    """

    __slots__ = (
        "_before",
        "_kinds",
        "_namespace",
        "_stayed",
        "accounts",
        "asked_often",
        "entries",
        "found",
        "leaving",
        "wanted",
    )

    def __init__(
        self, accounts: Iterable[Account], kinds: Kinds, namespace: str, before: Registry | None = None
    ) -> None:
        self.accounts = accounts if isinstance(accounts, Accounts) else Accounts(accounts)
        self.entries: dict[Credential, Entry] = {}
        self.found: dict[str, dict[str, Entry]] = {}
        self.wanted: list[Entry] = []
        self._kinds = kinds
        self._namespace = namespace
        self._stayed = before.entries if before is not None else {}
        self._before = self._stayed | (before.returning if before is not None else {})
        self.leaving: dict[Credential, Entry] = {}
        for account in self.accounts:
            self._add(account)
        self.asked_often = sum(entry.kind.policy.window_s > 0 for entry in self.wanted)

    def next(self, accounts: Iterable[Account]) -> Registry:
        """The registry of other accounts, which is to replace this one.

        Raises:
            ConfigError: the accounts are wrong; nothing has changed.
        """
        return Registry(accounts, self._kinds, self._namespace, self)

    @property
    def dooming(self) -> list[str]:
        """The names of the accounts whose every fetch of a token dooms the one before it."""
        return [
            account.name
            for account in self.accounts
            if any(kind.policy.destructive for kind in self._kinds[account.endpoint])
        ]

    def check(self, *, store_given: bool) -> None:
        """On the old endpoint a store of its own for each process would mean as many fetchers.

        Raises:
            ConfigError: an account uses the old endpoint, and nobody has said where its records are.
        """
        if store_given or not self.dooming:
            return
        account = next(account for account in self.accounts if account.name == self.dooming[0])
        msg = (
            f"account {account.name}: endpoint {account.endpoint!r} needs store to be written out: "
            "'memory:' if exactly one process serves it, else a shared one"
        )
        raise ConfigError(msg)

    @property
    def returning(self) -> dict[Credential, Entry]:
        """Those that have left, and of which a fetch is under way still."""
        return {key: entry for key, entry in self.leaving.items() if entry.flight is not None}

    def holds(self, entry: Entry) -> bool:
        """Whether this entry is one of its own."""
        return self.entries.get(entry.credential) is entry

    def current(self, entry: Entry) -> Entry:
        """The entry of this account and kind: another one, if a reload has changed the account's endpoint."""
        return self.found.get(entry.kind.name, {}).get(entry.credential.appid, entry)

    def gone(self, entry: Entry) -> WxTokenError:
        """What those hear who still wait for an entry that a reload has removed."""
        account = entry.account.name
        if self.accounts.get(account) is None:
            return UnknownAccount(account)
        return NotReady(f"{entry}: its configuration has changed", account=account, retry_in=GONE_S)

    def settle(self, entry: Entry) -> None:
        """Give an entry its account in force, unless a fetch is under way with the one before."""
        fetching = entry.flight is not None and entry.flight.placed
        account = self.accounts.get(entry.credential.appid)
        if account is not None and self.holds(entry) and not fetching:
            entry.account = account

    def take_over(self, now: float) -> list[Entry]:
        """Put it in the place of the one before.

        Args:
            now: the monotonic clock.

        Returns:
            The entries that the one before did not have; also those that had left, which heard no news.
        """
        new = [entry for key, entry in self.entries.items() if key not in self._stayed]
        for entry in self.entries.values():
            entry.parent = self._parent(entry.kind, entry.account)
            self.settle(entry)
        for entry in new:
            if entry.held is None:
                self._lend(entry, now)
        self.leaving = {
            key: entry
            for key, entry in self._before.items()
            if key not in self.entries and entry.flight is not None
        }
        self._before = self._stayed = {}
        return new

    def _add(self, account: Account) -> None:
        self._check(account)
        for kind in self._kinds[account.endpoint]:
            key = Credential(self._namespace, account.api_base, account.appid, account.endpoint, kind.name)
            entry = self._before.get(key)
            if entry is None:
                entry = Entry(account, kind, key, self._parent(kind, account))
            self.entries[key] = entry
            of_kind = self.found.setdefault(kind.name, {})
            of_kind[account.name] = of_kind[account.appid] = entry
            if wants(account, kind):
                self.wanted.append(entry)

    def _parent(self, kind: Kind, account: Account) -> Entry | None:
        return self.found[kind.parent][account.appid] if kind.parent is not None else None

    def _check(self, account: Account) -> None:
        if account.endpoint not in self._kinds:
            known = " or ".join(repr(name) for name in self._kinds)
            msg = f"account {account.name}: endpoint must be {known}, not {shown(account.endpoint)}"
            raise ConfigError(msg)
        names = {kind.name for kind in self._kinds[account.endpoint]}
        for word in account.tickets:
            if f"{word}_ticket" not in names:
                msg = f"account {account.name}: tickets: there is no ticket {shown(word)}"
                raise ConfigError(msg)

    def _lend(self, entry: Entry, now: float) -> None:
        """Where only the endpoint is another, serve what the old one's brought until there is a new value.

        The tokens of the two endpoints do not touch each other (WeChat's AccessToken.html), and a ticket
        belongs to the account whichever token it was asked with.
        """
        for endpoint in self._kinds:
            other = self._before.get(entry.credential._replace(endpoint=endpoint))
            if other is not None and other.held is not None:
                entry.held = replace(other.held, version=0, ask_at=now, lent=True)
