"""The accounts of one manager, found by name or appid."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account


class Accounts:
    """Accounts that can live together: each `{app}` of a path means at most one of them.

    Args:
        accounts: the accounts, in the order in which they are shown.

    Raises:
        ConfigError: two of them have one name or one appid, or the name of one is the appid of another.
    """

    __slots__ = ("_accounts", "_by_app")

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = tuple(accounts)
        for account in self._accounts:
            _check_type(account)
        _check_names(self._accounts)
        _check_appids(self._accounts)
        self._by_app = {account.appid: account for account in self._accounts}
        self._by_app.update({account.name: account for account in self._accounts})

    def get(self, app: str) -> Account | None:
        """The account whose name or appid this is, or None."""
        return self._by_app.get(app)

    @property
    def apps(self) -> Collection[str]:
        """All names and appids."""
        return self._by_app.keys()

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def __repr__(self) -> str:
        return f"Accounts({', '.join(account.name for account in self._accounts)})"


def _check_type(account: object) -> None:
    if isinstance(account, Account):
        return
    # Only the type is shown: what was given instead may hold a secret.
    msg = f"accounts must be Account objects, not {type(account).__name__}"
    raise ConfigError(msg)


def _check_names(accounts: tuple[Account, ...]) -> None:
    seen: dict[str, str] = {}
    for account in accounts:
        key = account.name.casefold()
        if key in seen:
            raise ConfigError(_same_name(account.name, seen[key]))
        seen[key] = account.name


def _same_name(name: str, other: str) -> str:
    if name == other:
        return f"account {name}: name is taken by another account"
    return f"account {name}: name differs from account {other} in upper and lower case only"


def _check_appids(accounts: tuple[Account, ...]) -> None:
    owners: dict[str, str] = {}
    for account in accounts:
        if account.appid in owners:
            msg = f"account {account.name}: appid is the one of account {owners[account.appid]} already"
            raise ConfigError(msg)
        owners[account.appid] = account.name
    for account in accounts:
        owner = owners.get(account.name, account.name)
        if owner != account.name:
            msg = f"account {account.name}: name is the appid of account {owner}"
            raise ConfigError(msg)
