"""Work in the background that fails writes it into the log and goes on: nobody else would hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable


class Crashes(logging.Handler):
    """Takes each failure that is logged with its trace for a broken promise, and writes nothing anywhere.

    Args:
        broken: told of a broken promise: which, and how.
    """

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._broken("no crash", f"{record.getMessage()}: {record.exc_info[1]!r}")


def listen(broken: Callable[[str, str], None]) -> None:
    """From now on; all else that this process would log is left out."""
    logging.disable(logging.WARNING)
    logger = logging.getLogger("wxtoken_asgi")
    logger.propagate = False
    logger.addHandler(Crashes(broken))
