"""Requests as servers hand them on, and as none does: every part of the scope and of the body by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from . import headers
from .chance import blob, often, spiced, text
from .parsers import BODIES, QUERIES, WISHES
from support.world import APPIDS

APPS: Final = (*APPIDS, *APPIDS.values(), "nobody", "shop", "wx00000000000000d4")
WORDS: Final = ("token", "ticket", "js-config")
METHODS: Final = (*("GET",) * 9, *("PUT",) * 4, "HEAD", "HEAD", "OPTIONS", "POST", "DELETE")
ODD_METHODS: Final = ("get", "", "BREW", "PATCH", "TRACE", "CONNECT", "G\u00cbT", "PUT " * 300)
PARTS: Final = (
    *(b"/", b"/", b"//", b"token", b"ticket", b"js-config", b"alpha", b"beta", b"health", b"live", b"ready"),
    *(
        b"%2F",
        b"%2f",
        b"%2E%2E",
        b"..",
        b".",
        b"%00",
        b"%",
        b"%C3%28",
        b"%E4%B8%AD",
        b"\xff",
        b"?",
        b"#",
        b";",
    ),
    *(
        b"wx",
        b"mount",
        b"Token",
        b"%61lpha",
        b" ",
        b"%0d%0a",
        b"a" * 64,
        b"%252F",
        b"%EF%BC%8F",
        b"*",
        b"http://",
    ),
)
PAGES: Final = (
    *(b"url=https%3A%2F%2Fwww.example.com%2Fa%3Fb%3D1%23top",) * 4,
    *(b"url=http://a.example/", b"url=", b"", b"url=x&url=y", b"url=%ff", b"url=https%3A%2F%2Fa%0a", b"\xff"),
    b"url=https://a.example/&utm=1",
    b"url=https%3A%2F%2Fa.example%2F" + b"a" * 5000,
)
FORMS: Final = (*(b"",) * 6, b"format=json", b"format=json", b"format=text", b"format=", b"format=xml", b"x")
PRESENT: Final = (b"prefer", b"return=representation")
MESSAGE: Final = {"type": "http.request"}


@dataclass(slots=True)
class Asked:
    """One request.

    Args:
        scope: as the server makes it.
        messages: what it will say of the body, each with the seconds before it.
        after: what comes then: `gone` for a disconnect, `silence`.
        breaks: the connection breaks when the answer is sent.
        cut_s: seconds after which the server gives up, if it does.
    """

    scope: dict[str, Any]
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    after: str = "silence"
    breaks: bool = False
    cut_s: float | None = None


def asked(rng: Random, prefix: str, values: Sequence[str]) -> Asked:
    """A request.

    Args:
        rng: chance.
        prefix: the service's.
        values: tokens and tickets that it has handed out.
    """
    if often(rng, 0.02):
        return Asked(_websocket(rng, prefix))
    method = rng.choice(METHODS) if often(rng, 0.97) else rng.choice(ODD_METHODS)
    made = Asked(_scope(rng, method, prefix))
    if method == "PUT" or often(rng, 0.05):
        made.messages = _body(rng, values)
        made.after = rng.choice(("silence", "silence", "gone"))
    made.breaks = often(rng, 0.02)
    made.cut_s = rng.choice((0.0, 0.1, 3.0)) if often(rng, 0.02) else None
    return made


def _scope(rng: Random, method: str, prefix: str) -> dict[str, Any]:
    root, path, raw = _place(rng, prefix)
    made: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": _query(rng, path),
        "headers": [(b"host", b"localhost"), *_headers(rng)],
        "client": ("127.0.0.1", 50_000),
    }
    optional = {
        "scheme": "http",
        "raw_path": raw,
        "root_path": root,
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    made |= {key: value for key, value in optional.items() if often(rng, 0.8)}
    if root and "root_path" not in made:
        made["root_path"] = root
    if often(rng, 0.3):  # somebody else, or with headers on which trust hangs
        odd = headers.scope(rng)
        made |= {key: odd[key] for key in ("headers", "client", "http_version") if key in odd}
        for key in ("client", "http_version"):
            if key not in odd and key in made:
                del made[key]
    return made


def _websocket(rng: Random, prefix: str) -> dict[str, Any]:
    made = _scope(rng, "GET", prefix)
    del made["method"]
    return made | {"type": "websocket", "subprotocols": []}


def _place(rng: Random, prefix: str) -> tuple[str, str, bytes]:
    """`root_path`, path and raw path."""
    root = rng.choice(("/mount", "/wx", "/token", "/", "mount")) if often(rng, 0.1) else ""
    if often(rng, 0.75):
        word, app = rng.choice(WORDS), rng.choice(APPS)
        path = rng.choice(("/health/live", "/health/ready")) if often(rng, 0.1) else f"/{word}/{app}"
        path = prefix + path + ("/" if often(rng, 0.1) else "")
        if root and often(rng, 0.7):
            path = root + path
        return root, path, path.encode()
    if often(rng, 0.2):
        path = f"{prefix}/token/{text(rng, 66, surrogates=True)}"
        return root, path, path.encode("utf-8", "surrogatepass")
    raw = b"/" + spiced(rng, PARTS, 6)
    if often(rng, 0.5):
        raw = prefix.encode() + raw
    raw = raw if often(rng, 0.5) else quote_from_bytes(raw).encode()
    decoder = rng.choice((("utf-8", "replace"), ("utf-8", "surrogateescape"), ("latin-1", "strict")))
    return root, unquote_to_bytes(raw).decode(*decoder), raw


def _query(rng: Random, path: str) -> bytes:
    if often(rng, 0.08):
        return spiced(rng, QUERIES)
    return rng.choice(PAGES if "js-config" in path else FORMS)


def _headers(rng: Random) -> list[tuple[bytes, bytes]]:
    made = []
    if often(rng, 0.15):
        made.append((b"prefer", spiced(rng, WISHES, 4)) if often(rng, 0.3) else PRESENT)
    if often(rng, 0.1):
        made.append((b"if-none-match", rng.choice((b"*", b'"x"', b'W/"x", *', blob(rng)))))
    if often(rng, 0.1):
        made.append((b"accept", b"application/json"))
    if often(rng, 0.03):
        made.append((blob(rng, 6), blob(rng, 20000 if often(rng, 0.1) else 20)))
    return made


def _body(rng: Random, values: Sequence[str]) -> list[tuple[float, dict[str, Any]]]:
    """A body in one message or many, complete or not."""
    messages = []
    content = _content(rng, values)
    while content and often(rng, 0.3):
        cut = rng.randint(0, len(content))
        part, content = content[:cut], content[cut:]
        wait = rng.choice((0.0, 0.0, 0.1, 2.0, 4.0))
        messages.append((wait, MESSAGE | {"body": part, "more_body": True}))
    if often(rng, 0.97):
        last: dict[str, Any] = dict(MESSAGE)
        if content or often(rng, 0.5):
            last["body"] = content
        if often(rng, 0.5):
            last["more_body"] = False
        messages.append((0.0, last))
    return messages


def _content(rng: Random, values: Sequence[str]) -> bytes:
    match rng.randint(0, 5):
        case 0 | 1:
            return b""
        case 2 | 3 if values:
            value = rng.choice(values[-3:] if often(rng, 0.7) else values)
            return rng.choice(
                (value, f' {value}\n"'[:-1], f'{{"access_token":"{value}","ticket":"{value}"}}')
            ).encode()
        case 4:
            return rng.choice((b"a" * 4096, b" " * 4097, b"a" * 70_000, b"dead-token-of-old"))
        case _:
            return spiced(rng, BODIES)
