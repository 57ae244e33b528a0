"""What `wxtoken serve` builds at its start, and whether the next start would build it too."""

from __future__ import annotations

import logging
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

from wxtoken_asgi.command.hangup import waiting
from wxtoken_asgi.command.serverlog import try_audit
from wxtoken_asgi.config import Config, import_object
from wxtoken_asgi.config.live import LiveConfig
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.middleware import WxTokenMiddleware
from wxtoken_asgi.redaction import redact

_PATIENCE_S: Final = 20.0
_END_S: Final = 2.0
_SILENT: Final = "a start was tried with it in a process of its own, which hung or ended without a word"


def build(config: Config | LiveConfig) -> WxTokenMiddleware:
    """Build the app as it is served.

    Args:
        config: what it is built of; of a live one, what is built follows it.

    Raises:
        ConfigError: an option is wrong, or the app to wrap cannot be imported.
    """
    name = (config.config if isinstance(config, LiveConfig) else config).app
    inner = None if name is None else import_object("app", name)
    if inner is not None and not callable(inner):
        msg = f"app: {name} is no ASGI app: it cannot be called"
        raise ConfigError(msg)
    return config.middleware(inner)


def try_start(config: Config) -> None:
    """See whether the service could be started with this; its store is not opened, nor is a port.

    It is tried in a process of its own: an import may do anything, and one that was done here already would
    not show what is in the file now.

    Args:
        config: what takes effect at a restart too.

    Raises:
        ConfigError: it could not be. The line is the one that the start would end with.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(config, theirs))
    with ours, theirs:
        with waiting():
            process.start()
        theirs.close()
        problem = _heard(ours)
    for end in (process.terminate, process.kill):  # what was imported may not heed the first
        end()
        process.join(_END_S)
    if problem:
        raise ConfigError(problem)


def _heard(pipe: Connection) -> str:
    with suppress(EOFError):
        if pipe.poll(_PATIENCE_S):
            return str(pipe.recv())
    return _SILENT


def _try(config: Config, pipe: Connection) -> None:
    logging.disable()  # what is odd about it the start will say
    pipe.send(_problem(config))


def _problem(config: Config) -> str:
    """Why a start would fail; empty: it would not."""
    try:
        build(config)
        try_audit(config.audit_log)
    except ConfigError as problem:
        return str(problem)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - a module that is imported may raise anything
        said = redact(" ".join(str(problem).split()))
        return f"hooks or app: an import ends with {type(problem).__name__}: {said}"
    return ""
