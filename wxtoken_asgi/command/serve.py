"""Our app and the sandbox on uvicorn, from the extra `[server]`."""

from __future__ import annotations

import importlib.util
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from types import FrameType
from typing import Any, Final
from urllib.parse import quote, urlsplit

import uvicorn
from uvicorn.supervisors import Multiprocess

from wxtoken_asgi.command.doors import Doors, address_of, described, listen, listen_all, pages_port
from wxtoken_asgi.command.hangup import let_through, pass_on, reload_at, waiting
from wxtoken_asgi.command.order import Order, warnings
from wxtoken_asgi.command.serverlog import SANDBOX_THREAD, log_config, try_audit
from wxtoken_asgi.command.starting import build, try_start
from wxtoken_asgi.config import Config
from wxtoken_asgi.config.live import LiveConfig, tell
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.manager import TokenManager
from wxtoken_asgi.middleware import WxTokenMiddleware
from wxtoken_asgi.sandbox import demo

# The command line finds all of the server here.
__all__ = ["address_of", "build", "listen", "listen_all", "try_audit"]

_GRACE_S: Final = 20
_SANDBOX_GRACE_S: Final = 1
_START_S: Final = 60
_STARTUP_FAILURE: Final = 3  # uvicorn's exit code for it; its supervisor then stops instead of trying again

_log = logging.getLogger("wxtoken_asgi")


# What is served


def create_app(last: Config | None = None, narrow: int | None = None) -> WxTokenMiddleware | Doors:
    """The factory that each worker calls: it reads the configuration again.

    Args:
        last: what its parent found right; in force if the files are wrong meanwhile.
        narrow: the port on which js-config alone is answered, if there is one.
    """
    try:
        live = LiveConfig(
            Order.handed_down().config, check=warnings, ahead=try_start, last=last, polls=_alone(last)
        )
        app = build(live)
    except ConfigError as problem:
        _log.error("%s", problem)
        sys.exit(_STARTUP_FAILURE)
    if threading.current_thread() is threading.main_thread():
        _drain_on_signal(app.tokens)
        app.tokens.beside.append(partial(reload_at, live))
    return app if narrow is None else Doors(app, narrow)


def _alone(last: Config | None) -> bool:
    """Whether nobody looks at the files on this worker's behalf, as the parent of several does."""
    return last is None or last.workers == 1


def in_parent(order: Order) -> LiveConfig:
    """The configuration as the process knows it that starts the workers: it checks for all of them.

    Raises:
        ConfigError: the configuration is wrong.
    """

    def check(config: Config) -> None:
        warnings(config)
        config.middleware()

    return LiveConfig(order.config, check=check, ahead=try_start)


def _drain_on_signal(tokens: TokenManager) -> None:
    """Readiness goes red with the signal itself, before the server stops listening."""
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _draining(tokens, before))


def _draining(
    tokens: TokenManager, before: Callable[[int, FrameType | None], Any]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        tokens.draining = True
        before(number, frame)

    return handle


# The server


def run(live: LiveConfig, socks: list[socket.socket], *, log_level: str, access_log: bool) -> int:
    """Serve until a signal ends it.

    Args:
        live: the checked configuration; each worker reads it again.
        socks: the sockets that listen, as `doors.listen_all` makes them.
        log_level: `debug`, `info`, `warning`, `error` or `critical`.
        access_log: whether each request gets a line.

    Returns:
        The exit code.
    """
    config = live.config
    options = _options(
        partial(create_app, config, pages_port(socks)),
        factory=True,
        workers=config.workers,
        log_config=log_config(log_level, config.audit_log),
        log_level=log_level,
        access_log=access_log,
        timeout_graceful_shutdown=_GRACE_S,
    )
    for line in described(socks, config.prefix):
        _log.info("%s", line)
    for warning in warnings(config):
        _log.warning("%s", warning)
    if config.workers == 1:
        return _run_alone(uvicorn.Server(options), *socks)
    supervisor = Supervisor(options, socks, live)
    with let_through():
        supervisor.run()
    return 1 if any(worker.exitcode == _STARTUP_FAILURE for worker in supervisor.processes) else 0


class Supervisor(Multiprocess):
    """Uvicorn's, which hands a changed configuration to its workers instead of replacing them.

    Args:
        options: of the server.
        socks: the sockets that listen.
        live: the configuration; what is wrong with a new one is said here, and no worker hears of it.
    """

    def __init__(self, options: uvicorn.Config, socks: list[socket.socket], live: LiveConfig) -> None:
        super().__init__(options, sockets=socks)
        self._live = live
        self._pages_port = pages_port(socks)
        self._look_at = time.monotonic() + live.pause_s

    def init_processes(self) -> None:
        """Start the workers; a signal that asks them to reload waits until they can."""
        with waiting():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Start a worker again that has ended; and look whether there is something new."""
        with waiting():
            super().keep_subprocess_alive()
        if time.monotonic() >= self._look_at:
            if self._live.look():
                self.handle_hup()
            self._look_at = time.monotonic() + self._live.pause_s

    def handle_ttin(self) -> None:
        """Start another worker."""
        with waiting():
            super().handle_ttin()

    def handle_hup(self) -> None:
        """Check the configuration, and tell the workers to read it."""
        try:
            config = self._live.config = self._live.read()
        except ConfigError as problem:
            tell(problem)
            return
        self.config.app = partial(create_app, config, self._pages_port)
        self._look_at = time.monotonic() + self._live.pause_s
        for worker in self.processes:
            pass_on(worker.pid)


def run_sandbox(sock: socket.socket, *, log_level: str) -> int:
    """Serve a sandbox until a signal ends it.

    Args:
        sock: the socket that listens.
        log_level: `debug`, `info`, `warning`, `error` or `critical`.

    Returns:
        The exit code.
    """
    options = _options(
        demo(),
        workers=1,
        log_config=log_config(log_level),
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=_SANDBOX_GRACE_S,
    )
    return _run_alone(uvicorn.Server(options), sock)


def _options(app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop" if importlib.util.find_spec("uvloop") else "auto",
        lifespan="on",
        # Who asks is decided by our own trusted_proxies alone.
        proxy_headers=False,
        server_header=False,
        **more,
    )


def _run_alone(server: uvicorn.Server, *socks: socket.socket) -> int:
    # uvicorn raises the signals that it caught once more at its end: here they end nothing any more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    try:
        server.run(sockets=list(socks))
    except SystemExit:
        return 1  # uvicorn has logged what kept the app from starting
    return 0


@contextmanager
def sandbox_beside(sock: socket.socket) -> Iterator[None]:
    """Run one sandbox in a thread of this process, however many workers there are."""
    options = _options(demo(), log_config=None, access_log=False, timeout_graceful_shutdown=_SANDBOX_GRACE_S)
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name=SANDBOX_THREAD, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=5)


# What it says of itself


def announce(config: Config, base: str, sandbox: str) -> threading.Thread:
    """Print what to try once the server answers.

    Args:
        config: what is served.
        base: the server's address.
        sandbox: the sandbox's address.
    """
    lines = what_to_try(config, base, sandbox)
    connection = HTTPConnection(urlsplit(base).netloc, timeout=_START_S)

    def wait() -> None:
        # The socket listens already, so that this waits for the server and for nothing else.
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", f"{config.prefix}/health/live")
            connection.getresponse()
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

    thread = threading.Thread(target=wait, name="wxtoken-announce", daemon=True)
    thread.start()
    return thread


def what_to_try(config: Config, base: str, sandbox: str) -> list[str]:
    """The lines that `wxtoken serve --sandbox` prints."""
    ours = base + config.prefix
    name = quote(config.accounts[0].name)
    health = [] if config.app and not config.prefix else [f"  curl {ours}/health/ready"]
    return [
        f"wxtoken serves {ours}, with a sandbox in WeChat's place. Try:",
        f"  curl {ours}/token/{name}",
        f"  curl {ours}/ticket/{name}",
        f"  curl '{ours}/js-config/{name}?url=https%3A%2F%2Fwww.example.com%2F'",
        f"  curl -X PUT {ours}/token/{name}",
        *health,  # as guests of an app we do not claim it
        f"  curl {sandbox}/sandbox/calls",
    ]
