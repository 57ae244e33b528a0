"""How layers of settings become one: what goes before what, secrets that stand elsewhere, accounts."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.layers import Entries, Entry, Table, complaint, read_file, read_text
from wxtoken_asgi.config.settings import ACCOUNT, TOP, closest
from wxtoken_asgi.config.shapes import shown
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.records import Account

_SHARED: Final = tuple(name for name in TOP if name in ACCOUNT)


def over(lower: Entries, upper: Entries) -> Entries:
    """The upper entries go before the lower ones; any of the three forms of a secret before all of them."""
    taken = {_family(name) for name in upper}
    return {name: entry for name, entry in lower.items() if _family(name) not in taken} | upper


def _family(name: str) -> str:
    return name.removesuffix("_env").removesuffix("_file")


def named(*tables: Entries) -> set[str]:
    """The environment variables that `secret_env` and `store_env` name."""
    return {
        str(entry.value) for entries in tables for name, entry in entries.items() if name.endswith("_env")
    }


def include(tables: Mapping[str, Table], top: Entries, files: Files) -> dict[str, Table]:
    """Add the accounts of the files that `include` names.

    Raises:
        ConfigError: a file is missing or wrong, or an account stands in two of them.
    """
    found = dict(tables)
    for path in _included(top["include"], files) if "include" in top else ():
        for name, table in read_file(path, files, included=True).accounts.items():
            if name in found:
                raise complaint(table.origin, f"stands in {found[name].origin} already", account=name)
            found[name] = table
    return found


def _included(entry: Entry, files: Files) -> list[Path]:
    found: list[Path] = []
    for pattern in entry.value:
        # The folder's own brackets are no pattern.
        names = files.find(str(Path(glob.escape(str(entry.folder))) / pattern))
        if not names and not glob.has_magic(pattern):
            raise complaint(entry.origin, f"include: there is no file {shown(pattern)}")
        found += map(Path, names)
    return list(dict.fromkeys(found))


def resolve(
    entries: Entries, name: str, environ: Mapping[str, str], files: Files, *, account: str | None = None
) -> Entries:
    """Put a value in place that stands in an environment variable or in a file.

    Args:
        entries: settings that may hold `name`, `name_env` or `name_file`.
        name: `store` or `secret`.
        environ: the environment.
        files: reads what stands in a file.
        account: whose setting it is, for messages.

    Raises:
        ConfigError: more than one of the three stands there, or what is named cannot be read.
    """
    given = [key for key in (name, f"{name}_env", f"{name}_file") if key in entries]
    rest = {key: entry for key, entry in entries.items() if key not in given}
    if not given:
        return rest
    key = given[-1]
    entry = entries[key]
    if len(given) > 1:
        raise complaint(entry.origin, f"{' and '.join(given)} exclude each other", account=account)
    if key == name:
        return rest | {name: entry}
    if key.endswith("_env"):
        value = _from_variable(key, entry, environ, account)
    else:
        value = _from_file(key, entry, files, account)
    problem = (TOP | ACCOUNT)[name].complaint(value) if value else f"{key}: nothing stands there"
    if problem:
        raise complaint(entry.origin, problem, account=account)
    return rest | {name: Entry(value, entry.origin, entry.folder)}


def _from_variable(key: str, entry: Entry, environ: Mapping[str, str], account: str | None) -> str:
    if entry.value in environ:
        return environ[entry.value]
    message = f"{key}: the environment variable {_name(entry.value)} is not set"
    raise complaint(entry.origin, message, account=account)


def _from_file(key: str, entry: Entry, files: Files, account: str | None) -> str:
    def wrong(reason: str) -> ConfigError:
        return complaint(entry.origin, f"{key}: {_name(entry.value)} {reason}", account=account)

    text = read_text(entry.folder / entry.value, files, wrong)
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _name(value: str) -> str:
    # Whoever took `secret_env` for `secret`, or `store_env` for `store`, finds no secret in the log.
    return "named there" if re.fullmatch(r"[0-9A-Za-z]{20,}", value) or "@" in value else shown(value)


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


def build_account(
    name: str, tables: Mapping[str, Table], top: Entries, environ: Mapping[str, str], files: Files
) -> Account:
    """Build an account of its own settings and those at the top.

    Args:
        name: the account's name.
        tables: all accounts' settings.
        top: the settings at the top.
        environ: the environment, for `secret_env`.
        files: reads what `secret_file` names.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    table = tables[name]
    entries = resolve(table.entries, "secret", environ, files, account=name)
    for key, ways in (("appid", "appid"), ("secret", "secret, secret_env or secret_file")):
        if key not in entries:
            raise complaint(table.origin, f"{ways} is missing{_typo(name, tables)}", account=name)
    shared = {key: top[key] for key in _SHARED if key in top}
    values = {key: entry.value for key, entry in (shared | entries).items()}
    try:
        return Account(name, **values)
    except ConfigError as problem:
        message = str(problem).removeprefix(f"account {name}: ")
        entry = entries.get(message.partition(" ")[0])
        origin = entry.origin if entry else table.origin
        raise ConfigError(f"{origin}: {problem}") from None


def _typo(name: str, tables: Mapping[str, Table]) -> str:
    meant = closest(name, tuple(other for other in tables if other != name))
    return f"; did you mean account {meant}?" if meant else ""
