"""Where settings come from: TOML files, the environment, flags. Each value remembers where it stood."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.settings import ACCOUNT, TOP, Setting, closest, misplaced
from wxtoken_asgi.config.shapes import shown
from wxtoken_asgi.errors import ConfigError

PREFIX: Final = "WXTOKEN_"
CONFIG: Final = "WXTOKEN_CONFIG"

_ACCOUNTS: Final = "WXTOKEN_ACCOUNTS__"
_HOW: Final = f"write {_ACCOUNTS}NAME__SETTING, with two underscores before each part"
_SERVICE_LINK: Final = re.compile(r"WXTOKEN_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)\w*)?)")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and where it stands.

    Args:
        value: the value, of the sort that its setting takes.
        origin: the file, the variable or the flag, for messages.
        folder: what a relative path in it is relative to.
    """

    value: Any = field(repr=False)
    origin: str
    folder: Path


Entries = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Table:
    """An account's settings, and where the account was named first."""

    origin: str
    entries: Entries = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one file: those at the top, and the accounts by name."""

    top: Entries = field(default_factory=dict)
    accounts: dict[str, Table] = field(default_factory=dict)


def complaint(origin: str, message: str, *, account: str | None = None) -> ConfigError:
    """The one line that names where the value stands, the account and the setting."""
    if account is None:
        return ConfigError(f"{origin}: {message}")
    name = account if re.fullmatch(r"[\w.-]+", account) else shown(account)
    return ConfigError(f"{origin}: account {name}: {message}")


def read_file(path: Path, files: Files, *, included: bool = False) -> Layer:
    """Read one TOML file.

    Args:
        path: the file.
        files: reads it.
        included: whether another file includes it; then it may hold accounts only.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds what is no setting.
    """
    origin = str(path)
    document = _parse(origin, read_text(path, files, partial(complaint, origin)))
    tables = document.pop("accounts", {})
    if included and document:
        raise complaint(origin, f"{next(iter(document))}: an included file may hold [accounts.NAME] only")
    if not isinstance(tables, dict):
        raise complaint(origin, "accounts must be tables such as [accounts.alpha]")
    accounts = {name: _account(name, table, origin, path.parent) for name, table in tables.items()}
    return Layer(_entries(document, origin, path.parent), accounts)


def read_text(path: Path, files: Files, wrong: Callable[[str], ConfigError]) -> str:
    """A file's text, without a byte order mark and with its newlines as they are.

    Args:
        path: the file.
        files: reads it.
        wrong: makes the error that is raised if it cannot be read, from the reason.
    """
    try:
        return files.read(path).decode("utf-8-sig")
    except OSError as problem:
        raise wrong(f"cannot be read: {problem.strerror}") from None
    except ValueError:
        # The error's own text quotes the bytes, which may be a secret's.
        raise wrong("cannot be read: it is no UTF-8 text") from None


def _parse(origin: str, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        last = f"at line {text.count(chr(10)) + 1}, the last one"
        raise complaint(origin, f"no TOML: {problem}".replace("at end of document", last)) from None
    except (RecursionError, ValueError):
        raise complaint(origin, "no TOML: a number or a nesting in it is too large") from None


def _account(name: str, table: object, origin: str, folder: Path) -> Table:
    if not isinstance(table, dict):
        raise complaint(origin, "must be a table, [accounts.NAME]", account=name)
    return Table(origin, _entries(table, origin, folder, account=name))


def _entries(
    table: Mapping[str, object], origin: str, folder: Path, *, account: str | None = None
) -> Entries:
    rows = TOP if account is None else ACCOUNT
    for key, value in table.items():
        problem = rows[key].complaint(value) if key in rows else misplaced(key, top=account is None)
        if problem:
            raise complaint(origin, problem, account=account)
    return {key: Entry(value, origin, folder) for key, value in table.items()}


def read_flags(flags: Mapping[str, object], folder: Path) -> Entries:
    """Take what a command line gave.

    Raises:
        ConfigError: a value is wrong, or there is no such setting.
    """
    entries: Entries = {}
    for name, value in flags.items():
        entries |= _entries({name: value}, f"--{name.replace('_', '-')}", folder)
    return entries


def read_variables(environ: Mapping[str, str], folder: Path) -> Entries:
    """Read the settings of the top from the environment, `WXTOKEN_PREFIX`.

    Raises:
        ConfigError: a variable's value is wrong.
    """
    entries: Entries = {}
    for name, row in TOP.items():
        variable = PREFIX + name.upper()
        if variable in environ:
            entries[name] = _from_text(row, variable, environ[variable], folder)
    return entries


def read_account_variables(
    environ: Mapping[str, str], names: Collection[str], folder: Path
) -> dict[str, Table]:
    """Read accounts' settings, `WXTOKEN_ACCOUNTS__ALPHA__SECRET`, from the environment.

    Args:
        environ: the environment.
        names: the accounts that files name. Letter case does not matter; `-` and `.` are written `_`.
        folder: what relative paths are relative to.

    Raises:
        ConfigError: a variable's name or value is wrong.
    """
    accounts: dict[str, Table] = {}
    for variable in sorted(name for name in environ if name.startswith(_ACCOUNTS)):
        written, _, key = variable.removeprefix(_ACCOUNTS).rpartition("__")
        if not written:
            raise complaint(variable, _HOW)
        name = _meant(variable, written, names)
        row = ACCOUNT.get(key.lower())
        if row is None:
            raise complaint(variable, misplaced(key.lower(), top=False), account=name)
        entry = _from_text(row, variable, environ[variable], folder, account=name)
        accounts.setdefault(name, Table(variable)).entries[row.name] = entry
    return accounts


def _meant(variable: str, written: str, names: Collection[str]) -> str:
    fits = [name for name in names if re.sub("[-.]", "_", name).casefold() == written.casefold()]
    if len(fits) > 1:
        raise complaint(variable, f"fits more than one account: {', '.join(fits)}")
    return fits[0] if fits else written.lower()


def _from_text(row: Setting, variable: str, text: str, folder: Path, *, account: str | None = None) -> Entry:
    try:
        value = row.shape.read(text)
    except (ValueError, RecursionError):
        message = f"{row.name} must be {row.shape.name}, not {shown(text)}"
        raise complaint(variable, message + _link_hint(variable, text), account=account) from None
    problem = row.complaint(value)
    if problem:
        raise complaint(variable, problem, account=account)
    return Entry(value, variable, folder)


def check_variables(environ: Mapping[str, str], named: Collection[str]) -> None:
    """Refuse variables that begin with `WXTOKEN_` and are no setting.

    Args:
        environ: the environment.
        named: variables that `secret_env` and `store_env` name.

    Raises:
        ConfigError: a variable is no setting.
    """
    known = {CONFIG, *(PREFIX + name.upper() for name in TOP), *named}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable.startswith(_ACCOUNTS) or variable in known:
            continue
        msg = f"{variable} is no setting{_variable_hint(variable)}"
        raise ConfigError(msg)


def _variable_hint(variable: str) -> str:
    if variable.startswith("WXTOKEN_ACCOUNT"):
        return f"; {_HOW}"
    meant = closest(variable.removeprefix(PREFIX), (*TOP, "config"))
    if meant:
        return f"; did you mean {PREFIX}{meant.upper()}?"
    return _link_hint(variable, "tcp://")


def _link_hint(variable: str, text: str) -> str:
    # Kubernetes gives each pod such variables for a service named wxtoken, WXTOKEN_PORT=tcp://… among them.
    if _SERVICE_LINK.fullmatch(variable) and text.startswith(("tcp://", "udp://")):
        return "; it looks like a service link of Kubernetes: set enableServiceLinks to false"
    return ""
