"""Accounts and clients, built of their tables: what is missing or wrong is blamed on where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.clients import Client, Clients
from wxtoken_asgi.config.assembly import resolve
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.layers import Entries, Tables, complaint
from wxtoken_asgi.config.sections import ACCOUNTS, CLIENTS, Section
from wxtoken_asgi.config.settings import ACCOUNT, TOP
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account
from wxtoken_asgi.spelling import meant

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
    site = _Site(CLIENTS, tables, environ, files)
    clients = Clients(accounts=accounts)

    def make(name: str, **values: Any) -> Client:
        return clients.add(_client(name, **values))

    return tuple(site.build(name, make) for name in tables)


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
                others = [other for other in self.tables if other != name]
                hint = meant(name, others, f"{self.section.one} ")
                raise complaint(table.origin, f"{ways} is missing{hint}", label)
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
