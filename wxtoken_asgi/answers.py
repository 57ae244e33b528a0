"""HTTP answers as ASGI messages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import Scope, Send

from wxtoken_asgi.errors import WxTokenError

Headers = list[tuple[bytes, bytes]]

TEXT = b"text/plain"
JSON = b"application/json"
NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body; and what records call it: `ok`, or the code of an error.

    The messages are made anew for each request: whoever wraps us may change what it is sent.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    code: str = field(default="ok", repr=False)

    async def send(self, scope: Scope, send: Send) -> None:
        """Send it; without its body if the request is a HEAD."""
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        body = b"" if scope["method"] == "HEAD" else self.body
        await send({"type": "http.response.body", "body": body})

    def adding(self, headers: Sequence[tuple[bytes, bytes]]) -> Answer:
        """The same answer with more headers."""
        return replace(self, headers=(*self.headers, *headers))


def answer(
    status: int, content_type: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    """An answer that nobody may store."""
    length = (b"content-length", b"%d" % len(body))
    return Answer(status, ((b"content-type", content_type), length, NO_STORE, *headers), body)


def json_answer(
    status: int, content: Mapping[str, Any], headers: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    """The same in JSON."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return answer(status, JSON, body, headers)


def error_answer(
    status: int,
    code: str,
    errmsg: str,
    *,
    errcode: int | None = None,
    retry_in: float | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """An error in the form that all of them have."""
    content: dict[str, Any] = {"code": code, "errmsg": errmsg}
    if errcode is not None:
        content["errcode"] = errcode
    if retry_in is not None:
        headers = (*headers, (b"retry-after", b"%d" % max(1, math.ceil(retry_in))))
    return replace(json_answer(status, content, headers), code=code)


def answer_of(error: WxTokenError) -> Answer:
    """What a caller is told of an error."""
    retry_in = error.retry_in if error.status in {429, 502, 503, 504} else None
    return error_answer(error.status, error.code, str(error), errcode=error.errcode, retry_in=retry_in)
