"""The hot path: a fresh value as text, to a known caller who asks for nothing special.

It touches no store, lock, thread or network, and makes nothing but the messages. Whatever it does not
know, it leaves to the endpoints, which answer everything.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wxtoken_asgi.access import MOST_HEADERS, WATCHED, Access
from wxtoken_asgi.audit import Audit
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.entries import Entry, Held
from wxtoken_asgi.keys import digest_of, sent_key
from wxtoken_asgi.manager import TokenManager
from wxtoken_asgi.peers import HTTP_1_1_OR_LATER

_SPECIAL: Final = WATCHED | {b"if-none-match"}
_REMEMBERED: Final = 1024
_MOST_REMEMBERED: Final = 40
"""Of a request with more headers nothing is remembered."""


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


class Pass(NamedTuple):
    """Somebody who may read, and asks for nothing special.

    Args:
        caller: who asks.
        apps: names and appids of the accounts that the caller may use; None: all.
    """

    caller: Caller
    apps: frozenset[str] | None


class _Seen(NamedTuple):
    """How a peer asked last. Whether it may read hangs on nothing else."""

    headers: list[tuple[bytes, bytes]]
    version: object
    passed: Pass


class Shortcut:
    """Answers that are ready, by path.

    Args:
        tokens: the manager.
        access: who may read.
        audit: hears of reads.
        prefix: below which the paths lie.
        words: for each kind of credential, the word in its path.

    Attributes:
        find: the answer to a request, given its path below `root_path` and its scope; None if it is not
            one for the short way.
    """

    def __init__(
        self, tokens: TokenManager, access: Access, audit: Audit, prefix: str, words: Mapping[str, str]
    ) -> None:
        self._tokens = tokens
        self._prefix = prefix
        self._words = words
        self._ready: dict[str, Ready] = {}
        self.find = _finder(self._ready, tokens, access, audit)

    def put(self, entry: Entry, held: Held, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Have an answer ready from now on."""
        ready = Ready(entry, held, headers, body)
        kind = entry.kind.name
        for app in (entry.account.name, entry.account.appid):
            if self._tokens.serves(entry, app):  # a reload may have given the name to another account
                self._ready[f"{self._prefix}/{self._words[kind]}/{app}"] = ready


def _finder(
    ready: Mapping[str, Ready], tokens: TokenManager, access: Access, audit: Audit
) -> Callable[[str, Mapping[str, Any]], Ready | None]:
    """One function with all it needs in its own cells, which calls next to nothing.

    Under a server, where nothing is in the processor's caches, each call and look-up more is dear. Hence
    who asks as it asked before is not examined again; and what is said here of the held value is what
    `TokenManager.fresh` says.
    """
    passes = _Passes(access, tokens)
    ready_at, seen_at, examine = ready.get, passes.seen.get, passes.examine
    wall, monotonic = tokens.clock.time, tokens.clock.monotonic

    def find(path: str, scope: Mapping[str, Any]) -> Ready | None:
        found = ready_at(path)
        if found is None or scope["method"] != "GET" or scope["query_string"]:
            return None
        client = scope.get("client")
        if not client or client[-1] == 0:  # port 0: the server has put this peer there
            return None
        seen = seen_at(client[0])
        if seen is not None and seen[0] == scope["headers"] and seen[1] == scope.get("http_version"):
            caller, apps = seen[2]
        else:
            passed = examine(scope)
            if passed is None:
                return None
            caller, apps = passed
        held = found.held
        fresh = found.entry.held is held and held.end > monotonic() and held.wall_end > wall()
        if not fresh or not tokens.open or (apps is not None and found.entry.credential.appid not in apps):
            return None
        if audit.on:
            audit.read(caller, found.entry.account.name, found.entry.kind.name)
        return found

    return find


class _Passes:
    """Knows who may read and asks for nothing special.

    Args:
        access: who may read.
        tokens: the manager, whose clock says whether a key has ended.

    Attributes:
        seen: by peer, how it asked last. A request with a key is not remembered: comparing its headers
            would compare the key, and not in constant time.
    """

    def __init__(self, access: Access, tokens: TokenManager) -> None:
        self._access = access
        self._time = tokens.clock.time
        self.seen: dict[object, _Seen] = {}

    def examine(self, scope: Mapping[str, Any]) -> Pass | None:
        """Who asks, if the request is such a one."""
        host = key = None
        headers = scope["headers"]
        if not isinstance(headers, (list, tuple)):  # they may be there to be read once
            return None
        if len(headers) > MOST_HEADERS:
            return None
        for name, value in headers:
            if name not in _SPECIAL:
                continue
            if name == b"host" and host is None:
                host = value
            elif name == b"authorization" and key is None:
                key = sent_key(value)
                if key is None:
                    return None
            else:
                return None
        if key is not None:
            return self._by_key(key, scope)
        return self._plain(host, scope)

    def _by_key(self, key: bytes, scope: Mapping[str, Any]) -> Pass | None:
        digest = digest_of(key)
        found = self._access.keyed.get(digest)
        if found is None or not hmac.compare_digest(found[0].digest, digest):
            return None
        until = found[0].until
        if until is not None and self._time() >= until:
            return None
        return Pass(Caller(found[1].name, found[0].id, self._access.name_of(scope)), found[1].apps)

    def _plain(self, host: bytes | None, scope: Mapping[str, Any]) -> Pass | None:
        peer, version = scope["client"][0], scope.get("http_version")
        plain = self._access.plain.get(peer)
        if plain is None:
            return None
        if plain.strict and (host not in self._access.local or version not in HTTP_1_1_OR_LATER):
            return None
        passed = Pass(Caller(plain.client.name, "", self._access.name_of(scope)), plain.client.apps)
        if len(scope["headers"]) <= _MOST_REMEMBERED:
            headers = [(name, value) for name, value in scope["headers"]]  # a copy of our own
            if len(self.seen) >= _REMEMBERED:
                self.seen.clear()
            self.seen[peer] = _Seen(headers, version, passed)
        return passed
