"""Where settings stand, for complaints of those who do not know it: an account, a manager, the middleware."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wxtoken_asgi.config.layers import Entries, Tables, complaint
from wxtoken_asgi.config.sections import Section
from wxtoken_asgi.errors import ConfigError

Places = Mapping[str, str]
"""The file or variable of `trusted`, of `account alpha: tickets`, and of `account alpha` as a whole."""


def places_of(top: Entries, tables: Mapping[Section, Tables]) -> Places:
    """Where everything stands.

    Args:
        top: the settings at the top.
        tables: the tables of each sort, with the environment's settings.
    """
    # The variable is how `--store` is handed on too; who gave the flag would not know it.
    places = {name: entry.origin for name, entry in top.items() if entry.origin != "WXTOKEN_STORE"}
    for section, found in tables.items():
        for name, table in found.items():
            label = section.label(name)
            places[label] = table.origin
            places |= {f"{label}: {key}": entry.origin for key, entry in table.entries.items()}
    return places


@contextmanager
def naming(places: Places) -> Iterator[None]:
    """Put the place before a complaint about a setting that has none yet.

    Raises:
        ConfigError: what the body has raised, with the place where that is known.
    """
    try:
        yield
    except ConfigError as problem:
        place = _place(places, str(problem))
        raise (complaint(place, str(problem)) if place else problem) from None


def _place(places: Places, message: str) -> str | None:
    """Where that stands of which a message speaks: `account alpha: tickets: ...` or `trusted: ...`."""
    subject, _, rest = message.partition(": ")
    setting = re.split(r"\W", rest, maxsplit=1)[0]
    return places.get(f"{subject}: {setting}", places.get(subject))
