"""Who may read and refresh: networks, proxies, hosts.

The rules, in the order in which a request meets them:

1. The peer is an IP address, in `trusted` or in `trusted_proxies`.
2. It is no web page's request: no `Origin`, and `Sec-Fetch-Site` absent or `none`.
3. A trusted proxy says for whom it asks, in one forwarding header at least, and every kind of header that
   is there leads to a client in `trusted`. Any other peer may name only addresses in `trusted`.
4. A loopback peer that is no trusted proxy speaks HTTP/1.1 or later and names a host of this machine.

A further forwarding header can therefore only take trust away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.forwarding import FORWARDING, Address, from_the_right, parse_address

DEFAULT_TRUSTED: Final = ("127.0.0.0/8", "::1")

WATCHED: Final = frozenset({b"host", b"origin", b"sec-fetch-site", *FORWARDING})
"""The headers on which trust may hang."""

# Those that are good, not those that are bad: granian writes 1.0 as "1".
HTTP_1_1_OR_LATER: Final = frozenset({"1.1", "2", "2.0", "3", "3.0"})
_REMEMBERED = 4096

_PREFIX = re.compile(r"[0-9]{1,3}")
_HOST = re.compile(
    r"(\[[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45}\]|[0-9A-Za-z_][0-9A-Za-z_.-]{0,254})(:[0-9]{0,5})?"
)

_Pairs = Sequence[Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of addresses, as a setting lists them.

    Args:
        members: the networks; single addresses are networks of one.
    """

    members: tuple[IPv4Network | IPv6Network, ...]

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self.members)

    @classmethod
    def parse(cls, field: str, entries: Sequence[str]) -> Networks:
        """Read addresses and CIDR; IPv4-mapped ones count as IPv4.

        Args:
            field: the setting's name, for messages.
            entries: what it lists.

        Raises:
            ConfigError: an entry is wrong; the message names field and entry and says what to write.
        """
        return cls(tuple(_network(field, entry) for entry in _words(field, entries)))


@dataclass(frozen=True, slots=True)
class _Peer:
    """What its address alone says of a peer.

    Attributes:
        name: the address, for messages.
        direct: it asks for itself; False is a trusted proxy.
        loopback: it is on this machine.
        refusal: why it may do nothing, whatever it sends.
    """

    name: str
    direct: bool = False
    loopback: bool = False
    refusal: str | None = None


class Access:
    """Trust by address.

    Args:
        trusted: addresses and networks that may read and refresh. `0.0.0.0/0` is everybody.
        trusted_proxies: peers whose forwarding headers are believed, and who must send some. Every
            address listed here can pretend to be any other.
        hosts: further names under which callers on loopback reach this machine: as in a `Host` header,
            without port.

    Attributes:
        plain: for the hot path: peers that are trusted if they send no header of `WATCHED` but one `host`,
            and whether that must be one of `local` and the request HTTP/1.1 or later.
        local: what such `host` headers have said so far.

    Raises:
        ConfigError: a setting is wrong; one line that names the field and the entry.
    """

    def __init__(
        self,
        *,
        trusted: Sequence[str] = DEFAULT_TRUSTED,
        trusted_proxies: Sequence[str] = (),
        hosts: Sequence[str] = (),
    ) -> None:
        self._trusted = Networks.parse("trusted", trusted)
        self._proxies = Networks.parse("trusted_proxies", trusted_proxies)
        self._hosts = frozenset({"localhost", *(_host_entry(entry) for entry in _words("hosts", hosts))})
        self._peers: dict[object, _Peer] = {}
        self.plain: dict[object, bool] = {}
        self.local: set[bytes] = set()

    def refusal(self, scope: Mapping[str, Any]) -> str | None:
        """Why this request may not read and refresh.

        Args:
            scope: an ASGI scope of type http.

        Returns:
            None if it may; else a reason for the log, which quotes no header but valid addresses.
        """
        try:
            peer = self._peers[scope["client"][0]]
        except (KeyError, IndexError, TypeError):
            peer = self._meet(scope.get("client"))
        if peer.refusal is not None:
            return peer.refusal
        return self._examine(peer, [pair for pair in scope["headers"] if pair[0] in WATCHED], scope)

    def _meet(self, client: Any) -> _Peer:
        """Judge a peer that is not remembered, and remember it."""
        text = client[0] if client else None
        address = parse_address(text) if isinstance(text, str) else None
        if address is None:
            return _Peer("", refusal="the peer has no IP address, and trusted lists nothing else")
        if len(self._peers) >= _REMEMBERED:
            self._peers.clear()
            self.plain.clear()
        peer = self._peers[text] = self._judge(address)
        if peer.direct:
            self.plain[text] = peer.loopback
        return peer

    def _judge(self, address: Address) -> _Peer:
        name = str(address)
        if address in self._proxies:
            return _Peer(name)
        if address in self._trusted:
            return _Peer(name, direct=True, loopback=address.is_loopback)
        return _Peer(name, refusal=f"peer {name} is not in trusted")

    def _examine(self, peer: _Peer, seen: _Pairs, scope: Mapping[str, Any]) -> str | None:
        """What its headers say."""
        reason = _page_refusal(peer, seen)
        if reason is not None:
            return reason
        chains = {kind: lines for kind in FORWARDING if (lines := _lines(seen, kind))}
        if not peer.direct:
            return self._proxy_refusal(peer, chains)
        reason = self._loopback_refusal(peer, seen, scope) if peer.loopback else None
        return reason or self._chain_refusal(peer, chains)

    def _proxy_refusal(self, peer: _Peer, chains: Mapping[bytes, list[bytes]]) -> str | None:
        if not chains:
            return f"peer {peer.name} is in trusted_proxies, but sent no forwarding header"
        for kind, lines in chains.items():
            client = self._client(from_the_right(kind, lines))
            if client is None or client not in self._trusted:
                whom = client or "somebody unknown"
                return f"proxy {peer.name} asks for {whom} in {kind.decode()}, who is not in trusted"
        return None

    def _client(self, chain: Iterable[Address | None]) -> Address | None:
        """The first that is no proxy of ours, and if all are, the one farthest away."""
        client = None
        for client in chain:
            if client is None or client not in self._proxies:
                break
        return client

    def _chain_refusal(self, peer: _Peer, chains: Mapping[bytes, list[bytes]]) -> str | None:
        for kind, lines in chains.items():
            for address in from_the_right(kind, lines):
                if address is None or address not in self._trusted:
                    whom = address or "somebody unknown"
                    return (
                        f"peer {peer.name} is not in trusted_proxies, and names {whom} in {kind.decode()}, "
                        "who is not in trusted"
                    )
        return None

    def _loopback_refusal(self, peer: _Peer, seen: _Pairs, scope: Mapping[str, Any]) -> str | None:
        """Look for signs that a loopback peer asks for another.

        A proxy that is not told to forward the client's address shows it only by HTTP/1.0 (nginx before
        1.29.7) or by a `Host` that is not ours; so does a web page whose name was rebound to 127.0.0.1.
        """
        if scope.get("http_version") not in HTTP_1_1_OR_LATER:
            return f"peer {peer.name} speaks an HTTP before 1.1, as a proxy not in trusted_proxies may"
        hosts = _lines(seen, b"host")
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
        if len(self.local) >= _REMEMBERED:
            self.local.clear()
        self.local.add(value)
        return True


def _lines(seen: _Pairs, name: bytes) -> list[bytes]:
    return [pair[1] for pair in seen if pair[0] == name]


def _page_refusal(peer: _Peer, seen: _Pairs) -> str | None:
    """A browser can reach what its user's address is trusted for; a page it shows must not."""
    if _lines(seen, b"origin"):
        return f"peer {peer.name} sent an Origin: trusted is not for web pages"
    if any(site != b"none" for site in _lines(seen, b"sec-fetch-site")):
        return f"peer {peer.name} sent a Sec-Fetch-Site other than none: trusted is not for web pages"
    return None


def _words(field: str, entries: object) -> Sequence[str]:
    if isinstance(entries, str):
        raise ConfigError(f"{field}: must be a list, such as [{entries!r}], not a string")
    if not isinstance(entries, (list, tuple)):
        raise ConfigError(f"{field}: must be a list of strings, not {type(entries).__name__}")
    for entry in entries:
        if not isinstance(entry, str):
            raise ConfigError(f"{field}: must be a list of strings; {type(entry).__name__} is none")
    return entries


def _network(field: str, entry: str) -> IPv4Network | IPv6Network:
    base, slash, prefix = entry.partition("/")
    address = parse_address(base)
    if address is None or (slash and not _PREFIX.fullmatch(prefix)):
        raise ConfigError(f"{field}: {entry!r} is no address or network")
    if "%" in base:
        raise ConfigError(f"{field}: {entry!r} has a zone; write {str(address) + slash + prefix!r}")
    mapped = address.version == 4 and ":" in base
    offset = 96 if mapped else 0
    bits = int(prefix) if slash else address.max_prefixlen + offset
    slip = mapped and bits <= 32  # it counts the bits of the IPv4 address, but is written as an IPv6 one
    width = bits if slip else bits - offset
    if not 0 <= width <= address.max_prefixlen:
        raise ConfigError(f"{field}: {entry!r} is no address or network")
    network = ip_network((address, width), strict=False)
    if slip or network.network_address != address:
        raise ConfigError(
            f"{field}: {entry!r} has host bits set; write {str(network)!r} for the network "
            f"or {str(address)!r} for the one address"
        )
    return network


def _host_entry(entry: str) -> str:
    match = _HOST.fullmatch(entry)
    if match is None:
        raise ConfigError(f"hosts: {entry!r} is no host name (other scripts as xn--, IPv6 in brackets)")
    if match[2] is not None:
        raise ConfigError(f"hosts: {entry!r} must be without port; write {match[1]!r}")
    return _canonical(match[1])


def _canonical(host: str) -> str:
    return host.lower().removesuffix(".")
