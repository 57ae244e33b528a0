"""Requests as they come over ASGI, and answers with WeChat's headers, JSON and rids."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from wxtoken_asgi.sandbox.clock import WallClock

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPE = "application/json; encoding=utf-8"  # "encoding", not "charset": so the real one sends it


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: in capitals.
        path: below `root_path`.
        query: the query string's values, the first of each name.
        json: the body, if it is a JSON object.
        peer: the caller's IP address, or what the server gives in its place; an IPv4-mapped one as IPv4.
    """

    method: str
    path: str
    query: dict[str, str] = field(repr=False)
    json: dict[str, Any] | None = field(repr=False)
    peer: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: status, body and content type."""

    status: int
    body: bytes = field(repr=False)
    content_type: str | None = JSON_TYPE


def compact(value: object) -> bytes:
    """JSON as WeChat writes it: ASCII, without a space."""
    return json.dumps(value, separators=(",", ":")).encode()


def peer_of(scope: MutableMapping[str, Any]) -> str:
    """The address of the caller; IPv4 in IPv6 clothes is IPv4."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


async def read(scope: MutableMapping[str, Any], receive: Receive) -> Request | None:
    """Read a request to its end, or None if the caller went away before."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Request(
        method=scope["method"],
        path=scope["path"].removeprefix(scope.get("root_path", "")),
        query=dict(reversed(pairs)),
        json=_object(bytes(body)),
        peer=peer_of(scope),
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Exchange:
    """The answering half of one request.

    Args:
        scope: the ASGI scope.
        receive: the ASGI channel in.
        send: the ASGI channel out.
        clock: sandbox time, which the `Date` header shows.
    """

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, clock: WallClock
    ) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        # HTTP/2 forbids the header that the real one sends on HTTP/1.1.
        self._keep_alive = str(scope.get("http_version", "1.1")).startswith("1")

    async def answer(self, reply: Reply) -> None:
        """Send a whole answer."""
        await self._start(reply, length=len(reply.body))
        await self._send({"type": "http.response.body", "body": reply.body})

    async def half(self, reply: Reply) -> None:
        """Announce a whole answer, send its first half, and close the connection."""
        await self._start(reply, length=len(reply.body))
        part = reply.body[: len(reply.body) // 2]
        await self._send({"type": "http.response.body", "body": part, "more_body": True})
        transport = self._transport()
        if transport is None:
            raise self.failure("RemoteProtocolError", ConnectionResetError, "the answer broke off half-way")
        transport.close()
        await self.gone()

    async def reset(self) -> None:
        """Reset the connection.

        Where the server's transport can be reached (uvicorn), nothing but the reset is sent. Elsewhere an
        exception after the start of an answer makes a server drop the connection.
        """
        transport = self._transport()
        if transport is None:
            await self._start(Reply(200, b""), length=1)
            raise self.failure("ReadError", ConnectionResetError, "connection reset by the sandbox")
        _linger_not(transport)
        transport.abort()
        await self.gone()

    async def gone(self) -> None:
        """Wait until the caller goes away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def in_process(self) -> bool:
        """Whether the caller is an httpx client in this process, without a server between."""
        return self._library() is not None

    def failure(self, name: str, kind: type[OSError], message: str) -> OSError:
        """The error that a caller meets when a connection fails.

        A client in this process (`httpx.ASGITransport`) gets the error that its own library raises over a
        real socket, so that its handlers are the ones under test.

        Args:
            name: the error's name in httpx.
            kind: the operating system's error, raised where there is no such client.
            message: what happened.
        """
        library = self._library()
        if library is None:
            return kind(message)
        both: type[OSError] = type(name, (getattr(library, name), kind), {})
        return both(message)

    def _library(self) -> Any:
        # The transport's `receive` is a function of its module; the library (httpx, or its fork httpx2) is
        # loaded then, and must not be imported for those who do not use it.
        name = str(getattr(self._receive, "__module__", "")).partition(".")[0]
        return sys.modules.get(name) if name in {"httpx", "httpx2"} else None

    def _transport(self) -> Any:
        return getattr(getattr(self._receive, "__self__", None), "transport", None)

    async def _start(self, reply: Reply, *, length: int) -> None:
        headers = [(b"connection", b"keep-alive")] if self._keep_alive else []
        headers.append((b"date", formatdate(self._clock.time(), usegmt=True).encode()))
        if reply.content_type is not None:
            headers.append((b"content-type", reply.content_type.encode()))
        headers.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})


def _linger_not(transport: Any) -> None:
    """Make the close a reset (RST); through a copy of the descriptor, as uvloop's sockets set no options.

    Where sockets are no descriptors (Windows) the connection is closed without it.
    """
    number = transport.get_extra_info("socket").fileno()
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
