"""Accounts and clients, built of their tables: what is missing or wrong is blamed on where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.clients import TRUSTED, Client
from wxtoken_asgi.config.assembly import resolve
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.layers import Entries, Tables, complaint
from wxtoken_asgi.config.sections import ACCOUNTS, CLIENTS, Section, closest
from wxtoken_asgi.config.settings import ACCOUNT, TOP
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import HIDDEN, MARK, shown
from wxtoken_asgi.records import Account

_SHARED: Final = tuple(name for name in TOP if name in ACCOUNT)

Made = TypeVar("Made")


def check_shared(top: Entries) -> None:
    """Check at the top what holds for all accounts, so that the message names the top.

    Raises:
        ConfigError: a value is wrong.
    """
    for name in _SHARED:
        if name not in top:
            continue
        try:
            Account("top", appid="top", secret="top", **{name: top[name].value})  # noqa: S106 (no secret)
        except ConfigError as problem:
            raise complaint(top[name].origin, str(problem).removeprefix("account top: ")) from None


def build_accounts(tables: Tables, top: Entries, environ: Mapping[str, str], files: Files) -> Accounts:
    """Build the accounts of their own settings and those at the top.

    Args:
        tables: the accounts' settings.
        top: the settings at the top.
        environ: the environment, for `secret_env`.
        files: reads what `secret_file` names.

    Raises:
        ConfigError: a setting is missing or wrong, or two accounts cannot live together.
    """
    shared = {key: top[key] for key in _SHARED if key in top}
    site = _Site(ACCOUNTS, tables, environ, files, shared)
    return Accounts(site.build(name, Account) for name in tables)


def build_clients(
    tables: Tables, accounts: Accounts, environ: Mapping[str, str], files: Files
) -> tuple[Client, ...]:
    """Build the clients.

    Args:
        tables: the clients' settings.
        accounts: the accounts that they may name.
        environ: the environment.
        files: reads what `keys_file` names.

    Raises:
        ConfigError: a setting is missing or wrong, a key has two owners, or there is no such account.
    """
    _check_names(tables)
    site = _Site(CLIENTS, tables, environ, files)
    clients = tuple(site.build(name, _client) for name in tables)
    _check_keys(site, clients)
    for client in clients:
        _check_accounts(site, client, tuple(accounts.apps))
    return clients


def check_name(origin: str, name: str) -> None:
    """Refuse a client's name that means something else.

    Args:
        origin: where it stands, for messages.
        name: the name.

    Raises:
        ConfigError: it does.
    """
    if name.casefold() == TRUSTED:
        raise complaint(origin, "the setting trusted is called so; choose another name", CLIENTS.label(name))
    if name.casefold().startswith(MARK):
        raise complaint(origin, "its name must not begin as a key does", f"client {HIDDEN!r}")


def _check_names(tables: Tables) -> None:
    found: dict[str, str] = {}
    for name, table in tables.items():
        check_name(table.origin, name)
        other = found.setdefault(name.casefold(), name)
        if other != name:
            message = f"its name differs from that of {CLIENTS.label(other)} in letter case only"
            raise complaint(table.origin, message, CLIENTS.label(name))


def _client(name: str, *, keyless: bool = False, **values: Any) -> Client:
    """What a table of a client describes.

    Raises:
        ConfigError: a value is wrong, or it is not clear whether there is a key.
    """
    # A line with keys that was lost on the way must open nothing.
    if keyless and "keys" in values:
        wrong = "keyless: it excludes keys and keys_file"
    elif keyless and "networks" not in values:
        wrong = "keyless: it needs networks by which the client is known"
    elif not keyless and "keys" not in values:
        wrong = "keyless: if it is false there must be keys or keys_file"
    else:
        return Client(name, **values)
    raise ConfigError(f"{CLIENTS.label(name)}: {wrong}")


@dataclass(frozen=True, slots=True)
class _Site:
    """What tables of one sort are built of.

    Args:
        section: the sort.
        tables: the tables.
        environ: the environment.
        files: reads what stands in a file of its own.
        shared: what holds for all tables.
    """

    section: Section
    tables: Tables
    environ: Mapping[str, str]
    files: Files
    shared: Entries = field(default_factory=dict)

    def build(self, name: str, make: Callable[..., Made]) -> Made:
        """Make what a table describes.

        Raises:
            ConfigError: a setting is missing or wrong.
        """
        table, label = self.tables[name], self.section.label(name)
        entries = resolve(table.entries, self.section, self.environ, self.files, label)
        for keys, ways in self.section.needs:
            if not keys & entries.keys():
                raise complaint(table.origin, f"{ways} is missing{self._typo(name)}", label)
        values = {key: entry.value for key, entry in (self.shared | entries).items()}
        try:
            return make(name, **values)
        except ConfigError as problem:
            wrong = re.split(r"\W", str(problem).removeprefix(f"{label}: "), maxsplit=1)[0]
            raise complaint(self.origin(name, wrong), str(problem)) from None

    def origin(self, name: str, key: str) -> str:
        """Where a setting of a table stands, be it in a file of its own; else where the table does."""
        table = self.tables[name]
        places = [table.entries[form].origin for form in (key, f"{key}_file") if form in table.entries]
        return places[0] if places else table.origin

    def _typo(self, name: str) -> str:
        meant = closest(name, tuple(other for other in self.tables if other != name))
        return f"; did you mean {self.section.one} {meant}?" if meant else ""


def _check_keys(site: _Site, clients: tuple[Client, ...]) -> None:
    owners: dict[bytes, str] = {}
    for client in clients:
        for key in client.known_keys:
            owner = owners.setdefault(key.digest, client.name)
            if owner != client.name:
                message = f"keys: {key.id} is a key of {CLIENTS.label(owner)} already"
                raise complaint(site.origin(client.name, "keys"), message, CLIENTS.label(client.name))


def _check_accounts(site: _Site, client: Client, apps: tuple[str, ...]) -> None:
    for app in client.accounts:
        if app not in apps:
            meant = closest(app, apps)
            message = f"accounts: {shown(app)} is no account" + (f"; did you mean {meant}?" if meant else "")
            raise complaint(site.origin(client.name, "accounts"), message, CLIENTS.label(client.name))
