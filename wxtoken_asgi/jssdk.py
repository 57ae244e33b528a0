"""Signatures for WeChat's JS-SDK: what a page hands to `wx.config`. Pure functions, no I/O.

Source: JS-SDK documentation, appendix 1; WeCom signs the same way
(developer.work.weixin.qq.com/document/path/96909).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from wxtoken_asgi.errors import BadUrl

MAX_URL = 4096

_PREFIX = re.compile(r"https?://", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>.*))?")
# What can stand in no host, once compatibility characters are resolved (`／` is a `/` in disguise); see
# "forbidden domain code point" in url.spec.whatwg.org.
_NO_HOST = re.compile(r"[\s#%/:<>?@\[\\\]^|]")
# Control characters, surrogates and every kind of blank: a browser's `location.href` never holds one.
_NO_CATEGORY = frozenset({"Cc", "Cs", "Zs", "Zl", "Zp"})
_HINT = "send location.href.split('#')[0], encoded once with encodeURIComponent"


@dataclass(frozen=True, slots=True)
class JsConfig:
    """What a page hands to `wx.config`, under the names that WeChat's script wants.

    Args:
        appId: the account's appid.
        timestamp: Unix time of the signature, in seconds.
        nonceStr: the nonce that was signed.
        signature: 40 lower-case hex digits.
        url: the page's address as it was signed, without `#...`.
    """

    appId: str  # noqa: N815  WeChat's spelling
    timestamp: int
    nonceStr: str  # noqa: N815  WeChat's spelling
    signature: str
    url: str

    def as_dict(self) -> dict[str, str | int]:
        """The fields as JSON has them."""
        return asdict(self)


def js_config(appid: str, ticket: str, url: str, *, timestamp: int, nonce: str) -> JsConfig:
    """Signs a page.

    Args:
        appid: the account's appid.
        ticket: the account's current `jsapi_ticket`.
        url: the page's address; `#...` is cut off.
        timestamp: Unix time in seconds.
        nonce: a word that nobody can foresee, as `nonce()` gives.

    Raises:
        BadUrl: the address cannot be signed.
    """
    page = page_url(url)
    return JsConfig(appid, timestamp, nonce, signature(ticket, nonce, timestamp, page), page)


def signature(ticket: str, nonce: str, timestamp: int, url: str) -> str:
    """The signature of a page: lower-case hex SHA-1 of the four values as they stand, in UTF-8.

    Args:
        ticket: the `jsapi_ticket`.
        nonce: the page's `nonceStr`.
        timestamp: Unix time in seconds.
        url: the page's address without `#...`, to the byte as the browser has it.
    """
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp:d}&url={url}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def nonce(randbytes: Callable[[int], str] = secrets.token_hex) -> str:
    """A new nonce: 16 letters and digits with 64 random bits.

    Args:
        randbytes: gives as many random bytes as it is asked for, as hex digits.
    """
    return randbytes(8)


def page_url(url: str) -> str:
    """The part of a page's address that is signed: all before `#`, with nothing re-encoded or normalised.

    WeChat compares with the browser's own `location.href`, so one changed byte spoils the signature. What no
    browser would have there is refused instead of signed. Only the part before `#` is looked at.

    Args:
        url: the page's address.

    Raises:
        BadUrl: it is missing or too long, not absolute http(s), has no host, a user name, a bad port, or
            characters that stand in no page's address. The message does not repeat the address.
    """
    page = url.partition("#")[0] if url else ""
    _parse_host(page)
    return page


def host_allowed(url: str, js_domains: Sequence[str]) -> bool:
    """Whether the page's host is among those that may be signed.

    Letter case, the port and one dot at the host's end do not count; names in other scripts match their
    `xn--` form.

    Args:
        url: the page's address.
        js_domains: hosts (`www.example.com`), or `*.example.com` for all subdomains at any depth, which
            leaves out `example.com` itself; empty: every host.

    Raises:
        BadUrl: the address cannot be signed anyway.
    """
    host = _canonical(_parse_host(url.partition("#")[0]))
    return not js_domains or any(_matches(host, pattern) for pattern in js_domains)


def _parse_host(page: str) -> str:
    if not page:
        raise BadUrl(f"url is missing: {_HINT}")
    if len(page) > MAX_URL:
        raise BadUrl(f"url is longer than {MAX_URL} characters")
    for char in page:
        if char == "\\" or unicodedata.category(char) in _NO_CATEGORY:
            raise BadUrl(
                f"url holds the character U+{ord(char):04X}, which stands in no page's address: {_HINT}"
            )
    prefix = _PREFIX.match(page)
    if prefix is None:
        raise BadUrl(f"url must be absolute and begin with http:// or https://: {_HINT}")
    return _split_host(re.split(r"[/?]", page[prefix.end() :], maxsplit=1)[0])


def _split_host(authority: str) -> str:
    """Cuts the port off. Not left to `urlsplit`, whose strictness differs between versions of Python."""
    if "@" in authority:
        raise BadUrl("url holds a user name before its host, which no page's address has")
    match = _HOST_AND_PORT.fullmatch(authority)
    if match is None:
        raise BadUrl("url has no valid host")
    host, port = match["host"], match["port"]
    if not host.strip("."):
        raise BadUrl("url has no host")
    if not _is_host(host):
        raise BadUrl("url has no valid host")
    # An empty port is allowed by RFC 3986; it is signed as it stands, like all else.
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65535):
        raise BadUrl("url has no valid port")
    return host


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return _NO_HOST.search(unicodedata.normalize("NFKC", host)) is None
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return "%" not in host


def _matches(host: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return host == _canonical(pattern)
    parent = f".{_canonical(pattern[2:])}"
    return host.endswith(parent) and host != parent


def _canonical(host: str) -> str:
    """One spelling for all of a host name's: lower case, `xn--` labels in their own script, no last dot.

    The codec `idna` is not used for this: it follows IDNA 2003, where `straße.de` is `strasse.de`, whereas in
    browsers these are two hosts that may belong to two people.
    """
    plain = unicodedata.normalize("NFKC", host).lower().replace("\u3002", ".").removesuffix(".")
    return ".".join(map(_decode_label, plain.split(".")))


def _decode_label(label: str) -> str:
    if not (label.startswith("xn--") and label.isascii() and len(label) <= 63):
        return label
    try:
        decoded = label[4:].encode().decode("punycode")
    except UnicodeError:
        return label
    # What does not encode back to the same label is no name of its own, but a disguise of another.
    return label if decoded.isascii() or decoded.encode("punycode").decode() != label[4:] else decoded
