"""Accounts, credentials and what a store holds of them: frozen, and without a secret in any `repr`."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.keys import shown

DEFAULT_API_BASE = "https://api.weixin.qq.com"

MOST_CALLS = 1_000_000_000
_NAME = re.compile(r"[\w.-]{1,64}")
_APPID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Account:
    """One WeChat account.

    Args:
        name: what callers ask for: 1-64 letters and digits of any script, `_`, `-`, `.`.
        appid: the AppID.
        secret: the AppSecret; never shown again.
        endpoint: where access tokens come from: `stable` (`/cgi-bin/stable_token`, the default) or
            `token` (`/cgi-bin/token`, where each call dooms the previous token).
        tickets: the tickets kept fresh from the start: `jsapi`. Others are kept from their first demand on.
        js_domains: the hosts whose pages may be signed (`www.example.com`, `*.example.com`); empty: all.
        daily_quota: calls of the old endpoint in 24 hours: 2000, or 200 for a test account.
        api_base: where WeChat is; `https`, or `http` on loopback.
        proxy: a proxy for the calls to WeChat.
        timeout: seconds for one call to WeChat, at most 10.

    Raises:
        ConfigError: a value is wrong; the message names the account and the field.
    """

    name: str
    appid: str
    secret: str = field(repr=False)
    endpoint: str = "stable"
    tickets: tuple[str, ...] = ()
    js_domains: tuple[str, ...] = ()
    daily_quota: int = 2000
    api_base: str = DEFAULT_API_BASE
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 10.0

    def __post_init__(self) -> None:
        for name in ("tickets", "js_domains"):
            object.__setattr__(self, name, self._words(name))
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or not self.name.strip("."):
            msg = f"account {shown(self.name)}: name must be 1-64 letters, digits, '_', '-' or '.'"
            raise ConfigError(msg)
        self._check(
            "appid", _is_text(self.appid) and _APPID.fullmatch(self.appid), "letters, digits, '_' and '-'"
        )
        self._check(
            "secret",
            _is_text(self.secret) and _is_word(self.secret),
            "the AppSecret: ASCII, without blanks or line ends",
        )
        self._check("endpoint", _is_text(self.endpoint), "'stable' or 'token'")
        self._check("js_domains", all(map(_is_domain, self.js_domains)), "hosts such as www.example.com")
        self._check("daily_quota", _is_count(self.daily_quota), f"a whole number from 1 to {MOST_CALLS}")
        self._check("api_base", _is_api_base(self.api_base), "an https:// address (http:// only on loopback)")
        self._check("proxy", self.proxy is None or _is_proxy(self.proxy), "a http, https or socks5 address")
        self._check(
            "timeout", _is_number(self.timeout) and 0 < self.timeout <= 10, "seconds, above 0, at most 10"
        )
        object.__setattr__(self, "api_base", self.api_base.rstrip("/"))

    def _words(self, name: str) -> tuple[str, ...]:
        value: object = getattr(self, name)
        if isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value):
            return tuple(value)
        msg = f"account {self.name}: {name} must be a list of words, not {shown(value)}"
        raise ConfigError(msg)

    def _check(self, name: str, good: object, wanted: str) -> None:
        if good:
            return
        value = getattr(self, name)
        hidden = name in {"secret", "proxy"} or "@" in repr(value)  # user:password@host
        msg = f"account {self.name}: {name} must be {wanted}" + ("" if hidden else f", not {shown(value)}")
        raise ConfigError(msg)

    @property
    def fingerprint(self) -> str:
        """A digest of what decides whether WeChat says yes; it tells nothing of the secret."""
        words = "\0".join((self.appid, self.secret, self.endpoint, self.api_base, self.proxy or ""))
        return digest("fingerprint", words)


class Credential(NamedTuple):
    """What identifies a credential. Its account's name is no part of it: renaming refetches nothing."""

    namespace: str
    api_base: str
    appid: str
    endpoint: str
    kind: str

    def __str__(self) -> str:
        return " ".join(self)


def digest(*words: str) -> str:
    """22 characters of base64url SHA-256: stands for a value where the value may not stand."""
    raw = hashlib.sha256("\0".join(words).encode()).digest()
    return base64.urlsafe_b64encode(raw)[:22].decode()


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_word(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_CALLS


def _is_domain(value: str) -> bool:
    host = value.removeprefix("*.")
    return re.fullmatch(r"[^\s/:@*\\?#]+", host) is not None


def is_loopback_url(url: str) -> bool:
    """Whether the address names this machine's loopback."""
    host = (urlsplit(url).hostname or "").lower()
    return host in _LOOPBACK or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _is_api_base(value: object) -> bool:
    parts = _split(value)
    if parts is None or "@" in parts.netloc or not set("?#\\").isdisjoint(str(value)):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback_url(parts.geturl()))


def _is_proxy(value: object) -> bool:
    parts = _split(value)
    return parts is not None and parts.scheme in {"http", "https", "socks5", "socks5h"}


def _split(value: object) -> SplitResult | None:
    """The parts of an address with a host, or None for what httpx would not take."""
    if not isinstance(value, str) or not _is_word(value):
        return None
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None
