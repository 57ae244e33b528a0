"""A configuration that goes with its files: a changed one is put in force while the service runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import EventLoopToken, current_token

from wxtoken_asgi.config import Config, load
from wxtoken_asgi.config.files import Files, State
from wxtoken_asgi.config.places import naming
from wxtoken_asgi.errors import ConfigError
from wxtoken_asgi.manager import TokenManager
from wxtoken_asgi.middleware import WxTokenMiddleware
from wxtoken_asgi.stores import open_store

logger = logging.getLogger("wxtoken_asgi")

SETTLE_S: Final = 1.0
"""Files that have not changed for so long are not being written to."""

RULES: Final = ("trusted", "trusted_proxies", "hosts", "js_config_ticket", "js_config_open", "clients")
LIVE: Final = frozenset(
    {"accounts", "api_base", "proxy", "timeout", "watch_every", "notes", "places", *RULES}
)
"""What takes effect without a restart."""

_NO_FLAGS: Final[Mapping[str, object]] = MappingProxyType({})


class LiveConfig:
    """A configuration in force, and how it follows its files.

    Args:
        read: reads it, by way of the `Files` that it is given.
        check: refuses what would not work here.
        ahead: refuses what would not work after a restart; asked if something waits for one.
        last: what is in force if the files are wrong now.
        polls: look at the files every `watch_every` seconds; else only when WeChat refuses an account's
            configuration. With `watch_every = 0` they are not looked at at all.

    Raises:
        ConfigError: the files are wrong, and there is no `last`.

    Attributes:
        config: the configuration in force.
        unsettled: the files were changed just now, and may be written to still.
    """

    def __init__(
        self,
        read: Callable[[Files], Config],
        *,
        check: Callable[[Config], object] = lambda _: None,
        ahead: Callable[[Config], object] = lambda _: None,
        last: Config | None = None,
        polls: bool = True,
    ) -> None:
        self._read = read
        self._check = check
        self._ahead = ahead
        self._polls = polls
        self._files = Files()
        self._looked: State | None = None
        self._lock: tuple[EventLoopToken, anyio.Lock] | None = None
        self._nudge: anyio.Event | None = None
        self._soon = False
        self._put: Callable[[Config], Awaitable[None]] | None = None
        self.unsettled = False
        if last is None:
            self.config = read(self._files)
            return
        self.config = last  # what waits for a restart of the service does so here too
        try:
            self.config = self.read()
        except ConfigError as problem:
            tell(problem)

    def manager(self, **more: Any) -> TokenManager:
        """Build the manager, which follows the files while it is open; see `Config.manager`."""
        tokens = self.config.manager(**more)
        self._follow(tokens, lambda config: tokens.reload(config.accounts))
        return tokens

    def middleware(self, app: Any = None, **more: Any) -> WxTokenMiddleware:
        """Build the middleware, which follows the files while its lifespan runs; see `Config.middleware`."""
        service = self.config.middleware(app, **more)
        self._follow(service.tokens, lambda config: service.reload(config.accounts, **_rules(config)))
        return service

    async def reload(self) -> None:
        """Read the files again, and put what they say in force.

        What takes effect at a restart only is named in a warning.

        Raises:
            ConfigError: something is wrong; the configuration in force stays.
        """
        async with self._alone():
            config = await anyio.to_thread.run_sync(self.read)
            if self._put is not None:
                with naming(config.places):
                    await self._put(config)
            self.config = config
        self._look_soon()  # by the pause that is in force now
        logger.info("the configuration was reloaded: %d accounts", len(config.accounts))

    async def try_reload(self) -> None:
        """Reload; what is wrong is one line in the log."""
        try:
            await self.reload()
        except ConfigError as problem:
            tell(problem)

    def read(self) -> Config:
        """What the files say now, as far as it can be in force without a restart.

        Raises:
            ConfigError: something is wrong.
        """
        files = Files()
        try:
            said = self._read(files)
        finally:  # a look at the same time sees those before or these, and no half of them
            self._files, self._looked, self.unsettled = files, None, False
        config = replace(self.config, **{name: getattr(said, name) for name in LIVE})
        self._check(config)
        if self._polls:  # else the parent has seen to it, once for all workers
            self._look_ahead(said, config)
        return config

    def _look_ahead(self, said: Config, config: Config) -> None:
        """Tell what is new of the files and not in force yet, unless the next start would fail with it."""
        waiting = [row.name for row in fields(said) if getattr(said, row.name) != getattr(config, row.name)]
        if waiting:
            self._ahead(said)
            logger.warning("the configuration: %s will change at the next restart", ", ".join(waiting))
        _tell_notes(note for note in config.notes if note not in self.config.notes)

    def look(self) -> bool:
        """Whether the files have changed, and are the same as at the look before: nobody writes to them."""
        files = self._files
        state = files.now()
        changed = state != files.then
        settled = changed and state == self._looked
        self._looked, self.unsettled = state, changed and not settled
        return settled

    @property
    def pause_s(self) -> float:
        """Seconds until the next look."""
        if self.unsettled:
            return SETTLE_S
        return (self.config.watch_every if self._polls else 0.0) or float("inf")

    async def watch(self) -> None:
        """Look at the files again and again, and reload when they have changed. It does not end by itself."""
        while True:
            self._nudge = anyio.Event()
            try:
                with anyio.move_on_after(0 if self._soon else self.pause_s):
                    await self._nudge.wait()
            finally:  # the next one may run in another event loop
                self._nudge, self._soon = None, False
            if not self.config.watch_every:  # one worker that looks by itself would leave the others behind
                continue
            if await anyio.to_thread.run_sync(self.look, abandon_on_cancel=True):
                await self.try_reload()

    def _follow(self, tokens: TokenManager, put: Callable[[Config], Awaitable[None]]) -> None:
        self._put = put
        tokens.beside.append(self.watch)
        tokens.refused.append(self._look_soon)

    def _look_soon(self) -> None:
        """Look now, if at all: if WeChat has refused a secret, perhaps the new one is in its file."""
        self._soon = True
        if self._nudge is not None:
            self._nudge.set()

    def _alone(self) -> anyio.Lock:
        """One reload at a time."""
        here = current_token()
        if self._lock is None or self._lock[0] != here:
            self._lock = (here, anyio.Lock())
        return self._lock[1]


def follow(
    path: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NO_FLAGS,
) -> LiveConfig:
    """Read the configuration, as `load` does, and go with its files.

    Args:
        path: the file.
        environ: the environment.
        overrides: settings of the top.

    Raises:
        ConfigError: something is wrong.
    """
    live = LiveConfig(
        lambda files: load(path, environ=environ, overrides=overrides, files=files), ahead=_check_parts
    )
    _tell_notes(live.config.notes)
    return live


def tell(problem: ConfigError) -> None:
    """Say why a configuration is not put in force."""
    logger.error("%s; the configuration before stays in force", problem)


def _check_parts(config: Config) -> None:
    """Try what a program would build of it at its next start, as far as that touches nothing.

    Raises:
        ConfigError: there is no such store, or the hooks cannot be had.
    """
    if config.store is not None:
        with naming(config.places):
            open_store(config.store)
    try:
        config.hook_functions()
    except ConfigError:
        raise
    except Exception as problem:
        msg = f"hooks: {config.hooks} cannot be imported: {type(problem).__name__}"
        raise ConfigError(msg) from problem


def _tell_notes(notes: Iterable[str]) -> None:
    for note in notes:
        logger.warning("%s", note)


def _rules(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in RULES}
