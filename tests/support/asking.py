"""Requests with any peer, headers and key, and their answers, message by message."""

from __future__ import annotations

from typing import Any, NamedTuple

from support.center import scope_of


class Answered(NamedTuple):
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def key(text: str) -> dict[str, str]:
    """The header that brings a key."""
    return {"authorization": f"Bearer {text}"}


def asked(peer: str, headers: dict[str, str], method: str, path: str, **more: Any) -> dict[str, Any]:
    """A scope; whatever else it is to say goes before."""
    path, _, query = path.partition("?")
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = scope_of(method, path, query=query.encode()) | {"client": (peer, 50_000), "headers": pairs}
    return scope | more


async def answered(service: Any, scope: dict[str, Any], body: bytes = b"") -> Answered:
    """The answer to a request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await service(scope, receive, send)
    return Answered(sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"])
