"""Clients: programs that may ask, known by a key or by their networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import MARK, Key, shown
from wxtoken_asgi.networks import Networks, words
from wxtoken_asgi.spelling import meant

READ: Final = "read"
REFRESH: Final = "refresh"
CALL: Final = "call"
OPERATE: Final = "operate"
JS_CONFIG: Final = "js-config"
RIGHTS: Final = (READ, REFRESH, CALL, OPERATE, JS_CONFIG)

TRUSTED: Final = "trusted"
"""The client that the setting `trusted` is short for."""

_TAKEN: Final = "the setting trusted is called so; choose another name"
_LISTS: Final = ("keys", "accounts", "may", "networks")
_NAME: Final = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Client:
    """A program, or a group of programs, that may ask.

    Args:
        name: what logs call it: 1-64 letters, digits, `_`, `-`, `.`. Neither `trusted` in any letter case
            nor what begins as a key does.
        keys: what `wxtoken key` printed beside its keys, `sha256:...`, perhaps with `until` and a date. Any
            of them will do, so a new one can be in use before the old one ends. None: whoever comes from its
            networks is this client. Empty: nobody is, for its keys are all revoked.
        accounts: names or appids of the accounts that it may use; empty: all.
        may: what it may do: `read` tokens and tickets, `refresh` them, `call` WeChat through the gateway,
            `operate` (see how the service is), ask for a `js-config`.
        networks: where it must come from; empty: from anywhere, with a key.

    Raises:
        ConfigError: a value is wrong; the message names the client and the field.
    """

    name: str
    keys: tuple[str, ...] | None = None
    accounts: tuple[str, ...] = ()
    may: tuple[str, ...] = (READ, REFRESH, JS_CONFIG)
    networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        fields = ("accounts", "may", "networks") if self.keys is None else _LISTS
        for field in fields:
            listed = words(f"client {self.name}: {field}", getattr(self, field))
            object.__setattr__(self, field, tuple(listed))
        _ = self.known_keys, self.known_networks
        for right in self.may:
            if right not in RIGHTS:
                msg = f"client {self.name}: may: {shown(right)} is none of {', '.join(RIGHTS)}"
                raise ConfigError(msg)
        if self.keys is None and not self.networks and self.name != TRUSTED:
            msg = f"client {self.name}: it needs keys, or networks by which it is known"
            raise ConfigError(msg)

    @property
    def known_keys(self) -> tuple[Key, ...]:
        """Its keys, read."""
        return tuple(Key.parse(f"client {self.name}: keys", line) for line in self.keys or ())

    @property
    def known_networks(self) -> Networks:
        """Its networks, read."""
        field = TRUSTED if self.name == TRUSTED else f"client {self.name}: networks"
        return Networks.parse(field, self.networks)


class Clients:
    """Clients that can live together: each name and each key is that of one of them.

    Args:
        clients: the clients, in the order in which they are asked.
        accounts: those that clients may name; None: that is not looked at.

    Attributes:
        keys: by its digest, each key and whose it is.

    Raises:
        ConfigError: one of them cannot be beside those before it, or names an account that is not there.
    """

    __slots__ = ("_accounts", "_by_name", "keys")

    def __init__(self, clients: Iterable[Client] = (), accounts: Accounts | None = None) -> None:
        self._accounts = accounts
        self._by_name: dict[str, Client] = {}
        self.keys: dict[bytes, tuple[Key, Client]] = {}
        for client in clients:
            self.add(client)

    def add(self, client: Client) -> Client:
        """Take in one more.

        Raises:
            ConfigError: as for the class; then nothing was changed.
        """
        self._check_name(client)
        self._check_keys(client)
        self._check_accounts(client)
        self._by_name[client.name.casefold()] = client
        for key in client.known_keys:  # one that stands there twice ends when both lines say so
            known = self.keys.get(key.digest)
            if known is None or known[0].ends_before(key):
                self.keys[key.digest] = (key, client)
        return client

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_name.values())

    def _check_name(self, client: Client) -> None:
        other = self._by_name.get(client.name.casefold())
        if client.name == TRUSTED:
            wrong = _TAKEN
        elif other is None:
            return
        elif other.name == client.name:
            wrong = "another client has this name"
        else:
            wrong = f"its name differs from that of client {other.name} in letter case only"
        msg = f"client {client.name}: {wrong}"
        raise ConfigError(msg)

    def _check_keys(self, client: Client) -> None:
        for key in client.known_keys:
            if key.digest in self.keys:
                owner = self.keys[key.digest][1].name
                msg = f"client {client.name}: keys: {key.id} is a key of client {owner} already"
                raise ConfigError(msg)

    def _check_accounts(self, client: Client) -> None:
        if self._accounts is None:
            return
        for app in client.accounts:
            if self._accounts.get(app) is None:
                hint = meant(app, self._accounts.apps)
                msg = f"client {client.name}: accounts: {shown(app)} is no account{hint}"
                raise ConfigError(msg)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.strip("."):
        msg = f"client {shown(name)}: name must be 1-64 letters, digits, '_', '-' or '.'"
    elif name.casefold().startswith(MARK):
        msg = f"client {shown(name)}: name must not begin as a key does"
    elif name != TRUSTED and name.casefold() == TRUSTED:
        msg = f"client {name}: {_TAKEN}"
    else:
        return
    raise ConfigError(msg)


def trusted_client(networks: Iterable[str]) -> Client:
    """The client that `trusted` is short for: it may do everything, for every account."""
    return Client(TRUSTED, may=RIGHTS, networks=words(TRUSTED, networks))  # type: ignore[arg-type]
