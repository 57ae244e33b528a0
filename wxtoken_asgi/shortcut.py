"""The hot path: a fresh value as text, to a known caller who asks for nothing special.

It touches no store, lock, thread or network, and makes nothing but the messages. Whatever it does not
know, it leaves to the endpoints, which answer everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wxtoken_asgi.access import HTTP_1_1_OR_LATER, WATCHED, Access
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.manager import TokenManager


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer made once for each value.

    Args:
        entry: the credential.
        held: the value that it shows.
        headers: the answer's; to be copied, since whoever wraps us may change what it is sent.
        body: the value.
    """

    entry: Entry
    held: Held
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(repr=False)


class Shortcut:
    """Answers that are ready, by path.

    Args:
        tokens: the manager.
        access: who may read.
        prefix: below which the paths lie.
        words: for each kind of credential, the word in its path.

    Attributes:
        find: the answer to a request, given its path below `root_path` and its scope; None if it is not
            one for the short way.
    """

    def __init__(self, tokens: TokenManager, access: Access, prefix: str, words: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._words = words
        self._ready: dict[str, Ready] = {}
        self.find = _finder(self._ready, tokens, access)

    def put(self, entry: Entry, held: Held, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Have an answer ready from now on."""
        ready = Ready(entry, held, headers, body)
        word = self._words[entry.kind.name]
        for app in (entry.account.name, entry.account.appid):
            self._ready[f"{self._prefix}/{word}/{app}"] = ready


def _finder(
    ready: Mapping[str, Ready], tokens: TokenManager, access: Access
) -> Callable[[str, Mapping[str, Any]], Ready | None]:
    """One function that calls no other, with all it needs in its own cells.

    Under a server, where nothing is in the processor's caches, each call and look-up more is dear. What
    it says of the held value is what `TokenManager.fresh` says.
    """
    ready_at, strict_at, local, clock = ready.get, access.plain.get, access.local, tokens.clock
    wall, monotonic = clock.time, clock.monotonic
    special, modern = WATCHED | {b"if-none-match"}, HTTP_1_1_OR_LATER

    def find(path: str, scope: Mapping[str, Any]) -> Ready | None:
        found = ready_at(path)
        if found is None or scope["query_string"] or scope["method"] != "GET":
            return None
        host = None
        for name, value in scope["headers"]:
            if name in special:
                if host is not None or name != b"host":
                    return None
                host = value
        client = scope.get("client")
        strict = strict_at(client[0]) if client else None
        if strict is None or (strict and (host not in local or scope.get("http_version") not in modern)):
            return None
        held = found.held
        if found.entry.held is held and tokens.open and held.end > monotonic() and held.wall_end > wall():
            return found
        return None

    return find
