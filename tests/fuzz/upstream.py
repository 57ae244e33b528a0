"""WeChat's place, where anything is answered: any bytes, any JSON, any status, any header, or nothing."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final

import anyio
import httpx

from .chance import bent, blob, json_text, json_value, often, text

AT_ONCE: Final = 40
"""More calls than this in one second of virtual time, and it is a loop without a pause."""

FIELDS: Final = ("access_token", "ticket", "expires_in", "errcode", "errmsg", "access_token ", "")
CODES: Final = (
    *(0, -1, 40001, 40013, 40125, 40164, 41002, 42001, 45009, 45011),
    *(48001, 50002, 89503, 61004, 99999),
)
GOOD: Final = ("fresh-token-1", "fresh-token-2")
WORDS: Final = (*GOOD, "x" * 2048, "x" * 2049, "two words", "", "中", "tok\nen", "a\u2028b")
LIVES: Final = (7200, 7200, 1, 0, -1, 0.001, 1e-300, 86_400, 86_401, 1e400, "7200", True, None, [7200])
STATUSES: Final = (
    *(200,) * 12,
    *(204, 206, 301, 302, 304, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504, 599),
)
CODINGS: Final = (
    *("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "gzip,deflate", "GZIP", "x-gzip", "", ","),
    *("gzip," * 40, "\u00e9", "chunked", "gzip;q=1", "none"),
)
HEADERS: Final = (
    *((b"content-type", value) for value in (b"text/html", b"application/json; charset=gbk", b"\xff", b"")),
    *((b"content-length", value) for value in (b"0", b"-1", b"999999", b"1, 2", b"x")),
    *((b":status", b"200"), (b"", b""), (b"\xff", b"\xff"), (b"x" * 9000, b"y"), (b"a b", b"\r\n")),
    *((b"location", b"/cgi-bin/token"), (b"transfer-encoding", b"chunked"), (b"connection", b"close")),
)
LOST: Final = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout),
    *(httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError, httpx.ProxyError),
    *(httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError, httpx.TooManyRedirects),
    OSError,
)
CHARSETS: Final = ("utf-16", "utf-32", "utf-8-sig", "gb18030")
BODIES: Final = (
    *(b"", b" ", b"null", b"[" * 100_000, b"{}" * 2, b"9" * 5000),
    b'{"errcode":' + b"4" * 4299 + b"}",
)
HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


class Pieces(httpx.AsyncByteStream):
    """A body as it comes over the net: in pieces, and perhaps not to its end."""

    def __init__(self, parts: list[bytes], lost: Exception | None, pause_s: float) -> None:
        self._parts, self._lost, self._pause_s = parts, lost, pause_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await anyio.sleep(self._pause_s)
            yield part
        if self._lost is not None:
            raise self._lost


class Odd(httpx.AsyncBaseTransport):
    """WeChat's place: answers by chance until it is `well`, and then as the sandbox does.

    Args:
        rng: chance.
        sandbox: what answers when it is well.

    Attributes:
        calls: when each call came.
        well: whether it is.
    """

    def __init__(self, rng: Random, sandbox: httpx.AsyncBaseTransport) -> None:
        self._rng, self._sandbox, self.well = rng, sandbox, False
        self.calls: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.calls.append(anyio.current_time())
        if len(self.calls) > AT_ONCE and self.calls[-AT_ONCE] > self.calls[-1] - 1:
            await anyio.sleep_forever()  # a hot loop; the case tells of it
        if self.well:
            return await self._sandbox.handle_async_request(request)
        rng = self._rng
        match rng.randint(0, 19):
            case 0:
                await anyio.sleep(rng.choice((0.5, 9.0, 30.0)))
            case 1 | 2:
                raise _lost(rng, request)
            case 3:
                await anyio.sleep_forever()
        return self._answer(rng, request)

    def _answer(self, rng: Random, request: httpx.Request) -> httpx.Response:
        status = rng.choice(STATUSES)
        body = HTML if status > 499 and often(rng, 0.5) else answer(rng)
        headers = [rng.choice(HEADERS) for _ in range(rng.randint(0, 2))]
        if often(rng, 0.2):
            coding = rng.choice(CODINGS)
            headers.append((b"content-encoding", coding.encode("utf-8" if often(rng, 0.5) else "latin-1")))
            body = coded(rng, body, coding)
        cut = rng.randint(0, len(body)) if often(rng, 0.1) else len(body)
        middle = rng.randint(0, cut)
        lost = _lost(rng, request) if cut < len(body) or often(rng, 0.03) else None
        pause_s = rng.choice((0.0, 0.0, 0.0, 0.1, 6.0))
        pieces = Pieces([body[:middle], body[middle:cut]], lost, pause_s)
        return httpx.Response(status, headers=headers, stream=pieces, request=request)


def _lost(rng: Random, request: httpx.Request) -> Exception:
    kind = rng.choice(LOST)
    return kind(f"lost: {request.url}") if kind is OSError else kind(f"lost: {request.url}", request=request)


def coded(rng: Random, body: bytes, coding: str) -> bytes:
    """Compressed as said, or not, or far too large."""
    if often(rng, 0.02):
        body = body + b" " * rng.choice((100_000, 3_000_000))
    match rng.randint(0, 4):
        case 0:
            return body
        case 1:
            return gzip.compress(gzip.compress(body, 1, mtime=0), 1, mtime=0)
        case 2:
            return zlib.compress(body)
        case 3:
            return bent(rng, gzip.compress(body, 1, mtime=0))
        case _:
            return gzip.compress(body, 1, mtime=0)


def answer(rng: Random) -> bytes:
    """A body: mostly an object with WeChat's own fields, sometimes anything else."""
    fields = json_text(_fields(rng))
    if often(rng, 0.4):
        return fields
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: blob(rng, 60),
        lambda: json_text(json_value(rng)),
        lambda: bent(rng, fields),
        lambda: _twice(rng),
        lambda: fields.decode("utf-8", "replace").encode(rng.choice(CHARSETS), "replace"),
        lambda: rng.choice(BODIES),
        lambda: fields + b" " * rng.choice((10, 65_000, 70_000)),
    )
    return rng.choice(kinds)()


def _fields(rng: Random) -> dict[str, Any]:
    """An object with WeChat's own fields, one or more of them odd."""
    made: dict[str, Any] = {}
    if often(rng, 0.6):
        made |= {rng.choice(FIELDS[:2]): rng.choice(WORDS), "expires_in": rng.choice(LIVES)}
    if often(rng, 0.5):
        made["errcode"] = rng.choice(CODES) if often(rng, 0.8) else json_value(rng)
        made["errmsg"] = rng.choice(
            ("ok", "invalid ip 1.2.3.4, not in whitelist", text(rng, 30), json_value(rng))
        )
    if often(rng, 0.2):
        made[rng.choice(FIELDS)] = json_value(rng)
    return made


def _twice(rng: Random) -> bytes:
    """The same key more than once."""
    fields = [_fields(rng) for _ in range(3)]
    return b"{" + b",".join(json_text(made)[1:-1] or b'"a":1' for made in fields) + b"}"
