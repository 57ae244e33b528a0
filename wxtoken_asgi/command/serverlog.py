"""What the server writes to its log: no secret, no query but js-config's `url`, little of the sandbox."""

from __future__ import annotations

import copy
import logging
import os
import re
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from typing import Any, Final

from uvicorn.config import LOGGING_CONFIG

from wxtoken_asgi.audit import LOGGER
from wxtoken_asgi.config import STREAMS
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.redaction import RedactingFilter, redact

SANDBOX_THREAD: Final = "wxtoken-sandbox"

_JS_CONFIG: Final = re.compile(r"(?P<path>(/[^/?]*)*/js-config/[^/?]*/?)\?(.*&)?(?P<url>url=[^&]*)")
_LONG_WORD: Final = re.compile(r"[\w-]{65,}")


def log_config(level: str, audit_log: str | None = None) -> dict[str, Any]:
    """Uvicorn's own, and ours beside it.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
        audit_log: where audit records go: `stdout`, `stderr` or a file; None: nowhere.
    """
    config = copy.deepcopy(LOGGING_CONFIG)
    here = __name__
    config["filters"] = {
        "redact": {"()": RedactingFilter},
        "quiet": {"()": f"{here}.QuietSandbox"},
        "no_secrets": {"()": f"{here}.NoSecrets"},
    }
    config["handlers"]["default"]["filters"] = ["quiet", "redact"]
    config["handlers"]["access"]["filters"] = ["quiet", "no_secrets", "redact"]
    ours = {"handlers": ["default"], "level": level.upper(), "propagate": False}
    config["loggers"]["wxtoken_asgi"] = ours
    # They write whole URLs at lower levels: an AppSecret stands in WeChat's.
    config["loggers"] |= {"httpx": {"level": "WARNING"}, "httpcore": {"level": "WARNING"}}
    config["loggers"][LOGGER] = {"level": "WARNING"}  # they are of level INFO
    if audit_log is not None:
        config["formatters"]["audit"] = {"format": "%(message)s"}
        config["handlers"]["audit"] = {"formatter": "audit", "filters": ["redact"], **_where(audit_log)}
        config["loggers"][LOGGER] = {"handlers": ["audit"], "level": "INFO", "propagate": False}
    return config


def _where(audit_log: str) -> dict[str, Any]:
    if audit_log in STREAMS:
        return {"class": "logging.StreamHandler", "stream": f"ext://sys.{audit_log}"}
    return {"()": f"{__name__}.AuditFile", "filename": audit_log}


def try_audit(audit_log: str | None) -> None:
    """See whether audit records can be written, before anything is served.

    Args:
        audit_log: as for `log_config`.

    Raises:
        ConfigError: they cannot.
    """
    if audit_log is None or audit_log in STREAMS:
        return
    try:
        AuditFile(audit_log).close()
    except OSError as problem:
        msg = f"audit_log: cannot write {audit_log}: {problem.strerror}"
        raise ConfigError(msg) from None


class AuditFile(WatchedFileHandler):
    """A file that may be moved away while it is written, and is its owner's alone if it is made here.

    Args:
        filename: the file.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        # Path.open takes no opener.
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_for_its_owner)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; what keeps it from being written ends no request."""
        try:
            super().emit(record)
        except OSError:  # it was moved away, and cannot be made again
            self.handleError(record)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class QuietSandbox(logging.Filter):
    """Drops what the sandbox's server tells of itself beside ours, warnings excepted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        return record.threadName != SANDBOX_THREAD or record.levelno >= logging.WARNING


class NoSecrets(logging.Filter):
    """Keeps of each access line's URL the path, and the `url` of a js-config."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; what does not look as uvicorn's access lines do is not."""
        if not isinstance(record.args, tuple) or len(record.args) != 5:
            return False
        client, method, path, *rest = record.args
        record.args = (client, method, _harmless(str(path)), *rest)
        return True


def _harmless(path: str) -> str:
    found = _JS_CONFIG.match(path)
    kept = f"{found['path']}?{found['url']}" if found else path.partition("?")[0]
    # A name has 64 characters at most; what is longer may be a token at the wrong place.
    return _LONG_WORD.sub("...", redact(kept))
