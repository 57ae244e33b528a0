"""Calls to WeChat: one request in, one JSON object out, or an `UpstreamError` that says what went wrong.

The calls go straight to an httpx transport and not through an `httpx.AsyncClient`: the client logs every
URL, and WeChat wants the AppSecret in the URL of the old endpoint.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx

from wxtoken_asgi.records import DEFAULT_API_BASE, Account, is_loopback_url

CONNECT_S: Final = 3.0
LARGEST_ANSWER: Final = 64 * 1024
SECOND_API_BASE: Final = "https://api2.weixin.qq.com"
"""WeChat's remote disaster recovery (Interface_field_description.html)."""

HEADERS: Final = {"accept": "application/json", "user-agent": "wxtoken-asgi"}
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_TOO_LARGE: Final = "the answer is larger than any answer of WeChat's"
_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""How zlib is told of a coding. We ask for none; a server that compresses all the same uses these."""

_UNDECIDED_STATUS: Final = frozenset({500, 502, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """A call to WeChat.

    Args:
        path: the path below the account's `api_base`.
        params: the query; may hold secrets.
        body: sent as JSON by POST; without one it is a GET.
        counts: the name under which the call is counted.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Mapping[str, object] | None = field(default=None, repr=False)
    counts: str = "calls"


class UpstreamError(Exception):
    """A call that brought no answer, or one that cannot be used.

    Args:
        message: plain words without a secret.
        cls: `transient` or `timeout`.
        undecided: WeChat may have done what it was asked for.
    """

    def __init__(self, message: str, *, cls: str = "transient", undecided: bool) -> None:
        super().__init__(message)
        self.cls = cls
        self.undecided = undecided


class Upstream(Protocol):
    """Where a source sends its calls."""

    async def call(self, account: Account, request: Request) -> dict[str, Any]:
        """See `Weixin.call`."""
        ...


class Weixin:
    """WeChat, reached over HTTP.

    Args:
        transport: replaces the network (an `httpx.ASGITransport` of the sandbox); it is never closed here.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._given = transport
        self._own: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        own, self._own = self._own, {}
        for transport in own.values():
            await transport.aclose()

    async def call(self, account: Account, request: Request) -> dict[str, Any]:
        """Ask WeChat.

        Args:
            account: whose `api_base`, `proxy` and `timeout` (seconds for the whole call) are used.
            request: what is asked.

        Returns:
            The JSON object of the answer, whatever its `errcode`.

        Raises:
            UpstreamError: no answer, or one that is no JSON object.
        """
        sent = _Sent(known=self._given is None)
        try:
            with anyio.fail_after(account.timeout):
                return await self._call(account, request, sent)
        except TimeoutError:
            msg = f"no answer within {account.timeout:g} s"
            raise UpstreamError(msg, cls="timeout", undecided=sent.maybe) from None

    async def _call(self, account: Account, request: Request, sent: _Sent) -> dict[str, Any]:
        try:
            return await self._send(account, request, account.api_base, sent)
        except UpstreamError as error:
            if error.undecided or error.cls != "connect" or account.api_base != DEFAULT_API_BASE:
                raise
        return await self._send(account, request, SECOND_API_BASE, sent)

    async def _send(self, account: Account, request: Request, api_base: str, sent: _Sent) -> dict[str, Any]:
        try:
            response = await self._transport(account).handle_async_request(
                _build(request, api_base, account.timeout, sent)
            )
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise _lost(error, sent, "timeout") from None
        except _NOT_SENT as error:
            msg = f"no connection ({type(error).__name__})"
            raise UpstreamError(msg, cls="connect", undecided=False) from None
        except (httpx.HTTPError, OSError) as error:
            raise _lost(error, sent, "transient") from None
        return _parse(response.status_code, body)

    def _transport(self, account: Account) -> httpx.AsyncBaseTransport:
        if self._given is not None:
            return self._given
        proxy = account.proxy or _environment_proxy(account.api_base)
        if proxy not in self._own:
            self._own[proxy] = _open_transport(proxy)
        return self._own[proxy]


class _Sent:
    """Whether WeChat may have received the request; httpx's trace tells when it begins to send."""

    def __init__(self, *, known: bool) -> None:
        self.maybe = not known

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if not event.endswith("send_request_headers.started"):
            return
        if info["request"].method != b"CONNECT":  # that one is for the proxy
            self.maybe = True


def _open_transport(proxy: str | None) -> httpx.AsyncHTTPTransport:
    if proxy is not None and proxy.startswith("socks"):
        logging.getLogger("httpcore.socks").addFilter(_tells_no_credentials)
    try:
        return httpx.AsyncHTTPTransport(proxy=proxy, limits=httpx.Limits(max_connections=256))
    except ImportError:
        msg = "no connection: a socks5 proxy needs the package socksio (pip install 'httpx[socks]')"
    except (httpx.InvalidURL, ValueError):  # whose texts quote the address, with its password
        msg = "no connection: the address of the proxy cannot be used"
    raise UpstreamError(msg, cls="connect", undecided=False)


def _tells_no_credentials(record: logging.LogRecord) -> bool:
    """False for the line in which httpcore writes the name and password of a socks proxy, at DEBUG."""
    return "auth=" not in record.getMessage()


def _build(request: Request, api_base: str, timeout_s: float, sent: _Sent) -> httpx.Request:
    timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
    return httpx.Request(
        "GET" if request.body is None else "POST",
        api_base + request.path,
        params=dict(request.params),
        json=request.body,
        headers=HEADERS,
        extensions={"timeout": timeout.as_dict(), "trace": sent},
    )


async def _read(response: httpx.Response) -> bytes:
    """The body, read to its end: on trio a generator that is left in the middle is warned of."""
    body, size = b"", 0
    try:
        async for chunk in cast("httpx.AsyncByteStream", response.stream):
            size += len(chunk)
            if size <= LARGEST_ANSWER:
                body += chunk
            else:
                await response.aclose()
    except (httpx.HTTPError, OSError):
        if size <= LARGEST_ANSWER:
            raise
    if size > LARGEST_ANSWER:
        raise UpstreamError(_TOO_LARGE, undecided=True)
    return _decoded(response, body)


def _decoded(response: httpx.Response, body: bytes) -> bytes:
    """The body unpacked, as far as any answer goes: a few hundred bytes can hold gigabytes."""
    wbits = _WBITS.get(response.headers.get("content-encoding", "").strip().lower())
    if wbits is None:
        return body
    try:
        plain = zlib.decompressobj(wbits).decompress(body, LARGEST_ANSWER + 1)
    except zlib.error:
        msg = "the answer cannot be unpacked"
        raise UpstreamError(msg, undecided=True) from None
    if len(plain) > LARGEST_ANSWER:
        raise UpstreamError(_TOO_LARGE, undecided=True)
    return plain


def _parse(status: int, body: bytes) -> dict[str, Any]:
    if status != 200:
        msg = f"HTTP status {status}"
        raise UpstreamError(msg, undecided=status in _UNDECIDED_STATUS)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        msg = "the answer is empty" if not body.strip() else "the answer is not JSON"
        raise UpstreamError(msg, undecided=True) from None
    if isinstance(answer, dict):
        return answer
    msg = "the answer is no JSON object"
    raise UpstreamError(msg, undecided=True)


def _lost(error: Exception, sent: _Sent, cls: str) -> UpstreamError:
    """A call that was cut off; only the error's type is told, since its text may quote the URL."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return UpstreamError(f"no connection ({type(error).__name__})", cls="connect", undecided=False)
    return UpstreamError(f"the call was cut off ({type(error).__name__})", cls=cls, undecided=sent.maybe)


def _environment_proxy(api_base: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; loopback needs no proxy."""
    if is_loopback_url(api_base):
        return None
    url = httpx.URL(api_base)
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy
