"""The doors of the service, and what is behind a narrow one: js-config and `/health/live` alone."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Final

from starlette.types import Receive, Scope, Send

from wxtoken_asgi.config import Config
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import mask
from wxtoken_asgi.middleware import WxTokenMiddleware

_BACKLOG: Final = 2048


class Doors:
    """Sends on what comes by the port of a socket that listens.

    Args:
        service: gets what comes by any other port, and the lifespan.
        port: what comes by it gets to the service's `pages`.
    """

    def __init__(self, service: WxTokenMiddleware, port: int) -> None:
        self.service = service
        self.port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on. What says nothing of its door is taken for one that came by the narrow one."""
        if scope["type"] == "lifespan" or self._is_wide(scope.get("server")):
            await self.service(scope, receive, send)
        else:
            await self.service.pages(scope, receive, send)

    def _is_wide(self, server: tuple[str, int | None] | None) -> bool:
        return server is not None and server[1] != self.port


def listen(host: str, port: int, settings: str = "host and port") -> socket.socket:
    """A socket that listens: who connects before the server runs waits for it.

    Args:
        host: the address, or a name of it.
        port: the port; 0: any free one.
        settings: where they stand, for messages.

    Raises:
        ConfigError: the address is taken, or is none of this machine's.
    """
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # Where a name has several addresses, as localhost has, the older protocol reaches more clients.
            family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
            sock = stack.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
        except (OSError, UnicodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "that is no host name"
            msg = f"{settings}: cannot listen on {mask(host)} port {port}: {reason}"
            raise ConfigError(msg) from None
        stack.pop_all()
    return sock


def listen_all(config: Config) -> list[socket.socket]:
    """The sockets of a service: the first for everything, the second, if one is wanted, for js-config.

    Raises:
        ConfigError: as `listen`, or both have one port, by which they are told apart.
    """
    with ExitStack() as stack:
        socks = [stack.enter_context(listen(config.host, config.port))]
        port = config.js_config_port
        if port is not None:
            if port == port_of(socks[0]):
                msg = f"js_config_port: {port} is the port of everything else"
                raise ConfigError(msg)
            host = config.host if config.js_config_host is None else config.js_config_host
            socks.append(stack.enter_context(listen(host, port, "js_config_host and js_config_port")))
        stack.pop_all()
    return socks


def port_of(sock: socket.socket) -> int:
    """The port on which a socket listens."""
    port: int = sock.getsockname()[1]
    return port


def address_of(sock: socket.socket) -> str:
    """The socket's address as a URL; one that listens everywhere is shown with the loopback address."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound here)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def pages_port(socks: list[socket.socket]) -> int | None:
    """The port on which js-config alone is answered, if there is one.

    Args:
        socks: the sockets, as `listen_all` makes them.
    """
    return port_of(socks[1]) if len(socks) > 1 else None


def described(socks: list[socket.socket], prefix: str) -> list[str]:
    """What an operator hears of the doors.

    Args:
        socks: the sockets, as `listen_all` makes them.
        prefix: the path below which the service answers.
    """
    said = ("listening on", "js-config alone is answered on")
    return [f"{what} {address_of(sock)}{prefix}" for what, sock in zip(said, socks, strict=False)]
