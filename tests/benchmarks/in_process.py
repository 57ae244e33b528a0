"""What a read and a passed-through request cost in process, beside the smallest possible ASGI app.

Alternating rounds in one run; each figure is the median over the rounds of the difference between two
measurements that lie next to each other in time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from wxtoken_asgi import TokenManager, WxTokenMiddleware
from wxtoken_asgi.clock import Clock

from support.world import World

App = Callable[..., Awaitable[None]]

HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"python-httpx/0.28.1"),
]


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": HEADERS,
        "state": {},
    }


def bare_app(body: bytes, etag: bytes) -> App:
    """Returns the same bytes, and looks at nothing."""
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"etag", etag),
    ]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message):
    pass


async def per_call_us(app: App, path: str, calls: int) -> float:
    requests = [scope(path) for _ in range(calls)]
    begun = time.perf_counter()
    for request in requests:
        await app(request, receive, send)
    return (time.perf_counter() - begun) / calls * 1e6


async def compare(what: str, ours: App, bare: App, path: str, *, rounds: int, calls: int) -> float:
    """Print and return the median extra cost of a request in microseconds."""
    for app in (ours, bare):
        await per_call_us(app, path, calls)
    pairs = []
    for turn in range(rounds):
        first, second = (ours, bare) if turn % 2 else (bare, ours)
        a, b = await per_call_us(first, path, calls), await per_call_us(second, path, calls)
        pairs.append((a, b) if first is ours else (b, a))
    extra = [mine - its for mine, its in pairs]
    mine, its = (statistics.median(column) for column in zip(*pairs, strict=True))
    quarters = statistics.quantiles(extra, n=4)
    print(
        f"{what}: {mine:.2f} µs, bare {its:.2f} µs, above it {statistics.median(extra):.2f} µs "
        f"(quartiles {quarters[0]:.2f}-{quarters[2]:.2f}), ratio {mine / its:.2f}, {rounds} rounds"
    )
    return statistics.median(extra)


async def main(rounds: int, calls: int) -> None:
    world = World()
    world.clock = Clock()
    tokens = TokenManager(
        [world.account("alpha")], store="memory:", transport=httpx.ASGITransport(world.sandbox)
    )
    async with tokens:
        token = (await tokens.access_token("alpha")).encode()
        alone = WxTokenMiddleware(tokens=tokens, prefix="/wx")
        messages: list[dict[str, Any]] = []

        async def keep(message):
            messages.append(message)

        await alone(scope("/wx/token/alpha"), receive, keep)
        assert messages[1]["body"] == token
        etag = dict(messages[0]["headers"])[b"etag"]
        bare = bare_app(token, etag)
        await compare("a token read     ", alone, bare, "/wx/token/alpha", rounds=rounds, calls=calls)
        inner = bare_app(b"x" * 150, b'"x"')
        guest = WxTokenMiddleware(inner, tokens)
        await compare("passed on (guest)", guest, inner, "/api/items/17", rounds=rounds, calls=calls)
        owner = WxTokenMiddleware(inner, tokens, prefix="/wx")
        await compare("passed on (/wx)  ", owner, inner, "/api/items/17", rounds=rounds, calls=calls)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.calls))


if __name__ == "__main__":
    run()
