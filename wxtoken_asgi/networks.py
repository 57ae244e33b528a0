"""Sets of addresses, as settings list them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.forwarding import Address, parse_address
from wxtoken_asgi.keys import shown

UNIX: Final = "unix"
"""What a list writes for peers on a Unix socket: they have no address."""

_PREFIX = re.compile(r"[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of addresses, as a setting lists them.

    Args:
        members: the networks; single addresses are networks of one.
        unix: peers on a Unix socket belong to it.
    """

    members: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self.members)

    @classmethod
    def parse(cls, field: str, entries: Sequence[str]) -> Networks:
        """Read addresses, CIDR and `unix`; IPv4-mapped addresses count as IPv4.

        Args:
            field: the setting's name, for messages.
            entries: what it lists.

        Raises:
            ConfigError: an entry is wrong; the message names field and entry and says what to write.
        """
        listed = words(field, entries)
        return cls(tuple(_network(field, entry) for entry in listed if entry != UNIX), UNIX in listed)


def words(field: str, entries: object) -> Sequence[str]:
    """The entries, if they are a list of strings.

    Args:
        field: the setting's name, for messages.
        entries: what stands there.

    Raises:
        ConfigError: they are something else. The message says of what sort and not what: it may be a key.
    """
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
        raise ConfigError(f"{field}: {shown(entry)} is no address or network")
    if "%" in base:
        raise ConfigError(f"{field}: {shown(entry)} has a zone; write {shown(str(address) + slash + prefix)}")
    mapped = address.version == 4 and ":" in base
    offset = 96 if mapped else 0
    bits = int(prefix) if slash else address.max_prefixlen + offset
    slip = mapped and bits <= 32  # it counts the bits of the IPv4 address, but is written as an IPv6 one
    width = bits if slip else bits - offset
    if not 0 <= width <= address.max_prefixlen:
        raise ConfigError(f"{field}: {shown(entry)} is no address or network")
    network = ip_network((address, width), strict=False)
    if slip or network.network_address != address:
        raise ConfigError(
            f"{field}: {shown(entry)} has host bits set; write {str(network)!r} for the network "
            f"or {str(address)!r} for the one address"
        )
    return network
