"""Who asks, as far as it is known: what audit records and metrics say of a request."""

from __future__ import annotations

from typing import NamedTuple


class Caller(NamedTuple):
    """Who asks.

    Args:
        client: the client's name; empty: nobody that is known.
        key: the id of the key that was sent (`Key.id`, no secret); empty: none, or one that nobody has.
        address: the address that it asks from, behind proxies of ours as they say; empty: it has none.
    """

    client: str = ""
    key: str = ""
    address: str = ""
