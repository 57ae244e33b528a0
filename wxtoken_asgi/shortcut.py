"""The hot path: a fresh value as text, to a known caller who asks for nothing special.

It touches no store, lock, thread or network, and makes nothing but the messages. Whatever it does not
know, it leaves to the endpoints, which answer everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wxtoken_asgi.access import HTTP_1_1_OR_LATER, WATCHED, Access
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.manager import TokenManager

_SPECIAL: Final = WATCHED | {b"if-none-match"}
_REMEMBERED: Final = 1024


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
        self._tokens = tokens
        self._prefix = prefix
        self._words = words
        self._ready: dict[str, Ready] = {}
        self.find = _finder(self._ready, tokens, access)

    def put(self, entry: Entry, held: Held, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Have an answer ready from now on."""
        ready = Ready(entry, held, headers, body)
        kind = entry.kind.name
        for app in (entry.account.name, entry.account.appid):
            if self._tokens.serves(entry, app):  # a reload may have given the name to another account
                self._ready[f"{self._prefix}/{self._words[kind]}/{app}"] = ready


def _finder(
    ready: Mapping[str, Ready], tokens: TokenManager, access: Access
) -> Callable[[str, Mapping[str, Any]], Ready | None]:
    """One function with all it needs in its own cells, which calls next to nothing.

    Under a server, where nothing is in the processor's caches, each call and look-up more is dear. Hence
    who asks as it asked before is not examined again; and what is said here of the held value is what
    `TokenManager.fresh` says.
    """
    plain = _Plain(access)
    ready_at, known_at, examine = ready.get, plain.known.get, plain.examine
    wall, ticks = tokens.clock.time, tokens.clock.ticks

    def find(path: str, scope: Mapping[str, Any]) -> Ready | None:
        found = ready_at(path)
        if found is None or scope["method"] != "GET" or scope["query_string"]:
            return None
        client = scope.get("client")
        if not client:
            return None
        if known_at(client[0]) != (scope["headers"], scope.get("http_version")) and not examine(scope):
            return None
        held = found.held
        if found.entry.held is held and tokens.open and held.ticks_end > ticks() and held.wall_end > wall():
            return found
        return None

    return find


class _Plain:
    """Knows who is trusted and asks for nothing special.

    Args:
        access: who may read.

    Attributes:
        known: by peer, the headers and the HTTP version with which it last asked so. Whether it is
            trusted hangs on nothing else.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self.known: dict[object, tuple[list[tuple[bytes, bytes]], object]] = {}

    def examine(self, scope: Mapping[str, Any]) -> bool:
        """Whether this request is such a one."""
        access, peer, version = self._access, scope["client"][0], scope.get("http_version")
        strict = access.plain.get(peer)
        if strict is None:
            return False
        host = None
        for name, value in scope["headers"]:
            if name in _SPECIAL:
                if host is not None or name != b"host":
                    return False
                host = value
        if strict and (host not in access.local or version not in HTTP_1_1_OR_LATER):
            return False
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        self.known[peer] = ([(name, value) for name, value in scope["headers"]], version)  # a copy of our own
        return True
