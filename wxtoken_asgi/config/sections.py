"""The places where settings stand: the top of a file, `[accounts.NAME]` and `[clients.NAME]` tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.config.settings import ACCOUNT, CLIENT, SETTINGS, TOP
from wxtoken_asgi.config.shapes import Setting
from wxtoken_asgi.keys import shown
from wxtoken_asgi.spelling import meant


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The top, or tables of one sort.

    Args:
        rows: the settings that may stand there, by name.
        apart: the one of them that may stand in a file or a variable of its own.
        tables: below which name the tables are, such as `accounts`; empty: this is the top.
        one: what such a table is, in words.
        needs: what a table cannot do without: names of which one is enough, and how messages call them.
    """

    rows: Mapping[str, Setting]
    apart: str
    tables: str = ""
    one: str = ""
    needs: tuple[tuple[frozenset[str], str], ...] = ()

    @property
    def form(self) -> str:
        """How a file writes such a table."""
        return f"[{self.tables}.NAME]"

    @property
    def variables(self) -> str:
        """How variables with settings of such a table begin."""
        return f"WXTOKEN_{self.tables.upper()}__"

    @property
    def how(self) -> str:
        """How such a variable is called, as a hint."""
        return f"write {self.variables}NAME__SETTING, with two underscores before each part"

    def label(self, name: str) -> str:
        """What messages call a table: `account alpha`."""
        return f"{self.one} {_plain(name)}"


def _plain(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else shown(name)


HEAD: Final = Section(TOP, "store")
ACCOUNTS: Final = Section(
    ACCOUNT,
    "secret",
    "accounts",
    "account",
    (
        (frozenset({"appid"}), "appid"),
        (frozenset({"secret"}), "secret, secret_env or secret_file"),
    ),
)
CLIENTS: Final = Section(
    CLIENT,
    "keys",
    "clients",
    "client",
    ((frozenset({"keys", "keyless"}), "keys, keys_file or keyless = true"),),
)
NAMED: Final = (ACCOUNTS, CLIENTS)

# What the Node package `weixin-token` called them, in both spellings of its two READMEs.
_FORMER: Final = MappingProxyType(
    {
        "list": "[accounts.NAME] tables",
        "appname": "the NAME of [accounts.NAME]",
        "appid": "appid",
        "appsecret": "secret",
        "truship": "trusted",
        "trustip": "trusted",
        "savetoken": "hooks, with on_token",
        "saveticket": "hooks, with on_ticket",
        "onerror": "hooks, with on_error",
    }
)


def misplaced(key: str, section: Section) -> str:
    """What is wrong with a key that is no setting here, and what was meant perhaps.

    Args:
        key: the key as it was written.
        section: where it stands.
    """
    name = _plain(key)
    tables = tuple(other.tables for other in NAMED)
    if section is not HEAD and (key in TOP or key in tables):
        return f"{name} belongs at the top, above the first {section.form}"
    for other in NAMED:
        if key in other.rows:
            return f"{name} belongs into {_a(other.one)}'s table, {other.form}"
    known = (*section.rows, *(tables if section is HEAD else ()))
    former = _former(key, section)
    return f"{name} is no setting" + (f"; did you mean {former}?" if former else meant(key, known))


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _former(key: str, section: Section) -> str | None:
    return None if section is CLIENTS else _FORMER.get(key.lower())  # it knew no clients


def reference() -> Iterator[str]:
    """The table of settings as lines of Markdown."""
    yield "| setting | where | takes | default | meaning |"
    yield "|---|---|---|---|---|"
    for row in SETTINGS:
        default = "" if row.default is None else f"`{json.dumps(row.default)}`"
        yield f"| `{row.name}` | {row.where} | {row.shape.name} | {default} | {row.doc} |"
