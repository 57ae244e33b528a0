"""The whole service over HTTP inside this process: middleware, manager and a sandbox WeChat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from wxtoken_asgi import Account, TokenManager, WxTokenMiddleware

LOOPBACK = "127.0.0.1"
STRANGER = "203.0.113.9"


@dataclass
class Center:
    """A running service.

    Args:
        world: the sandbox and the clock.
        tokens: the manager.
        service: the middleware.
    """

    world: Any
    tokens: TokenManager
    service: WxTokenMiddleware

    def client(self, peer: str = LOOPBACK, **options: Any) -> httpx.AsyncClient:
        """A client at this address."""
        return client(self.service, peer, **options)

    async def ask(self, method: str, path: str, *, peer: str = LOOPBACK, **options: Any) -> httpx.Response:
        """One request on a connection of its own."""
        async with self.client(peer) as http:
            return await http.request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("GET", path, **options)

    async def put(self, path: str, **options: Any) -> httpx.Response:
        return await self.ask("PUT", path, **options)

    async def raw(self, method: str, path: str, **options: Any) -> Exchange:
        """One request, ASGI message by ASGI message."""
        return await exchange(self.service, method, path, **options)


def client(app: Any, peer: str = LOOPBACK, **options: Any) -> httpx.AsyncClient:
    """A client of an app in this process."""
    options.setdefault("base_url", "http://localhost")
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(peer, 1)), **options)


@asynccontextmanager
async def running(
    world: Any, *accounts: Account, app: Any = None, manager: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Center]:
    """A service whose lifespan runs.

    Args:
        world: the sandbox and the clock.
        accounts: alpha and beta if none are given.
        app: what the middleware wraps.
        manager: options of the manager.
        options: those of the middleware.
    """
    async with world.manager(*accounts, **(manager or {})) as tokens:
        yield Center(world, tokens, WxTokenMiddleware(app, tokens, **options))


@asynccontextmanager
async def mounted(world: Any, *accounts: Account, **options: Any) -> AsyncIterator[Center]:
    """A service of which no lifespan runs."""
    tokens = world.manager(*accounts, **options)
    yield Center(world, tokens, WxTokenMiddleware(tokens=tokens))


@dataclass
class Exchange:
    """What came back, as it was sent."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def scope_of(
    method: str,
    path: str,
    *,
    peer: str = LOOPBACK,
    headers: Any = (),
    query: bytes = b"",
    root_path: str | None = None,
) -> dict[str, Any]:
    """An http scope as servers make it, from localhost."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
        "client": (peer, 1),
        "server": ("127.0.0.1", 80),
    }
    return scope if root_path is None else scope | {"root_path": root_path}


async def exchange(app: Any, method: str, path: str, *, receive: Any = None, **options: Any) -> Exchange:
    """Call an app with one request; without `receive` its body is empty."""
    answer = Exchange()

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answer.sent.append(message)

    await app(scope_of(method, path, **options), receive or nothing, send)
    return answer
