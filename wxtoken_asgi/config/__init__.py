"""The configuration: one TOML file, the files it includes, the environment and flags, checked as one."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from wxtoken_asgi.access import DEFAULT_TRUSTED
from wxtoken_asgi.clients import Client
from wxtoken_asgi.config.assembly import include, named, over, resolve, with_variables
from wxtoken_asgi.config.building import build_accounts, build_clients, check_shared
from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.layers import (
    CONFIG,
    Entries,
    Layer,
    check_variables,
    read_file,
    read_flags,
    read_variables,
)
from wxtoken_asgi.config.places import Places, naming, places_of
from wxtoken_asgi.config.sections import ACCOUNTS, CLIENTS, HEAD
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.manager import TokenManager
from wxtoken_asgi.middleware import WxTokenMiddleware
from wxtoken_asgi.records import DEFAULT_API_BASE, Account

logger = logging.getLogger("wxtoken_asgi")

_HOOKS: Final = ("on_token", "on_ticket", "on_error")
STREAMS: Final = ("stdout", "stderr")
"""What `audit_log` may be besides a file."""

_NO_FLAGS: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked; the table `wxtoken_asgi.config.settings.SETTINGS` says what each means.

    Args:
        store: the store's URL, or None where none was written.
        accounts: the accounts, with their secrets read and their defaults filled in.
        clients: the clients, with the lines of their keys.
        notes: what is odd but not wrong, in lines for a log.
        places: where settings stand, for messages of those who are built of them.
    """

    prefix: str = ""
    store: str | None = field(default=None, repr=False)
    trusted: tuple[str, ...] = DEFAULT_TRUSTED
    trusted_proxies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    namespace: str = "wxtoken"
    fetches: int = 64
    ask_every: float = 270.0
    probe_every: float = 0.0
    js_config_ticket: bool = False
    js_config_open: bool = True
    watch_every: float = 5.0
    hooks: str | None = None
    api_base: str = DEFAULT_API_BASE
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    host: str = "127.0.0.1"
    port: int = 8000
    js_config_host: str | None = None
    js_config_port: int | None = None
    audit_log: str | None = None
    workers: int = 1
    app: str | None = None
    accounts: tuple[Account, ...] = ()
    clients: tuple[Client, ...] = ()
    notes: tuple[str, ...] = ()
    places: Places = field(default_factory=dict, repr=False, compare=False)

    @property
    def shares_store(self) -> bool:
        """Whether other processes see what the store holds."""
        return self.store is not None and not self.store.startswith("memory:")

    def manager(self, **more: Any) -> TokenManager:
        """Build the manager.

        Args:
            **more: further options of `TokenManager`; they go before those of the configuration.

        Raises:
            ConfigError: the hooks cannot be imported, or the manager refuses an option.
        """
        options: dict[str, Any] = {
            "namespace": self.namespace,
            "fetches": self.fetches,
            "ask_every": self.ask_every,
            "probe_every": self.probe_every,
            **self.hook_functions(),
        }
        # The manager wants to know whether a store was written out.
        if self.store is not None:
            options["store"] = self.store
        with naming(self.places):
            return TokenManager(self.accounts, **(options | more))

    def middleware(self, app: Any = None, **more: Any) -> WxTokenMiddleware:
        """Build the middleware around an app, or alone.

        Args:
            app: the ASGI app to wrap.
            **more: further options of `WxTokenMiddleware`; they go before those of the configuration.

        Raises:
            ConfigError: the manager or the middleware refuses an option.
        """
        options: dict[str, Any] = {
            "prefix": self.prefix,
            "trusted": self.trusted,
            "trusted_proxies": self.trusted_proxies,
            "hosts": self.hosts,
            "js_config_ticket": self.js_config_ticket,
            "js_config_open": self.js_config_open,
            "clients": self.clients,
        }
        if "tokens" not in more:
            options["tokens"] = self.manager()
        with naming(self.places):
            return WxTokenMiddleware(app, **(options | more))

    def hook_functions(self) -> dict[str, Any]:
        """The functions that `hooks` names, as options of a manager.

        Raises:
            ConfigError: there are none. What their module itself raises passes.
        """
        if self.hooks is None:
            return {}
        holder = import_object("hooks", self.hooks)
        hooks = {name: getattr(holder, name) for name in _HOOKS if hasattr(holder, name)}
        if not hooks or not all(map(callable, hooks.values())):
            msg = f"hooks: {self.hooks} needs a function on_token, on_ticket or on_error"
            raise ConfigError(msg)
        return hooks


def load(
    path: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NO_FLAGS,
    files: Files | None = None,
) -> Config:
    """Read the configuration: flags go before the environment, and that before files.

    Args:
        path: the file; without one `WXTOKEN_CONFIG` names it, or there is none.
        environ: the environment; None for the process's own.
        overrides: settings of the top that a command line gave.
        files: remembers which files were read; whoever gives it tells of the configuration's notes, else
            the log does.

    Raises:
        ConfigError: something is wrong; one line that names the place, the account and the setting.
    """
    if files is not None:
        return _load(path, os.environ if environ is None else environ, overrides, files)
    config = _load(path, os.environ if environ is None else environ, overrides, Files())
    for note in config.notes:
        logger.warning("%s", note)
    return config


def _load(
    path: str | None, environ: Mapping[str, str], overrides: Mapping[str, object], files: Files
) -> Config:
    name = environ.get(CONFIG) if path is None else path
    file = Layer() if name is None else read_file(Path(name), files)
    folder = Path() if name is None else Path(name).parent
    top = over(over(file.top, read_variables(environ, folder)), read_flags(overrides, folder))
    check_shared(top)
    tables = {
        section: with_variables(section, found, environ, folder)
        for section, found in include(file, top, files).items()
    }
    places = places_of(top, tables)
    entries = [table.entries for found in tables.values() for table in found.values()]
    check_variables(environ, named(top, *entries))
    with naming(places):  # of two accounts that cannot live together
        accounts = build_accounts(tables[ACCOUNTS], top, environ, files)
    clients = build_clients(tables[CLIENTS], accounts, environ, files)
    values = _values(resolve(top, HEAD, environ, files))
    return Config(
        **values, accounts=tuple(accounts), clients=clients, notes=tuple(files.notes), places=places
    )


def _values(top: Entries) -> dict[str, Any]:
    values = {name: entry.value for name, entry in top.items() if name != "include"}
    audit = top.get("audit_log")
    if audit is not None and audit.value not in STREAMS:
        values["audit_log"] = str(audit.folder / audit.value)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def import_object(setting: str, target: str) -> Any:
    """Import what a setting names as `module:object`.

    Args:
        setting: the setting's name, for messages.
        target: the module, a colon, the object.

    Raises:
        ConfigError: there is no such module, or no such object in it. What the module itself raises passes.
    """
    module, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as problem:
        # A module that lacks another one is a crash of its own.
        if problem.name is None or not f"{module}.".startswith(f"{problem.name}."):
            raise
        msg = f"{setting}: there is no module {module!r} (looked for from {Path.cwd()})"
        raise ConfigError(msg) from None
    for part in path.split("."):
        if not hasattr(found, part):
            msg = f"{setting}: module {module!r} has no {path!r}"
            raise ConfigError(msg)
        found = getattr(found, part)
    return found
