"""What `wxtoken serve` was told, as its workers hear of it, and the sandbox in WeChat's place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from wxtoken_asgi.command import place
from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account
from wxtoken_asgi.surroundings import HANDED_DOWN, Surroundings, in_kubernetes

_STORE: Final = ("WXTOKEN_STORE", "WXTOKEN_STORE_ENV", "WXTOKEN_STORE_FILE")


@dataclass(frozen=True, slots=True)
class Order:
    """What `wxtoken serve` was told. It holds no secret: workers get it through the environment.

    Args:
        path: the configuration file.
        flags: settings given as flags, without `store`, which may hold a password.
        sandbox: the sandbox's address, if it takes WeChat's place.
    """

    path: str | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    sandbox: str | None = None

    @classmethod
    def handed_down(cls) -> Order:
        """The order of the process that started this one, or an empty one."""
        return cls(**json.loads(os.environ.get(HANDED_DOWN, "{}")))

    @contextmanager
    def hand_down(self, store: str | None) -> Iterator[None]:
        """Put the order where workers find it, and a store given as a flag into the variable for it."""
        before = {name: os.environ.get(name) for name in (HANDED_DOWN, *_STORE)}
        after = dict(before, **{HANDED_DOWN: json.dumps(asdict(self))})
        if store is not None:
            after |= dict.fromkeys(_STORE) | {_STORE[0]: store}
        _set(after)
        try:
            yield
        finally:
            _set(before)

    def config(self, files: Files | None = None) -> Config:
        """The configuration, with a store, and the sandbox in WeChat's place if there is one.

        Args:
            files: remembers which files were read.

        Raises:
            ConfigError: it is wrong, has no account, has no place for its store, or would let workers doom
                one another's tokens.
        """
        config = load(self.path, overrides=self.flags, files=files or Files())
        if self.sandbox is not None:
            config = _on_sandbox(config, self.sandbox)
        if not config.accounts:
            msg = "accounts: there is none; write [accounts.NAME] into the --config file, or try --sandbox"
            raise ConfigError(msg)
        if config.store is None:
            config = replace(config, store=place.default_url())
        warnings(config)
        return config


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _on_sandbox(config: Config, address: str) -> Config:
    accounts = config.accounts or _demo_accounts(config)
    moved = tuple(replace(account, api_base=address, proxy=None) for account in accounts)
    return replace(config, accounts=moved, api_base=address, proxy=None)


def _demo_accounts(config: Config) -> tuple[Account, ...]:
    endpoint = "stable" if config.workers > 1 and not config.shares_store else "token"
    return (
        Account("alpha", "wx00000000000000a1", "sandbox", tickets=("jsapi",)),
        Account("beta", "wx00000000000000b2", "sandbox", endpoint, tickets=("jsapi",)),
    )


def warnings(config: Config) -> list[str]:
    """What an operator should hear of the configuration, as the parent says it once for all workers.

    Raises:
        ConfigError: workers would doom one another's tokens.
    """
    surroundings = Surroundings(config.workers, in_kubernetes(os.environ))
    found = surroundings.warnings(
        shared=config.shares_store,
        one_host=config.store is None or config.store.startswith(("memory:", "sqlite:")),
        dooming=[account.name for account in config.accounts if account.endpoint == "token"],
    )
    return [*config.notes, *found]
