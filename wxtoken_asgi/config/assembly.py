"""How layers of settings become one: what goes before what, and values that stand elsewhere."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from wxtoken_asgi.config.files import Files
from wxtoken_asgi.config.keyfile import written_keys
from wxtoken_asgi.config.layers import (
    Entries,
    Entry,
    Layer,
    Table,
    Tables,
    complaint,
    read_file,
    read_named_variables,
    read_text,
)
from wxtoken_asgi.config.sections import Section
from wxtoken_asgi.config.shapes import TEXT
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import is_marked, shown


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


def include(file: Layer, top: Entries, files: Files) -> dict[Section, Tables]:
    """Add the accounts and clients of the files that `include` names to those of the file itself.

    Raises:
        ConfigError: a file is missing or wrong, or an account or client stands in two of them.
    """
    found = {section: dict(tables) for section, tables in file.tables.items()}
    for path in _included(top["include"], files) if "include" in top else ():
        for section, tables in read_file(path, files, included=True).tables.items():
            _add(found[section], tables, section)
    return found


def _add(found: Tables, more: Tables, section: Section) -> None:
    for name, table in more.items():
        if name in found:
            message = f"stands in {found[name].origin} already"
            raise complaint(table.origin, message, section.label(name))
        found[name] = table


def with_variables(section: Section, tables: Tables, environ: Mapping[str, str], folder: Path) -> Tables:
    """Put the settings over those of files that the environment has for tables of a sort.

    Raises:
        ConfigError: a variable's name or value is wrong.
    """
    found = dict(tables)
    for name, table in read_named_variables(section, environ, tables, folder).items():
        lower = tables.get(name, Table(table.origin))
        found[name] = Table(lower.origin, over(lower.entries, table.entries))
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
    entries: Entries, section: Section, environ: Mapping[str, str], files: Files, owner: str = ""
) -> Entries:
    """Put a value in place that stands in an environment variable or in a file.

    Args:
        entries: settings that may hold `store`, `store_env` or `store_file`, or the like.
        section: says which setting it is.
        environ: the environment.
        files: reads what stands in a file.
        owner: whose setting it is, for messages.

    Raises:
        ConfigError: more than one of the three stands there, or what is named cannot be read.
    """
    name = section.apart
    given = [key for key in (name, f"{name}_env", f"{name}_file") if key in entries]
    rest = {key: entry for key, entry in entries.items() if key not in given}
    if not given:
        return rest
    key = given[-1]
    entry = entries[key]
    if len(given) > 1:
        raise complaint(entry.origin, f"{' and '.join(given)} exclude each other", owner)
    if key == name:
        return rest | {name: entry}
    row = section.rows[name]
    if key.endswith("_env"):
        value: object = _from_variable(key, entry, environ, owner)
    else:
        value = _from_file(key, entry, files, owner, _line if row.shape is TEXT else written_keys)
    problem = row.complaint(value) if value or row.shape is not TEXT else f"{key}: nothing stands there"
    if problem:
        raise complaint(entry.origin, problem, owner)
    if not value:
        files.notes.append(_nobody(entry, key, owner))
    return rest | {name: Entry(value, entry.origin, entry.folder)}


def _nobody(entry: Entry, key: str, owner: str) -> str:
    """An empty file of keys is no mistake: it is how the last key is revoked."""
    message = f"{key}: {_name(entry.value)} holds no key: nobody is this client"
    return str(complaint(entry.origin, message, owner))


def _from_variable(key: str, entry: Entry, environ: Mapping[str, str], owner: str) -> str:
    if entry.value in environ:
        return environ[entry.value]
    message = f"{key}: the environment variable {_name(entry.value)} is not set"
    raise complaint(entry.origin, message, owner)


def _from_file(key: str, entry: Entry, files: Files, owner: str, read: Callable[[str], object]) -> object:
    def wrong(reason: str) -> ConfigError:
        return complaint(entry.origin, f"{key}: {_name(entry.value)} {reason}", owner)

    text = read_text(entry.folder / entry.value, files, wrong)
    try:
        return read(text)
    except ConfigError as problem:
        raise wrong(str(problem)) from None


def _line(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _name(value: str) -> str:
    # Whoever took `secret_env` for `secret`, or `keys_file` for a key, finds no secret in the log.
    hidden = re.fullmatch(r"[0-9A-Za-z]{20,}", value) or "@" in value or is_marked(value)
    return "named there" if hidden else shown(value)
