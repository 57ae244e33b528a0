"""Where a request comes from: the peer, and what forwarding headers say of those behind it.

Whether that is one of a set of networks is decided by these rules:

1. The peer is in the set, or in `trusted_proxies`.
2. A trusted proxy says for whom it asks, in one forwarding header at least, and every kind of header that
   is there leads to a client in the set. Any other peer may name only addresses in the set.
3. A peer on this machine (loopback, or a Unix socket) that is no trusted proxy speaks HTTP/1.1 or later,
   names a host of this machine, and sends nothing that only proxies send.
4. A peer that the server itself has put there, out of a forwarding header, counts only if a proxy on this
   machine is listed (uvicorn, by its default, does so for such proxies alone), and if the headers name
   nobody but members of the set and listed proxies.

A further forwarding header can therefore only take trust away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.forwarding import FORWARDING, Address, from_the_right, parse_address
from wxtoken_asgi.keys import shown
from wxtoken_asgi.networks import UNIX, Networks, words

# Those that are good, not those that are bad: granian writes 1.0 as "1".
HTTP_1_1_OR_LATER: Final = frozenset({"1.1", "2", "2.0", "3", "3.0"})
REMEMBERED: Final = 4096

SIGNS: Final = frozenset(
    {b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-forwarded-server"}
)
"""They name no client, but only proxies send them."""

_HOST = re.compile(
    r"(\[[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45}\]|[0-9A-Za-z_][0-9A-Za-z_.-]{0,254})(:[0-9]{0,5})?"
)

Pairs = Sequence[Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the connection, or said to be by the server.

    Args:
        name: the address, for messages and records.
        address: the same, read; None: it has none.
        proxy: it is in `trusted_proxies`.
        unix: it is on a Unix socket.
    """

    name: str
    address: Address | None = None
    proxy: bool = False
    unix: bool = False

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""
        return self.unix or (self.address is not None and self.address.is_loopback)

    def within(self, networks: Networks) -> bool:
        """Whether it belongs to these networks."""
        return networks.unix if self.unix else self.address is not None and self.address in networks


class Peers:
    """Tells where requests come from.

    Args:
        proxies: peers whose forwarding headers are believed, and who must send some. Every address listed
            here can pretend to be any other.
        hosts: further names under which callers on this machine reach it: as in a `Host` header, without
            port.

    Attributes:
        local: what `Host` headers have said so far that named this machine.

    Raises:
        ConfigError: a setting is wrong; one line that names the field and the entry.
    """

    def __init__(self, *, proxies: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        self._proxies = Networks.parse("trusted_proxies", proxies)
        self._before_us = any(network.is_loopback for network in self._proxies.members)
        self._hosts = frozenset({"localhost", *(_host_entry(entry) for entry in words("hosts", hosts))})
        self._met: dict[str, Peer] = {}
        self.local: set[bytes] = set()

    def meet(self, scope: Mapping[str, Any]) -> Peer:
        """The peer that a scope names.

        One without an address is on a Unix socket, unless the server listens on an address: then the
        connection was reset before the server asked who it is, and nobody knows.
        """
        client = scope.get("client")
        text = client[0] if client else None
        if not text:
            unix = not _listens_on_an_address(scope.get("server"))
            return Peer(UNIX, proxy=self._proxies.unix, unix=True) if unix else Peer("")
        if not isinstance(text, str):
            return Peer("")
        return self._met.get(text) or self._read(text)

    def _read(self, text: str) -> Peer:
        """A peer that is not remembered; if it has an address, it is remembered from now on."""
        address = parse_address(text)
        if address is None:
            return Peer("")
        if len(self._met) >= REMEMBERED:
            self._met.clear()
        peer = self._met[text] = Peer(str(address), address, proxy=address in self._proxies)
        return peer

    def refusal(
        self, peer: Peer, seen: Pairs, scope: Mapping[str, Any], networks: Networks, setting: str
    ) -> str | None:
        """Why a request does not come from these networks.

        Args:
            peer: the peer.
            seen: the forwarding headers and `Host`; others do no harm.
            scope: an ASGI scope of type http.
            networks: the set.
            setting: where the set is written down, for messages.

        Returns:
            None if it does; else a reason for the log, which quotes no header but valid addresses.
        """
        if peer.address is None and not peer.unix:
            return f"the peer has no IP address, and {setting} lists nothing else"
        if not peer.proxy and not peer.within(networks):
            return _stranger(peer, setting)
        chains = {kind: found for kind in FORWARDING if (found := lines(seen, kind))}
        if was_put(peer, chains, scope) and not self._before_us:
            return (
                f"the server itself has put {peer.name} in the peer's place; list the proxy in "
                "trusted_proxies, or switch the server's proxy handling off"
            )
        if peer.proxy and not chains:
            return f"peer {peer.name} is in trusted_proxies, but sent no forwarding header"
        if peer.proxy:
            return self._proxy_refusal(peer, chains, networks, setting)
        put = _port(scope) == 0 and not peer.unix
        reason = self._loopback_refusal(peer, seen, scope) if peer.here and not put else None
        return reason or _chain_refusal(peer, chains, (networks, self._proxies)[: 1 + put], setting)

    def address(self, peer: Peer, seen: Pairs) -> str:
        """Who asks, for records: the peer, or whom a trusted proxy names."""
        if not peer.proxy:
            return peer.name
        for kind in FORWARDING:
            chain = lines(seen, kind)
            client = self._client(from_the_right(kind, chain)) if chain else None
            if client is not None:
                return str(client)
        return peer.name

    def _proxy_refusal(
        self, peer: Peer, chains: Mapping[bytes, list[bytes]], networks: Networks, setting: str
    ) -> str | None:
        for kind, found in chains.items():
            client = self._client(from_the_right(kind, found))
            if client is None or client not in networks:
                whom = client or "somebody unknown"
                return f"proxy {peer.name} asks for {whom} in {kind.decode()}, who is not in {setting}"
        return None

    def _client(self, chain: Iterable[Address | None]) -> Address | None:
        """The first that is no proxy of ours, and if all are, the one farthest away."""
        client = None
        for client in chain:
            if client is None or client not in self._proxies:
                break
        return client

    def _loopback_refusal(self, peer: Peer, seen: Pairs, scope: Mapping[str, Any]) -> str | None:
        """Look for signs that a peer on this machine asks for another.

        A proxy that is not told to forward the client's address shows it only by HTTP/1.0 (nginx before
        1.29.7) or by a `Host` that is not ours; so does a web page whose name was rebound to 127.0.0.1.
        """
        if any(pair[0] in SIGNS for pair in seen):
            return f"peer {peer.name} sent what a proxy sends, and is not in trusted_proxies"
        if scope.get("http_version") not in HTTP_1_1_OR_LATER:
            return f"peer {peer.name} speaks an HTTP before 1.1, as a proxy not in trusted_proxies may"
        hosts = lines(seen, b"host")
        if len(hosts) != 1:
            return f"peer {peer.name} sent {'several' if hosts else 'no'} Host headers; see hosts"
        if not self._is_local(hosts[0]):
            return f"peer {peer.name} sent a Host that is no loopback address and not in hosts"
        return None

    def _is_local(self, value: bytes) -> bool:
        """Whether a `Host` names this machine. Only those that do are remembered: they are few and short."""
        if value in self.local:
            return True
        match = _HOST.fullmatch(value.decode("latin-1"))
        host = _canonical(match[1]) if match else ""
        address = parse_address(host.strip("[]"))
        if host not in self._hosts and (address is None or not address.is_loopback):
            return False
        if len(self.local) >= REMEMBERED:
            self.local.clear()
        self.local.add(value)
        return True


def was_put(peer: Peer, chains: Mapping[bytes, list[bytes]], scope: Mapping[str, Any]) -> bool:
    """Whether the server has put the peer there (uvicorn, hypercorn's ProxyFix, daphne, granian can).

    It then has port 0, or the one that the header names beside it; and it is named by the header. Whoever
    asks for himself names nobody, but a program on this machine may come through a proxy here that says so.
    """
    if peer.proxy or peer.address is None:
        return False
    if _port(scope) == 0:
        return True
    if peer.here:
        named = re.compile(rb":0*%s(?![0-9])" % str(_port(scope)).encode())
        return any(named.search(line) for found in chains.values() for line in found)
    return any(peer.address in from_the_right(kind, found) for kind, found in chains.items())


def _port(scope: Mapping[str, Any]) -> Any:
    client: Sequence[Any] = scope.get("client") or ()
    return client[1] if len(client) > 1 else None


def lines(seen: Pairs, name: bytes) -> list[bytes]:
    """All values under a header's name, in the order in which they came."""
    return [pair[1] for pair in seen if pair[0] == name]


def _listens_on_an_address(server: Any) -> bool:
    return bool(server) and isinstance(server[0], str) and parse_address(server[0]) is not None


def _stranger(peer: Peer, setting: str) -> str:
    if peer.unix:
        return f"the peer has no IP address, and {setting} does not list {UNIX!r}"
    return f"peer {peer.name} is not in {setting}"


def _chain_refusal(
    peer: Peer, chains: Mapping[bytes, list[bytes]], sets: Sequence[Networks], setting: str
) -> str | None:
    for kind, found in chains.items():
        for address in from_the_right(kind, found):
            if address is None or not any(address in networks for networks in sets):
                whom = address or "somebody unknown"
                return (
                    f"peer {peer.name} is not in trusted_proxies, and names {whom} in {kind.decode()}, "
                    f"who is not in {setting}"
                )
    return None


def _host_entry(entry: str) -> str:
    match = _HOST.fullmatch(entry)
    if match is None:
        raise ConfigError(f"hosts: {shown(entry)} is no host name (other scripts as xn--, IPv6 in brackets)")
    if match[2] is not None:
        raise ConfigError(f"hosts: {shown(entry)} must be without port; write {shown(match[1])}")
    return _canonical(match[1])


def _canonical(host: str) -> str:
    return host.lower().removesuffix(".")
