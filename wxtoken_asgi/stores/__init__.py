"""Where records live: the contract, and the stores that come with the package."""

from __future__ import annotations

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.stores.contract import Store
from wxtoken_asgi.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "open_store"]


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """The store that an address names.

    Args:
        url: `memory:`.
        clock: where a store in this process takes its time from.

    Raises:
        ConfigError: no store has such an address.
    """
    if url == "memory:":
        return MemoryStore(clock)
    scheme = url.partition(":")[0] if ":" in url else url
    msg = f"store: {scheme!r} is no store that this version knows; write 'memory:'"
    raise ConfigError(msg)
