"""What the server writes to its log: no query but js-config's `url`, and little of the sandbox."""

from __future__ import annotations

import copy
import logging
import re
from typing import Any, Final

from uvicorn.config import LOGGING_CONFIG

SANDBOX_THREAD: Final = "wxtoken-sandbox"

_JS_CONFIG: Final = re.compile(r"(?P<path>(/[^/?]*)*/js-config/[^/?]*/?)\?(.*&)?(?P<url>url=[^&]*)")
_LONG_WORD: Final = re.compile(r"[\w-]{65,}")


def log_config(level: str) -> dict[str, Any]:
    """Uvicorn's own, and ours beside it.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
    """
    config = copy.deepcopy(LOGGING_CONFIG)
    here = __name__
    config["filters"] = {
        "quiet": {"()": f"{here}.QuietSandbox"},
        "no_secrets": {"()": f"{here}.NoSecrets"},
    }
    config["handlers"]["default"]["filters"] = ["quiet"]
    config["handlers"]["access"]["filters"] = ["quiet", "no_secrets"]
    ours = {"handlers": ["default"], "level": level.upper(), "propagate": False}
    config["loggers"]["wxtoken_asgi"] = ours
    # They write whole URLs at lower levels: an AppSecret stands in WeChat's.
    config["loggers"] |= {"httpx": {"level": "WARNING"}, "httpcore": {"level": "WARNING"}}
    return config


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
    return _LONG_WORD.sub("...", kept)
