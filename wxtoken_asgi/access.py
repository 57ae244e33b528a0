"""Who may do what: clients that are known by a key or by their networks.

A request that brings a key is that of the key's client, or nobody's: a wrong key is refused whatever its peer
may do without one. A request without a key is that of every client that is known by its networks and whose
networks it comes from (see `wxtoken_asgi.peers`); a web page's request (an `Origin`, or a `Sec-Fetch-Site`
other than `none`) is nobody's, since a page could use what its reader's address is trusted for.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from wxtoken_asgi.accounts import Accounts
from wxtoken_asgi.callers import Caller
from wxtoken_asgi.clients import READ, TRUSTED, Client, Clients, trusted_client
from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.forwarding import FORWARDING, parse_address
from wxtoken_asgi.keys import Key, digest_of, sent_key
from wxtoken_asgi.networks import Networks
from wxtoken_asgi.peers import REMEMBERED, SIGNS, Pairs, Peer, Peers, lines

DEFAULT_TRUSTED: Final = ("127.0.0.0/8", "::1")

WATCHED: Final = frozenset({b"host", b"origin", b"sec-fetch-site", b"authorization", *FORWARDING, *SIGNS})
"""The headers on which trust may hang."""

MOST_HEADERS: Final = 200
MOST_WRONG_KEYS: Final = 20
WRONG_KEYS_S: Final = 60.0
"""A peer that sends more wrong keys in such a time is told to stop; a right one is heard all the same."""

_NOBODY: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Known:
    """A client, made ready.

    Args:
        name: what logs call it.
        may: its rights.
        apps: names and appids of the accounts that it may use; None: all.
        networks: where it must come from; None: from anywhere.
    """

    name: str
    may: frozenset[str]
    apps: frozenset[str] | None
    networks: Networks | None

    @property
    def setting(self) -> str:
        """Where its networks are written down."""
        return TRUSTED if self.name == TRUSTED else f"the networks of client {self.name}"

    def allows(self, right: str, app: str) -> bool:
        """Whether it may do this with this account."""
        return right in self.may and (self.apps is None or app in self.apps)


class Refused(NamedTuple):
    """Nobody that may ask.

    Args:
        status: the HTTP status.
        reason: why, for the log; it quotes no header but valid addresses.
        caller: who asked, as far as that is known.
    """

    status: int
    reason: str
    caller: Caller


class Grant(NamedTuple):
    """Somebody who may ask.

    Args:
        clients: those that the caller is; with a key it is one.
        caller: who asks: the first of them.
    """

    clients: tuple[Known, ...]
    caller: Caller

    def allows(self, right: str, app: str) -> Caller | Refused:
        """Who asks, if one of the clients may do this with this account, or why none may.

        Args:
            right: what is to be done.
            app: the account's name or appid, as it was asked for.
        """
        for client in self.clients:
            if client.allows(right, app):
                return self.caller._replace(client=client.name)
        names = ", ".join(client.name for client in self.clients)
        reason = f"client {names} at {self.caller.address} may not {right} this account"
        return Refused(403, reason, self.caller)


class Plain(NamedTuple):
    """What the short way knows of a peer that is trusted by its address alone.

    Args:
        strict: it must name this machine as host, and speak HTTP/1.1 or later.
        client: who it is.
    """

    strict: bool
    client: Known


@dataclass(slots=True)
class _Wrong:
    """How many wrong keys a peer has sent since when."""

    since: float
    count: int = 0


class Access:
    """Judges requests.

    Args:
        trusted: addresses and networks that may do everything. `0.0.0.0/0` is everybody with IPv4, `unix`
            stands for peers on a Unix socket.
        trusted_proxies: peers whose forwarding headers are believed, and who must send some. Every address
            listed here can pretend to be any other.
        hosts: further names under which callers on this machine reach it: as in a `Host` header, without
            port.
        clients: further clients, with keys or known by their networks.
        accounts: those that clients' `accounts` name; None: none are named.
        clock: time, for the ends of keys.

    Attributes:
        plain: for the hot path: peers that may read if they send no header of `WATCHED` but one `host`.
        keyed: for the hot path: by digest, the keys of clients that may read from anywhere.
        local: what `host` headers have said so far that named this machine.

    Raises:
        ConfigError: a setting is wrong; one line that names the field and the entry.
    """

    def __init__(
        self,
        *,
        trusted: Sequence[str] = DEFAULT_TRUSTED,
        trusted_proxies: Sequence[str] = (),
        hosts: Sequence[str] = (),
        clients: Sequence[Client] = (),
        accounts: Accounts | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._peers = Peers(proxies=trusted_proxies, hosts=hosts)
        if not isinstance(clients, (list, tuple)) or not all(isinstance(one, Client) for one in clients):
            raise ConfigError("clients: must be a list of Client objects")
        together = Clients(clients)
        every = [trusted_client(trusted), *together]
        known = {client.name: _known(client, accounts) for client in every}
        self._by_address = tuple(known[client.name] for client in every if client.keys is None)
        self._by_key = {digest: (key, known[client.name]) for digest, (key, client) in together.keys.items()}
        self._wrong: dict[object, _Wrong] = {}
        self.plain: dict[object, Plain] = {}
        self.keyed = {
            digest: pair
            for digest, pair in self._by_key.items()
            if pair[1].networks is None and READ in pair[1].may
        }
        self.local = self._peers.local

    def refusal(self, scope: Mapping[str, Any]) -> str | None:
        """Why this request is nobody's who may ask for anything; None: it is somebody's."""
        judged = self.judge(scope)
        return judged.reason if isinstance(judged, Refused) else None

    def name_of(self, scope: Mapping[str, Any]) -> str:
        """The peer's address, as records write it."""
        return self._peers.meet(scope).name

    def judge(self, scope: Mapping[str, Any]) -> Grant | Refused:
        """Whose request this is.

        Args:
            scope: an ASGI scope of type http.
        """
        peer = self._peers.meet(scope)
        headers = list(scope["headers"])
        if len(headers) > MOST_HEADERS:
            return Refused(
                431, f"peer {peer.name} sent more than {MOST_HEADERS} headers", Caller(address=peer.name)
            )
        seen = [pair for pair in headers if pair[0] in WATCHED]
        keys = [key for line in lines(seen, b"authorization") if (key := sent_key(line)) is not None]
        if keys:
            return self._judge_key(keys, peer, seen, scope)
        return self._judge_address(peer, seen, scope)

    def _remember(self, client: Sequence[Any], peer: Peer) -> None:
        """Let the hot path know a peer that may read."""
        if peer.proxy:
            return
        if len(self.plain) >= REMEMBERED:
            self.plain.clear()
        for known in self._by_address:
            if READ in known.may and known.networks is not None and peer.within(known.networks):
                self.plain[client[0]] = Plain(peer.here, known)
                return

    # without a key

    def _judge_address(self, peer: Peer, seen: Pairs, scope: Mapping[str, Any]) -> Grant | Refused:
        caller = Caller(address=self._peers.address(peer, seen))
        reason = None
        clients: list[Known] = []
        for client in self._by_address:
            why = self._peers.refusal(peer, seen, scope, client.networks or Networks(), client.setting)
            reason = reason or why
            clients += [client] if why is None else []
        if not clients:
            return Refused(403, reason or "", caller)
        why = _page_refusal(peer, seen)
        if why is not None:
            return Refused(403, why, caller)
        if peer.address is not None and scope["client"][0] not in self.plain:
            self._remember(scope["client"], peer)
        return Grant(tuple(clients), caller._replace(client=clients[0].name))

    # with a key

    def _judge_key(
        self, keys: Sequence[bytes], peer: Peer, seen: Pairs, scope: Mapping[str, Any]
    ) -> Grant | Refused:
        address = self._peers.address(peer, seen)
        digest = digest_of(keys[0])
        key, client = self._by_key.get(digest, (Key(_NOBODY), None))
        right = hmac.compare_digest(key.digest, digest)
        caller = Caller(client.name if client else "", key.id if client else "", address)
        if client is None or not right or len(keys) > 1:
            return self._wrong_key(peer, caller)
        if key.until is not None and self._clock.time() >= key.until:
            return Refused(401, f"key {key.id} of client {client.name} has ended", caller)
        if client.networks is not None:
            reason = self._peers.refusal(peer, seen, scope, client.networks, client.setting)
            if reason is not None:
                return Refused(403, reason, caller)
        return Grant((client,), caller)

    def _wrong_key(self, peer: Peer, caller: Caller) -> Refused:
        """It costs no more than a right one, and whoever sends many is told to stop."""
        now = self._clock.monotonic()
        who = _counted_as(caller.address if peer.proxy else peer.name)
        sent = self._wrong.get(who)
        if sent is None or now - sent.since >= WRONG_KEYS_S:
            if len(self._wrong) >= REMEMBERED:
                self._wrong.clear()
            sent = self._wrong[who] = _Wrong(now)
        sent.count += 1
        status = 401 if sent.count <= MOST_WRONG_KEYS else 429
        return Refused(
            status, f"{caller.address or 'somebody'} sent a key that nobody has, or several", caller
        )


def _counted_as(name: str) -> str:
    """Whom an address is counted with: whoever has one of IPv6 has all those that begin alike."""
    address = parse_address(name)
    if address is None or address.version == 4:
        return name
    return str(ip_network((int(address) >> 64 << 64, 64)))


def _known(client: Client, accounts: Accounts | None) -> Known:
    networks = client.known_networks if client.networks or client.keys is None else None
    apps = None
    if client.accounts:
        found = [accounts.get(app) if accounts is not None else None for app in client.accounts]
        apps = frozenset(word for account in found if account for word in (account.name, account.appid))
    return Known(client.name, frozenset(client.may), apps, networks)


def _page_refusal(peer: Peer, seen: Pairs) -> str | None:
    """A browser can reach what its user's address is trusted for; a page it shows must not."""
    if lines(seen, b"origin"):
        return f"peer {peer.name} sent an Origin: trusted is not for web pages"
    if any(site != b"none" for site in lines(seen, b"sec-fetch-site")):
        return f"peer {peer.name} sent a Sec-Fetch-Site other than none: trusted is not for web pages"
    return None
