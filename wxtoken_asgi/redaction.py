"""Takes secrets out of log records: of httpx and uvicorn, which write whole URLs, and of one's own programs.

It is a net below those who log, no licence to log secrets: it knows them by the names that stand beside them.
This package logs none, and its own calls to WeChat do not pass through the loggers of httpx.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from wxtoken_asgi.keys import hide

GONE: Final = "***"
"""What stands where a secret was."""

# The ends of names are enough: `appsecret`, `jsapi_ticket`, `suite_access_token`, `session_key`.
_NAMES: Final = "secret|token|ticket|key|password"
_VALUE: Final = r"(?:(?!%26)[^&\s\"'<>#])+"
_JSON: Final = r"((?:secret|token|ticket|_key|password)([\"'])\s*:\s*b?)([\"'])[^\"']*\3"
_SCHEME: Final = r"(?:(?:basic|bearer|digest)\s+)?"
_RULES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # a URL's query and what looks as one, also within another URL's query
        (rf"((?:{_NAMES})(?:=|%3D|%253D)){_VALUE}", rf"\g<1>{GONE}"),
        # JSON, and a dictionary's repr; a bare "key" is too common a name there
        (_JSON, rf"\g<1>\g<3>{GONE}\g<3>"),
        # a header in a dictionary or a list, to its closing quote, and one by itself, to the end of its line
        (rf"(authorization[\"']\s*[:,]\s*b?([\"']){_SCHEME})(?:\\.|(?!\2).)*", rf"\g<1>{GONE}"),
        (rf"(authorization[\"']?[ \t]*:[ \t]*{_SCHEME})(?!b?[\"'\s])[^\r\n]+", rf"\g<1>{GONE}"),
        (r"(authorization\b[\"']?\s*[=,]\s*b?[\"']?(?:\w+\s+)?)[^\s\"',)]+", rf"\g<1>{GONE}"),
        (r"(\bbearer\s+)[^\s\"',)]+", rf"\g<1>{GONE}"),
        # what somebody wrote; behind the others a sentence may follow, as in "access_token: no value yet"
        (r"((?:secret|password)[ \t]*:[ \t]*)[^\s\"',;<>]+", rf"\g<1>{GONE}"),
        (r"((?:token|ticket|key)[ \t]*:[ \t]*)[\w.~+/=%-]{16,}", rf"\g<1>{GONE}"),
        (r"(://)[^/\s\"'?#]*@", rf"\g<1>{GONE}@"),
        # how httpcore writes the name and password for a socks proxy
        (r"(\bauth=)\(.*", rf"\g<1>{GONE}"),
    )
)
_SECRET_NAME: Final = re.compile(rf"(?:{_NAMES})\Z", re.IGNORECASE)
_FORMATTER: Final = logging.Formatter()
_HARMLESS: Final = (int, float, complex, type(None))


def redact(text: str) -> str:
    """A text without what is known to be secret in it.

    That is: the values of names that end in `secret`, `token`, `ticket`, `key` or `password`, in a query,
    in JSON or behind a colon; name and password in a URL; what follows `Authorization` or `Bearer`; client
    keys.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return hide(text)


class RedactingFilter(logging.Filter):
    """Takes secrets out of log records; it drops none, and never raises.

    Put it on handlers: a filter on a logger sees what is logged with that very logger, and not what comes up
    from its children. It changes the record, so handlers that come later see the changed one too.

    A traceback with a secret in it loses its exception (`exc_info`) and is kept as text, lest a formatter
    write it out again. Attributes that come from `extra` are left as they are.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; it is always written."""
        for part in (_redact_args, _redact_message, _redact_traceback, _redact_stack):
            with suppress(Exception):  # an object that cannot be written is the handler's to complain of
                part(record)
        return True


def install(logger_names: Iterable[str] = ("httpx", "httpcore")) -> None:
    """Put a `RedactingFilter` on loggers that have none yet, and on those of their children that exist.

    A filter on a logger does not see its children's records, and here a child that is made later is missed;
    so handlers are the safer place: `handler.addFilter(RedactingFilter())`.

    Args:
        logger_names: the loggers.
    """
    for name in logger_names:
        for logger in (logging.getLogger(name), *_children(name)):
            if not any(isinstance(known, RedactingFilter) for known in logger.filters):
                logger.addFilter(RedactingFilter())


def _children(name: str) -> list[logging.Logger]:
    known = logging.Logger.manager.loggerDict.copy()
    return [
        logger
        for child, logger in known.items()
        if child.startswith(f"{name}.") and isinstance(logger, logging.Logger)
    ]


def _redact_args(record: logging.LogRecord) -> None:
    """One by one, for formatters that look at them: uvicorn's access log does."""
    if isinstance(record.args, Mapping):
        record.args = {name: _named(name, value) for name, value in record.args.items()}
    elif isinstance(record.args, tuple):
        record.args = tuple(map(_harmless, record.args))


def _redact_message(record: logging.LogRecord) -> None:
    """What only the whole shows, such as `"secret=%s"`; the message is then kept as it would be written."""
    message = None
    with suppress(Exception):
        message = record.getMessage()
    if message is None:  # arguments that do not fit: the handler will write both parts to stderr
        record.msg = redact(str(record.msg))
        return
    clean = redact(message)
    if clean != message:
        record.msg, record.args = clean, ()


def _redact_traceback(record: logging.LogRecord) -> None:
    text = record.exc_text
    if record.exc_info and not text:
        text = _FORMATTER.formatException(record.exc_info)
    if not text:
        return
    clean = redact(text)
    if clean != text:
        record.exc_text, record.exc_info = clean, None


def _redact_stack(record: logging.LogRecord) -> None:
    if record.stack_info:
        record.stack_info = redact(record.stack_info)


def _named(name: object, value: Any) -> Any:
    if isinstance(name, str) and _SECRET_NAME.search(name) and not isinstance(value, _HARMLESS):
        return GONE
    return _harmless(value)


def _harmless(value: Any) -> Any:
    """The value itself, or if it would be written with a secret in it, how it is written without."""
    if isinstance(value, _HARMLESS):
        return value
    clean = text = ""
    with suppress(Exception):  # as in a message: what cannot be written stays as it is
        text = str(value)
        clean = redact(text)
    return value if clean == text else clean
