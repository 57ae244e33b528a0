"""Client keys: how they are made, and what a configuration keeps of one, which is not the key."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from wxtoken_asgi.errors import ConfigError

MARK: Final = "wxk_"
"""All keys begin so: a scanner for lost secrets can find them."""

RANDOM_BYTES: Final = 32
_KEY: Final = re.compile(rb"[A-Za-z0-9_.~+/=-]{1,256}")
_MARKED: Final = re.compile(r"wxk(?:_|%(?:25)*5F)", re.IGNORECASE)
"""How what may be a key begins, also within a URL."""

_LIKE_KEY: Final = re.compile(rf"{_MARKED.pattern}[\w.~+/=%-]+", re.IGNORECASE)

HIDDEN: Final = f"{MARK}***"
"""What messages and logs show in its place."""

_LIKE_SECRET: Final = re.compile(r"[0-9A-Fa-f]{32,}")
"""An AppSecret is 32 hexadecimal digits."""

_LINE: Final = re.compile(r"sha256:([0-9a-f]{64})(?: until (\S+))?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHOWN: Final = 12


def new_key() -> str:
    """A key of 256 random bits, for one client."""
    return MARK + secrets.token_urlsafe(RANDOM_BYTES)


def hide(text: str) -> str:
    """A text without the keys in it."""
    return _LIKE_KEY.sub(HIDDEN, text)


def is_marked(text: str) -> bool:
    """Whether there may be a key in a text."""
    return _MARKED.search(text) is not None


def mask(text: str) -> str:
    """A message about a setting without what may be an AppSecret, at whatever place it stood."""
    return _LIKE_SECRET.sub("***", text)


def shown(value: object) -> str:
    """A wrong value on one short line; of one that may hold a key or an AppSecret nothing is shown."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - whatever somebody's object does
        text = type(value).__name__
    if is_marked(text):
        return repr(HIDDEN)
    if _LIKE_SECRET.search(text):
        return "'***'"
    return text if len(text) <= 60 else f"{text[:57]}..."


def digest_of(key: bytes) -> bytes:
    """What is compared in place of a key.

    A plain hash is enough: nobody can try 256 random bits, and a slow one would be paid at each request.
    """
    return hashlib.sha256(key).digest()


def sent_key(authorization: bytes) -> bytes | None:
    """The key in an `Authorization` header, or None if it is of another scheme than `Bearer`.

    What follows `Bearer` and can be no key is returned as an empty one, which is nobody's; so is a key alone.
    """
    scheme, *rest = authorization.split(None, 1) or [b""]
    if scheme.lower() != b"bearer":
        return b"" if scheme.startswith(MARK.encode()) else None
    key = rest[0].strip() if rest else b""
    return key if _KEY.fullmatch(key) else b""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key: enough to recognize it, too little to use it.

    Args:
        digest: its SHA-256.
        until: when it ends, in seconds since 1970; None: never.
    """

    digest: bytes
    until: float | None = None

    @property
    def id(self) -> str:
        """What logs call it: the first digits of its digest."""
        return self.digest.hex()[:_SHOWN]

    @property
    def line(self) -> str:
        """How a configuration writes it."""
        if self.until is None:
            return f"sha256:{self.digest.hex()}"
        until = datetime.fromtimestamp(int(self.until), UTC).isoformat().replace("+00:00", "Z")
        return f"sha256:{self.digest.hex()} until {until}"

    def ends_before(self, other: Key) -> bool:
        """Whether it ends, and the other one later or never."""
        return self.until is not None and (other.until is None or other.until > self.until)

    @classmethod
    def of(cls, key: str, until: float | None = None) -> Key:
        """What a configuration keeps of a key."""
        return cls(digest_of(key.encode()), until)

    @classmethod
    def parse(cls, field: str, line: str) -> Key:
        """Read what `line` writes; `until 2027-01-31` is the beginning of that day, in UTC.

        Args:
            field: the setting's name, for messages.
            line: `sha256:` and 64 hexadecimal digits, and perhaps `until` and a date or time.

        Raises:
            ConfigError: it is none. What is wrong is not repeated: it may be the key itself.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            hint = "; that is the key itself: write what stands beside it" if is_marked(line) else ""
            msg = f"{field}: a key must be a line that `wxtoken key` prints, 'sha256:...'{hint}"
            raise ConfigError(msg)
        return cls(bytes.fromhex(match[1]), None if match[2] is None else _time(field, match[2]))


def _time(field: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{field}: until {shown(text)} is no date such as 2027-01-31 or 2027-01-31T12:00:00Z"
        raise ConfigError(msg) from None
    if moment.tzinfo is None and not _DAY.fullmatch(text):
        msg = f"{field}: until {shown(text)} needs a time zone, such as 2027-01-31T12:00:00Z"
        raise ConfigError(msg)
    try:
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).timestamp()
    except OverflowError:
        msg = f"{field}: until {shown(text)} is no time from the year 1 to 9999 in UTC"
        raise ConfigError(msg) from None
