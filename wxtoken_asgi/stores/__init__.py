"""Where records live: the contract, and the stores that come with the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from wxtoken_asgi.clock import Clock
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import shown
from wxtoken_asgi.stores.contract import Store
from wxtoken_asgi.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "open_store"]


def _memory(url: str, clock: Clock | None) -> Store:
    if url != "memory:":
        raise ConfigError("store: write 'memory:' with nothing behind it")
    return MemoryStore(clock)


def _sqlite(url: str, clock: Clock | None) -> Store:
    from wxtoken_asgi.stores.sqlite import SQLiteStore  # noqa: PLC0415
    from wxtoken_asgi.stores.sqlite.dbfile import path_of  # noqa: PLC0415 - who has another store needs no SQLite

    return SQLiteStore(path_of(url), clock=clock)


def _redis(url: str, clock: Clock | None) -> Store:
    try:
        from wxtoken_asgi.stores.redis import RedisStore  # noqa: PLC0415 - redis-py is an extra
    except ModuleNotFoundError:
        raise ConfigError("store: Redis needs redis-py: pip install 'wxtoken-asgi[redis]'") from None
    return RedisStore(url, clock=clock)


_SCHEMES: Final[Mapping[str, Callable[[str, Clock | None], Store]]] = MappingProxyType(
    {
        "memory": _memory,
        "sqlite": _sqlite,
        "redis": _redis,
        "rediss": _redis,
        "unix": _redis,
        "redis+sentinel": _redis,
        "rediss+sentinel": _redis,
    }
)
"""What makes the store of an address that begins with this word."""


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """The store that an address names.

    Args:
        url: `memory:`, `sqlite:///var/lib/wxtoken/tokens.db`, or `redis://host:6379/0` (and others:
            see `wxtoken_asgi.stores.redis.address`).
        clock: where a store in this process takes its time from.

    Raises:
        ConfigError: no store has such an address.
    """
    scheme = url.partition(":")[0]
    if ":" in url and scheme in _SCHEMES:
        return _SCHEMES[scheme](url, clock)
    known = "'memory:', 'sqlite:///path' or 'redis://host'"
    msg = f"store: {shown(scheme)} is no store that this version knows; write {known}"
    raise ConfigError(msg)
