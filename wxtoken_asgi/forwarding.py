"""Addresses as peers and proxies write them, and the chains of addresses in forwarding headers.

Whatever cannot be read as an address is None: somebody unknown. Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from typing import Final

Address = IPv4Address | IPv6Address

FORWARDED: Final = b"forwarded"
FORWARDING: Final = (b"x-forwarded-for", b"x-real-ip", FORWARDED)

# No honest chain is longer. The bounds keep hostile headers from costing more than about a millisecond.
_LONGEST_LINE = 4096
_MOST_HOPS = 64
_UNKNOWN = ""
_BLANK = " \t"
_TOKEN = r"!#$%&'*+.^_`|~0-9A-Za-z-"  # noqa: S105 - RFC 9110's word for the characters of a name

_NODE = re.compile(
    r"""
    (?: \[ (?P<v6> [0-9A-Fa-f]{0,4} : [^\[\]]{1,80} ) \] (?: : PORT )?
      | (?P<v4> [0-9.]{7,15} ) : PORT )
    """.replace("PORT", "(?: [0-9]{1,5} | _[0-9A-Za-z._-]+ )"),
    re.VERBOSE,
)
# Brackets and colons belong into quotes, but many programs leave the quotes out.
_PAIR = re.compile(rf'([{_TOKEN}]+)=(?:"((?:[^"\\]|\\.)*)"|([{_TOKEN}:\[\]]*))')
_ESCAPE = re.compile(r"\\(.)")


def parse_address(text: str) -> Address | None:
    """Read an IP literal; a zone id is dropped, an IPv4-mapped address becomes the IPv4 one.

    Args:
        text: the literal alone, without port or brackets.

    Returns:
        The address, or None where the text is none.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def from_the_right(kind: bytes, lines: Sequence[bytes]) -> Iterator[Address | None]:
    """The addresses in one kind of forwarding header, the nearest hop first.

    Lazy, because who walks it mostly stops after one or two steps.

    Args:
        kind: one of FORWARDING.
        lines: all values under this name, in the order they came; together they are one list.

    Yields:
        An address, or None for an entry that is none. A line of more than 4 KiB and everything beyond
        64 entries count as one such entry.
    """
    nodes = _nodes_from_the_right(kind, lines)
    for node in islice(nodes, _MOST_HOPS):
        yield _parse_node(node)
    for _ in islice(nodes, 1):
        yield None


def _nodes_from_the_right(kind: bytes, lines: Sequence[bytes]) -> Iterator[str]:
    read = _elements if kind == FORWARDED else _entries
    for line in reversed(lines):
        yield from reversed(read(line.decode("latin-1")) if len(line) <= _LONGEST_LINE else [_UNKNOWN])


def _parse_node(node: str) -> Address | None:
    """Read an address that may have a port, and then brackets around IPv6."""
    match = _NODE.fullmatch(node)
    return parse_address(node if match is None else match["v6"] or match["v4"])


def _entries(line: str) -> list[str]:
    """Split `X-Forwarded-For` or `X-Real-IP`, which nobody ever specified."""
    return [_bare(entry.strip(_BLANK)) for entry in line.split(",")]


def _bare(entry: str) -> str:
    if len(entry) > 1 and entry[0] == entry[-1] == '"':
        return entry[1:-1]
    return entry


def _elements(line: str) -> list[str]:
    """Split `Forwarded` (RFC 7239) into the values of `for`.

    Stricter than the RFC: commas and semicolons always separate, and one bad element spoils its line.
    With a quote that a caller leaves open, or one smuggled into `host=`, it could otherwise swallow
    what the proxy appends to the line, or forge an element of its own. No address needs either sign.
    """
    nodes = [_for_value(element) for element in line.split(",")]
    if None in nodes:
        return [_UNKNOWN]
    return [node for node in nodes if node is not None]


def _for_value(element: str) -> str | None:
    """The value of the one `for`; unknown if it is not there exactly once, None if nothing can be read."""
    values = []
    for text in element.split(";"):
        pair = text.strip(_BLANK)
        if not pair:
            continue
        match = _PAIR.fullmatch(pair)
        if match is None:
            return None
        name, quoted, plain = match.groups()
        if name.lower() == "for":
            values.append(plain if quoted is None else _ESCAPE.sub(r"\1", quoted))
    return values[0] if len(values) == 1 else _UNKNOWN
