"""Clients: programs that may ask, known by a key or by their networks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import Key
from wxtoken_asgi.networks import Networks, words

READ: Final = "read"
REFRESH: Final = "refresh"
CALL: Final = "call"
OPERATE: Final = "operate"
JS_CONFIG: Final = "js-config"
RIGHTS: Final = (READ, REFRESH, CALL, OPERATE, JS_CONFIG)

TRUSTED: Final = "trusted"
"""The client that the setting `trusted` is short for."""

_NAME: Final = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Client:
    """A program, or a group of programs, that may ask.

    Args:
        name: what logs call it: 1-64 letters, digits, `_`, `-`, `.`.
        keys: what `wxtoken key` printed beside its keys, `sha256:...`, perhaps with `until` and a date. Any
            of them will do, so a new one can be in use before the old one ends. Without any, whoever comes
            from its networks is this client.
        accounts: names or appids of the accounts that it may use; empty: all.
        may: what it may do: `read` tokens and tickets, `refresh` them, `call` WeChat through the gateway,
            `operate` (see how the service is), ask for a `js-config`.
        networks: where it must come from; empty: from anywhere, if it has a key.

    Raises:
        ConfigError: a value is wrong; the message names the client and the field.
    """

    name: str
    keys: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    may: tuple[str, ...] = (READ, REFRESH, JS_CONFIG)
    networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or not self.name.strip("."):
            msg = f"client {self.name!r}: name must be 1-64 letters, digits, '_', '-' or '.'"
            raise ConfigError(msg)
        for field in ("keys", "accounts", "may", "networks"):
            object.__setattr__(
                self, field, tuple(words(f"client {self.name}: {field}", getattr(self, field)))
            )
        _ = self.known_keys, self.known_networks
        for right in self.may:
            if right not in RIGHTS:
                msg = f"client {self.name}: may: {right[:40]!r} is none of {', '.join(RIGHTS)}"
                raise ConfigError(msg)
        if not self.keys and not self.networks and self.name != TRUSTED:
            msg = f"client {self.name}: it needs keys, or networks by which it is known"
            raise ConfigError(msg)

    @property
    def known_keys(self) -> tuple[Key, ...]:
        """Its keys, read."""
        return tuple(Key.parse(f"client {self.name}: keys", line) for line in self.keys)

    @property
    def known_networks(self) -> Networks:
        """Its networks, read."""
        field = TRUSTED if self.name == TRUSTED else f"client {self.name}: networks"
        return Networks.parse(field, self.networks)


def trusted_client(networks: Iterable[str]) -> Client:
    """The client that `trusted` is short for: it may do everything, for every account."""
    return Client(TRUSTED, may=RIGHTS, networks=words(TRUSTED, networks))  # type: ignore[arg-type]
