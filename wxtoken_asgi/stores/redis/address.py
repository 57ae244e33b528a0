"""Where Redis is: the addresses of the Redis store, and how a connection is made from each.

    redis://[user:password@]host[:6379][/0]
    rediss://[user:password@]host[:6379][/0]            with TLS
    unix://[user:password@]/path/to/redis.sock[?db=0]
    redis+sentinel://[user:password@]host[:26379],host[:26379]…/service[/0]
    rediss+sentinel://…                                 with TLS to the Sentinels and to the servers

User and password are percent-encoded. What else redis-py takes may be given as a query (`ssl_ca_certs`,
`ssl_certfile`, `ssl_keyfile`, `ssl_check_hostname` …); a Sentinel's own user and password as
`sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from wxtoken_asgi.errors import ConfigError, StoreError
from wxtoken_asgi.stores.redis import wire

SENTINEL_S: Final = 0.5
"""The longest that one Sentinel may take while there are others."""

_SPELLINGS: Final = (
    "redis://user:password@host:6379/0, rediss://… (TLS), unix:///path/redis.sock or "
    "redis+sentinel://host:26379,host:26379/service/0"
)

_OURS: Final[Mapping[str, Any]] = {
    "retry": None,  # what is to be said again we say ourselves
    "retry_on_timeout": False,
    "retry_on_error": [],
    "health_check_interval": 0,
    "socket_timeout": None,  # the wire keeps time
    "socket_connect_timeout": None,
    "socket_keepalive": True,
    "protocol": 2,
    "decode_responses": False,
    "client_name": None,
}


class Place:
    """A server, or the master that Sentinels know.

    Args:
        cls: redis-py's class of connections.
        options: its arguments.
        name: what to call it where people read; without user and password.
        kept: what the connections point to without holding it (a pool that asks Sentinels).
    """

    def __init__(self, cls: Any, options: Mapping[str, Any], name: str, kept: object = None) -> None:
        self._cls = cls
        self._kept = kept
        self._options = {key: value for key, value in options.items() if not _is_housekeeping(key)}
        self.name = name
        self._make()  # a wrong option is told now, not at the first call

    def __repr__(self) -> str:
        return f"<Redis at {self.name}>"

    async def dial(self) -> wire.Connection:
        """A new connection, not connected yet."""
        return self._make()

    def _make(self, **where: Any) -> wire.Connection:
        options = {**self._options, **_OURS, **where}
        if "path" in options:
            del options["socket_keepalive"]  # a socket file needs none
        connection: Any = self._cls(**options)
        connection.driver_info = connection.lib_name = connection.lib_version = None  # no CLIENT SETINFO
        made: wire.Connection = connection
        return made


class Sentinels(Place):
    """The master of a service, asked for at each new connection.

    Args:
        cls: redis-py's class of connections.
        options: its arguments.
        sentinels: host and port of each Sentinel.
        service: the service's name.
        login: user and password of the Sentinels themselves.
    """

    def __init__(
        self,
        cls: Any,
        options: Mapping[str, Any],
        *,
        sentinels: list[tuple[str, int]],
        service: str,
        login: Mapping[str, Any],
    ) -> None:
        self._sentinels = sentinels
        self._service = service
        self._login = login
        hosts = ",".join(f"{host}:{port}" for host, port in sentinels)
        super().__init__(cls, options, f"{hosts}/{service}")

    async def dial(self) -> wire.Connection:
        """A new connection to the master, not connected yet.

        Raises:
            StoreError: no Sentinel knows one.
        """
        found: list[bytes] | None = None
        for place in tuple(self._sentinels):
            found = found or await self._ask(*place)
            if found is None:  # whoever answers is asked first the next time
                self._sentinels.append(self._sentinels.pop(0))
        if found is None:
            raise StoreError(f"store: no Sentinel of {self.name} answers with a master of that name")
        return self._make(host=found[0].decode(), port=int(found[1]))

    async def _ask(self, host: str, port: int) -> list[bytes] | None:
        login = {"username": None, "password": None, "db": 0, **self._login}
        connection = self._make(host=host, port=port, **login)
        try:
            with anyio.fail_after(SENTINEL_S):
                await connection.connect()
                await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
                found: list[bytes] | None = await connection.read_response(disable_decoding=True)
                return found
        except (RedisError, OSError):
            return None
        finally:
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)


def place_of(url: str) -> Place:
    """The place that an address names.

    Raises:
        ConfigError: it names none.
    """
    try:
        return _sentinels(url) if "+sentinel" in url.partition(":")[0] else _server(url)
    except (TypeError, ValueError, RedisError):
        raise ConfigError(f"store: this is no address of a Redis server; write {_SPELLINGS}") from None


def place_of_client(client: Any) -> Place:
    """The place that a client of redis-py speaks with.

    Raises:
        ConfigError: it is no such client.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is None or not hasattr(pool, "connection_kwargs") or "asyncio" not in type(client).__module__:
        msg = "store: client must be a redis.asyncio.Redis (of one server or from Sentinel.master_for)"
        raise ConfigError(msg)
    options = pool.connection_kwargs
    host, port = options.get("host", "the client's Sentinels"), options.get("port")
    name = options.get("path") or (f"{host}:{port}" if port else host)
    return Place(pool.connection_class, options, name, kept=pool)


def _server(url: str) -> Place:
    options: dict[str, Any] = dict(parse_url(url))
    cls = options.pop("connection_class", Connection)
    if cls is SSLConnection:
        _check_host(options)
    db = f"/{options['db']}" if options.get("db") else ""
    if "path" in options:
        return Place(cls, options, options["path"] + db)
    host = options.setdefault("host", "localhost")
    port = options.setdefault("port", 6379)
    return Place(cls, options, f"{host}:{port}{db}")


def _sentinels(url: str) -> Place:
    scheme, _, rest = url.partition("+sentinel://")
    login, _, hosts = rest.partition("/")[0].rpartition("@")
    path, _, query = rest.partition("/")[2].partition("?")
    service, _, db = path.partition("/")
    # redis-py reads the query: it knows which options are numbers and which are flags
    options: dict[str, Any] = dict(parse_url(f"{scheme}://{login}@_/{db or 0}?{_without_sentinels(query)}"))
    cls = options.pop("connection_class", Connection)
    if cls is SSLConnection:
        _check_host(options)
    if not service or not hosts:
        raise ValueError(scheme)
    return Sentinels(
        cls,
        options,
        sentinels=[_sentinel(host) for host in hosts.split(",")],
        service=unquote(service),
        login={k.removeprefix("sentinel_"): v for k, v in parse_qsl(query) if k.startswith("sentinel_")},
    )


def _sentinel(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError(host)
    return parts.hostname, parts.port or 26379


def _without_sentinels(query: str) -> str:
    return "&".join(part for part in query.split("&") if not part.startswith("sentinel_"))


def _check_host(options: dict[str, Any]) -> None:
    """A certificate of another host is none, unless the address says so; not every redis-py thinks so."""
    if options.get("ssl_cert_reqs") != "none":
        options.setdefault("ssl_check_hostname", True)


def _is_housekeeping(option: str) -> bool:
    """What a pool of redis-py tells its connections about itself."""
    return option.startswith(("maint", "orig_", "oss_")) or option in {"event_dispatcher", "himport_registry"}
