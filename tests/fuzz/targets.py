"""All that is fuzzed, by name."""

from __future__ import annotations

import logging
from typing import Final

from . import decisions, headers, parsers, service, settings, wechat
from .tally import Tally, Target, run

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        decisions.TARGET,
        headers.TARGET,
        parsers.TARGET,
        service.TARGET,
        *wechat.TARGETS,
        settings.TARGET,
    )
}


def carry_out(name: str, seed: int, cases: range) -> Tally:
    """Carry out these cases of a target; another process calls it."""
    return run(TARGETS[name], seed, cases)


def quiet() -> None:
    """What the package logs is judged where it matters, and printed nowhere."""
    logger = logging.getLogger("wxtoken_asgi")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
