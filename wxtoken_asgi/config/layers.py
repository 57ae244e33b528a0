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
from wxtoken_asgi.config.sections import HEAD, NAMED, Section, misplaced
from wxtoken_asgi.config.settings import TOP
from wxtoken_asgi.config.shapes import Setting
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import hide, mask, shown
from wxtoken_asgi.spelling import closest

PREFIX: Final = "WXTOKEN_"
CONFIG: Final = "WXTOKEN_CONFIG"
KEY: Final = "WXTOKEN_KEY"
"""The key with which `wxtoken token` asks a server; it is no setting, but may stand beside them."""

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
    """The settings of an account or a client, and where it was named first."""

    origin: str
    entries: Entries = field(default_factory=dict)


Tables = dict[str, Table]


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one file: those at the top, and the tables of each sort by name."""

    top: Entries = field(default_factory=dict)
    tables: dict[Section, Tables] = field(default_factory=lambda: {section: {} for section in NAMED})


def complaint(origin: str, message: str, owner: str = "") -> ConfigError:
    """The one line that names where the value stands, the account or client, and the setting.

    A key or an AppSecret at a wrong place, be it as a name, is not in it.
    """
    said = mask(f"{owner}: {message}" if owner else message)
    return ConfigError(hide(f"{origin}: {said}"))


def read_file(path: Path, files: Files, *, included: bool = False) -> Layer:
    """Read one TOML file.

    Args:
        path: the file.
        files: reads it.
        included: whether another file includes it; then it may hold accounts and clients only.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds what is no setting.
    """
    origin = str(path)
    document = _parse(origin, read_text(path, files, partial(complaint, origin)))
    tables = {section: document.pop(section.tables, {}) for section in NAMED}
    if included and document:
        forms = " and ".join(section.form for section in NAMED)
        raise complaint(origin, f"{next(iter(document))}: an included file may hold {forms} only")
    found = {section: _tables(section, held, origin, path.parent) for section, held in tables.items()}
    return Layer(_entries(document, origin, path.parent), found)


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


def _tables(section: Section, held: object, origin: str, folder: Path) -> Tables:
    if not isinstance(held, dict):
        example = section.form.replace("NAME", "alpha")
        raise complaint(origin, f"{section.tables} must be tables such as {example}")
    return {name: _table(section, name, table, origin, folder) for name, table in held.items()}


def _table(section: Section, name: str, table: object, origin: str, folder: Path) -> Table:
    owner = section.label(name)
    if not isinstance(table, dict):
        raise complaint(origin, f"must be a table, {section.form}", owner)
    return Table(origin, _entries(table, origin, folder, section, owner))


def _entries(
    table: Mapping[str, object], origin: str, folder: Path, section: Section = HEAD, owner: str = ""
) -> Entries:
    for key, value in table.items():
        row = section.rows.get(key)
        problem = row.complaint(value) if row else misplaced(key, section)
        if problem:
            raise complaint(origin, problem, owner)
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


def read_named_variables(
    section: Section, environ: Mapping[str, str], names: Collection[str], folder: Path
) -> Tables:
    """Read settings of accounts or clients, `WXTOKEN_ACCOUNTS__ALPHA__SECRET`, from the environment.

    Args:
        section: which sort of tables.
        environ: the environment.
        names: the tables in files. Letter case does not matter; `-` and `.` are written `_`.
        folder: what relative paths are relative to.

    Raises:
        ConfigError: a variable's name or value is wrong.
    """
    tables: Tables = {}
    for variable in sorted(name for name in environ if name.startswith(section.variables)):
        written, _, key = variable.removeprefix(section.variables).rpartition("__")
        if not written:
            raise complaint(variable, section.how)
        name = _meant(section, variable, written, names)
        owner = section.label(name)
        row = section.rows.get(key.lower())
        if row is None:
            raise complaint(variable, misplaced(key.lower(), section), owner)
        entry = _from_text(row, variable, environ[variable], folder, owner)
        tables.setdefault(name, Table(variable)).entries[row.name] = entry
    return tables


def _meant(section: Section, variable: str, written: str, names: Collection[str]) -> str:
    fits = [name for name in names if re.sub("[-.]", "_", name).casefold() == written.casefold()]
    if len(fits) > 1:
        raise complaint(variable, f"fits more than one {section.one}: {', '.join(fits)}")
    return fits[0] if fits else written.lower()


def _from_text(row: Setting, variable: str, text: str, folder: Path, owner: str = "") -> Entry:
    try:
        value = row.shape.read(text)
    except (ValueError, RecursionError):
        message = f"{row.name} must be {row.shape.name}" + ("" if row.secret else f", not {shown(text)}")
        raise complaint(variable, message + _link_hint(variable, text), owner) from None
    problem = row.complaint(value)
    if problem:
        raise complaint(variable, problem, owner)
    return Entry(value, variable, folder)


def check_variables(environ: Mapping[str, str], named: Collection[str]) -> None:
    """Refuse variables that begin with `WXTOKEN_` and are no setting.

    Args:
        environ: the environment.
        named: variables that `secret_env` and `store_env` name.

    Raises:
        ConfigError: a variable is no setting.
    """
    known = {CONFIG, KEY, *(PREFIX + name.upper() for name in TOP), *named}
    read = tuple(section.variables for section in NAMED)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable.startswith(read) or variable in known:
            continue
        msg = hide(mask(f"{variable} is no setting{_variable_hint(variable)}"))
        raise ConfigError(msg)


def _variable_hint(variable: str) -> str:
    for section in NAMED:
        if variable.startswith(PREFIX + section.one.upper()):
            return f"; {section.how}"
    close = closest(variable.removeprefix(PREFIX), (*TOP, "config"))
    if close:
        return f"; did you mean {PREFIX}{close.upper()}?"
    return _link_hint(variable, "tcp://")


def _link_hint(variable: str, text: str) -> str:
    # Kubernetes gives each pod such variables for a service named wxtoken, WXTOKEN_PORT=tcp://… among them.
    if _SERVICE_LINK.fullmatch(variable) and text.startswith(("tcp://", "udp://")):
        return "; it looks like a service link of Kubernetes: set enableServiceLinks to false"
    return ""
