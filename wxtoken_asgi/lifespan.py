"""Our lifespan around the wrapped app's: the manager opens before it and closes after it.

Everything runs in the task that the server gave us, for the manager's task group must be left where it
was entered. The server hears exactly one verdict on the start and one on the shutdown. `startup.complete` is
passed on at once; `startup.failed` and both shutdown verdicts are held back until the manager is closed,
because servers act on a verdict the moment they hear it: some serve, some end the process.

No error of the wrapped app goes through the manager, whose task group would turn it into an `ExceptionGroup`;
servers tell errors apart by their type.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wxtoken_asgi.errors import WxTokenError

_log = logging.getLogger("wxtoken_asgi")

_STARTUP_COMPLETE: Final = "lifespan.startup.complete"
_STARTUP_FAILED: Final = "lifespan.startup.failed"
_SHUTDOWN_COMPLETE: Final = "lifespan.shutdown.complete"
_SHUTDOWN_FAILED: Final = "lifespan.shutdown.failed"
_VERDICTS: Final = (_STARTUP_COMPLETE, _STARTUP_FAILED, _SHUTDOWN_COMPLETE, _SHUTDOWN_FAILED)

# Seconds that the wrapped app may go on after its last verdict: time to clean up.
_UNWIND_S: Final = 10.0

# What an http scope has and a lifespan scope has not.
_HTTP_KEYS: Final = (
    "path",
    "method",
    "headers",
    "query_string",
    "client",
    "server",
    "scheme",
    "raw_path",
    "http_version",
    "root_path",
)
# What a check of the scope's type raises.
_CHECKS: Final = (AssertionError, ValueError, TypeError, RuntimeError)
_SCOPE_WORDS: Final = re.compile("lifespan|scope", re.IGNORECASE)
_SCOPE_CODE: Final = re.compile(r"""scope|["']type["']""")


class _Finished(Exception):
    """Leads the wrapped app out of its lifespan after it has said its last word."""


def _nothing() -> None:
    """Stand in for a callback that was not given."""


async def run_lifespan(
    app: ASGIApp | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    manager: AbstractAsyncContextManager[object],
    state_key: str = "wxtoken",
    on_shutdown: Callable[[], None] = _nothing,
) -> None:
    """Answer a lifespan scope: open the manager, run the wrapped app's lifespan inside it, close the manager.

    A manager that cannot be opened is `startup.failed`, and the app is not called. An app without a lifespan
    is served as servers do in their `auto` mode; one whose lifespan dies later is served on, and its error
    reaches the server at the shutdown.

    Args:
        app: the wrapped app, or None: then the server's messages are answered here.
        scope: the server's scope. The app gets this very object; nothing is added but the state's entry.
        receive: the server's.
        send: the server's. What it raises is passed on.
        manager: entered first, left last, in this task. It must shield its own closing from cancellation,
            and bound it.
        state_key: where the app finds the manager in `scope["state"]`, if the server has a state.
        on_shutdown: called once when `lifespan.shutdown` comes, before the app sees it.

    Raises:
        Exception: what the wrapped app raised after its start, once the manager is closed and
            `shutdown.failed` is sent.
    """
    startup = await receive()
    refusal = await _open(manager)
    if refusal is not None:
        await send({"type": _STARTUP_FAILED, "message": refusal})
        return
    if "state" in scope:
        scope["state"][state_key] = manager
    inner = _Inner(startup, receive, send, on_shutdown)
    try:
        error = await inner.serve(app, scope)
    except BaseException:  # cancelled, interrupted, or the server's own channel failed
        await _close(manager)
        raise
    close_error = await _close(manager)
    await send(inner.last_word(error, close_error))
    if error is not None:
        raise error


async def _open(manager: AbstractAsyncContextManager[object]) -> str | None:
    """Enter the manager; the answer is the one line that says why it cannot be entered, or None."""
    try:
        await manager.__aenter__()
    except WxTokenError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001
        # Only its type: the server prints the message, a foreign error's text may be long or worse.
        _log.exception("the token manager could not be opened")
        return f"the token manager could not be opened: {type(error).__name__}, see the log"
    return None


async def _close(manager: AbstractAsyncContextManager[object]) -> Exception | None:
    """Leave the manager without telling it of any error: none is its own."""
    try:
        await manager.__aexit__(None, None, None)
    except Exception as error:  # noqa: BLE001
        _log.exception("the token manager did not close cleanly")
        return error
    return None


class _Inner:
    """The wrapped app's lifespan: the `receive` and `send` that it gets, and how far it has come."""

    def __init__(
        self, startup: Message, receive: Receive, send: Send, on_shutdown: Callable[[], None]
    ) -> None:
        self._startup: Message | None = startup
        self._receive = receive
        self._send = send
        self._on_shutdown = on_shutdown
        self._scope = anyio.CancelScope()
        self._asked = False  # it has called receive()
        self._spoke = False  # it has called send()
        self._started = False  # startup.complete is with the server
        self._stopping = False  # shutdown has come from the server
        self._held: Message | None = None  # its last verdict, until the manager is closed

    async def serve(self, app: ASGIApp | None, scope: Scope) -> Exception | None:
        """Run the app's lifespan and wait for the shutdown, unless the app refuses to start.

        Returns:
            What the app raised after its start, to be raised again at the very end.
        """
        error = None if app is None else await self._run(app, scope)
        if self._refused:
            _note_failed_unwinding(error)
            return None
        if self._started:
            self._note_early_end(error)
        else:
            if app is not None:
                self._note_no_lifespan(error)
            error = None
            await self.send({"type": _STARTUP_COMPLETE})
        while not self._stopping:
            await self._next()
        return error

    async def receive(self) -> Message:
        """Hand out the startup message that we have read already, then the server's."""
        self._asked = True
        if self._held is not None:
            await self._finish()
        if self._startup is not None:
            message, self._startup = self._startup, None
            return message
        return await self._next()

    async def send(self, message: Message) -> None:
        """Pass on what the server may hear now, hold back a last verdict, drop what comes out of turn."""
        self._spoke = True
        kind = message["type"]
        if self._held is not None:
            await self._send_after_the_last(kind)
        elif kind == _STARTUP_COMPLETE and not self._started:
            self._started = True
            await self._send(message)
        elif kind == _STARTUP_FAILED and not self._started:
            self._hold(message)
            # Quart would wait in receive() for ever; the others raise at this point anyway.
            raise _Finished
        elif kind in (_SHUTDOWN_COMPLETE, _SHUTDOWN_FAILED) and self._started:
            self._hold(message)
        elif kind in _VERDICTS:
            _log.warning("the wrapped app sent %s out of turn; the server does not hear it", kind)
        else:
            await self._send(message)  # not ours to judge: the server says what it makes of it

    def last_word(self, error: Exception | None, close_error: Exception | None) -> Message:
        """Return the verdict that the server hears at the very end.

        Args:
            error: what the app raised after its start.
            close_error: what the manager raised as it closed.
        """
        held = self._held
        if held is not None and (held["type"] != _SHUTDOWN_COMPLETE or close_error is None):
            return held
        if error is not None:
            text = f"the wrapped app's lifespan raised {type(error).__name__}: {error}"
            return {"type": _SHUTDOWN_FAILED, "message": text}
        if close_error is not None:
            text = f"the token manager did not close cleanly: {type(close_error).__name__}, see the log"
            return {"type": _SHUTDOWN_FAILED, "message": text}
        return {"type": _SHUTDOWN_COMPLETE}

    @property
    def _refused(self) -> bool:
        return self._held is not None and self._held["type"] == _STARTUP_FAILED

    async def _run(self, app: ASGIApp, scope: Scope) -> Exception | None:
        error: Exception | None = None
        try:
            with self._scope:
                await app(scope, self.receive, self.send)
        except Exception as raised:  # noqa: BLE001
            error = _without_finished(raised)
        if self._scope.cancelled_caught:
            _log.warning("the wrapped app did not end its lifespan in %g s and was cancelled", _UNWIND_S)
        return error

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "lifespan.shutdown" and not self._stopping:
            self._stopping = True
            self._on_shutdown()
        return message

    def _hold(self, verdict: Message) -> None:
        self._held = verdict
        self._scope.deadline = anyio.current_time() + _UNWIND_S

    async def _send_after_the_last(self, kind: str) -> None:
        _log.warning("the wrapped app sent %s after its last verdict; the server does not hear it", kind)
        await anyio.lowlevel.checkpoint()
        if self._refused:
            raise _Finished

    async def _finish(self) -> None:
        # An app that swallows the exception and asks again must not keep the loop from reaching the deadline.
        await anyio.lowlevel.checkpoint()
        raise _Finished

    def _note_early_end(self, error: Exception | None) -> None:
        if self._stopping:
            return  # in time; an error is raised again soon, and the server's to log
        if error is None:
            _log.info("the wrapped app's lifespan returned before the shutdown; it is served on")
        else:
            _log.error("the wrapped app's lifespan died; it is served on until the shutdown", exc_info=error)

    def _note_no_lifespan(self, error: Exception | None) -> None:
        if error is None:
            _log.info("the wrapped app returned without a word on its start; it is served without a lifespan")
        elif not self._asked and not self._spoke and _knows_no_lifespan(error):
            _log.info("the wrapped app knows no lifespan; it is served without one")
            _log.debug("the wrapped app answered the lifespan scope with %r", error)
        else:
            _log.warning("the wrapped app's start-up raised; it is served without a lifespan", exc_info=error)


def _note_failed_unwinding(error: Exception | None) -> None:
    if error is not None:
        _log.error("the wrapped app raised after it had refused to start", exc_info=error)


def _without_finished(error: Exception) -> Exception | None:
    """Take our own exception out of what the app raised, from inside its task groups too."""
    if isinstance(error, ExceptionGroup):
        return error.split(_Finished)[1]
    return None if isinstance(error, _Finished) else error


def _knows_no_lifespan(error: Exception) -> bool:
    """Tell an app that rejects the scope's type from one whose start-up crashed."""
    if isinstance(error, NotImplementedError) or _SCOPE_WORDS.search(str(error)):
        return True
    if isinstance(error, KeyError):
        return bool(error.args) and error.args[0] in _HTTP_KEYS
    return isinstance(error, _CHECKS) and _raised_at_scope(error)


def _raised_at_scope(error: Exception) -> bool:
    """Whether the line that raised looks at the scope; our own does, but there no app was called yet."""
    innermost = traceback.extract_tb(error.__traceback__, limit=-1)[-1]
    return innermost.filename != __file__ and bool(_SCOPE_CODE.search(innermost.line or ""))
